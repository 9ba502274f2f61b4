//! The C ABI of the desktop gateway: the conventions are those of [`super`].

use super::{
    array, bytes, guard, hand_out, invalid_option, option_path, option_text, out, release, rn_header, string,
    write_bytes,
};
use crate::credential::{self, FINGERPRINT_BYTES, fingerprint};
use crate::desktop::cache::Tag;
use crate::desktop::gateway::{Gateway, Options};
use crate::desktop::hash_claim::Padding;
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
/// # Safety
/// `options` must point to a whole struct whose texts are readable for their lengths, `gateway` and
/// `error_length` must be writable for one value, `error` for `error_capacity` bytes. Release with
/// [`rn_gateway_free`]. To be called before nginx forks: the workers inherit the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_new(
    options: *const rn_gateway_options,
    gateway: *mut *mut rn_gateway,
    error: *mut u8,
    error_capacity: usize,
    error_length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise; null is checked.
        let (options, gateway) = unsafe { (options.as_ref().ok_or(Reason::InvalidArgument)?, out(gateway)?) };
        // SAFETY: the caller's promise.
        unsafe { hand_out(new_gateway(options).map(rn_gateway), gateway, error, error_capacity, error_length) }
    })
}

/// Releases a gateway; null is allowed.
///
/// # Safety
/// `gateway` must come from [`rn_gateway_new`], be released once, and not be in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_free(gateway: *mut rn_gateway) {
    // SAFETY: the caller's promise.
    unsafe { release(gateway) }
}

/// Finds the token among a request's headers and looks it up in this process's cache: the hot path, one call.
///
/// 0: `answer` holds the target, the fingerprint and the token's place. `NotCached`: it holds the token's place.
/// `TokenMissing`: neither header is there. Other errors: `TokenAmbiguous`, `TokenTooLarge`; an empty header is
/// `TokenMalformed`.
///
/// # Safety
/// `headers` must be an array of `count` headers, each readable for its lengths; `answer` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_lookup(
    gateway: *const rn_gateway,
    headers: *const rn_header,
    count: usize,
    now: i64,
    answer: *mut rn_answer,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (gateway, headers, answer) = unsafe { (gateway_of(gateway)?, array(headers, count)?, out(answer)?) };
        // SAFETY: the caller's promise, for each header.
        let pairs = headers.iter().map(|header| unsafe { (string(&header.name), string(&header.value)) });
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
///
/// # Safety
/// `token` must be readable for `token_length` bytes, `answer` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_lookup_token(
    gateway: *const rn_gateway,
    token: *const u8,
    token_length: usize,
    now: i64,
    answer: *mut rn_answer,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (gateway, text, answer) = unsafe { (gateway_of(gateway)?, bytes(token, token_length)?, out(answer)?) };
        let token = credential::token_of(text)?;
        place_token(answer, token);
        cached(gateway, token, now, answer)
    })
}

/// Resolves a token: verifies it, decrypts its target, and keeps the answer in this process's cache.
///
/// 0: `answer` holds target, seconds and fingerprint. On an error of the 100s it still holds the fingerprint.
///
/// # Safety
/// `token` must be readable for `token_length` bytes, `answer` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_resolve(
    gateway: *const rn_gateway,
    token: *const u8,
    token_length: usize,
    now: i64,
    answer: *mut rn_answer,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (gateway, token, answer) = unsafe { (gateway_of(gateway)?, bytes(token, token_length)?, out(answer)?) };
        answer.fingerprint = fingerprint(token);
        let resolution = gateway.resolve(token, now)?;
        answer.ttl = resolution.ttl;
        write_target(answer, &resolution.target);
        Ok(())
    })
}

/// Verifies a token without decrypting its target: some 25 µs of a millisecond, so that a forgery costs no more.
///
/// # Safety
/// `token` must be readable for `token_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_check(
    gateway: *const rn_gateway,
    token: *const u8,
    token_length: usize,
    now: i64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (gateway, token) = unsafe { (gateway_of(gateway)?, bytes(token, token_length)?) };
        gateway.verify(token, now).map(|_| ())
    })
}

/// Keeps an answer that another worker has worked out in this process's cache, for `ttl` seconds, and writes the target
/// into `answer` as a lookup would have.
///
/// Errors: `InvalidArgument` for a target that [`rn_gateway_resolve`] would not have written.
///
/// # Safety
/// `answer` must be as a lookup of the token that ended in `NotCached`, and then [`rn_gateway_shared_key`], left it.
/// `target` must be readable for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_remember(
    gateway: *const rn_gateway,
    answer: *mut rn_answer,
    target: *const u8,
    target_length: usize,
    now: i64,
    ttl: u32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (gateway, answer, target) = unsafe { (gateway_of(gateway)?, out(answer)?, bytes(target, target_length)?) };
        let target = std::str::from_utf8(target).map_err(|_| Reason::InvalidArgument)?;
        if !target::is_normalised(target) {
            return Err(Reason::InvalidArgument);
        }
        gateway.remember_as(Tag(u128::from_ne_bytes(answer.tag)), answer.fingerprint, target, now, ttl);
        write_target(answer, target);
        Ok(())
    })
}

/// Writes an answer that came from elsewhere, such as the cache that all workers share, as a lookup would have.
///
/// Errors: `InvalidArgument` for a target that is no host.
///
/// # Safety
/// `token` and `target` must be readable for their lengths, `answer` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_answer_write(
    answer: *mut rn_answer,
    token: *const u8,
    token_length: usize,
    target: *const u8,
    target_length: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (answer, token, target) =
            unsafe { (out(answer)?, bytes(token, token_length)?, bytes(target, target_length)?) };
        let target = std::str::from_utf8(target).ok().and_then(target::normalise).ok_or(Reason::InvalidArgument)?;
        answer.fingerprint = fingerprint(token);
        write_target(answer, &target);
        Ok(())
    })
}

/// Writes the 32 bytes that name the token of `answer` in a cache which all workers share, and its fingerprint into
/// `answer`.
///
/// # Safety
/// `answer` must be as a lookup that ended in `NotCached` left it, with its token still readable; `key` must be writable
/// for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_shared_key(
    gateway: *const rn_gateway,
    answer: *mut rn_answer,
    key: *mut u8,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (gateway, answer) = unsafe { (gateway_of(gateway)?, out(answer)?) };
        // SAFETY: the caller's promise.
        let token = unsafe { bytes(answer.token, answer.token_length as usize)? };
        let (name, fingerprint) = gateway.shared_name(token);
        answer.fingerprint = fingerprint;
        // SAFETY: the caller's promise of 32 bytes; the length goes nowhere.
        unsafe { write_bytes(&name, key, name.len(), &mut 0) }
    })
}

/// Writes the fingerprint that stands for a token in logs: 12 bytes.
///
/// # Safety
/// `token` must be readable for `token_length` bytes, `out` writable for 12.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_token_fingerprint(token: *const u8, token_length: usize, out: *mut u8) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise; the length goes nowhere.
        unsafe { write_bytes(&fingerprint(bytes(token, token_length)?), out, FINGERPRINT_BYTES, &mut 0) }
    })
}

/// Verifies a token and writes its claims, as the JSON that was signed.
///
/// Errors: the 100s; `BufferTooSmall` with the size needed in `length` (never more than the token's length).
///
/// # Safety
/// `token` must be readable for `token_length` bytes, `claims` writable for `capacity`, `length` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_verify(
    gateway: *const rn_gateway,
    token: *const u8,
    token_length: usize,
    now: i64,
    claims: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (gateway, token) = unsafe { (gateway_of(gateway)?, bytes(token, token_length)?) };
        let verified = gateway.verify(token, now)?;
        // SAFETY: the caller's promise.
        unsafe { write_bytes(&verified.json, claims, capacity, length) }
    })
}

/// Decrypts the base64 text of a `hash` claim and writes the target in it.
///
/// Errors: `PayloadInvalid`, for whatever reason; `BufferTooSmall`.
///
/// # Safety
/// `hash` must be readable for `hash_length` bytes, `target` writable for `capacity`, `length` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_decrypt(
    gateway: *const rn_gateway,
    hash: *const u8,
    hash_length: usize,
    target: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (gateway, hash) = unsafe { (gateway_of(gateway)?, bytes(hash, hash_length)?) };
        let host = gateway.decrypt(hash)?;
        // SAFETY: the caller's promise.
        unsafe { write_bytes(host.as_bytes(), target, capacity, length) }
    })
}

/// The number of answers in this process's cache; 0 for a null handle.
///
/// # Safety
/// `gateway` must be null or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_cached_entries(gateway: *const rn_gateway) -> usize {
    let mut entries = 0;
    guard(|| {
        // SAFETY: the caller's promise.
        entries = unsafe { gateway_of(gateway) }?.cached_entries();
        Ok(())
    });
    entries
}

fn cached(gateway: &Gateway, token: &[u8], now: i64, answer: &mut rn_answer) -> Result<(), Reason> {
    // Never left as an earlier lookup wrote it: rn_gateway_remember() would keep this token's target under another's name.
    let tag = gateway.tag(token).ok_or(Reason::Internal)?;
    answer.tag = tag.0.to_ne_bytes();
    let found = gateway.cached_as(&tag, now, |target, fingerprint| {
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

/// # Safety
/// The texts of `options` must be readable for their lengths.
unsafe fn new_gateway(options: &rn_gateway_options) -> Result<Gateway, ConfigError> {
    // SAFETY: the caller's promise, for every text of the options.
    let text = |data, length| unsafe { option_text(data, length) };
    // SAFETY: as above.
    let path = |data, length| unsafe { option_path(data, length) };
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

/// # Safety
/// `gateway` must be null or a live handle.
unsafe fn gateway_of<'a>(gateway: *const rn_gateway) -> Result<&'a Gateway, Reason> {
    // SAFETY: the caller's promise.
    unsafe { gateway.as_ref() }.map(|gateway| &gateway.0).ok_or(Reason::InvalidArgument)
}
