//! The C ABI of signed tokens: policies, verification and signing. The conventions are those of [`super`].

use super::keys::rn_keys;
use super::{Caller, clock, guard, release, required};
use crate::error::Reason;
use crate::json::parse_object;
use crate::jwt::{self, Compact, MAX_TOKEN_BYTES, Parts, Policy, SignOptions};
use crate::metrics::key_use;
use crate::revocation::{Names, live};

/// The longest token, in bytes. A buffer of this size is enough for a token and for its contents.
pub const RN_TOKEN_BYTES: usize = 16384;
const _: () = assert!(MAX_TOKEN_BYTES == RN_TOKEN_BYTES);

/// The requirements of a token besides its signature.
#[allow(non_camel_case_types)]
pub struct rn_policy(pub(super) Policy);

/// The settings of tokens to sign.
#[allow(non_camel_case_types)]
pub struct rn_sign_options(SignOptions);

/// The lengths of a token's header and claims, which follow each other in the caller's buffer.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_token_texts {
    /// The length of the header's JSON, in bytes.
    pub header_length: u32,
    /// The length of the claims' JSON, the payload or the plaintext, in bytes.
    pub claims_length: u32,
}

/// Creates a policy from its JSON: an object with any of `algorithms`, `leeway`, `require_exp`, `issuer`, `audience`,
/// `required`, `max_lifetime`, `max_age` and `type`.
///
/// Errors: `SettingInvalid`, with one sentence in `error`.
///
/// Release with [`rn_policy_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_policy_new(
    json: *const u8,
    json_length: usize,
    policy: Option<&mut *mut rn_policy>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (json, policy) = (caller.bytes(json, json_length)?, required(policy)?);
        caller.new_handle(Policy::from_json(json).map(rn_policy), policy, error, error_capacity, error_length)
    })
}

/// Checks that some key of `keys` verifies an algorithm that the policy allows.
///
/// Errors: `SettingInvalid`, with one sentence in `error`; `KeyUnsupported` when no key of `keys` can verify.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_policy_check_keys(
    policy: Option<&rn_policy>,
    keys: Option<&rn_keys>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (policy, keys) = (&required(policy)?.0, required(keys)?.current());
        caller.or_write_error(policy.check_keys(&keys.verifying), error, error_capacity, error_length)
    })
}

/// Releases a policy. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_policy_free(policy: Option<Box<rn_policy>>) {
    release(policy)
}

/// Verifies a token and writes its header, followed by its claims: the JSON texts that were signed.
///
/// Errors: the 100s; `KeyUnsupported` when no key of `keys` can verify; `BufferTooSmall` ([`RN_TOKEN_BYTES`] is always
/// enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwt_verify(
    keys: Option<&rn_keys>,
    policy: Option<&rn_policy>,
    token: *const u8,
    token_length: usize,
    now: i64,
    buffer: *mut u8,
    capacity: usize,
    texts: Option<&mut rn_token_texts>,
) -> i32 {
    guard(|caller| {
        let (keys, policy, token) = (required(keys)?, &required(policy)?.0, caller.bytes(token, token_length)?);
        let compact = Compact::parse(token)?;
        let claims = jwt::verify_compact(&compact, &keys.current().verifying, policy, now)?;
        live().check_token(token, &claims, now)?;
        write_texts(caller, &compact.header.json, &claims.json, buffer, capacity, texts)
    })
}

/// Verifies a token, as [`rn_jwt_verify`] does, and writes its identity, for [`super::rn_identity_check`].
///
/// Errors: those of [`rn_jwt_verify`]; `BufferTooSmall` ([`super::RN_IDENTITY_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwt_identity(
    keys: Option<&rn_keys>,
    policy: Option<&rn_policy>,
    token: *const u8,
    token_length: usize,
    now: i64,
    identity: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (keys, policy, token) = (required(keys)?, &required(policy)?.0, caller.bytes(token, token_length)?);
        let claims = jwt::verify(token, &keys.current().verifying, policy, now)?;
        caller.write(&Names::of(token, &claims).identity().to_bytes(), identity, capacity, length)
    })
}

/// Checks a token's signature alone. The payload may be any bytes.
///
/// Errors: the 100s; `KeyUnsupported` when no key of `keys` can verify.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jws_verify(
    keys: Option<&rn_keys>,
    policy: Option<&rn_policy>,
    token: *const u8,
    token_length: usize,
) -> i32 {
    guard(|caller| {
        let (keys, policy, token) = (required(keys)?, &required(policy)?.0, caller.bytes(token, token_length)?);
        let current = keys.current();
        let key = jwt::check_signature(&Compact::parse(token)?, &current.verifying, policy)?;
        key_use::note(key.id(), clock());
        Ok(())
    })
}

/// Writes a token's header, followed by its claims, **without verifying anything**.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`; `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwt_decode_unverified(
    token: *const u8,
    token_length: usize,
    buffer: *mut u8,
    capacity: usize,
    texts: Option<&mut rn_token_texts>,
) -> i32 {
    guard(|caller| {
        let compact = Compact::parse(caller.bytes(token, token_length)?)?;
        let claims = compact.unverified_claims()?;
        write_texts(caller, &compact.header.json, &claims.json, buffer, capacity, texts)
    })
}

/// Creates sign options from their JSON: an object with any of `algorithm`, `kid`, `typ`, `header`, `issuer`,
/// `lifetime` and `jti`.
///
/// Errors: `SettingInvalid`, with one sentence in `error`.
///
/// Release with [`rn_sign_options_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_sign_options_new(
    json: *const u8,
    json_length: usize,
    options: Option<&mut *mut rn_sign_options>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (json, options) = (caller.bytes(json, json_length)?, required(options)?);
        let result = SignOptions::from_json(json).map(rn_sign_options);
        caller.new_handle(result, options, error, error_capacity, error_length)
    })
}

/// Releases sign options. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_sign_options_free(options: Option<Box<rn_sign_options>>) {
    release(options)
}

/// Signs claims, the JSON of one object, and writes the token.
///
/// Errors: `ClaimMalformed` when the claims are not a JSON object; `KeyCannotSign`; `TokenTooLarge`; `BufferTooSmall`
/// ([`RN_TOKEN_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jwt_sign(
    keys: Option<&rn_keys>,
    options: Option<&rn_sign_options>,
    claims: *const u8,
    claims_length: usize,
    now: i64,
    buffer: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (keys, options) = (required(keys)?, &required(options)?.0);
        let token = jwt::sign(caller.bytes(claims, claims_length)?, keys.current().signing()?, options, now)?;
        caller.write(token.as_bytes(), buffer, capacity, length)
    })
}

/// Signs a payload of any bytes under an unchanged header, a JSON object with an `alg`, and writes the token.
///
/// Errors: `TokenMalformed` for another header, `HeaderUnsupported`, `KeyCannotSign`, `TokenTooLarge`,
/// `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jws_sign(
    keys: Option<&rn_keys>,
    header: *const u8,
    header_length: usize,
    payload: *const u8,
    payload_length: usize,
    buffer: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (keys, header, payload) =
            (required(keys)?, caller.bytes(header, header_length)?, caller.bytes(payload, payload_length)?);
        let token = jwt::sign_parts(header, payload, keys.current().signing()?)?;
        caller.write(token.as_bytes(), buffer, capacity, length)
    })
}

/// Checks that a text is one JSON object without duplicate members at any depth and with at most 4,096 values: 0 or
/// `ClaimMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_json_check(json: *const u8, json_length: usize) -> i32 {
    guard(|caller| parse_object(caller.bytes(json, json_length)?).map(|_| ()).ok_or(Reason::ClaimMalformed))
}

/// Writes a token's header, a JSON object, followed by its payload, any bytes, **without verifying anything**.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`; `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jws_decode_unverified(
    token: *const u8,
    token_length: usize,
    buffer: *mut u8,
    capacity: usize,
    texts: Option<&mut rn_token_texts>,
) -> i32 {
    guard(|caller| {
        let parts = Parts::split(caller.bytes(token, token_length)?)?;
        let (header, payload) = parts.unverified()?;
        write_texts(caller, &header, &payload, buffer, capacity, texts)
    })
}

/// Writes two texts, the second following the first, and their lengths.
pub(super) fn write_texts(
    caller: &Caller,
    header: &[u8],
    claims: &[u8],
    buffer: *mut u8,
    capacity: usize,
    texts: Option<&mut rn_token_texts>,
) -> Result<(), Reason> {
    let texts = required(texts)?;
    // Both are shorter than the token, whose length is bounded.
    (texts.header_length, texts.claims_length) = (header.len() as u32, claims.len() as u32);
    caller.fill(&[header, claims].concat(), buffer, capacity)
}
