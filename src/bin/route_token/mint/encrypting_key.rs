//! The RSA public key that encrypts a target: the public half of the gateway's payload key.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{
    KeyPair, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey,
    PublicEncryptingKey, PublicKey,
};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use route_native::desktop::hash_claim::Padding;
use route_native::error::ConfigError;

use crate::Failure;

/// An RSA public key.
pub struct EncryptingKey(PublicEncryptingKey);

impl EncryptingKey {
    /// Parses a key in PEM: a public key (SPKI or PKCS#1), or the public half of a private key (PKCS#8 or PKCS#1).
    pub fn parse(text: &[u8]) -> Result<EncryptingKey, ConfigError> {
        let block = pem::parse(text).map_err(|_| ConfigError::unsupported_key("is not PEM"))?;
        let public = match block.tag() {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => PublicKey::from_der(block.contents()),
            "PRIVATE KEY" => KeyPair::from_pkcs8(block.contents()).map(|pair| pair.public_key().clone()),
            "RSA PRIVATE KEY" => KeyPair::from_der(block.contents()).map(|pair| pair.public_key().clone()),
            _ => return Err(ConfigError::unsupported_key("holds neither a public nor a private key")),
        };
        let spki = public.ok().and_then(|key| AsDer::as_der(&key).ok());
        let key = spki.and_then(|der| PublicEncryptingKey::from_der(der.as_ref()).ok());
        key.map(EncryptingKey).ok_or_else(|| ConfigError::unsupported_key("is not an RSA key of 2048 to 8192 bits"))
    }

    /// Encrypts a text and returns the ciphertext in base64.
    pub fn encrypt(&self, padding: Padding, text: &[u8]) -> Result<String, Failure> {
        let key = self.0.clone();
        let mut out = vec![0; key.key_size_bytes()];
        let encrypted = match padding {
            Padding::Pkcs1v15 => {
                Pkcs1PublicEncryptingKey::new(key).and_then(|key| Ok(key.encrypt(text, &mut out)?.len()))
            }
            Padding::OaepSha1 | Padding::OaepSha256 => {
                let hash = if padding == Padding::OaepSha1 { &OAEP_SHA1_MGF1SHA1 } else { &OAEP_SHA256_MGF1SHA256 };
                OaepPublicEncryptingKey::new(key).and_then(|key| Ok(key.encrypt(hash, text, &mut out, None)?.len()))
            }
        };
        let length = encrypted.map_err(|_| Failure::failed("the target is too long for the payload key"))?;
        Ok(STANDARD.encode(&out[..length]))
    }
}
