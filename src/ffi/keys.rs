//! Keys over the C ABI: the conventions are those of [`super`].

use std::sync::Arc;

use super::{given, guard, path_of, release};
use crate::error::Reason;
use crate::keys::{Form, Keyring, Keys, trusted_key};

/// A text that is PEM, a JWK or a JWK Set.
pub const RN_KEY_FORM_KEY: u32 = 0;
/// A text that is one HMAC secret of 32 bytes or more.
pub const RN_KEY_FORM_SECRET: u32 = 1;
/// A text of HMAC secrets, one a line: the first signs, each verifies.
pub const RN_KEY_FORM_SECRETS: u32 = 2;
/// A text that is one HMAC secret of any length but 0: for programs that have always used a short one.
pub const RN_KEY_FORM_SHORT_SECRET: u32 = 3;
/// A text that is a JWK Set which another server publishes: its public keys. Secrets in it are passed over, and private
/// halves are not used.
pub const RN_KEY_FORM_PUBLISHED: u32 = 4;

/// Keys that verify or sign, parsed once.
#[allow(non_camel_case_types)]
pub struct rn_keys(Keyring);

impl rn_keys {
    pub(super) fn current(&self) -> Arc<Keys> {
        self.0.current()
    }
}

/// One text that holds keys.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_key_text {
    /// One of the `RN_KEY_FORM`s.
    pub form: u32,
    /// The text.
    pub data: *const u8,
    /// Its length.
    pub length: usize,
}

/// Makes keys from texts. The first that can sign signs; all of them verify.
///
/// Errors: the 200s, with one sentence in `error`, cut to its capacity.
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
        let (texts, keys) = (caller.array(texts, count)?, given(keys)?);
        let read = |text: &rn_key_text| Ok((form_of(text.form)?, caller.bytes(text.data, text.length)?));
        let texts: Vec<_> = texts.iter().map(read).collect::<Result<_, Reason>>()?;
        caller.hand_out(Keyring::from_texts(&texts).map(rn_keys), keys, error, error_capacity, error_length)
    })
}

/// Makes keys from a file that [`rn_keys_refresh`] reads again.
///
/// Errors: the 200s, with one sentence in `error`, cut to its capacity.
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
        let (path, keys) = (caller.bytes(path, path_length)?, given(keys)?);
        let made = Keyring::from_file(path_of(path), form_of(form)?);
        caller.hand_out(made.map(rn_keys), keys, error, error_capacity, error_length)
    })
}

/// Reads the keys' file again and takes what is in it when it has changed. On an error the old keys stay.
///
/// Errors: the 200s, with one sentence in `error`, cut to its capacity.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_refresh(
    keys: Option<&rn_keys>,
    changed: Option<&mut u32>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (keys, changed) = (&given(keys)?.0, given(changed)?);
        let done = caller.explain(keys.refresh(), error, error_capacity, error_length)?;
        *changed = done.into();
        Ok(())
    })
}

/// Releases keys; null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_keys_free(keys: Option<Box<rn_keys>>) {
    release(keys)
}

/// Makes a key of the first certificate of a chain, when one of the certificates in the PEM text `trusted` vouches for
/// it at `now`. The certificates of the chain are in DER or PEM; their `form` is not looked at.
///
/// Errors: `KeyUnsupported`, `TokenMalformed` and `CertificateNotTrusted`, each with a sentence in `error`, cut to its
/// capacity.
///
/// Release with `rn_keys_free`.
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
            (caller.bytes(trusted, trusted_length)?, caller.array(chain, count)?, given(keys)?);
        let read = |text: &rn_key_text| caller.bytes(text.data, text.length);
        let chain: Vec<_> = chain.iter().map(read).collect::<Result<_, Reason>>()?;
        let made = trusted_key(trusted, &chain, now).map(Keyring::from_set);
        caller.hand_out(made.map(rn_keys), keys, error, error_capacity, error_length)
    })
}

fn form_of(form: u32) -> Result<Form, Reason> {
    match form {
        RN_KEY_FORM_KEY => Ok(Form::Key),
        RN_KEY_FORM_SECRET => Ok(Form::Secret),
        RN_KEY_FORM_SECRETS => Ok(Form::Secrets),
        RN_KEY_FORM_SHORT_SECRET => Ok(Form::ShortSecret),
        RN_KEY_FORM_PUBLISHED => Ok(Form::Published),
        _ => Err(Reason::InvalidArgument),
    }
}
