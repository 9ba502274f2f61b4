//! The C ABI of the desktop gateway: the conventions are those of [`super`].

use super::{Caller, given, guard, invalid_option, release, rn_header};
use crate::credential::{self, FINGERPRINT_BYTES, fingerprint};
use crate::desktop::cache::Tag;
use crate::desktop::gateway::{Gateway, Options};
use crate::desktop::hash_claim::Padding;
use crate::desktop::resolve;
use crate::desktop::target::{self, MAX_HOST_BYTES, Suffix};
use crate::error::{ConfigError, Reason};
use crate::jwt::Policy;

/// The size of [`rn_answer::target`].
pub const RN_TARGET_BYTES: usize = 256;
const _: () = assert!(MAX_HOST_BYTES <= RN_TARGET_BYTES);

/// The size of [`rn_answer::fingerprint`].
pub const RN_FINGERPRINT_BYTES: usize = 12;
const _: () = assert!(FINGERPRINT_BYTES == RN_FINGERPRINT_BYTES);

/// The size of [`rn_answer::tag`].
pub const RN_TAG_BYTES: usize = 16;
const _: () = assert!(size_of::<Tag>() == RN_TAG_BYTES);

/// What [`rn_gateway_new`] reads. Texts are pointer and length; an absent text has length 0.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_gateway_options {
    /// Path of the file with the key or keys that sign tokens.
    pub signing_key: *const u8,
    /// Its length.
    pub signing_key_length: usize,
    /// Path of the file with the private key that opens the `hash` claim.
    pub payload_key: *const u8,
    /// Its length.
    pub payload_key_length: usize,
    /// `pkcs1v15` (also when absent), `oaep-sha1` or `oaep-sha256`.
    pub padding: *const u8,
    /// Its length.
    pub padding_length: usize,
    /// The suffix that targets must have; absent: any target.
    pub suffix: *const u8,
    /// Its length.
    pub suffix_length: usize,
    /// Clock skew that is forgiven, in seconds.
    pub leeway: u32,
    /// The most answers that a process keeps for itself.
    pub cache_entries: u32,
}

/// An answer, written into memory of the caller. Its lengths have 32 bits because LuaJIT boxes 64-bit numbers.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_answer {
    /// Where the token lies within the request's headers; as long-lived as they are.
    pub token: *const u8,
    /// The token's length.
    pub token_length: u32,
    /// The target's length.
    pub target_length: u32,
    /// Seconds that the answer may be kept; 0: not at all. Written by [`rn_gateway_resolve`] alone.
    pub ttl: u32,
    /// 1 when the target is a host name, 0 when it is an address and needs no resolver.
    pub is_name: u32,
    /// What stands for the token in logs.
    pub fingerprint: [u8; RN_FINGERPRINT_BYTES],
    /// The token's name in this process's cache. Written by a lookup, for [`rn_gateway_remember`] alone.
    pub tag: [u8; RN_TAG_BYTES],
    /// The target, not terminated.
    pub target: [u8; RN_TARGET_BYTES],
}

/// A gateway's keys, settings and cache.
#[allow(non_camel_case_types)]
pub struct rn_gateway(Gateway);

/// Makes a gateway: reads and parses its keys.
///
/// Errors: the 200s, with one sentence in `error`, cut to its capacity. That of `SettingInvalid` begins with the name that
/// Lua's setup() knows the setting by.
///
/// Release with [`rn_gateway_free`]. To be called before nginx forks: the workers inherit the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_new(
    options: Option<&rn_gateway_options>,
    gateway: Option<&mut *mut rn_gateway>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (options, gateway) = (given(options)?, given(gateway)?);
        caller.hand_out(new_gateway(caller, options).map(rn_gateway), gateway, error, error_capacity, error_length)
    })
}

/// Releases a gateway; null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_gateway_free(gateway: Option<Box<rn_gateway>>) {
    release(gateway)
}

/// Finds the token among a request's headers and looks it up in this process's cache: the hot path, one call.
///
/// 0: `answer` holds the target, the fingerprint and the token's place. `NotCached`: it holds the token's place.
/// `TokenMissing`: neither header is there. Other errors: `TokenAmbiguous`, `TokenTooLarge`; an empty header is
/// `TokenMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_lookup(
    gateway: Option<&rn_gateway>,
    headers: *const rn_header,
    count: usize,
    now: i64,
    answer: Option<&mut rn_answer>,
) -> i32 {
    guard(|caller| {
        let (gateway, headers, answer) = (&given(gateway)?.0, caller.array(headers, count)?, given(answer)?);
        let pairs = headers.iter().map(|header| (caller.string(&header.name), caller.string(&header.value)));
        let token = match credential::from_headers(pairs) {
            Ok(found) => found.ok_or(Reason::TokenMissing)?,
            // The header is there but empty: not the same as no header, which lets the query be asked.
            Err(Reason::TokenMissing) => return Err(Reason::TokenMalformed),
            Err(reason) => return Err(reason),
        };
        place_token(answer, token);
        cached(gateway, token, now, answer)
    })
}

/// Looks a token up in this process's cache, wherever it was found.
///
/// 0: `answer` holds target and fingerprint. Errors: `NotCached`, `TokenTooLarge`, `TokenMissing` when empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_lookup_token(
    gateway: Option<&rn_gateway>,
    token: *const u8,
    token_length: usize,
    now: i64,
    answer: Option<&mut rn_answer>,
) -> i32 {
    guard(|caller| {
        let (gateway, text, answer) = (&given(gateway)?.0, caller.bytes(token, token_length)?, given(answer)?);
        let token = credential::token_of(text)?;
        place_token(answer, token);
        cached(gateway, token, now, answer)
    })
}

/// Resolves a token: verifies it, decrypts its target, and keeps the answer in this process's cache.
///
/// 0: `answer` holds target, seconds and fingerprint. On an error of the 100s it still holds the fingerprint.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_resolve(
    gateway: Option<&rn_gateway>,
    token: *const u8,
    token_length: usize,
    now: i64,
    answer: Option<&mut rn_answer>,
) -> i32 {
    guard(|caller| {
        let (gateway, token, answer) = (&given(gateway)?.0, caller.bytes(token, token_length)?, given(answer)?);
        answer.fingerprint = fingerprint(token);
        let resolution = gateway.resolve(token, now)?;
        answer.ttl = resolution.ttl;
        write_target(answer, &resolution.target);
        Ok(())
    })
}

/// Verifies a token and writes the text of its `hash` claim, for [`rn_gateway_decrypt`], and into `answer` the seconds
/// that its target may be kept: some 25 µs of a millisecond, so that a forgery costs no more.
///
/// Errors: the 100s; `BufferTooSmall` ([`super::RN_TOKEN_BYTES`] always do).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_check(
    gateway: Option<&rn_gateway>,
    token: *const u8,
    token_length: usize,
    now: i64,
    answer: Option<&mut rn_answer>,
    hash: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (gateway, answer) = (&given(gateway)?.0, given(answer)?);
        let claims = gateway.verify(caller.bytes(token, token_length)?, now)?;
        answer.ttl = resolve::ttl(&claims, now)?;
        caller.write(resolve::hash_of(&claims)?.as_bytes(), hash, capacity, length)
    })
}

/// Keeps an answer that another worker has worked out in this process's cache, for `ttl` seconds, and writes the target
/// into `answer` as a lookup would have.
///
/// Errors: `InvalidArgument` for a target that [`rn_gateway_resolve`] would not have written.
///
/// `answer` must be as a lookup of the token that ended in `NotCached`, and then [`rn_gateway_shared_key`], left it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_remember(
    gateway: Option<&rn_gateway>,
    answer: Option<&mut rn_answer>,
    target: *const u8,
    target_length: usize,
    now: i64,
    ttl: u32,
) -> i32 {
    guard(|caller| {
        let (gateway, answer, target) = (&given(gateway)?.0, given(answer)?, caller.bytes(target, target_length)?);
        let target = std::str::from_utf8(target).map_err(|_| Reason::InvalidArgument)?;
        if !target::is_normalised(target) {
            return Err(Reason::InvalidArgument);
        }
        gateway.remember_by_tag(Tag(u128::from_ne_bytes(answer.tag)), answer.fingerprint, target, now, ttl);
        write_target(answer, target);
        Ok(())
    })
}

/// Writes the 32 bytes that name the token of `answer` in a cache which all workers share, and its fingerprint into
/// `answer`.
///
/// `answer` must be as a lookup that ended in `NotCached` left it, with its token still readable; `key` must be writable for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_shared_key(
    gateway: Option<&rn_gateway>,
    answer: Option<&mut rn_answer>,
    key: *mut u8,
) -> i32 {
    guard(|caller| {
        let (gateway, answer) = (&given(gateway)?.0, given(answer)?);
        let token = caller.bytes(answer.token, answer.token_length as usize)?;
        let (name, fingerprint) = gateway.shared_key(token);
        answer.fingerprint = fingerprint;
        caller.fill(&name, key, name.len())
    })
}

/// Writes the fingerprint that stands for a token in logs: 12 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_token_fingerprint(token: *const u8, token_length: usize, out: *mut u8) -> i32 {
    guard(|caller| caller.fill(&fingerprint(caller.bytes(token, token_length)?), out, FINGERPRINT_BYTES))
}

/// Verifies a token and writes its claims, as the JSON that was signed.
///
/// Errors: the 100s; `BufferTooSmall` with the size needed in `length` (never more than the token's length).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_verify(
    gateway: Option<&rn_gateway>,
    token: *const u8,
    token_length: usize,
    now: i64,
    claims: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (gateway, token) = (&given(gateway)?.0, caller.bytes(token, token_length)?);
        let verified = gateway.verify(token, now)?;
        caller.write(&verified.json, claims, capacity, length)
    })
}

/// Decrypts the base64 text of a `hash` claim and writes the target in it.
///
/// Errors: `PayloadInvalid`, for whatever reason; `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_decrypt(
    gateway: Option<&rn_gateway>,
    hash: *const u8,
    hash_length: usize,
    target: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (gateway, hash) = (&given(gateway)?.0, caller.bytes(hash, hash_length)?);
        let host = gateway.decrypt(hash)?;
        caller.write(host.as_bytes(), target, capacity, length)
    })
}

/// The number of answers in this process's cache; 0 for a null handle.
#[unsafe(no_mangle)]
pub extern "C" fn rn_gateway_cached_entries(gateway: Option<&rn_gateway>) -> usize {
    let mut entries = 0;
    guard(|_| {
        entries = given(gateway)?.0.cached_entries();
        Ok(())
    });
    entries
}

fn cached(gateway: &Gateway, token: &[u8], now: i64, answer: &mut rn_answer) -> Result<(), Reason> {
    // Never left as an earlier lookup wrote it: rn_gateway_remember() would keep this token's target under another's name.
    let tag = gateway.tag(token).ok_or(Reason::Internal)?;
    answer.tag = tag.0.to_ne_bytes();
    let found = gateway.cached_by_tag(&tag, now, |target, fingerprint| {
        answer.fingerprint = *fingerprint;
        write_target(answer, target);
    });
    found.ok_or(Reason::NotCached)
}

fn place_token(answer: &mut rn_answer, token: &[u8]) {
    answer.token = token.as_ptr();
    answer.token_length = token.len() as u32; // at most MAX_TOKEN_BYTES
}

fn write_target(answer: &mut rn_answer, target: &str) {
    answer.target[..target.len()].copy_from_slice(target.as_bytes());
    answer.target_length = target.len() as u32; // at most MAX_HOST_BYTES
    answer.is_name = u32::from(!target::is_address(target));
}

fn new_gateway(caller: &Caller, options: &rn_gateway_options) -> Result<Gateway, ConfigError> {
    let text = |data, length| caller.option_text(data, length);
    let path = |data, length| caller.option_path(data, length);
    let padding = match text(options.padding, options.padding_length)? {
        "" => Padding::default(),
        name => Padding::from_name(name)
            .ok_or_else(|| invalid_option("payload_padding must be pkcs1v15, oaep-sha1 or oaep-sha256"))?,
    };
    let suffix = match text(options.suffix, options.suffix_length)? {
        "" => None,
        name => Some(Suffix::parse(name).ok_or_else(|| invalid_option("target_suffix must be a host name"))?),
    };
    Gateway::new(Options {
        signing_key: path(options.signing_key, options.signing_key_length)?,
        payload_key: path(options.payload_key, options.payload_key_length)?,
        padding,
        policy: Policy { leeway: options.leeway, ..Policy::default() },
        suffix,
        cache_entries: options.cache_entries as usize,
    })
}
