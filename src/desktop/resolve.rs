//! Token to target: the reference's `get.targetmap.lua`, without its faults.

use crate::desktop::hash_claim::PayloadKey;
use crate::desktop::target::{self, Suffix};
use crate::error::Reason;
use crate::jwt::{Claims, Policy, verify};
use crate::keys::KeySet;

/// The longest time that an answer may be kept, in seconds.
pub const MAX_TTL: u32 = 600;

/// The claim that holds the encrypted target.
pub const HASH_CLAIM: &str = "hash";

/// Everything that turns a token into a target.
pub struct Resolver {
    /// The keys that sign tokens.
    pub signing_keys: KeySet,
    /// What a token must satisfy besides its signature.
    pub policy: Policy,
    /// The key that opens the `hash` claim.
    pub payload_key: PayloadKey,
    /// When set, targets must lie below it.
    pub suffix: Option<Suffix>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The host to connect to: lower case, valid as [`target::normalise`] says.
    pub target: String,
    /// Seconds that the answer may be kept: min(exp − now, [`MAX_TTL`]), and 0 when 1 or less would be left.
    pub ttl: u32,
}

impl Resolver {
    /// Verifies `token` and decrypts its target. `now` is in seconds since the epoch.
    pub fn resolve(&self, token: &[u8], now: i64) -> Result<Resolution, Reason> {
        let claims = self.verify(token, now)?;
        let target = self.open(&claims)?;
        Ok(Resolution { target, ttl: ttl(&claims, now)? })
    }

    /// Verifies `token` alone.
    pub fn verify(&self, token: &[u8], now: i64) -> Result<Claims, Reason> {
        verify(token, &self.signing_keys, &self.policy, now)
    }

    /// Decrypts and checks the target that verified claims carry.
    pub fn open(&self, claims: &Claims) -> Result<String, Reason> {
        self.decrypt_target(hash_of(claims)?.as_bytes())
    }

    /// Decrypts the base64 text of a `hash` claim to an allowed target.
    pub fn decrypt_target(&self, hash: &[u8]) -> Result<String, Reason> {
        decrypt_target(&self.payload_key, self.suffix.as_ref(), hash)
    }
}

/// The `hash` claim of verified claims: `ClaimMissing` or `ClaimMalformed` without one.
pub fn hash_of(claims: &Claims) -> Result<&str, Reason> {
    claims.string(HASH_CLAIM)?.ok_or(Reason::ClaimMissing)
}

/// Decrypts the base64 text of a `hash` claim to an allowed target. `PayloadInvalid`, whatever is wrong with it.
pub fn decrypt_target(key: &PayloadKey, suffix: Option<&Suffix>, hash: &[u8]) -> Result<String, Reason> {
    let plaintext = key.decrypt(hash)?;
    std::str::from_utf8(&plaintext)
        .ok()
        .and_then(target::normalise)
        .filter(|host| suffix.is_none_or(|suffix| suffix.allows(host)))
        .ok_or(Reason::PayloadInvalid)
}

/// Seconds that an answer may be kept: min(exp − now, [`MAX_TTL`]), and 0 when 1 or less would be left.
pub fn ttl(claims: &Claims, now: i64) -> Result<u32, Reason> {
    let left = claims.expires_at()?.map_or(0, |at| at.saturating_sub(now));
    Ok(if left <= 1 { 0 } else { left.min(i64::from(MAX_TTL)) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_no_longer_than_its_token_and_ten_minutes() {
        let at = |exp: i64| {
            let members = serde_json::json!({ "exp": exp }).as_object().expect("an object").clone();
            ttl(&Claims { json: Vec::new(), members }, 1000)
        };
        for (exp, seconds) in [(995, 0), (1000, 0), (1001, 0), (1002, 2), (1600, 600), (1601, 600), (9_999_999, 600)] {
            assert_eq!(at(exp), Ok(seconds), "exp {exp}");
        }
    }
}
