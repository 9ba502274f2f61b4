//! Sets of verification keys, selected by `kid`, and the formats that they are read from.

use super::Algorithm;
use super::key::{Key, MAX_KEYS, identity};
use super::parse::ParsedKeys;
use crate::error::{ConfigError, Reason};
use crate::metrics::key_use;

/// The keys that a token may be signed with: one key, or several during a rotation.
pub struct KeySet {
    keys: Vec<Key>,
    notes: Vec<String>,
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        KeySet { keys: vec![key], notes: Vec::new() }
    }
}

impl KeySet {
    /// The most keys of a set. A token without `kid` may cost one signature check for each.
    pub const MAX_KEYS: usize = MAX_KEYS;

    /// Returns a set of keys.
    ///
    /// Errors: `KeyUnsupported` without a key, or for more than [`KeySet::MAX_KEYS`].
    pub fn new(keys: Vec<Key>) -> Result<KeySet, ConfigError> {
        match keys.len() {
            0 => Err(ConfigError::unsupported_key("holds no key that can verify a signature")),
            length if length > Self::MAX_KEYS => Err(ConfigError::unsupported_key("holds more than 64 keys")),
            _ => {
                keys.iter().for_each(|key| key_use::declare(key.id()));
                Ok(KeySet { keys, notes: Vec::new() })
            }
        }
    }

    /// Parses the text of a key file: public keys and certificates in PEM, a JWK, or a JWK Set. Skips keys of a JWK Set
    /// that are not supported (RFC 7517 §5).
    pub fn parse(text: &[u8]) -> Result<KeySet, ConfigError> {
        KeySet::of(ParsedKeys::parse_public(text)?, "holds no key that can verify a signature")
    }

    /// Returns the keys of a text that verify, or an error that begins with `none` if there are none.
    pub(super) fn of(keys: ParsedKeys, none: &str) -> Result<KeySet, ConfigError> {
        if keys.verifying.is_empty() {
            return Err(keys.none(none));
        }
        Ok(KeySet { notes: keys.notes, ..KeySet::new(keys.verifying)? })
    }

    /// Returns a sentence for each key that was skipped, for what is odd about a secret, and for each key whose certificate
    /// is not valid at `now`.
    pub fn notes(&self, now: i64) -> Vec<String> {
        self.notes.iter().cloned().chain(self.certificate_faults(now)).collect()
    }

    /// Returns a sentence for each key whose certificate is not valid at `now`. Its tokens are accepted nevertheless: a
    /// site must not fail at midnight, and RFC 7515 ties no key of the verifier's own to a certificate's dates.
    fn certificate_faults(&self, now: i64) -> impl Iterator<Item = String> + '_ {
        self.keys.iter().enumerate().filter_map(move |(index, key)| {
            let fault = key.certificate_fault(now)?;
            Some(format!("the certificate of key {} {fault}; tokens are still verified with it", index + 1))
        })
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

    /// Checks a signature with the keys that have `kid`, and with those that have none. Without a `kid`, or when no key
    /// of the set has one, tries every key that supports `algorithm`. Returns the key that verified it.
    ///
    /// Errors: `KeyNotFound`, `AlgorithmNotAllowed`, `SignatureInvalid`.
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<&Key, Reason> {
        let has_ids = self.keys.iter().any(|key| key.id().is_some());
        // A newer set may have the key, though one without an id was tried in vain.
        let is_missing = kid.is_some() && has_ids && !self.keys.iter().any(|key| key.id() == kid);
        let mut result = Err(if is_missing { Reason::KeyNotFound } else { Reason::AlgorithmNotAllowed });
        for key in self.keys.iter().filter(|key| kid.is_none() || key.id().is_none() || key.id() == kid) {
            match key.verify(algorithm, message, signature) {
                Some(true) => return Ok(key),
                Some(false) if !is_missing => result = Err(Reason::SignatureInvalid),
                _ => {}
            }
        }
        result
    }
}
