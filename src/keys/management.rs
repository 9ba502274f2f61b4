//! Key management of encrypted tokens (RFC 7518 §4): how the recipient gets the content encryption key, and the
//! cryptography of secrets and of agreed keys. [`super::encryption`] has the keys.

use aes_kw::{KeyInit as _, KwAes128, KwAes192, KwAes256};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
};
use zeroize::Zeroizing;

use crate::error::Reason;

/// Bytes that are wiped.
pub(crate) type Secret = Zeroizing<Vec<u8>>;

/// What RFC 3394 adds to a wrapped key, in bytes.
const WRAP_BYTES: usize = 8;

/// An algorithm of key management, the `alg` of an encrypted token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Management {
    /// The shared secret is the content encryption key.
    Direct,
    /// RSA-OAEP, with the size of its hash in bits.
    RsaOaep(u16),
    /// AES key wrap, with the size of the wrapping key in bytes.
    KeyWrap(usize),
    /// Wrapping by AES-GCM, with the size of the wrapping key in bytes.
    GcmKeyWrap(usize),
    /// ECDH-ES: the agreed key is the content encryption key, or wraps it if there is a size in bytes.
    Agreement(Option<usize>),
}

impl Management {
    /// Every supported algorithm with its registered name. `RSA1_5` is not one of them, because its padding is an
    /// oracle, nor are those of PBES2, because the sender chooses their cost (CVE-2023-50658, CVE-2024-33531).
    pub const ALL: [(&str, Management); 15] = [
        ("dir", Management::Direct),
        ("RSA-OAEP", Management::RsaOaep(1)),
        ("RSA-OAEP-256", Management::RsaOaep(256)),
        ("RSA-OAEP-384", Management::RsaOaep(384)),
        ("RSA-OAEP-512", Management::RsaOaep(512)),
        ("A128KW", Management::KeyWrap(16)),
        ("A192KW", Management::KeyWrap(24)),
        ("A256KW", Management::KeyWrap(32)),
        ("A128GCMKW", Management::GcmKeyWrap(16)),
        ("A192GCMKW", Management::GcmKeyWrap(24)),
        ("A256GCMKW", Management::GcmKeyWrap(32)),
        ("ECDH-ES", Management::Agreement(None)),
        ("ECDH-ES+A128KW", Management::Agreement(Some(16))),
        ("ECDH-ES+A192KW", Management::Agreement(Some(24))),
        ("ECDH-ES+A256KW", Management::Agreement(Some(32))),
    ];

    /// Returns the algorithm with that registered name.
    pub fn from_name(name: &str) -> Option<Management> {
        Self::ALL.iter().find(|(candidate, _)| *candidate == name).map(|(_, management)| *management)
    }

    /// Returns the registered name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, candidate)| *candidate == self).map_or("", |(name, _)| name)
    }

    /// Returns whether the token carries no wrapped key.
    pub(crate) fn is_direct(self) -> bool {
        matches!(self, Management::Direct | Management::Agreement(None))
    }
}

pub(super) fn oaep(bits: u16) -> &'static OaepAlgorithm {
    match bits {
        256 => &OAEP_SHA256_MGF1SHA256,
        384 => &OAEP_SHA384_MGF1SHA384,
        512 => &OAEP_SHA512_MGF1SHA512,
        _ => &OAEP_SHA1_MGF1SHA1,
    }
}

/// Returns random bytes.
pub(crate) fn random(bytes: usize) -> Result<Secret, Reason> {
    let mut out = Zeroizing::new(vec![0; bytes]);
    rand::fill(&mut out).map_err(|_| Reason::Internal)?;
    Ok(out)
}

/// Wraps a key by RFC 3394.
pub(super) fn wrap(with: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; key.len() + WRAP_BYTES];
    match with.len() {
        16 => KwAes128::new_from_slice(with).ok()?.wrap_key(key, &mut out).ok()?,
        24 => KwAes192::new_from_slice(with).ok()?.wrap_key(key, &mut out).ok()?,
        _ => KwAes256::new_from_slice(with).ok()?.wrap_key(key, &mut out).ok()?,
    };
    Some(out)
}

/// Unwraps a key of `size` bytes by RFC 3394.
pub(super) fn unwrap(with: &[u8], wrapped: &[u8], size: usize) -> Option<Secret> {
    if wrapped.len() != size + WRAP_BYTES {
        return None;
    }
    let mut out = Zeroizing::new(vec![0; size]);
    match with.len() {
        16 => KwAes128::new_from_slice(with).ok()?.unwrap_key(wrapped, &mut out).ok()?,
        24 => KwAes192::new_from_slice(with).ok()?.unwrap_key(wrapped, &mut out).ok()?,
        _ => KwAes256::new_from_slice(with).ok()?.unwrap_key(wrapped, &mut out).ok()?,
    };
    Some(out)
}

fn gcm(with: &[u8]) -> Option<LessSafeKey> {
    let algorithm = match with.len() {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        _ => &aead::AES_256_GCM,
    };
    Some(LessSafeKey::new(UnboundKey::new(algorithm, with).ok()?))
}

/// Wraps a key by AES-GCM (RFC 7518 §4.7). Returns the wrapped key and the tag. `iv` must not repeat for a key.
pub(super) fn gcm_wrap(with: &[u8], iv: &[u8], key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut text = key.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
    let tag = gcm(with)?.seal_in_place_separate_tag(nonce, Aad::empty(), &mut text).ok()?;
    Some((text, tag.as_ref().to_vec()))
}

/// Unwraps a key by AES-GCM. The tag has 128 bits.
pub(super) fn gcm_unwrap(with: &[u8], iv: &[u8], wrapped: &[u8], tag: &[u8]) -> Option<Secret> {
    if tag.len() != aead::AES_256_GCM.tag_len() {
        return None;
    }
    let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
    let mut text = Zeroizing::new([wrapped, tag].concat());
    let length = gcm(with)?.open_in_place(nonce, Aad::empty(), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

/// Derives a key of `size` bytes from an agreed secret (RFC 7518 §4.6.2). `algorithm` is the token's `enc` for direct
/// agreement, and its `alg` otherwise.
pub(super) fn derive(secret: &[u8], algorithm: &str, parties: [&[u8]; 2], size: usize) -> Secret {
    let mut out = Zeroizing::new(Vec::with_capacity(size + 32));
    for round in 1..=size.div_ceil(32) as u32 {
        let mut context = Context::new(&SHA256);
        context.update(&round.to_be_bytes());
        context.update(secret);
        for text in [algorithm.as_bytes(), parties[0], parties[1]] {
            context.update(&(text.len() as u32).to_be_bytes());
            context.update(text);
        }
        context.update(&(8 * size as u32).to_be_bytes());
        out.extend_from_slice(context.finish().as_ref());
    }
    out.truncate(size);
    out
}
