//! Signed tokens over the C ABI: policies, verification and signing. The conventions are those of [`super`].

use super::keys::rn_keys;
use super::{Caller, given, guard, release};
use crate::error::Reason;
use crate::json::parse_object;
use crate::jwt::{self, Compact, MAX_TOKEN_BYTES, Parts, Policy, SignOptions};

/// The longest token that is read or made; a buffer of this size holds any answer about one.
pub const RN_TOKEN_BYTES: usize = 16384;
const _: () = assert!(MAX_TOKEN_BYTES == RN_TOKEN_BYTES);

/// What a token must satisfy besides its signature, read once.
#[allow(non_camel_case_types)]
pub struct rn_policy(Policy);

/// What is put into a token besides its claims, read once.
#[allow(non_camel_case_types)]
pub struct rn_sign_options(SignOptions);

/// The lengths of the two texts that a token holds: the header comes first, the claims follow it.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_token_texts {
    /// Length of the header's JSON.
    pub header_length: u32,
    /// Length of the claims' JSON.
    pub claims_length: u32,
}

/// Makes a policy from its JSON: an object with any of `algorithms`, `leeway`, `require_exp`, `issuer`, `audience`,
/// `required`, `max_lifetime`, `max_age` and `type`.
///
/// Errors: `SettingInvalid`, with one sentence in `error`, cut to its capacity.
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
        let (json, policy) = (caller.bytes(json, json_length)?, given(policy)?);
        caller.hand_out(Policy::from_json(json).map(rn_policy), policy, error, error_capacity, error_length)
    })
}

/// Releases a policy; null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_policy_free(policy: Option<Box<rn_policy>>) {
    release(policy)
}

/// Verifies a token and writes its header and its claims, as the JSON that was signed, one after the other.
///
/// Errors: the 100s; `KeyUnsupported` when no key of `keys` verifies; `BufferTooSmall` ([`RN_TOKEN_BYTES`] always do).
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
        let (keys, policy, token) = (given(keys)?, &given(policy)?.0, caller.bytes(token, token_length)?);
        let compact = Compact::parse(token)?;
        let claims = jwt::verify_compact(&compact, keys.current().verifying()?, policy, now)?;
        write_texts(caller, &compact.header.json, &claims.json, buffer, capacity, texts)
    })
}

/// Checks a token's signature and nothing else: the payload may be any bytes, and is not written.
///
/// Errors: the 100s; `KeyUnsupported` when no key of `keys` verifies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_jws_verify(
    keys: Option<&rn_keys>,
    policy: Option<&rn_policy>,
    token: *const u8,
    token_length: usize,
) -> i32 {
    guard(|caller| {
        let (keys, policy, token) = (given(keys)?, &given(policy)?.0, caller.bytes(token, token_length)?);
        jwt::check_signature(&Compact::parse(token)?, keys.current().verifying()?, policy)
    })
}

/// Writes a token's header and payload, one after the other, **without verifying anything**.
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

/// Makes sign options from their JSON: an object with any of `algorithm`, `kid`, `typ`, `header`, `issuer`, `lifetime`
/// and `jti`.
///
/// Errors: `SettingInvalid`, with one sentence in `error`, cut to its capacity.
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
        let (json, options) = (caller.bytes(json, json_length)?, given(options)?);
        let made = SignOptions::from_json(json).map(rn_sign_options);
        caller.hand_out(made, options, error, error_capacity, error_length)
    })
}

/// Releases sign options; null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_sign_options_free(options: Option<Box<rn_sign_options>>) {
    release(options)
}

/// Signs claims, given as the JSON of one object, and writes the token.
///
/// Errors: `ClaimMalformed` when the claims are no JSON object; `KeyCannotSign`; `TokenTooLarge`; `BufferTooSmall`
/// ([`RN_TOKEN_BYTES`] always do).
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
        let (keys, options) = (given(keys)?, &given(options)?.0);
        let token = jwt::sign(caller.bytes(claims, claims_length)?, keys.current().signing()?, options, now)?;
        caller.write(token.as_bytes(), buffer, capacity, length)
    })
}

/// Signs a payload of any bytes under a header as it is, a JSON object whose `alg` says how, and writes the token.
///
/// Errors: `TokenMalformed` when the header is no JSON object with an `alg`, `HeaderUnsupported`, `KeyCannotSign`,
/// `TokenTooLarge`, `BufferTooSmall`.
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
            (given(keys)?, caller.bytes(header, header_length)?, caller.bytes(payload, payload_length)?);
        let token = jwt::sign_parts(header, payload, keys.current().signing()?)?;
        caller.write(token.as_bytes(), buffer, capacity, length)
    })
}

/// Checks that a text is one JSON object that names no member twice, at any depth, and has at most 4,096 values: 0 or
/// `ClaimMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_json_check(json: *const u8, json_length: usize) -> i32 {
    guard(|caller| parse_object(caller.bytes(json, json_length)?).map(|_| ()).ok_or(Reason::ClaimMalformed))
}

/// Writes a token's header, a JSON object, and its payload, any bytes, **without verifying anything**.
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

/// Writes two texts one after the other, and their lengths.
pub(super) fn write_texts(
    caller: &Caller,
    header: &[u8],
    claims: &[u8],
    buffer: *mut u8,
    capacity: usize,
    texts: Option<&mut rn_token_texts>,
) -> Result<(), Reason> {
    let texts = given(texts)?;
    // Both are shorter than the token, whose length is bounded.
    (texts.header_length, texts.claims_length) = (header.len() as u32, claims.len() as u32);
    caller.fill(&[header, claims].concat(), buffer, capacity)
}
