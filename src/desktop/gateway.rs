//! The desktop gateway's engine: keys, settings and the worker's cache.
//!
//! A token has two cache keys, because the two caches have different requirements:
//!
//! - [`Gateway::shared_key`] is for the dictionary that all workers share: the token's SHA-256 XOR the configuration's
//!   identity, which is a SHA-256 too. It is the same in every worker, and after a reload with the same keys. Other
//!   keys or settings change it, so that several gateways may share the dictionary. Only a preimage of SHA-256 collides with a token under other keys, because all
//!   identities are fixed before anyone chooses a token.
//! - [`Gateway::tag`] is for the process's own cache on the hot path: GMAC (AES-128-GCM without plaintext, NIST SP
//!   800-38D) under a random key. It takes 0.23 µs for a token of 876 bytes, and SHA-256 takes 0.78 µs. With a fixed
//!   nonce, GMAC is a keyed universal hash: while key and tags are secret, two different tokens share a tag with a
//!   probability below 2⁻¹¹⁷, whoever chooses them. Neither key nor tags leave nginx's processes. The nonce counts the
//!   changes of the signing keys, so that no entry for earlier keys is found again.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::credential::{Fingerprint, fingerprint};
use crate::desktop::cache::{Cache, Entry, Found, Tag};
use crate::desktop::hash_claim::{HashClaimKey, Padding};
use crate::desktop::resolve::{Resolution, Resolver};
use crate::desktop::target::Suffix;
use crate::digest::{hex, sha256};
use crate::error::{ConfigError, Reason};
use crate::jwt::{Claims, MAX_TOKEN_BYTES, Policy};
use crate::keys::{Keys, load};
use crate::revocation::{Identity, live};

/// The settings of a gateway.
pub struct Options<'a> {
    /// The file with the RSA private key in PEM that decrypts the `hash` claim.
    pub payload_key: &'a Path,
    /// The padding of the `hash` claim.
    pub padding: Padding,
    /// The requirements of a token besides its signature.
    pub policy: Policy,
    /// The domain suffix that targets must have, if any.
    pub suffix: Option<Suffix>,
    /// The most entries of each process's cache.
    pub cache_entries: usize,
}

/// The keys, settings and cache of a gateway. Threads may share it, and forked workers inherit it.
pub struct Gateway {
    resolver: Resolver,
    cache: Cache,
    /// The identity of everything but the signing keys.
    settings_identity: [u8; 32],
    signing: RwLock<Option<Signing>>,
    tag_key: LessSafeKey,
    /// How often the signing keys have changed: the nonce of the tags.
    generation: AtomicU32,
}

/// The keys that verify tokens.
#[derive(Clone)]
struct Signing {
    keys: Arc<Keys>,
    /// The identity of these keys and of all settings.
    identity: [u8; 32],
}

impl Gateway {
    /// Reads and parses the key of the `hash` claim. The gateway has no signing keys before [`Gateway::use_keys`].
    ///
    /// Errors: `SettingInvalid`, `KeyUnreadable`, `KeyUnsupported`, `KeyTooWeak`.
    pub fn new(options: Options) -> Result<Gateway, ConfigError> {
        if options.policy.leeway > Policy::MAX_LEEWAY {
            let message = format!("leeway must be 0 to {} seconds", Policy::MAX_LEEWAY);
            return Err(ConfigError::new(Reason::SettingInvalid, message));
        }
        let (hash_claim_key, hash_claim_identity) =
            load(options.payload_key, |text| Ok((HashClaimKey::parse(text, options.padding)?, sha256(&[text]))))?;
        // The shared key covers keys and settings, so that a cached target ends with them.
        let settings = format!("{:?} {:?} {:?}", options.padding, options.policy, options.suffix);
        Ok(Gateway {
            settings_identity: sha256(&[b"route_native gateway 2", &hash_claim_identity, settings.as_bytes()]),
            signing: RwLock::new(None),
            resolver: Resolver { policy: options.policy, hash_claim_key, suffix: options.suffix },
            cache: Cache::new(options.cache_entries),
            tag_key: random_tag_key()?,
            generation: AtomicU32::new(0),
        })
    }

    /// Verifies tokens with these keys from now on. Returns whether they differ from the keys before. If so, nothing
    /// that was cached for those is found again.
    pub fn use_keys(&self, keys: Arc<Keys>) -> bool {
        if self.signing().is_some_and(|signing| Arc::ptr_eq(&signing.keys, &keys)) {
            return false;
        }
        let identity = sha256(&[&self.settings_identity, &keys.verifying.identity()]);
        let mut signing = self.signing.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = signing.as_ref().is_none_or(|signing| signing.identity != identity);
        *signing = Some(Signing { keys, identity });
        if is_new {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        is_new
    }

    fn signing(&self) -> Option<Signing> {
        self.signing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks a token up in this process's cache. Passes its target and fingerprint to `read`, and returns the result.
    /// `now` is in seconds since the epoch.
    pub fn cached<R>(&self, token: &[u8], now: i64, read: impl FnOnce(&str, &Fingerprint) -> R) -> Option<R> {
        let mut result = None;
        self.look_up(&self.tag(token)?, now, |entry| result = Some(read(entry.target(), entry.fingerprint()))).ok()?;
        result
    }

    /// Looks a token up by its tag, and passes what the cache has of it to `read`, also when it is revoked.
    ///
    /// Errors: as [`Cache::get`].
    pub fn look_up(&self, tag: &Tag, now: i64, read: impl FnOnce(&Entry)) -> Result<(), Reason> {
        self.cache.get(tag, now, live(), read)
    }

    /// Resolves `token` and caches its target in this process. `now` is in seconds since the epoch.
    ///
    /// Errors: as [`Resolver::resolve`] and [`Gateway::remember_found`]; `KeyUnreadable` without signing keys.
    pub fn resolve(&self, token: &[u8], now: i64) -> Result<Resolution, Reason> {
        let signing = self.signing().ok_or(Reason::KeyUnreadable)?;
        let resolution = self.resolver.resolve(token, &signing.keys.verifying, now)?;
        let Resolution { target, ttl, identity } = &resolution;
        let found = Found { target, fingerprint: fingerprint(token), identity: identity.clone() };
        self.remember_found(self.tag(token).ok_or(Reason::TokenTooLarge)?, found, now, *ttl)?;
        Ok(resolution)
    }

    /// Caches the target of a token that nothing revokes, for `ttl` seconds.
    pub fn remember(&self, token: &[u8], target: &str, now: i64, ttl: u32) {
        if let Some(tag) = self.tag(token) {
            let found = Found { target, fingerprint: fingerprint(token), identity: Identity::default() };
            self.cache.insert(tag, found, live().generation(), now, ttl);
        }
    }

    /// Caches what a worker has found out about a token, for `ttl` seconds.
    ///
    /// Errors: `TokenRevoked` and `RevocationsUnknown`.
    pub fn remember_found(&self, tag: Tag, found: Found, now: i64, ttl: u32) -> Result<(), Reason> {
        let generation = live().generation();
        live().check(&found.identity, now)?;
        self.cache.insert(tag, found, generation, now, ttl);
        Ok(())
    }

    /// Verifies a token and returns its claims, without its target.
    ///
    /// Errors: as [`Resolver::verify`]; `TokenRevoked` and `RevocationsUnknown`; `KeyUnreadable` without signing keys.
    pub fn verify(&self, token: &[u8], now: i64) -> Result<Claims, Reason> {
        let signing = self.signing().ok_or(Reason::KeyUnreadable)?;
        let claims = self.resolver.verify(token, &signing.keys.verifying, now)?;
        live().check_token(token, &claims, now)?;
        Ok(claims)
    }

    /// Decrypts the base64 text of a `hash` claim to an allowed target.
    ///
    /// Errors: `PayloadInvalid`.
    pub fn decrypt(&self, hash: &[u8]) -> Result<String, Reason> {
        self.resolver.decrypt_target(hash)
    }

    /// Returns the token's key in the cache that processes share, and its fingerprint. Both come from one digest.
    pub fn shared_key(&self, token: &[u8]) -> ([u8; 32], Fingerprint) {
        let digest = sha256(&[token]);
        let identity = self.signing().map_or(self.settings_identity, |signing| signing.identity);
        (std::array::from_fn(|at| digest[at] ^ identity[at]), hex(&digest))
    }

    /// Returns the number of entries in this process's cache.
    pub fn cached_entries(&self) -> usize {
        self.cache.len()
    }

    /// Returns the token's key in this process's cache, or `None` when it is longer than [`MAX_TOKEN_BYTES`].
    pub fn tag(&self, token: &[u8]) -> Option<Tag> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let mut nonce = [0; NONCE_LEN];
        nonce[..4].copy_from_slice(&self.generation.load(Ordering::Relaxed).to_ne_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
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
