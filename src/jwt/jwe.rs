//! Encrypted tokens: compact JWE (RFC 7516 §7.1) with the algorithms that programs for lua-resty-jwt use: `dir` and
//! `RSA-OAEP-256` with `A128CBC-HS256`, `A256CBC-HS512`, `A128GCM` and `A256GCM` (RFC 7518 §4, §5).
//!
//! PBES2 is not supported, because the sender chooses its cost (CVE-2024-33531 and others). Every failure of a
//! decryption is the same [`Reason::DecryptionFailed`].

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{MAX_TOKEN_BYTES, decode};
use crate::error::Reason;
use crate::json::parse_object;
use crate::keys::{is_public_material, rsa_pkcs8, rsa_spki};

/// The key management (`alg`): how the recipient gets the content encryption key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Management {
    Direct,
    RsaOaep256,
}

/// The content encryption (`enc`), with the size of its AES key in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Gcm(&'static aead::Algorithm, usize),
    Cbc(&'static cipher::Algorithm, hmac::Algorithm, usize),
}

impl Encryption {
    fn from_name(name: &str) -> Option<Encryption> {
        Some(match name {
            "A128GCM" => Encryption::Gcm(&aead::AES_128_GCM, 16),
            "A256GCM" => Encryption::Gcm(&aead::AES_256_GCM, 32),
            "A128CBC-HS256" => Encryption::Cbc(&cipher::AES_128, hmac::HMAC_SHA256, 16),
            "A256CBC-HS512" => Encryption::Cbc(&cipher::AES_256, hmac::HMAC_SHA512, 32),
            _ => return None,
        })
    }

    /// Returns the size of the initialization vector, in bytes.
    fn iv_bytes(self) -> usize {
        match self {
            Encryption::Gcm(..) => aead::NONCE_LEN,
            Encryption::Cbc(..) => 16,
        }
    }

    /// Returns the size of the content encryption key, in bytes.
    fn key_bytes(self) -> usize {
        match self {
            Encryption::Gcm(_, size) => size,
            Encryption::Cbc(_, _, half) => 2 * half,
        }
    }
}

/// Parses a JWE's header.
///
/// Errors: `TokenMalformed`, `HeaderUnsupported` for `crit`, `zip` or `b64`, `AlgorithmNotAllowed` for an unsupported
/// `alg` or `enc`.
fn read_header(json: &[u8]) -> Result<(Management, Encryption), Reason> {
    let header: Map<String, Value> = parse_object(json).ok_or(Reason::TokenMalformed)?;
    if ["crit", "zip", "b64"].iter().any(|name| header.contains_key(*name)) {
        return Err(Reason::HeaderUnsupported);
    }
    let text = |name| header.get(name).and_then(Value::as_str).ok_or(Reason::TokenMalformed);
    let management = match text("alg")? {
        "dir" => Management::Direct,
        "RSA-OAEP-256" => Management::RsaOaep256,
        _ => return Err(Reason::AlgorithmNotAllowed),
    };
    Ok((management, Encryption::from_name(text("enc")?).ok_or(Reason::AlgorithmNotAllowed)?))
}

/// Decrypts a token and returns the header's JSON and the plaintext. `key` is the shared secret for `dir`, or an RSA
/// private key in PEM for `RSA-OAEP-256`.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`,
/// `KeyUnsupported` when the key does not fit the token's `alg` and `enc`, `DecryptionFailed` for everything else.
pub fn decrypt(token: &[u8], key: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Reason> {
    if token.is_empty() {
        return Err(Reason::TokenMissing);
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Reason::TokenTooLarge);
    }
    let parts: Vec<_> = token.splitn(6, |byte| *byte == b'.').collect();
    let [protected, wrapped, iv, ciphertext, tag] = parts.as_slice() else { return Err(Reason::TokenMalformed) };
    let header = decode(protected)?;
    let (management, encryption) = read_header(&header)?;
    let (wrapped, iv, ciphertext, tag) = (decode(wrapped)?, decode(iv)?, decode(ciphertext)?, decode(tag)?);
    let content_key = match management {
        Management::Direct if !wrapped.is_empty() => return Err(Reason::TokenMalformed),
        Management::Direct => direct_key(key, encryption)?,
        Management::RsaOaep256 => unwrap_key(key, &wrapped, encryption)?,
    };
    let plaintext = open(encryption, &content_key, &iv, protected, ciphertext, &tag);
    Ok((header, plaintext.ok_or(Reason::DecryptionFailed)?))
}

/// Encrypts `plaintext` under an unchanged `header` and returns the token. `key` is the shared secret for `dir`, or an
/// RSA public key or certificate in PEM for `RSA-OAEP-256`.
///
/// Errors: `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`, `KeyUnsupported`, `TokenTooLarge`.
pub fn encrypt(header: &[u8], plaintext: &[u8], key: &[u8]) -> Result<String, Reason> {
    let (management, encryption) = read_header(header)?;
    let (content_key, wrapped) = match management {
        Management::Direct => (direct_key(key, encryption)?, Vec::new()),
        Management::RsaOaep256 => {
            let fresh = random(encryption.key_bytes())?;
            let wrapped = wrap_key(key, &fresh)?;
            (fresh, wrapped)
        }
    };
    let mut token = URL_SAFE_NO_PAD.encode(header);
    let iv = random(encryption.iv_bytes())?;
    let sealed = seal(encryption, &content_key, &iv, token.as_bytes(), plaintext);
    let (ciphertext, tag) = sealed.ok_or(Reason::Internal)?;
    for part in [wrapped, iv.to_vec(), ciphertext, tag] {
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut token);
    }
    if token.len() > MAX_TOKEN_BYTES { Err(Reason::TokenTooLarge) } else { Ok(token) }
}

fn random(bytes: usize) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let mut out = Zeroizing::new(vec![0; bytes]);
    rand::fill(&mut out).map_err(|_| Reason::Internal)?;
    Ok(out)
}

/// Returns the shared secret if it has the size that the encryption needs and is not public key material.
fn direct_key(key: &[u8], encryption: Encryption) -> Result<Zeroizing<Vec<u8>>, Reason> {
    if key.len() != encryption.key_bytes() || is_public_material(key) {
        return Err(Reason::KeyUnsupported);
    }
    Ok(Zeroizing::new(key.to_vec()))
}

fn wrap_key(public: &[u8], content_key: &[u8]) -> Result<Vec<u8>, Reason> {
    let spki = rsa_spki(public).ok_or(Reason::KeyUnsupported)?;
    let key = PublicEncryptingKey::from_der(&spki).and_then(|key| Ok(OaepPublicEncryptingKey::new(key)?));
    let key = key.map_err(|_| Reason::KeyUnsupported)?;
    let mut out = vec![0; key.ciphertext_size()];
    let written = key.encrypt(&OAEP_SHA256_MGF1SHA256, content_key, &mut out, None).map(|text| text.len());
    out.truncate(written.map_err(|_| Reason::KeyUnsupported)?);
    Ok(out)
}

/// Decrypts the content encryption key. Replaces one that does not decrypt, or has the wrong size, by a random key, so
/// that neither the result nor its timing reveals which (RFC 7516 §11.5).
fn unwrap_key(private: &[u8], wrapped: &[u8], encryption: Encryption) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let key = rsa_pkcs8(private).ok().and_then(|pkcs8| PrivateDecryptingKey::from_pkcs8(&pkcs8).ok());
    let key = key.and_then(|key| OaepPrivateDecryptingKey::new(key).ok()).ok_or(Reason::KeyUnsupported)?;
    let fallback = random(encryption.key_bytes())?;
    let mut out = Zeroizing::new(vec![0; key.min_output_size()]);
    let found = key.decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut out, None).ok();
    Ok(match found {
        Some(found) if found.len() == fallback.len() => Zeroizing::new(found.to_vec()),
        _ => fallback,
    })
}

/// Decrypts and authenticates the content.
fn open(
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
fn seal(
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
    use super::*;

    const ENCRYPTIONS: [(&str, usize); 4] =
        [("A128GCM", 16), ("A256GCM", 32), ("A128CBC-HS256", 32), ("A256CBC-HS512", 64)];

    fn header(enc: &str) -> String {
        format!(r#"{{"alg":"dir","enc":"{enc}"}}"#)
    }

    #[test]
    fn a_token_decrypts_with_its_own_key_only() {
        for (enc, size) in ENCRYPTIONS {
            let key = vec![7; size];
            for text in [&b""[..], b"{}", &[9; 64]] {
                let token = encrypt(header(enc).as_bytes(), text, &key).unwrap();
                assert_eq!(decrypt(token.as_bytes(), &key), Ok((header(enc).into_bytes(), text.to_vec())), "{enc}");
                assert_eq!(decrypt(token.as_bytes(), &vec![8; size]), Err(Reason::DecryptionFailed), "{enc}");
                assert_eq!(decrypt(token.as_bytes(), &key[1..]), Err(Reason::KeyUnsupported), "{enc}");
            }
        }
    }

    #[test]
    fn a_modified_token_does_not_decrypt() {
        for (enc, size) in ENCRYPTIONS {
            let key = vec![7; size];
            let token = encrypt(header(enc).as_bytes(), b"{\"sub\":\"ada\"}", &key).unwrap();
            let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
            for touched in 2..5 {
                let mut copy = parts.clone();
                let mut bytes = URL_SAFE_NO_PAD.decode(&copy[touched]).unwrap();
                bytes[0] ^= 1;
                copy[touched] = URL_SAFE_NO_PAD.encode(&bytes);
                assert_eq!(decrypt(copy.join(".").as_bytes(), &key), Err(Reason::DecryptionFailed), "{enc} {touched}");
                copy[touched] = URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 1]);
                assert_eq!(decrypt(copy.join(".").as_bytes(), &key), Err(Reason::DecryptionFailed), "{enc} {touched}");
            }
            let other = URL_SAFE_NO_PAD.encode(format!(r#"{{"enc":"{enc}","alg":"dir"}}"#));
            let moved = [&other, &parts[1], &parts[2], &parts[3], &parts[4]].map(String::as_str).join(".");
            assert_eq!(decrypt(moved.as_bytes(), &key), Err(Reason::DecryptionFailed), "{enc}");
        }
    }

    /// RFC 7518 appendix B, and the examples of RFC 7516 and 7520 whose content key is printed: their key management is
    /// not supported here.
    #[test]
    fn content_encryption_matches_the_published_examples() {
        let all: Value = serde_json::from_str(include_str!("../../tests/data/rfc_examples.json")).unwrap();
        let examples = all["sealed"].as_array().unwrap();
        assert_eq!(examples.len(), 13);
        for example in examples {
            let text = |name: &str| example[name].as_str().unwrap();
            let bytes = |name| decode(text(name).as_bytes()).unwrap();
            let (source, encryption) = (text("source"), Encryption::from_name(text("encryption")).unwrap());
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

    #[test]
    fn unsupported_algorithms_and_headers_are_refused() {
        let refusal = |json: &str| {
            let token = format!("{}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA", URL_SAFE_NO_PAD.encode(json));
            decrypt(token.as_bytes(), &[7; 32]).unwrap_err()
        };
        let enc = r#""enc":"A256GCM""#;
        for alg in ["PBES2-HS256+A128KW", "RSA-OAEP", "RSA1_5", "A128KW", "ECDH-ES", "none", "HS256"] {
            assert_eq!(refusal(&format!(r#"{{"alg":"{alg}",{enc}}}"#)), Reason::AlgorithmNotAllowed, "{alg}");
        }
        assert_eq!(refusal(r#"{"alg":"dir","enc":"A192GCM"}"#), Reason::AlgorithmNotAllowed);
        assert_eq!(refusal(&format!(r#"{{"alg":"dir",{enc},"zip":"DEF"}}"#)), Reason::HeaderUnsupported);
        assert_eq!(refusal(&format!(r#"{{"alg":"dir",{enc},"crit":["x"]}}"#)), Reason::HeaderUnsupported);
        assert_eq!(refusal(&format!(r#"{{"alg":"dir",{enc},"alg":"dir"}}"#)), Reason::TokenMalformed);
        assert_eq!(refusal(&format!(r#"{{"alg":"dir",{enc}}}"#)), Reason::DecryptionFailed);
    }
}
