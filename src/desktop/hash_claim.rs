//! Decryption of the `hash` claim: base64 of an RSA ciphertext of the target.
//!
//! The padding is PKCS#1 v1.5 (RFC 8017 §7.2), as in the reference, or OAEP (§7.1). Every failure is the same
//! [`Reason::PayloadInvalid`]: telling bad padding from a bad host would make a decryption oracle (Bleichenbacher
//! 1998). Only tokens with a valid signature get here.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey,
    PrivateDecryptingKey,
};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{ConfigError, Reason};
use crate::keys::rsa_pkcs8;

/// The largest RSA modulus in bytes (8192 bits), which bounds ciphertext and plaintext.
pub const MAX_MODULUS_BYTES: usize = 1024;

/// Base64 in the standard alphabet, with or without `=`. Refuses trailing bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The padding of the `hash` claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Padding {
    /// RSAES-PKCS1-v1_5, the reference's format.
    #[default]
    Pkcs1v15,
    /// RSAES-OAEP with SHA-1 and MGF1-SHA-1.
    OaepSha1,
    /// RSAES-OAEP with SHA-256 and MGF1-SHA-256.
    OaepSha256,
}

impl Padding {
    /// Returns the padding with that setting: `pkcs1v15`, `oaep-sha1` or `oaep-sha256`.
    pub fn from_name(name: &str) -> Option<Padding> {
        match name {
            "pkcs1v15" => Some(Padding::Pkcs1v15),
            "oaep-sha1" => Some(Padding::OaepSha1),
            "oaep-sha256" => Some(Padding::OaepSha256),
            _ => None,
        }
    }
}

/// The RSA private key that decrypts the `hash` claim, with its padding. Settings call it the payload key.
pub struct HashClaimKey {
    decryptor: Decryptor,
}

enum Decryptor {
    Pkcs1(Pkcs1PrivateDecryptingKey),
    Oaep(OaepPrivateDecryptingKey, &'static OaepAlgorithm),
}

impl HashClaimKey {
    /// Parses a private key in PEM: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
    ///
    /// Errors: `KeyUnsupported`.
    pub fn parse(text: &[u8], padding: Padding) -> Result<HashClaimKey, ConfigError> {
        let key = PrivateDecryptingKey::from_pkcs8(&rsa_pkcs8(text)?)
            .map_err(|_| ConfigError::unsupported_key("is not an RSA private key of 2048 to 8192 bits"))?;
        let rejected = |_| ConfigError::unsupported_key("is not an RSA private key that can decrypt");
        let oaep =
            |key, algorithm| Ok(Decryptor::Oaep(OaepPrivateDecryptingKey::new(key).map_err(rejected)?, algorithm));
        let decryptor = match padding {
            Padding::Pkcs1v15 => Decryptor::Pkcs1(Pkcs1PrivateDecryptingKey::new(key).map_err(rejected)?),
            Padding::OaepSha1 => oaep(key, &OAEP_SHA1_MGF1SHA1)?,
            Padding::OaepSha256 => oaep(key, &OAEP_SHA256_MGF1SHA256)?,
        };
        Ok(HashClaimKey { decryptor })
    }

    /// Decrypts the base64 text of a `hash` claim and returns the plaintext.
    ///
    /// Errors: `PayloadInvalid`.
    pub fn decrypt(&self, base64: &[u8]) -> Result<Vec<u8>, Reason> {
        let mut ciphertext = [0u8; MAX_MODULUS_BYTES];
        let length = BASE64.decode_slice(base64, &mut ciphertext).map_err(|_| Reason::PayloadInvalid)?;
        let mut plaintext = vec![0u8; MAX_MODULUS_BYTES];
        let written = match &self.decryptor {
            Decryptor::Pkcs1(key) => key.decrypt(&ciphertext[..length], &mut plaintext).map(|text| text.len()),
            Decryptor::Oaep(key, algorithm) => {
                key.decrypt(algorithm, &ciphertext[..length], &mut plaintext, None).map(|text| text.len())
            }
        };
        plaintext.truncate(written.map_err(|_| Reason::PayloadInvalid)?);
        Ok(plaintext)
    }
}
