//! Content encryption of encrypted tokens (RFC 7518 §5): AES-GCM, and AES-CBC with HMAC.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

/// The content encryption (`enc`), with the size of its AES key in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    Gcm(&'static aead::Algorithm, usize),
    Cbc(&'static cipher::Algorithm, hmac::Algorithm, usize),
}

/// Every supported algorithm with its registered name.
pub(super) const ENCRYPTIONS: [(&str, Encryption); 6] = [
    ("A128GCM", Encryption::Gcm(&aead::AES_128_GCM, 16)),
    ("A192GCM", Encryption::Gcm(&aead::AES_192_GCM, 24)),
    ("A256GCM", Encryption::Gcm(&aead::AES_256_GCM, 32)),
    ("A128CBC-HS256", Encryption::Cbc(&cipher::AES_128, hmac::HMAC_SHA256, 16)),
    ("A192CBC-HS384", Encryption::Cbc(&cipher::AES_192, hmac::HMAC_SHA384, 24)),
    ("A256CBC-HS512", Encryption::Cbc(&cipher::AES_256, hmac::HMAC_SHA512, 32)),
];

impl Encryption {
    /// Returns the size of the initialization vector, in bytes.
    pub fn iv_bytes(self) -> usize {
        match self {
            Encryption::Gcm(..) => aead::NONCE_LEN,
            Encryption::Cbc(..) => 16,
        }
    }

    /// Returns the size of the content encryption key, in bytes.
    pub fn key_bytes(self) -> usize {
        match self {
            Encryption::Gcm(_, size) => size,
            Encryption::Cbc(_, _, half) => 2 * half,
        }
    }
}

/// Decrypts and authenticates the content.
pub(super) fn open(
    encryption: Encryption,
    key: &[u8],
    iv: &[u8],
    protected: &[u8],
    mut ciphertext: Vec<u8>,
    tag: &[u8],
) -> Option<Vec<u8>> {
    match encryption {
        Encryption::Gcm(algorithm, _) => {
            // A tag has exactly 128 bits (RFC 7518 §5.3).
            if tag.len() != algorithm.tag_len() {
                return None;
            }
            let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
            let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
            ciphertext.extend_from_slice(tag);
            let length = key.open_in_place(nonce, Aad::from(protected), &mut ciphertext).ok()?.len();
            ciphertext.truncate(length);
            Some(ciphertext)
        }
        Encryption::Cbc(algorithm, hash, half) => {
            let (mac_key, cipher_key) = key.split_at_checked(half)?;
            verify_slices_are_equal(&cbc_tag(hash, mac_key, protected, iv, &ciphertext, half), tag).ok()?;
            let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(algorithm, cipher_key).ok()?).ok()?;
            let context = DecryptionContext::Iv128(FixedLength::<16>::try_from(iv).ok()?);
            let length = key.decrypt(&mut ciphertext, context).ok()?.len();
            ciphertext.truncate(length);
            Some(ciphertext)
        }
    }
}

/// Encrypts the content and returns the ciphertext and the tag. `iv` must not repeat for a key.
pub(super) fn seal(
    encryption: Encryption,
    key: &[u8],
    iv: &[u8],
    protected: &[u8],
    plaintext: &[u8],
) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut text = plaintext.to_vec();
    match encryption {
        Encryption::Gcm(algorithm, _) => {
            let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
            let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(protected), &mut text).ok()?;
            Some((text, tag.as_ref().to_vec()))
        }
        Encryption::Cbc(algorithm, hash, half) => {
            let (mac_key, cipher_key) = key.split_at_checked(half)?;
            let key = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(algorithm, cipher_key).ok()?).ok()?;
            let context = EncryptionContext::Iv128(FixedLength::<16>::try_from(iv).ok()?);
            key.less_safe_encrypt(&mut text, context).ok()?;
            let tag = cbc_tag(hash, mac_key, protected, iv, &text, half);
            Some((text, tag))
        }
    }
}

/// Returns the authentication tag of RFC 7518 §5.2.2.1: the first half of an HMAC over header, IV, ciphertext and the
/// header's length in bits.
fn cbc_tag(hash: hmac::Algorithm, key: &[u8], protected: &[u8], iv: &[u8], ciphertext: &[u8], half: usize) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hash, key));
    let bits = 8 * protected.len() as u64;
    for part in [protected, iv, ciphertext, &bits.to_be_bytes()] {
        context.update(part);
    }
    context.sign().as_ref()[..half].to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;

    fn named(name: &str) -> Encryption {
        ENCRYPTIONS.iter().find(|(candidate, _)| *candidate == name).expect("it is supported").1
    }

    /// RFC 7518 appendix B, and the examples of RFC 7516 and 7520 whose content key is printed: tests/vectors.rs has
    /// their key management.
    #[test]
    fn content_encryption_matches_the_published_examples() {
        let all: serde_json::Value = serde_json::from_str(include_str!("../../tests/data/rfc_examples.json")).unwrap();
        let examples = all["sealed"].as_array().unwrap();
        assert_eq!(examples.len(), 14);
        for example in examples {
            let text = |name: &str| example[name].as_str().unwrap();
            let bytes = |name| decode(text(name).as_bytes()).unwrap();
            let (source, encryption) = (text("source"), named(text("encryption")));
            let (key, iv, aad) = (bytes("key"), bytes("iv"), text("aad").as_bytes());
            let (ciphertext, tag) = (bytes("ciphertext"), bytes("tag"));
            let plaintext = text("plaintext").as_bytes();
            let opened = open(encryption, &key, &iv, aad, ciphertext.clone(), &tag);
            assert_eq!(opened.as_deref(), Some(plaintext), "{source}");
            let again = seal(encryption, &key, &iv, aad, plaintext);
            assert_eq!(again, Some((ciphertext.clone(), tag.clone())), "{source}");
            let longer = [aad, b"."].concat();
            assert_eq!(open(encryption, &key, &iv, &longer, ciphertext.clone(), &tag), None, "{source}");
            assert_eq!(open(encryption, &key, &iv, aad, ciphertext, &tag[1..]), None, "{source}");
        }
    }
}
