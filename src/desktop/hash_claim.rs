//! Decryption of the `hash` claim: base64 of an RSA ciphertext of the target.
//!
//! The padding is PKCS#1 v1.5 (RFC 8017 §7.2), as in the reference, or OAEP (§7.1). Every failure is the same
//! [`Reason::PayloadInvalid`]: telling bad padding from a bad host would make a decryption oracle (Bleichenbacher
//! 1998). Only tokens with a valid signature get here.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{ConfigError, Reason};
use crate::keys::{DecryptingKey, MAX_MODULUS_BYTES};

pub use crate::keys::Padding;

/// Base64 in the standard alphabet, with or without `=`. Refuses trailing bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The RSA private key that decrypts the `hash` claim, with its padding. Settings call it the payload key.
pub struct HashClaimKey(DecryptingKey);

impl HashClaimKey {
    /// Parses a private key in PEM: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
    ///
    /// Errors: `KeyUnsupported`.
    pub fn parse(text: &[u8], padding: Padding) -> Result<HashClaimKey, ConfigError> {
        DecryptingKey::parse(text, padding).map(HashClaimKey)
    }

    /// Decrypts the base64 text of a `hash` claim and returns the plaintext.
    ///
    /// Errors: `PayloadInvalid`.
    pub fn decrypt(&self, base64: &[u8]) -> Result<Vec<u8>, Reason> {
        let mut ciphertext = [0u8; MAX_MODULUS_BYTES];
        let length = BASE64.decode_slice(base64, &mut ciphertext).map_err(|_| Reason::PayloadInvalid)?;
        self.0.decrypt(&ciphertext[..length]).ok_or(Reason::PayloadInvalid)
    }
}
