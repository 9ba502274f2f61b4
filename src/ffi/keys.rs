//! The C ABI of keys. The conventions are those of [`super`].

use std::sync::Arc;

use super::{clock, guard, path_of, release, required};
use crate::error::Reason;
use crate::keys::{Form, Keyring, Keys, trusted_key};

/// The form of PEM, a JWK or a JWK Set.
pub const RN_KEY_FORM_KEY: u32 = 0;
/// The form of one HMAC secret of 32 bytes or more.
pub const RN_KEY_FORM_SECRET: u32 = 1;
/// The form of HMAC secrets, one per line. The first signs, all verify.
pub const RN_KEY_FORM_SECRETS: u32 = 2;
/// The form of one HMAC secret of any length but 0, for migrations from programs that allow short secrets.
pub const RN_KEY_FORM_SHORT_SECRET: u32 = 3;
/// The form of a JWK Set that another server publishes. Only public keys and public halves are used.
pub const RN_KEY_FORM_PUBLISHED: u32 = 4;
/// The form of PEM, a JWK or a JWK Set of which only public keys are used. A private key in PEM is refused.
pub const RN_KEY_FORM_PUBLIC: u32 = 5;

/// Keys that verify or sign, parsed once.
#[allow(non_camel_case_types)]
pub struct rn_keys(Keyring);

impl rn_keys {
    pub(super) fn current(&self) -> Arc<Keys> {
        self.0.current()
    }

    fn notes(&self) -> Vec<String> {
        self.current().verifying.notes(clock())
    }
}

/// A text with keys.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_key_text {
    /// One of the `RN_KEY_FORM`s.
    pub form: u32,
    /// The text.
    pub data: *const u8,
    /// Its length, in bytes.
    pub length: usize,
}

/// Creates keys from texts. The first key that can sign signs; all verify.
///
/// Errors: the 200s, with one sentence in `error`. On success, `error` receives notes, one a line: the keys that were
/// skipped, and why, and the certificates that are not valid now.
///
/// Release with [`rn_keys_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_new(
    texts: *const rn_key_text,
    count: usize,
    keys: Option<&mut *mut rn_keys>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (texts, keys) = (caller.array(texts, count)?, required(keys)?);
        let read = |text: &rn_key_text| Ok((form_of(text.form)?, caller.bytes(text.data, text.length)?));
        let texts: Vec<_> = texts.iter().map(read).collect::<Result<_, Reason>>()?;
        let result = Keyring::from_texts(&texts).map(rn_keys);
        caller.new_handle_with_notes(result, rn_keys::notes, keys, error, error_capacity, error_length)
    })
}

/// Creates keys from a file, which [`rn_keys_refresh`] reloads.
///
/// Errors: the 200s, with one sentence in `error`. On success, `error` receives notes, one a line: the keys that were
/// skipped, and why, and the certificates that are not valid now.
///
/// Release with [`rn_keys_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_open(
    form: u32,
    path: *const u8,
    path_length: usize,
    keys: Option<&mut *mut rn_keys>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (path, keys) = (caller.bytes(path, path_length)?, required(keys)?);
        let result = Keyring::from_file(path_of(path), form_of(form)?).map(rn_keys);
        caller.new_handle_with_notes(result, rn_keys::notes, keys, error, error_capacity, error_length)
    })
}

/// Reloads the keys' file if its content has changed, and writes to `changed` whether it has. After an error the old
/// keys stay.
///
/// Errors: the 200s, with one sentence in `error`. On success, `error` receives notes, one a line: the keys that were
/// skipped, and why, and the certificates that are not valid now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_refresh(
    keys: Option<&rn_keys>,
    changed: Option<&mut u32>,
    error: *mut u8,
    error_capacity: usize,
    mut error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (keys, changed) = (required(keys)?, required(changed)?);
        let is_new = caller.or_write_error(keys.0.refresh(), error, error_capacity, error_length.as_deref_mut())?;
        *changed = is_new.into();
        let notes = if is_new { keys.notes() } else { Vec::new() };
        caller.write_notes(&notes, error, error_capacity, error_length)
    })
}

/// Releases keys. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_keys_free(keys: Option<Box<rn_keys>>) {
    release(keys)
}

/// Creates a key from the first certificate of a chain, which must be valid at `now` and chain to a certificate in the
/// PEM text `trusted`. The certificates are in DER or PEM; their `form` is ignored.
///
/// Errors: `KeyUnsupported`, `TokenMalformed`, `CertificateNotTrusted`, with one sentence in `error`.
///
/// Release with [`rn_keys_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_from_chain(
    trusted: *const u8,
    trusted_length: usize,
    chain: *const rn_key_text,
    count: usize,
    now: i64,
    keys: Option<&mut *mut rn_keys>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (trusted, chain, keys) =
            (caller.bytes(trusted, trusted_length)?, caller.array(chain, count)?, required(keys)?);
        let read = |text: &rn_key_text| caller.bytes(text.data, text.length);
        let chain: Vec<_> = chain.iter().map(read).collect::<Result<_, Reason>>()?;
        let result = trusted_key(trusted, &chain, now).map(Keyring::from_set);
        caller.new_handle(result.map(rn_keys), keys, error, error_capacity, error_length)
    })
}

fn form_of(form: u32) -> Result<Form, Reason> {
    match form {
        RN_KEY_FORM_KEY => Ok(Form::Key),
        RN_KEY_FORM_SECRET => Ok(Form::Secret),
        RN_KEY_FORM_SECRETS => Ok(Form::Secrets),
        RN_KEY_FORM_SHORT_SECRET => Ok(Form::ShortSecret),
        RN_KEY_FORM_PUBLISHED => Ok(Form::Published),
        RN_KEY_FORM_PUBLIC => Ok(Form::Public),
        _ => Err(Reason::InvalidArgument),
    }
}
