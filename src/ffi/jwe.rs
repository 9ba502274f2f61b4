//! The C ABI of encrypted tokens (RFC 7516). The conventions are those of [`super`].

use super::jwt::{rn_token_texts, write_texts};
use super::keys::{RN_KEY_FORM_KEY, RN_KEY_FORM_SECRET};
use super::{guard, release, required};
use crate::error::Reason;
use crate::jwt::jwe;
use crate::keys::EncryptionKeys;

/// Keys that encrypt or decrypt tokens, parsed once.
#[allow(non_camel_case_types)]
pub struct rn_encryption_keys(EncryptionKeys);

/// Creates keys for encrypted tokens from a text. Its form is `RN_KEY_FORM_KEY`, or `RN_KEY_FORM_SECRET` for a shared
/// secret of 16, 24, 32, 48 or 64 bytes.
///
/// Errors: the 200s, with one sentence in `error`. On success, `error` receives notes, one a line: the keys that were
/// skipped, and why.
///
/// Release with [`rn_encryption_keys_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_encryption_keys_new(
    form: u32,
    text: *const u8,
    text_length: usize,
    keys: Option<&mut *mut rn_encryption_keys>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (text, keys) = (caller.bytes(text, text_length)?, required(keys)?);
        let result = match form {
            RN_KEY_FORM_KEY => EncryptionKeys::parse(text),
            RN_KEY_FORM_SECRET => EncryptionKeys::from_secret(text),
            _ => return Err(Reason::InvalidArgument),
        };
        let result = result.map(rn_encryption_keys);
        let notes = |new: &rn_encryption_keys| new.0.notes().to_vec();
        caller.new_handle_with_notes(result, notes, keys, error, error_capacity, error_length)
    })
}

/// Releases keys. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_encryption_keys_free(keys: Option<Box<rn_encryption_keys>>) {
    release(keys)
}

/// Decrypts a JWE and writes its header, followed by its plaintext.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`, `KeyNotFound`,
/// `DecryptionFailed`, `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwe_decrypt(
    keys: Option<&rn_encryption_keys>,
    token: *const u8,
    token_length: usize,
    buffer: *mut u8,
    capacity: usize,
    texts: Option<&mut rn_token_texts>,
) -> i32 {
    guard(|caller| {
        let (keys, token) = (required(keys)?, caller.bytes(token, token_length)?);
        let (header, plaintext) = jwe::decrypt(token, &keys.0)?;
        write_texts(caller, &header, &plaintext, buffer, capacity, texts)
    })
}

/// Encrypts a plaintext under a header, a JSON object with `alg` and `enc`, and writes the JWE. The header gets the
/// parameters of its key management and the key's `kid`, and is otherwise unchanged.
///
/// Errors: `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`, `KeyUnsupported`, `TokenTooLarge`,
/// `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwe_encrypt(
    keys: Option<&rn_encryption_keys>,
    header: *const u8,
    header_length: usize,
    plaintext: *const u8,
    plaintext_length: usize,
    buffer: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (keys, header, plaintext) =
            (required(keys)?, caller.bytes(header, header_length)?, caller.bytes(plaintext, plaintext_length)?);
        let token = jwe::encrypt(header, plaintext, &keys.0)?;
        caller.write(token.as_bytes(), buffer, capacity, length)
    })
}
