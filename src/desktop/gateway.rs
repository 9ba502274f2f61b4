//! The desktop gateway's engine: one set of keys and settings, with the worker's own cache in front.
//!
//! Two names are made from a token, because the two caches ask for different things:
//!
//! - [`Gateway::shared_name`], the token's SHA-256 combined by exclusive or with the configuration's identity, a SHA-256
//!   too, for the dictionary that all workers share. Both are fixed before anyone chooses a token, so one that takes
//!   another's name under other keys would have to hit a given SHA-256. The same in every worker, also after a reload
//!   with the same keys; other keys, another name.
//! - a tag, for this process's own cache on the hot path: GMAC (AES-128-GCM over no plaintext, NIST SP 800-38D) with
//!   a random key made at start, 0.23 µs for a token of 876 bytes where SHA-256 takes 0.78. With a fixed nonce
//!   it is a keyed universal hash: as long as key and tags stay secret, and neither ever leaves nginx's processes, two
//!   different tokens share a tag with a probability below 2⁻¹¹⁷, whoever chooses them.

use std::path::Path;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::credential::{Fingerprint, fingerprint};
use crate::desktop::cache::{Cache, Tag};
use crate::desktop::hash_claim::{Padding, PayloadKey};
use crate::desktop::resolve::{Resolution, Resolver};
use crate::desktop::target::Suffix;
use crate::digest::{hex, sha256};
use crate::error::{ConfigError, Reason};
use crate::jwt::{Claims, MAX_TOKEN_BYTES, Policy};
use crate::keys::{KeySet, load};

/// What a gateway is made of.
pub struct Options<'a> {
    /// File with the key or keys that sign tokens: public key or certificate in PEM, JWK, or JWK Set.
    pub signing_key: &'a Path,
    /// File with the RSA private key that opens the `hash` claim, in PEM.
    pub payload_key: &'a Path,
    /// How the `hash` claim is padded.
    pub padding: Padding,
    /// What a token must satisfy besides its signature.
    pub policy: Policy,
    /// When set, targets must lie below it.
    pub suffix: Option<Suffix>,
    /// The most answers that each process keeps for itself.
    pub cache_entries: usize,
}

/// Keys, settings and cache. Shared by reference between threads, and inherited by forked workers.
pub struct Gateway {
    resolver: Resolver,
    cache: Cache,
    identity: [u8; 32],
    tag_key: LessSafeKey,
}

impl Gateway {
    /// Reads and parses the keys.
    pub fn new(options: Options) -> Result<Gateway, ConfigError> {
        if options.policy.leeway > Policy::MAX_LEEWAY {
            let message = format!("leeway must be 0 to {} seconds", Policy::MAX_LEEWAY);
            return Err(ConfigError::new(Reason::SettingInvalid, message));
        }
        let signing_keys = load(options.signing_key, KeySet::parse)?;
        let (payload_key, payload_identity) =
            load(options.payload_key, |text| Ok((PayloadKey::parse(text, options.padding)?, sha256(&[text]))))?;
        // A verdict must never outlive the configuration that it was made under.
        let settings = format!("{:?} {:?} {:?}", options.padding, options.policy, options.suffix);
        let parts = [b"route_native gateway 1", &signing_keys.identity()[..], &payload_identity, settings.as_bytes()];
        Ok(Gateway {
            identity: sha256(&parts),
            resolver: Resolver { signing_keys, policy: options.policy, payload_key, suffix: options.suffix },
            cache: Cache::new(options.cache_entries),
            tag_key: random_tag_key()?,
        })
    }

    /// Hands the target and the fingerprint of a token that this process has resolved before to `read`.
    pub fn cached<R>(&self, token: &[u8], now: i64, read: impl FnOnce(&str, &Fingerprint) -> R) -> Option<R> {
        self.cached_as(&self.tag(token)?, now, read)
    }

    /// The same for a token whose tag is known.
    pub fn cached_as<R>(&self, tag: &Tag, now: i64, read: impl FnOnce(&str, &Fingerprint) -> R) -> Option<R> {
        self.cache.get(tag, now, read)
    }

    /// Resolves `token` and keeps the answer.
    pub fn resolve(&self, token: &[u8], now: i64) -> Result<Resolution, Reason> {
        let resolution = self.resolver.resolve(token, now)?;
        self.remember(token, &resolution.target, now, resolution.ttl);
        Ok(resolution)
    }

    /// Keeps an answer that another worker has worked out, for `ttl` seconds.
    pub fn remember(&self, token: &[u8], target: &str, now: i64, ttl: u32) {
        if let Some(tag) = self.tag(token) {
            self.remember_as(tag, fingerprint(token), target, now, ttl);
        }
    }

    /// The same for a token whose tag and fingerprint are known.
    pub fn remember_as(&self, tag: Tag, fingerprint: Fingerprint, target: &str, now: i64, ttl: u32) {
        self.cache.insert(tag, target, fingerprint, now, ttl);
    }

    /// Verifies a token alone.
    pub fn verify(&self, token: &[u8], now: i64) -> Result<Claims, Reason> {
        self.resolver.verify(token, now)
    }

    /// Decrypts the text of a `hash` claim to an allowed target.
    pub fn decrypt(&self, hash: &[u8]) -> Result<String, Reason> {
        self.resolver.decrypt_target(hash)
    }

    /// The token's name in a cache that other processes share, and its fingerprint: one pass over the token for both.
    /// New keys or settings give new names.
    pub fn shared_name(&self, token: &[u8]) -> ([u8; 32], Fingerprint) {
        let digest = sha256(&[token]);
        (std::array::from_fn(|at| digest[at] ^ self.identity[at]), hex(&digest))
    }

    /// The number of answers in this process's cache.
    pub fn cached_entries(&self) -> usize {
        self.cache.len()
    }

    /// The token's name in this process's own cache; `None` when it is too long to be a token.
    pub fn tag(&self, token: &[u8]) -> Option<Tag> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = self.tag_key.seal_in_place_separate_tag(nonce, Aad::from(token), &mut []).ok()?;
        Some(Tag(u128::from_ne_bytes(tag.as_ref().try_into().ok()?)))
    }
}

fn random_tag_key() -> Result<LessSafeKey, ConfigError> {
    let failed = |_| ConfigError::new(Reason::Internal, "the system's random number generator failed");
    let mut bytes = Zeroizing::new([0u8; 16]);
    aws_lc_rs::rand::fill(&mut *bytes).map_err(failed)?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &*bytes).map_err(failed)?))
}
