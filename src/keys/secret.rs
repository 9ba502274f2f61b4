//! Checks of shared secrets for HMAC: their length, and that they are not public key material.

use aws_lc_rs::hmac;

use super::Algorithm;
use super::public_material::refuse_public_material;
use crate::error::{ConfigError, Reason};

/// The HMAC algorithms, each with its shortest secret in bytes (RFC 7518 §3.2).
pub(super) const HMAC: [(Algorithm, hmac::Algorithm, usize); 3] = [
    (Algorithm::HS256, hmac::HMAC_SHA256, 32),
    (Algorithm::HS384, hmac::HMAC_SHA384, 48),
    (Algorithm::HS512, hmac::HMAC_SHA512, 64),
];

/// Refuses a secret that is too short for every algorithm, or that is public key material.
pub(super) fn check(secret: &[u8]) -> Result<(), ConfigError> {
    refuse_public_material(secret)?;
    if secret.len() < 32 {
        return Err(ConfigError::new(Reason::KeyTooWeak, "is an HMAC secret of fewer than 32 bytes"));
    }
    Ok(())
}

/// Refuses an empty secret, or one that is public key material. For migrations from programs that allow short secrets.
pub(super) fn check_short(secret: &[u8]) -> Result<(), ConfigError> {
    if secret.is_empty() {
        return Err(ConfigError::new(Reason::KeyTooWeak, "is an empty HMAC secret"));
    }
    refuse_public_material(secret)
}
