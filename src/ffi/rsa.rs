//! The C ABI of RSA for programs of lua-resty-rsa. The conventions are those of [`super`].

use super::{guard, release, required};
use crate::error::{ConfigError, Reason};
use crate::keys::{self, Algorithm, DecryptingKey, EncryptingKey, KeySet, Padding, SigningKey};

/// PKCS#1 v1.5 padding, by OpenSSL's number.
pub const RN_RSA_PKCS1: u32 = 1;
/// OAEP padding with SHA-1, by OpenSSL's number.
pub const RN_RSA_OAEP: u32 = 4;

/// The size of a buffer for any ciphertext, plaintext or signature, in bytes.
pub const RN_RSA_BYTES: usize = 1024;
const _: () = assert!(keys::MAX_MODULUS_BYTES == RN_RSA_BYTES);

/// The size of a buffer for any generated pair of keys, in bytes.
pub const RN_RSA_PAIR_BYTES: usize = 8192;

/// One half of an RSA key, with its padding.
#[allow(non_camel_case_types)]
pub struct rn_rsa(Half);

enum Half {
    Public { encrypting: EncryptingKey, verifying: KeySet },
    Private { decrypting: DecryptingKey, signing: SigningKey },
}

impl rn_rsa {
    fn public(text: &[u8], padding: Padding) -> Result<rn_rsa, ConfigError> {
        let encrypting = EncryptingKey::parse(text, padding)?;
        Ok(rn_rsa(Half::Public { encrypting, verifying: KeySet::parse(text)? }))
    }

    fn private(text: &[u8], padding: Padding) -> Result<rn_rsa, ConfigError> {
        let decrypting = DecryptingKey::parse(text, padding)?;
        let signing = SigningKey::from_pem(text)?;
        let signing = signing.ok_or_else(|| ConfigError::unsupported_key("does not hold a private key"))?;
        Ok(rn_rsa(Half::Private { decrypting, signing }))
    }
}

/// Parses an RSA key in PEM: a private key when `is_private` is not 0, and a public key or certificate otherwise.
///
/// Errors: `KeyUnsupported`, with one sentence in `error`; `InvalidArgument` for another padding than
/// [`RN_RSA_PKCS1`] and [`RN_RSA_OAEP`].
///
/// Release with [`rn_rsa_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_rsa_new(
    is_private: u32,
    padding: u32,
    text: *const u8,
    text_length: usize,
    key: Option<&mut *mut rn_rsa>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (text, key) = (caller.bytes(text, text_length)?, required(key)?);
        let padding = match padding {
            RN_RSA_PKCS1 => Padding::Pkcs1v15,
            RN_RSA_OAEP => Padding::OaepSha1,
            _ => return Err(Reason::InvalidArgument),
        };
        let result = if is_private == 0 { rn_rsa::public(text, padding) } else { rn_rsa::private(text, padding) };
        caller.new_handle(result, key, error, error_capacity, error_length)
    })
}

/// Releases a key. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_rsa_free(key: Option<Box<rn_rsa>>) {
    release(key)
}

/// Encrypts with a public key.
///
/// Errors: `InvalidArgument` for a private key, or a text that is too long for key and padding; `BufferTooSmall`
/// ([`RN_RSA_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_rsa_encrypt(
    key: Option<&rn_rsa>,
    plaintext: *const u8,
    plaintext_length: usize,
    buffer: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let plaintext = caller.bytes(plaintext, plaintext_length)?;
        let Half::Public { encrypting, .. } = &required(key)?.0 else { return Err(Reason::InvalidArgument) };
        let ciphertext = encrypting.encrypt(plaintext).ok_or(Reason::InvalidArgument)?;
        caller.write(&ciphertext, buffer, capacity, length)
    })
}

/// Decrypts with a private key.
///
/// Errors: `InvalidArgument` for a public key; `DecryptionFailed` for every failure; `BufferTooSmall`
/// ([`RN_RSA_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_rsa_decrypt(
    key: Option<&rn_rsa>,
    ciphertext: *const u8,
    ciphertext_length: usize,
    buffer: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let ciphertext = caller.bytes(ciphertext, ciphertext_length)?;
        let Half::Private { decrypting, .. } = &required(key)?.0 else { return Err(Reason::InvalidArgument) };
        caller.write(&decrypting.decrypt(ciphertext).ok_or(Reason::DecryptionFailed)?, buffer, capacity, length)
    })
}

/// Signs a message (RSASSA-PKCS1-v1_5) with a private key and SHA-256, SHA-384 or SHA-512: `hash` is 256, 384 or 512.
///
/// Errors: `InvalidArgument` for a public key or another hash; `BufferTooSmall` ([`RN_RSA_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_rsa_sign(
    key: Option<&rn_rsa>,
    hash: u32,
    message: *const u8,
    message_length: usize,
    buffer: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (algorithm, message) = (algorithm(hash)?, caller.bytes(message, message_length)?);
        let Half::Private { signing, .. } = &required(key)?.0 else { return Err(Reason::InvalidArgument) };
        caller.write(&signing.sign(algorithm, message)?, buffer, capacity, length)
    })
}

/// Checks a signature (RSASSA-PKCS1-v1_5) with a public key and the hash of [`rn_rsa_sign`].
///
/// Errors: `SignatureInvalid`; `InvalidArgument` for a private key or another hash.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_rsa_verify(
    key: Option<&rn_rsa>,
    hash: u32,
    message: *const u8,
    message_length: usize,
    signature: *const u8,
    signature_length: usize,
) -> i32 {
    guard(|caller| {
        let (algorithm, message) = (algorithm(hash)?, caller.bytes(message, message_length)?);
        let signature = caller.bytes(signature, signature_length)?;
        let Half::Public { verifying, .. } = &required(key)?.0 else { return Err(Reason::InvalidArgument) };
        verifying.verify(algorithm, None, message, signature).map(|_| ())
    })
}

/// Generates a key of 2048, 3072 or 4096 bits, and writes the public key, followed by the private key, in PEM: as PKCS#1,
/// or as SPKI and PKCS#8 when `in_pkcs8` is not 0.
///
/// Errors: `SettingInvalid` for another size; `BufferTooSmall` ([`RN_RSA_PAIR_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_rsa_generate(
    bits: u32,
    in_pkcs8: u32,
    buffer: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| caller.write(keys::generate(bits, in_pkcs8 != 0)?.as_bytes(), buffer, capacity, length))
}

fn algorithm(hash: u32) -> Result<Algorithm, Reason> {
    match hash {
        256 => Ok(Algorithm::RS256),
        384 => Ok(Algorithm::RS384),
        512 => Ok(Algorithm::RS512),
        _ => Err(Reason::InvalidArgument),
    }
}
