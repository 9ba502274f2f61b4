//! Resolution of a token to its target, as the reference's `get.targetmap.lua` does.

use crate::desktop::hash_claim::HashClaimKey;
use crate::desktop::target::{self, Suffix};
use crate::error::Reason;
use crate::jwt::{Claims, Policy, verify};
use crate::keys::KeySet;
use crate::revocation::{Identity, Names};

/// The longest time that a target may be cached, in seconds.
pub const MAX_TTL: u32 = 600;

/// The claim that holds the encrypted target.
pub const HASH_CLAIM: &str = "hash";

/// The settings that resolve tokens, and the key of their targets.
pub struct Resolver {
    /// The requirements of a token besides its signature.
    pub policy: Policy,
    /// The key that decrypts the `hash` claim.
    pub hash_claim_key: HashClaimKey,
    /// The domain suffix that targets must have, if any.
    pub suffix: Option<Suffix>,
}

/// The target of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The host, as [`target::normalise`] returns it.
    pub target: String,
    /// The time that the target may be cached, in seconds. See [`ttl`].
    pub ttl: u32,
    /// What the token can be revoked by.
    pub identity: Identity,
}

impl Resolver {
    /// Verifies `token` and decrypts its target. `now` is in seconds since the epoch.
    ///
    /// Errors: the reasons 100 to 134.
    pub fn resolve(&self, token: &[u8], keys: &KeySet, now: i64) -> Result<Resolution, Reason> {
        let claims = self.verify(token, keys, now)?;
        let target = self.decrypt_target(hash_of(&claims)?.as_bytes())?;
        let identity = Names::of(token, &claims).identity().with_target(&target);
        Ok(Resolution { target, ttl: ttl(&claims, now)?, identity })
    }

    /// Verifies `token` and returns its claims, without its target.
    pub fn verify(&self, token: &[u8], keys: &KeySet, now: i64) -> Result<Claims, Reason> {
        verify(token, keys, &self.policy, now)
    }

    /// Decrypts the base64 text of a `hash` claim to an allowed target.
    ///
    /// Errors: `PayloadInvalid`.
    pub fn decrypt_target(&self, hash: &[u8]) -> Result<String, Reason> {
        decrypt_target(&self.hash_claim_key, self.suffix.as_ref(), hash)
    }
}

/// Returns the `hash` claim.
///
/// Errors: `ClaimMissing`, `ClaimMalformed`.
pub fn hash_of(claims: &Claims) -> Result<&str, Reason> {
    claims.string(HASH_CLAIM)?.ok_or(Reason::ClaimMissing)
}

/// Decrypts the base64 text of a `hash` claim to an allowed target.
///
/// Errors: `PayloadInvalid`.
pub fn decrypt_target(key: &HashClaimKey, suffix: Option<&Suffix>, hash: &[u8]) -> Result<String, Reason> {
    let plaintext = key.decrypt(hash)?;
    std::str::from_utf8(&plaintext)
        .ok()
        .and_then(target::normalise)
        .filter(|host| suffix.is_none_or(|suffix| suffix.allows(host)))
        .ok_or(Reason::PayloadInvalid)
}

/// Returns the time that a target may be cached, in seconds: min(exp − now, [`MAX_TTL`]), or 0 when that is 1 or less.
pub fn ttl(claims: &Claims, now: i64) -> Result<u32, Reason> {
    let left = claims.expires_at()?.map_or(0, |at| at.saturating_sub(now));
    Ok(if left <= 1 { 0 } else { left.min(i64::from(MAX_TTL)) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_cached_until_its_token_expires_and_at_most_ten_minutes() {
        let at = |exp: i64| {
            let members = serde_json::json!({ "exp": exp }).as_object().expect("an object").clone();
            ttl(&Claims::of(Vec::new(), members), 1000)
        };
        for (exp, seconds) in [(995, 0), (1000, 0), (1001, 0), (1002, 2), (1600, 600), (1601, 600), (9_999_999, 600)] {
            assert_eq!(at(exp), Ok(seconds), "exp {exp}");
        }
    }
}
