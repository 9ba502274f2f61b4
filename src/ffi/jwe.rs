//! The C ABI of encrypted tokens (RFC 7516). The conventions are those of [`super`].

use super::guard;
use super::jwt::{rn_token_texts, write_texts};
use crate::jwt::jwe;

/// Decrypts a JWE and writes its header, followed by its plaintext. `key` is the shared secret for `dir`, or an RSA
/// private key in PEM for `RSA-OAEP-256`.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`,
/// `KeyUnsupported`, `DecryptionFailed`, `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwe_decrypt(
    key: *const u8,
    key_length: usize,
    token: *const u8,
    token_length: usize,
    buffer: *mut u8,
    capacity: usize,
    texts: Option<&mut rn_token_texts>,
) -> i32 {
    guard(|caller| {
        let (key, token) = (caller.bytes(key, key_length)?, caller.bytes(token, token_length)?);
        let (header, plaintext) = jwe::decrypt(token, key)?;
        write_texts(caller, &header, &plaintext, buffer, capacity, texts)
    })
}

/// Encrypts a plaintext under an unchanged header, a JSON object with `alg` and `enc`, and writes the JWE. `key` is the
/// shared secret for `dir`, or an RSA public key or certificate in PEM for `RSA-OAEP-256`.
///
/// Errors: `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`, `KeyUnsupported`, `TokenTooLarge`,
/// `BufferTooSmall`.
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
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (key, header, plaintext) = (
            caller.bytes(key, key_length)?,
            caller.bytes(header, header_length)?,
            caller.bytes(plaintext, plaintext_length)?,
        );
        let token = jwe::encrypt(header, plaintext, key)?;
        caller.write(token.as_bytes(), buffer, capacity, length)
    })
}
