//! Sets of verification keys, and what a text may hold.

use super::jwk::Jwk;
use super::key::{Key, identity};
use super::{Algorithm, pem};
use crate::error::{ConfigError, Reason};

impl Key {
    /// Reads a public key or certificate in PEM, or one JWK (RFC 7517) in JSON.
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

/// The keys that a token may be signed with: one, or several in rotation.
pub struct KeySet {
    keys: Vec<Key>,
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        KeySet { keys: vec![key] }
    }
}

impl KeySet {
    /// The most keys that a set may hold: each may cost a signature check.
    pub const MAX_KEYS: usize = 64;

    /// A set of several keys; `kid`s select among those that have one.
    pub fn new(keys: Vec<Key>) -> Result<KeySet, ConfigError> {
        match keys.len() {
            0 => Err(ConfigError::unsupported_key("holds no key that can verify a signature")),
            length if length > Self::MAX_KEYS => Err(ConfigError::unsupported_key("holds more than 64 keys")),
            _ => Ok(KeySet { keys }),
        }
    }

    /// Reads whatever a key file may hold: a public key or certificate in PEM, a JWK, or a JWK Set (RFC 7517 §5).
    /// Keys of a set that are of other kinds are passed over, as the RFC asks.
    pub fn parse(text: &[u8]) -> Result<KeySet, ConfigError> {
        if !Jwk::is_set(text) {
            return Key::parse(text).map(KeySet::from);
        }
        let jwks = Jwk::all(text).ok_or_else(|| ConfigError::unsupported_key("is a JWK Set whose keys are no list"))?;
        KeySet::new(jwks.iter().filter_map(|jwk| jwk.verifying_key().ok()).collect())
    }

    /// The keys, in their order.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// A digest that names the set: two sets with other keys have other identities, also when only a key's id or
    /// algorithms differ, for they too decide what a token is worth.
    pub fn identity(&self) -> [u8; 32] {
        let all: Vec<u8> = self.keys.iter().flat_map(Key::described).collect();
        identity(b"set", &all)
    }

    /// Checks a signature with the key that bears `kid`. Without a `kid`, or when no key of the set has one, every
    /// key that does `algorithm` is tried.
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
