//! Sets of verification keys, selected by `kid`, and the formats that they are read from.

use super::jwk::Jwk;
use super::key::{Key, identity};
use super::{Algorithm, pem};
use crate::error::{ConfigError, Reason};

impl Key {
    /// Parses a public key or certificate in PEM, or one JWK (RFC 7517).
    pub fn parse(text: &[u8]) -> Result<Key, ConfigError> {
        if text.trim_ascii_start().first() != Some(&b'{') {
            return pem::parse(text);
        }
        let jwks = Jwk::all(text).unwrap_or_default();
        match jwks.as_slice() {
            [jwk] if !Jwk::is_set(text) => jwk.verifying_key(),
            _ => Err(ConfigError::unsupported_key("is not a JWK that can be read")),
        }
    }
}

/// The keys that a token may be signed with: one key, or several during a rotation.
pub struct KeySet {
    keys: Vec<Key>,
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        KeySet { keys: vec![key] }
    }
}

impl KeySet {
    /// The most keys of a set. A token without `kid` may cost one signature check for each.
    pub const MAX_KEYS: usize = 64;

    /// Returns a set of keys.
    ///
    /// Errors: `KeyUnsupported` without a key, or for more than [`KeySet::MAX_KEYS`].
    pub fn new(keys: Vec<Key>) -> Result<KeySet, ConfigError> {
        match keys.len() {
            0 => Err(ConfigError::unsupported_key("holds no key that can verify a signature")),
            length if length > Self::MAX_KEYS => Err(ConfigError::unsupported_key("holds more than 64 keys")),
            _ => Ok(KeySet { keys }),
        }
    }

    /// Parses the text of a key file: a public key or certificate in PEM, a JWK, or a JWK Set. Skips keys of a JWK Set
    /// that are not supported (RFC 7517 §5).
    pub fn parse(text: &[u8]) -> Result<KeySet, ConfigError> {
        if !Jwk::is_set(text) {
            return Key::parse(text).map(KeySet::from);
        }
        let jwks = Jwk::all(text).ok_or_else(|| ConfigError::unsupported_key("is a JWK Set whose keys are no list"))?;
        KeySet::new(jwks.iter().filter_map(|jwk| jwk.verifying_key().ok()).collect())
    }

    /// Returns the keys, in the order of the text.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Returns a digest that identifies the set. Sets that accept different tokens have different identities: it covers
    /// each key, its `kid` and its algorithms.
    pub fn identity(&self) -> [u8; 32] {
        let all: Vec<u8> = self.keys.iter().flat_map(Key::full_identity).collect();
        identity(b"set", &all)
    }

    /// Checks a signature with the key that has `kid`. Without a `kid`, or when no key of the set has one, tries every
    /// key that supports `algorithm`.
    ///
    /// Errors: `KeyNotFound`, `AlgorithmNotAllowed`, `SignatureInvalid`.
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Reason> {
        let named = self.keys.iter().any(|key| key.id().is_some());
        let mut answer = Err(match kid {
            Some(_) if named => Reason::KeyNotFound,
            _ => Reason::AlgorithmNotAllowed,
        });
        for key in &self.keys {
            if named && kid.is_some() && key.id() != kid {
                continue;
            }
            match key.verify(algorithm, message, signature) {
                Some(true) => return Ok(()),
                Some(false) => answer = Err(Reason::SignatureInvalid),
                None if answer == Err(Reason::KeyNotFound) => answer = Err(Reason::AlgorithmNotAllowed),
                None => {}
            }
        }
        answer
    }
}
