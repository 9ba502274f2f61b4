//! The JWT toolkit over the C ABI: keys, policies, verification and signing. The conventions are those of the parent.

use std::sync::Arc;

use super::{array, bytes, explain, guard, hand_out, out, path_of, release, write_bytes};
use crate::error::Reason;
use crate::json::parse_object;
use crate::jwt::{self, Compact, MAX_TOKEN_BYTES, Policy, SignOptions};
use crate::keys::{Form, Keyring, Ring};

/// The longest token that is read or made; a buffer of this size holds any answer about one.
pub const RN_TOKEN_BYTES: usize = 16384;
const _: () = assert!(MAX_TOKEN_BYTES == RN_TOKEN_BYTES);

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
    pub(super) fn new(keys: Keyring) -> rn_keys {
        rn_keys(keys)
    }

    pub(super) fn ring(&self) -> Arc<Ring> {
        self.0.ring()
    }
}

/// What a token must satisfy besides its signature, read once.
#[allow(non_camel_case_types)]
pub struct rn_policy(Policy);

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

/// The lengths of the two texts that a token holds: the header comes first, the claims follow it.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_token_texts {
    /// Length of the header's JSON.
    pub header_length: u32,
    /// Length of the claims' JSON.
    pub claims_length: u32,
}

/// Makes keys from texts. The first that can sign signs; all of them verify.
///
/// Errors: the 200s, with one sentence in `error`, cut to its capacity.
///
/// # Safety
/// `texts` must be an array of `count` texts, each readable for its length; `keys` and `error_length` writable for one
/// value, `error` for `error_capacity` bytes. Release with [`rn_keys_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_new(
    texts: *const rn_key_text,
    count: usize,
    keys: *mut *mut rn_keys,
    error: *mut u8,
    error_capacity: usize,
    error_length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (texts, keys) = unsafe { (array(texts, count)?, out(keys)?) };
        // SAFETY: the caller's promise, for each text.
        let read = |text: &rn_key_text| Ok((form_of(text.form)?, unsafe { bytes(text.data, text.length) }?));
        let texts: Vec<_> = texts.iter().map(read).collect::<Result<_, Reason>>()?;
        // SAFETY: the caller's promise.
        unsafe { hand_out(Keyring::from_texts(&texts).map(rn_keys), keys, error, error_capacity, error_length) }
    })
}

/// Makes keys from a file that [`rn_keys_refresh`] reads again.
///
/// Errors: the 200s, with one sentence in `error`, cut to its capacity.
///
/// # Safety
/// `path` must be readable for `path_length` bytes; the rest as [`rn_keys_new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_open(
    form: u32,
    path: *const u8,
    path_length: usize,
    keys: *mut *mut rn_keys,
    error: *mut u8,
    error_capacity: usize,
    error_length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (path, keys) = unsafe { (bytes(path, path_length)?, out(keys)?) };
        let made = Keyring::from_file(path_of(path), form_of(form)?);
        // SAFETY: the caller's promise.
        unsafe { hand_out(made.map(rn_keys), keys, error, error_capacity, error_length) }
    })
}

/// Reads the keys' file again and takes what is in it when it has changed. On an error the old keys stay.
///
/// Errors: the 200s, with one sentence in `error`, cut to its capacity.
///
/// # Safety
/// `keys` must be a live handle, `changed` and `error_length` writable for one value, `error` for `error_capacity`
/// bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_refresh(
    keys: *const rn_keys,
    changed: *mut u32,
    error: *mut u8,
    error_capacity: usize,
    error_length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (keys, changed) = unsafe { (keys_of(keys)?, out(changed)?) };
        // SAFETY: the caller's promise.
        let done = unsafe { explain(keys.refresh(), error, error_capacity, error_length) }?;
        *changed = done.into();
        Ok(())
    })
}

/// Releases keys; null is allowed.
///
/// # Safety
/// `keys` must come from [`rn_keys_new`] or [`rn_keys_open`], be released once, and not be in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_keys_free(keys: *mut rn_keys) {
    // SAFETY: the caller's promise.
    unsafe { release(keys) }
}

/// Makes a policy from its JSON: an object with any of `algorithms`, `leeway`, `require_exp`, `issuer`, `audience`,
/// `required`, `max_lifetime`, `max_age` and `type`.
///
/// Errors: `SettingInvalid`, with one sentence in `error`, cut to its capacity.
///
/// # Safety
/// `json` must be readable for `json_length` bytes, `policy` and `error_length` writable for one value, `error` for
/// `error_capacity` bytes. Release with [`rn_policy_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_policy_new(
    json: *const u8,
    json_length: usize,
    policy: *mut *mut rn_policy,
    error: *mut u8,
    error_capacity: usize,
    error_length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (json, policy) = unsafe { (bytes(json, json_length)?, out(policy)?) };
        // SAFETY: the caller's promise.
        unsafe { hand_out(Policy::from_json(json).map(rn_policy), policy, error, error_capacity, error_length) }
    })
}

/// Releases a policy; null is allowed.
///
/// # Safety
/// `policy` must come from [`rn_policy_new`], be released once, and not be in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_policy_free(policy: *mut rn_policy) {
    // SAFETY: the caller's promise.
    unsafe { release(policy) }
}

/// Verifies a token and writes its header and its claims, as the JSON that was signed, one after the other.
///
/// Errors: the 100s; `KeyUnsupported` when no key of `keys` verifies; `BufferTooSmall` ([`RN_TOKEN_BYTES`] always do).
///
/// # Safety
/// `keys` and `policy` must be live handles, `token` readable for `token_length` bytes, `buffer` writable for
/// `capacity`, `texts` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwt_verify(
    keys: *const rn_keys,
    policy: *const rn_policy,
    token: *const u8,
    token_length: usize,
    now: i64,
    buffer: *mut u8,
    capacity: usize,
    texts: *mut rn_token_texts,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (keys, policy, token) = unsafe { (keys_of(keys)?, policy_of(policy)?, bytes(token, token_length)?) };
        let compact = Compact::parse(token)?;
        let claims = jwt::verify_compact(&compact, keys.ring().verifying()?, policy, now)?;
        // SAFETY: the caller's promise.
        unsafe { write_texts(&compact.header.json, &claims.json, buffer, capacity, texts) }
    })
}

/// Checks a token's signature and nothing else: the payload may be any bytes, and is not written.
///
/// Errors: the 100s; `KeyUnsupported` when no key of `keys` verifies.
///
/// # Safety
/// `keys` and `policy` must be live handles, `token` readable for `token_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jws_verify(
    keys: *const rn_keys,
    policy: *const rn_policy,
    token: *const u8,
    token_length: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (keys, policy, token) = unsafe { (keys_of(keys)?, policy_of(policy)?, bytes(token, token_length)?) };
        jwt::check_signature(&Compact::parse(token)?, keys.ring().verifying()?, policy)
    })
}

/// Writes a token's header and payload, one after the other, **without verifying anything**.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`; `BufferTooSmall`.
///
/// # Safety
/// `token` must be readable for `token_length` bytes, `buffer` writable for `capacity`, `texts` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwt_decode_unverified(
    token: *const u8,
    token_length: usize,
    buffer: *mut u8,
    capacity: usize,
    texts: *mut rn_token_texts,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let compact = Compact::parse(unsafe { bytes(token, token_length)? })?;
        let claims = compact.unverified_claims()?;
        // SAFETY: the caller's promise.
        unsafe { write_texts(&compact.header.json, &claims.json, buffer, capacity, texts) }
    })
}

/// Signs claims, given as the JSON of one object, and writes the token. `options` is the JSON of an object with any of
/// `algorithm`, `kid`, `typ`, `header`, `issuer`, `lifetime` and `jti`.
///
/// Errors: `SettingInvalid` with a sentence in `buffer`; `ClaimMalformed` when the claims are no JSON object;
/// `KeyCannotSign`; `TokenTooLarge`; `BufferTooSmall` ([`RN_TOKEN_BYTES`] always do).
///
/// # Safety
/// `keys` must be a live handle, `options` and `claims` readable for their lengths, `buffer` writable for `capacity`,
/// `length` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwt_sign(
    keys: *const rn_keys,
    options: *const u8,
    options_length: usize,
    claims: *const u8,
    claims_length: usize,
    now: i64,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (keys, options, claims) =
            unsafe { (keys_of(keys)?, bytes(options, options_length)?, bytes(claims, claims_length)?) };
        // SAFETY: the caller's promise.
        let issue = unsafe { explain(SignOptions::from_json(options), buffer, capacity, length) }?;
        let token = jwt::sign(claims, keys.ring().signing()?, &issue, now)?;
        // SAFETY: the caller's promise.
        unsafe { write_bytes(token.as_bytes(), buffer, capacity, length) }
    })
}

/// Signs a payload of any bytes under a header as it is, a JSON object whose `alg` says how, and writes the token.
///
/// Errors: `TokenMalformed` when the header is no JSON object with an `alg`, `HeaderUnsupported`, `KeyCannotSign`,
/// `TokenTooLarge`, `BufferTooSmall`.
///
/// # Safety
/// `keys` must be a live handle, `header` and `payload` readable for their lengths, `buffer` writable for `capacity`,
/// `length` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jws_sign(
    keys: *const rn_keys,
    header: *const u8,
    header_length: usize,
    payload: *const u8,
    payload_length: usize,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (keys, header, payload) =
            unsafe { (keys_of(keys)?, bytes(header, header_length)?, bytes(payload, payload_length)?) };
        let token = jwt::sign_parts(header, payload, keys.ring().signing()?)?;
        // SAFETY: the caller's promise.
        unsafe { write_bytes(token.as_bytes(), buffer, capacity, length) }
    })
}

/// Whether a text is one JSON object that names no member twice, at any depth: 0 or `ClaimMalformed`.
///
/// # Safety
/// `json` must be readable for `json_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_json_check(json: *const u8, json_length: usize) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        parse_object(unsafe { bytes(json, json_length)? }).map(|_| ()).ok_or(Reason::ClaimMalformed)
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

/// # Safety
/// `keys` must be null or a live handle.
unsafe fn keys_of<'a>(keys: *const rn_keys) -> Result<&'a Keyring, Reason> {
    // SAFETY: the caller's promise.
    unsafe { keys.as_ref() }.map(|keys| &keys.0).ok_or(Reason::InvalidArgument)
}

/// # Safety
/// `policy` must be null or a live handle.
unsafe fn policy_of<'a>(policy: *const rn_policy) -> Result<&'a Policy, Reason> {
    // SAFETY: the caller's promise.
    unsafe { policy.as_ref() }.map(|policy| &policy.0).ok_or(Reason::InvalidArgument)
}

/// # Safety
/// `buffer` must be writable for `capacity` bytes, `texts` for one value.
pub(super) unsafe fn write_texts(
    header: &[u8],
    claims: &[u8],
    buffer: *mut u8,
    capacity: usize,
    texts: *mut rn_token_texts,
) -> Result<(), Reason> {
    // SAFETY: the caller's promise.
    let texts = unsafe { out(texts) }?;
    // Both are shorter than the token, whose length is bounded.
    (texts.header_length, texts.claims_length) = (header.len() as u32, claims.len() as u32);
    // SAFETY: the caller's promise; the length goes nowhere.
    unsafe { write_bytes(&[header, claims].concat(), buffer, capacity, &mut 0) }
}
