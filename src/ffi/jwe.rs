//! What programs that come from lua-resty-jwt need besides: encrypted tokens, certificates, tokens taken apart.

use super::jwt::{rn_key_text, rn_keys, rn_token_texts, write_texts};
use super::{array, bytes, explain, guard, hand_out, out, write_bytes};
use crate::error::Reason;
use crate::jwt::{Parts, jwe};
use crate::keys::{Keyring, trusted_key};

/// Decrypts a token (JWE: `dir` or `RSA-OAEP-256`) and writes its header and its plaintext, one after the other. `key` is
/// the shared secret itself, or an RSA private key in PEM.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`,
/// `KeyUnsupported`, `DecryptionFailed`, `BufferTooSmall`.
///
/// # Safety
/// `key` and `token` must be readable for their lengths, `buffer` writable for `capacity`, `texts` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwe_decrypt(
    key: *const u8,
    key_length: usize,
    token: *const u8,
    token_length: usize,
    buffer: *mut u8,
    capacity: usize,
    texts: *mut rn_token_texts,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (key, token) = unsafe { (bytes(key, key_length)?, bytes(token, token_length)?) };
        let (header, plaintext) = jwe::decrypt(token, key)?;
        // SAFETY: the caller's promise.
        unsafe { write_texts(&header, &plaintext, buffer, capacity, texts) }
    })
}

/// Encrypts a plaintext under a header as it is, a JSON object whose `alg` and `enc` say how, and writes the token. `key`
/// is the shared secret itself, or an RSA public key or certificate in PEM.
///
/// Errors: `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`, `KeyUnsupported`, `TokenTooLarge`,
/// `BufferTooSmall`.
///
/// # Safety
/// `key`, `header` and `plaintext` must be readable for their lengths, `buffer` writable for `capacity`, `length` for one
/// value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwe_encrypt(
    key: *const u8,
    key_length: usize,
    header: *const u8,
    header_length: usize,
    plaintext: *const u8,
    plaintext_length: usize,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (key, header, plaintext) =
            unsafe { (bytes(key, key_length)?, bytes(header, header_length)?, bytes(plaintext, plaintext_length)?) };
        let token = jwe::encrypt(header, plaintext, key)?;
        // SAFETY: the caller's promise.
        unsafe { write_bytes(token.as_bytes(), buffer, capacity, length) }
    })
}

/// Writes a token's header, a JSON object, and its payload, any bytes, **without verifying anything**.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`; `BufferTooSmall`.
///
/// # Safety
/// `token` must be readable for `token_length` bytes, `buffer` writable for `capacity`, `texts` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jws_decode_unverified(
    token: *const u8,
    token_length: usize,
    buffer: *mut u8,
    capacity: usize,
    texts: *mut rn_token_texts,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let parts = Parts::split(unsafe { bytes(token, token_length)? })?;
        let (header, payload) = parts.unverified()?;
        // SAFETY: the caller's promise.
        unsafe { write_texts(&header, &payload, buffer, capacity, texts) }
    })
}

/// Makes a key of the first certificate of a chain, when one of the certificates in the PEM text `trusted` vouches for
/// it at `now`. The certificates of the chain are in DER or PEM; their `form` is not looked at.
///
/// Errors: `KeyUnsupported`, `TokenMalformed` and `CertificateNotTrusted`, each with a sentence in `error`, cut to its
/// capacity.
///
/// # Safety
/// `trusted` must be readable for `trusted_length` bytes, `chain` an array of `count` texts, each readable for its length,
/// `keys` and `error_length` writable for one value, `error` for `error_capacity` bytes. Release with `rn_keys_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_from_chain(
    trusted: *const u8,
    trusted_length: usize,
    chain: *const rn_key_text,
    count: usize,
    now: i64,
    keys: *mut *mut rn_keys,
    error: *mut u8,
    error_capacity: usize,
    error_length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (trusted, chain, keys) = unsafe { (bytes(trusted, trusted_length)?, array(chain, count)?, out(keys)?) };
        // SAFETY: the caller's promise, for each text.
        let read = |text: &rn_key_text| unsafe { bytes(text.data, text.length) };
        let chain: Vec<_> = chain.iter().map(read).collect::<Result<_, Reason>>()?;
        // SAFETY: the caller's promise.
        let set = unsafe { explain(trusted_key(trusted, &chain, now), error, error_capacity, error_length) }?;
        // SAFETY: the caller's promise.
        unsafe { hand_out(Ok(rn_keys::new(Keyring::from_set(set))), keys, error, error_capacity, error_length) }
    })
}
