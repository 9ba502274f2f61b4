//! Nonces of the server (RFC 9449 §8, §9): rolling, and derived from a secret, so that nobody has to store them.
//!
//! A nonce is the number of its period and a MAC of that number. It is accepted in its period and in the next one, so
//! that a client has at least one period to use it.

use aws_lc_rs::{constant_time, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Reason;

/// The size of a secret, in bytes.
pub const SECRET_BYTES: usize = 32;

/// The length of a nonce, in characters.
pub const NONCE_BYTES: usize = 32;

/// The sizes of a nonce's two parts, in bytes: 24 together, which are 32 characters of base64url.
const PERIOD_BYTES: usize = 8;
const MAC_BYTES: usize = 16;

/// Keeps the MAC apart from other uses of a secret.
const LABEL: &[u8] = b"route_native DPoP nonce 1 ";

/// The secret of the nonces.
pub struct NonceSecret(hmac::Key);

impl NonceSecret {
    /// Returns the bytes of a new secret.
    ///
    /// Errors: `Internal` without random numbers.
    pub fn generate() -> Result<[u8; SECRET_BYTES], Reason> {
        let mut bytes = [0; SECRET_BYTES];
        rand::fill(&mut bytes).map_err(|_| Reason::Internal)?;
        Ok(bytes)
    }

    /// Returns a secret of exactly [`SECRET_BYTES`].
    ///
    /// Errors: `InvalidArgument` for another size.
    pub fn new(bytes: &[u8]) -> Result<NonceSecret, Reason> {
        let is_whole = bytes.len() == SECRET_BYTES;
        is_whole.then(|| NonceSecret(hmac::Key::new(hmac::HMAC_SHA256, bytes))).ok_or(Reason::InvalidArgument)
    }

    /// Returns the nonce of the current period, which has `seconds`.
    pub fn current(&self, now: i64, seconds: u32) -> [u8; NONCE_BYTES] {
        self.of(period(now, seconds))
    }

    /// Returns whether the nonce is that of the current period (`Some(true)`), or of the one before (`Some(false)`).
    pub fn find(&self, nonce: &[u8], now: i64, seconds: u32) -> Option<bool> {
        let current = period(now, seconds);
        let is = |period| constant_time::verify_slices_are_equal(&self.of(period), nonce).is_ok();
        if is(current) { Some(true) } else { current.checked_sub(1).filter(|before| is(*before)).map(|_| false) }
    }

    fn of(&self, period: u64) -> [u8; NONCE_BYTES] {
        let number = period.to_be_bytes();
        let mac = hmac::sign(&self.0, &[LABEL, &number].concat());
        let mut bytes = [0; PERIOD_BYTES + MAC_BYTES];
        bytes[..PERIOD_BYTES].copy_from_slice(&number);
        bytes[PERIOD_BYTES..].copy_from_slice(&mac.as_ref()[..MAC_BYTES]);
        let mut text = [0; NONCE_BYTES];
        // 24 bytes always have 32 characters, so that this cannot fail.
        let _ = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        text
    }
}

fn period(now: i64, seconds: u32) -> u64 {
    now.max(0).unsigned_abs() / u64::from(seconds.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_accepted_in_its_period_and_the_next_one_only() {
        let secret = NonceSecret::new(&[7; SECRET_BYTES]).unwrap();
        let nonce = secret.current(1000, 100);
        assert_eq!(secret.find(&nonce, 1099, 100), Some(true));
        assert_eq!(secret.find(&nonce, 1100, 100), Some(false));
        assert_eq!(secret.find(&nonce, 1199, 100), Some(false));
        assert_eq!(secret.find(&nonce, 1200, 100), None);
        assert_eq!(secret.find(&nonce, 999, 100), None);
        assert_eq!(secret.find(&secret.current(0, 100), 0, 100), Some(true));
    }

    #[test]
    fn nobody_makes_a_nonce_without_the_secret() {
        let secret = NonceSecret::new(&[7; SECRET_BYTES]).unwrap();
        let other = NonceSecret::new(&[8; SECRET_BYTES]).unwrap();
        assert_eq!(secret.find(&other.current(1000, 100), 1000, 100), None);
        let mut nonce = secret.current(1000, 100);
        nonce[31] ^= 1;
        assert_eq!(secret.find(&nonce, 1000, 100), None);
        assert_eq!(secret.find(b"", 1000, 100), None);
        assert!(NonceSecret::new(&[7; 31]).is_err());
        assert_ne!(NonceSecret::generate().unwrap(), NonceSecret::generate().unwrap());
    }
}
