//! Public keys from PEM: `PUBLIC KEY` (RFC 5280 SPKI), `RSA PUBLIC KEY` (PKCS#1) and `CERTIFICATE`.

use jsonwebtoken::DecodingKey;

use super::key::{Key, ec_key, ed25519_key, rsa_key_from_der};
use crate::error::{ConfigError, Reason};

/// Whether the text holds a PEM block. An HMAC secret that does is refused: it is a public key that someone is
/// about to use as a password (CVE-2016-5431 and its many successors).
pub(super) fn looks_like_pem(text: &[u8]) -> bool {
    text.windows(11).any(|window| window == b"-----BEGIN ") || pem::parse(text).is_ok()
}

/// Reads the first PEM block of `text`.
pub(super) fn parse(text: &[u8]) -> Result<Key, ConfigError> {
    let block = pem::parse(text).map_err(|_| unsupported("is neither PEM nor a JWK"))?;
    match block.tag() {
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => {}
        tag if tag.ends_with("PRIVATE KEY") => {
            return Err(unsupported("holds a private key where a public key or certificate belongs"));
        }
        _ => return Err(unsupported("holds a PEM block that is neither a public key nor a certificate")),
    }
    let bytes = |key: &DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
    if let Ok(key) = DecodingKey::from_rsa_pem(text) {
        rsa_key_from_der(&bytes(&key))
    } else if let Ok(key) = DecodingKey::from_ec_pem(text) {
        ec_key(&bytes(&key))
    } else if let Ok(key) = DecodingKey::from_ed_pem(text) {
        ed25519_key(&bytes(&key))
    } else {
        Err(unsupported("is neither an RSA, a P-256, a P-384 nor an Ed25519 key"))
    }
}

pub(super) fn unsupported(what: &str) -> ConfigError {
    ConfigError::new(Reason::KeyUnsupported, what)
}
