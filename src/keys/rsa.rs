//! RSA keys that encrypt and decrypt (RFC 8017 §7).
//!
//! All failures of a decryption look alike: telling bad padding from another fault would make a decryption oracle
//! (Bleichenbacher 1998).

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use aws_lc_rs::signature::KeyPair as _;
use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::Zeroizing;

use super::{rsa_pkcs8, rsa_spki};
use crate::error::{ConfigError, Reason};

/// The largest RSA modulus in bytes (8192 bits), which bounds ciphertext and plaintext.
pub const MAX_MODULUS_BYTES: usize = 1024;

/// A padding of RSA encryption.
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

    /// Returns the hash of OAEP, or `None` for PKCS#1 v1.5.
    fn oaep(self) -> Option<&'static OaepAlgorithm> {
        match self {
            Padding::Pkcs1v15 => None,
            Padding::OaepSha1 => Some(&OAEP_SHA1_MGF1SHA1),
            Padding::OaepSha256 => Some(&OAEP_SHA256_MGF1SHA256),
        }
    }
}

/// An RSA private key that decrypts, with its padding.
pub enum DecryptingKey {
    /// For [`Padding::Pkcs1v15`].
    Pkcs1(Pkcs1PrivateDecryptingKey),
    /// For the other paddings.
    Oaep(OaepPrivateDecryptingKey, &'static OaepAlgorithm),
}

impl DecryptingKey {
    /// Parses a private key in PEM: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
    ///
    /// Errors: `KeyUnsupported`.
    pub fn parse(text: &[u8], padding: Padding) -> Result<DecryptingKey, ConfigError> {
        let key = PrivateDecryptingKey::from_pkcs8(&rsa_pkcs8(text)?)
            .map_err(|_| ConfigError::unsupported_key("is not an RSA private key of 2048 to 8192 bits"))?;
        let rejected = |_| ConfigError::unsupported_key("is not an RSA private key that can decrypt");
        Ok(match padding.oaep() {
            None => DecryptingKey::Pkcs1(Pkcs1PrivateDecryptingKey::new(key).map_err(rejected)?),
            Some(hash) => DecryptingKey::Oaep(OaepPrivateDecryptingKey::new(key).map_err(rejected)?, hash),
        })
    }

    /// Decrypts a ciphertext. Returns `None` for every failure.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Option<Vec<u8>> {
        let mut plaintext = vec![0; MAX_MODULUS_BYTES];
        let written = match self {
            DecryptingKey::Pkcs1(key) => key.decrypt(ciphertext, &mut plaintext).map(|text| text.len()),
            DecryptingKey::Oaep(key, hash) => {
                key.decrypt(hash, ciphertext, &mut plaintext, None).map(|text| text.len())
            }
        };
        plaintext.truncate(written.ok()?);
        Some(plaintext)
    }
}

/// An RSA public key that encrypts, with its padding.
pub enum EncryptingKey {
    /// For [`Padding::Pkcs1v15`].
    Pkcs1(Pkcs1PublicEncryptingKey),
    /// For the other paddings.
    Oaep(OaepPublicEncryptingKey, &'static OaepAlgorithm),
}

impl EncryptingKey {
    /// Parses a public key or certificate in PEM: `PUBLIC KEY` (SPKI), `RSA PUBLIC KEY` (PKCS#1) or `CERTIFICATE`.
    ///
    /// Errors: `KeyUnsupported`.
    pub fn parse(text: &[u8], padding: Padding) -> Result<EncryptingKey, ConfigError> {
        let rejected = || ConfigError::unsupported_key("is not an RSA public key of 2048 to 8192 bits in PEM");
        let key = PublicEncryptingKey::from_der(&rsa_spki(text).ok_or_else(rejected)?).map_err(|_| rejected())?;
        Ok(match padding.oaep() {
            None => EncryptingKey::Pkcs1(Pkcs1PublicEncryptingKey::new(key).map_err(|_| rejected())?),
            Some(hash) => EncryptingKey::Oaep(OaepPublicEncryptingKey::new(key).map_err(|_| rejected())?, hash),
        })
    }

    /// Encrypts a text. Returns `None` for a text that is too long for key and padding.
    pub fn encrypt(&self, plaintext: &[u8]) -> Option<Vec<u8>> {
        let mut ciphertext = vec![0; MAX_MODULUS_BYTES];
        let written = match self {
            EncryptingKey::Pkcs1(key) => key.encrypt(plaintext, &mut ciphertext).map(|text| text.len()),
            EncryptingKey::Oaep(key, hash) => {
                key.encrypt(hash, plaintext, &mut ciphertext, None).map(|text| text.len())
            }
        };
        ciphertext.truncate(written.ok()?);
        Some(ciphertext)
    }
}

/// Generates a key of 2048, 3072 or 4096 bits. Returns the public key, followed by the private key, in PEM: as SPKI and
/// PKCS#8, or both as PKCS#1.
///
/// Errors: `SettingInvalid` for another size. Larger keys take minutes.
pub fn generate(bits: u32, in_pkcs8: bool) -> Result<Zeroizing<String>, Reason> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        _ => return Err(Reason::SettingInvalid),
    };
    let key = KeyPair::generate(size).map_err(|_| Reason::Internal)?;
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| Reason::Internal)?;
    let public = key.public_key();
    let (public, private) = if in_pkcs8 {
        let spki = public.as_der().map_err(|_| Reason::Internal)?;
        (pem("PUBLIC KEY", spki.as_ref()), pem("PRIVATE KEY", pkcs8.as_ref()))
    } else {
        let pkcs1 = pkcs1_of(pkcs8.as_ref()).ok_or(Reason::Internal)?;
        (pem("RSA PUBLIC KEY", public.as_ref()), pem("RSA PRIVATE KEY", pkcs1))
    };
    Ok(Zeroizing::new([public.as_str(), private.as_str()].concat()))
}

/// Returns the PKCS#1 DER in the PKCS#8 DER of an RSA key of 2048 bits or more: all lengths there have two bytes.
fn pkcs1_of(pkcs8: &[u8]) -> Option<&[u8]> {
    // Version 0, rsaEncryption without parameters, and the head of an octet string.
    const HEAD: &[u8] = b"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82";
    let octets = pkcs8.get(4..)?.strip_prefix(HEAD)?.get(2..)?;
    octets.starts_with(b"\x30\x82").then_some(octets)
}

fn pem(tag: &str, der: &[u8]) -> Zeroizing<String> {
    let block = Pem::new(tag, der);
    let text = Zeroizing::new(pem::encode_config(&block, EncodeConfig::new().set_line_ending(LineEnding::LF)));
    drop(Zeroizing::new(block.into_contents()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_decrypts_what_its_public_half_encrypted() {
        for in_pkcs8 in [false, true] {
            let both = generate(2048, in_pkcs8).unwrap();
            let at = both.rfind("-----BEGIN").unwrap();
            let (public, private) = both.split_at(at);
            for padding in [Padding::Pkcs1v15, Padding::OaepSha1, Padding::OaepSha256] {
                let encrypting = EncryptingKey::parse(public.as_bytes(), padding).unwrap();
                let decrypting = DecryptingKey::parse(private.as_bytes(), padding).unwrap();
                for text in [&b""[..], b"hello", &[0; 100]] {
                    let sealed = encrypting.encrypt(text).unwrap();
                    assert_eq!(sealed.len(), 256);
                    assert_eq!(decrypting.decrypt(&sealed).as_deref(), Some(text), "{padding:?}");
                    assert_eq!(decrypting.decrypt(&sealed[1..]), None, "{padding:?}");
                }
                assert_eq!(encrypting.encrypt(&[0; 256]), None);
                assert_eq!(decrypting.decrypt(&[0; 256]), None);
            }
        }
        for bits in [0, 1024, 2047, 8192] {
            assert_eq!(generate(bits, true).unwrap_err(), Reason::SettingInvalid);
        }
    }
}
