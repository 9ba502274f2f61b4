//! Parses the text of a key file: PEM with any number of keys, a JWK, or a JWK Set.

use super::jwk::Jwk;
use super::key::{Key, MAX_KEYS};
use super::pem::{PemKey, holds_private_key, parse_pem};
use super::signing::SigningKey;
use crate::error::ConfigError;

/// The longest `kid` that a sentence quotes, in characters.
const MAX_QUOTED: usize = 64;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Keys in the order of their texts.
#[derive(Default)]
pub(super) struct ParsedKeys {
    pub verifying: Vec<Key>,
    pub signing: Option<SigningKey>,
    /// Keys that were skipped, and what is odd about others: a sentence each.
    pub notes: Vec<String>,
}

impl ParsedKeys {
    /// Parses every key of a text: PEM, a JWK or a JWK Set. Skips keys of a JWK Set that are not supported
    /// (RFC 7517 §5).
    pub fn parse(text: &[u8]) -> Result<ParsedKeys, ConfigError> {
        if !is_json(text) {
            let (keys, notes) = parse_pem(text)?;
            return Self::from_pem(keys, notes);
        }
        let (jwks, is_set) = Jwk::all(without_bom(text))?;
        let mut all = ParsedKeys::default();
        for (index, jwk) in jwks.iter().enumerate() {
            match Self::from_jwk(jwk) {
                Ok((verifying, signing)) => all.add(verifying, signing),
                Err(error) if is_set => all.skip(index, jwk, &error.message),
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Parses a text of which only the public keys are used.
    ///
    /// Errors: `KeyUnsupported` for a private key in PEM too: who only verifies should not hold what forges.
    pub fn parse_public(text: &[u8]) -> Result<ParsedKeys, ConfigError> {
        if !is_json(text) && holds_private_key(text) {
            let message = "holds a private key where a public key or certificate belongs";
            return Err(ConfigError::unsupported_key(message));
        }
        let keys = Self::parse(text)?;
        Ok(ParsedKeys { signing: None, ..keys })
    }

    /// Parses a published JWK Set. Skips its shared secrets, because a published secret proves nothing.
    pub fn parse_published(text: &[u8]) -> Result<ParsedKeys, ConfigError> {
        let (jwks, is_set) = Jwk::all(without_bom(text))?;
        if !is_set {
            return Err(ConfigError::unsupported_key("is not a JWK Set"));
        }
        let mut all = ParsedKeys::default();
        for (index, jwk) in jwks.iter().enumerate() {
            match jwk.verifying_key() {
                _ if jwk.is_secret() => all.skip(index, jwk, "is a shared secret, and published"),
                Ok(key) => all.add(key, None),
                Err(error) => all.skip(index, jwk, &error.message),
            }
        }
        Ok(all)
    }

    fn from_pem(keys: Vec<PemKey>, notes: Vec<String>) -> Result<ParsedKeys, ConfigError> {
        let mut all = ParsedKeys { notes, ..ParsedKeys::default() };
        for key in keys {
            match key {
                PemKey::Public(key) => all.add(key, None),
                PemKey::Private(key) => all.add(key.verifying_key()?, Some(key)),
            }
        }
        Ok(all)
    }

    /// Returns the keys of one JWK, which may verify, sign, or both.
    fn from_jwk(jwk: &Jwk) -> Result<(Key, Option<SigningKey>), ConfigError> {
        Ok((jwk.verifying_key()?, jwk.signing_key()?))
    }

    /// Adds a key. One that is there already, such as a private key and its certificate, is added once. Too many keys
    /// are refused in the end, and compared no more: a server may send thousands.
    pub fn add(&mut self, key: Key, signing: Option<SigningKey>) {
        let is_new = || self.verifying.iter().all(|known| known.full_identity() != key.full_identity());
        if self.verifying.len() > MAX_KEYS || is_new() {
            self.verifying.push(key);
        }
        self.signing = self.signing.take().or(signing);
    }

    /// Adds the keys and notes of another text.
    pub fn append(&mut self, other: ParsedKeys) {
        let mut signing = other.signing;
        other.verifying.into_iter().for_each(|key| self.add(key, signing.take()));
        self.notes.extend(other.notes);
    }

    fn skip(&mut self, index: usize, jwk: &Jwk, why: &str) {
        self.notes.push(skipped(index, jwk, why));
    }

    /// Returns the error for keys that are missing.
    pub fn none(&self, message: &str) -> ConfigError {
        let why = self.notes.first().map_or_else(String::new, |note| format!(": {note}"));
        ConfigError::unsupported_key(&format!("{message}{why}"))
    }
}

/// Returns the note about a key of a JWK Set that is skipped.
pub(super) fn skipped(index: usize, jwk: &Jwk, why: &str) -> String {
    let kid = jwk.kid().map_or_else(String::new, |kid| {
        let quoted: String = kid.chars().take(MAX_QUOTED).collect();
        format!(" (kid {quoted:?})")
    });
    format!("key {}{kid} of the set is skipped: it {why}", index + 1)
}

pub(super) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(BOM).unwrap_or(text)
}

pub(super) fn is_json(text: &[u8]) -> bool {
    without_bom(text).trim_ascii_start().first() == Some(&b'{')
}
