//! The C ABI of the desktop gateway. The conventions are those of [`super`].

use super::jwt::rn_policy;
use super::keys::rn_keys;
use super::{Caller, guard, invalid_option, release, required, rn_header};
use crate::credential::{self, FINGERPRINT_BYTES, fingerprint};
use crate::desktop::cache::{Found, Tag};
use crate::desktop::gateway::{Gateway, Options};
use crate::desktop::hash_claim::Padding;
use crate::desktop::resolve;
use crate::desktop::target::{self, MAX_HOST_BYTES, Suffix};
use crate::error::{ConfigError, Reason};
use crate::jwt::Policy;
use crate::revocation::{Identity, Names};

/// The size of [`rn_answer::target`], in bytes.
pub const RN_TARGET_BYTES: usize = 256;
const _: () = assert!(MAX_HOST_BYTES <= RN_TARGET_BYTES);

/// The size of [`rn_answer::fingerprint`], in hexadecimal digits.
pub const RN_FINGERPRINT_BYTES: usize = 12;
const _: () = assert!(FINGERPRINT_BYTES == RN_FINGERPRINT_BYTES);

/// The size of [`rn_answer::tag`], in bytes.
pub const RN_TAG_BYTES: usize = 16;
const _: () = assert!(size_of::<Tag>() == RN_TAG_BYTES);

/// The settings of [`rn_gateway_new`]. A text is a pointer and a length, which is 0 for an absent text.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_gateway_options {
    /// The path of the file with the private key that decrypts the `hash` claim.
    pub payload_key: *const u8,
    /// Its length.
    pub payload_key_length: usize,
    /// The padding of the `hash` claim: `pkcs1v15` (default), `oaep-sha1` or `oaep-sha256`.
    pub padding: *const u8,
    /// Its length.
    pub padding_length: usize,
    /// The domain suffix that targets must have. Absent: any target.
    pub suffix: *const u8,
    /// Its length.
    pub suffix_length: usize,
    /// The most entries of each process's cache.
    pub cache_entries: u32,
}

/// The result of a lookup, in the caller's memory. Its lengths have 32 bits, because LuaJIT boxes 64-bit numbers.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_answer {
    /// The token within the request's headers, and valid as long as they are.
    pub token: *const u8,
    /// The token's length, in bytes.
    pub token_length: u32,
    /// The target's length, in bytes.
    pub target_length: u32,
    /// The time that the target may still be cached, in seconds. 0: not at all.
    pub ttl: u32,
    /// 1 when the target is a host name, 0 when it is an address, which needs no resolver.
    pub is_name: u32,
    /// 1 when the request's Authorization header holds a token that did not decide. Only [`rn_gateway_lookup`] writes it.
    pub has_another: u32,
    /// 1 when the request has a Sec-WebSocket-Protocol header. Only [`rn_gateway_lookup`] writes it.
    pub has_protocol: u32,
    /// The token's identifier in logs.
    pub fingerprint: [u8; RN_FINGERPRINT_BYTES],
    /// The token's key in this process's cache. A lookup writes it for [`rn_gateway_remember`].
    pub tag: [u8; RN_TAG_BYTES],
    /// The target, without a terminating NUL.
    pub target: [u8; RN_TARGET_BYTES],
}

/// The keys, settings and cache of a gateway.
#[allow(non_camel_case_types)]
pub struct rn_gateway(Gateway);

/// Creates a gateway: reads and parses the key of the `hash` claim, and copies the policy. Call it before nginx forks, so
/// that the workers inherit the handle. The gateway needs [`rn_gateway_use_keys`] too.
///
/// Errors: the 200s, with one sentence in `error`. That of `SettingInvalid` begins with the setting's name in Lua's
/// setup().
///
/// Release with [`rn_gateway_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_new(
    options: Option<&rn_gateway_options>,
    policy: Option<&rn_policy>,
    gateway: Option<&mut *mut rn_gateway>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (options, policy, gateway) = (required(options)?, &required(policy)?.0, required(gateway)?);
        let result = new_gateway(caller, options, policy.clone()).map(rn_gateway);
        caller.new_handle(result, gateway, error, error_capacity, error_length)
    })
}

/// Verifies tokens with the current keys of `keys` from now on, and writes to `changed` whether they differ from the keys
/// before. If they do, nothing that was cached for those is found again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_use_keys(
    gateway: Option<&rn_gateway>,
    keys: Option<&rn_keys>,
    changed: Option<&mut u32>,
) -> i32 {
    guard(|_| {
        let (gateway, keys, changed) = (&required(gateway)?.0, required(keys)?, required(changed)?);
        *changed = gateway.use_keys(keys.current()).into();
        Ok(())
    })
}

/// Releases a gateway. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_gateway_free(gateway: Option<Box<rn_gateway>>) {
    release(gateway)
}

/// Finds the token in a request's headers and looks it up in this process's cache: the hot path in one call. Writes the
/// token, its target and its fingerprint to `answer`.
///
/// Errors: `NotCached`, with only the token in `answer`; `TokenRevoked`, with the fingerprint; `TokenMissing` when neither
/// header holds a token; `TokenAmbiguous`, `TokenTooLarge`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_lookup(
    gateway: Option<&rn_gateway>,
    headers: *const rn_header,
    count: usize,
    now: i64,
    answer: Option<&mut rn_answer>,
) -> i32 {
    guard(|caller| {
        let (gateway, headers, answer) = (&required(gateway)?.0, caller.array(headers, count)?, required(answer)?);
        let pairs = headers.iter().map(|header| (caller.string(&header.name), caller.string(&header.value)));
        (answer.has_another, answer.has_protocol) = (0, 0);
        let found = credential::from_headers(pairs)?;
        (answer.has_another, answer.has_protocol) = (found.has_another.into(), found.has_protocol.into());
        look_up(gateway, found.token.ok_or(Reason::TokenMissing)?, now, answer)
    })
}

/// Looks a token from elsewhere up in this process's cache, as [`rn_gateway_lookup`] does.
///
/// Errors: `NotCached`, `TokenRevoked`, `TokenTooLarge`, `TokenMissing` for an empty token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_lookup_token(
    gateway: Option<&rn_gateway>,
    token: *const u8,
    token_length: usize,
    now: i64,
    answer: Option<&mut rn_answer>,
) -> i32 {
    guard(|caller| {
        let (gateway, text, answer) = (&required(gateway)?.0, caller.bytes(token, token_length)?, required(answer)?);
        look_up(gateway, credential::token_of(text)?, now, answer)
    })
}

/// Verifies a token, decrypts its target, and caches the target in this process. Writes the target, `ttl` and the
/// fingerprint to `answer`.
///
/// Errors: the 100s, with the fingerprint in `answer`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_resolve(
    gateway: Option<&rn_gateway>,
    token: *const u8,
    token_length: usize,
    now: i64,
    answer: Option<&mut rn_answer>,
) -> i32 {
    guard(|caller| {
        let (gateway, token, answer) = (&required(gateway)?.0, caller.bytes(token, token_length)?, required(answer)?);
        answer.fingerprint = fingerprint(token);
        let resolution = gateway.resolve(token, now)?;
        write_target(answer, &resolution.target, resolution.ttl);
        Ok(())
    })
}

/// Verifies a token and writes the text of its `hash` claim, for [`rn_gateway_decrypt`], `ttl` in `answer`, and its
/// identity, for [`rn_gateway_remember`]. This takes some 25 µs of the millisecond that [`rn_gateway_resolve`] takes: a
/// forged token costs no more.
///
/// Errors: the 100s; `BufferTooSmall` ([`super::RN_TOKEN_BYTES`] and [`super::RN_IDENTITY_BYTES`] are always enough).
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
    identity: *mut u8,
    identity_capacity: usize,
    identity_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (gateway, answer) = (&required(gateway)?.0, required(answer)?);
        let token = caller.bytes(token, token_length)?;
        let claims = gateway.verify(token, now)?;
        answer.ttl = resolve::ttl(&claims, now)?;
        let names = Names::of(token, &claims).identity().to_bytes();
        caller.write(&names, identity, identity_capacity, identity_length)?;
        caller.write(resolve::hash_of(&claims)?.as_bytes(), hash, capacity, length)
    })
}

/// Caches the target and the identity of a token that another worker resolved, for `ttl` seconds, and writes the target
/// to `answer` as a lookup does.
///
/// `answer` must be that of a lookup which returned `NotCached` and of a following [`rn_gateway_shared_key`].
///
/// Errors: `InvalidArgument` for a target that [`rn_gateway_resolve`] never writes, and for other bytes than an identity;
/// `TokenRevoked`, `RevocationsUnknown`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_remember(
    gateway: Option<&rn_gateway>,
    answer: Option<&mut rn_answer>,
    target: *const u8,
    target_length: usize,
    identity: *const u8,
    identity_length: usize,
    now: i64,
    ttl: u32,
) -> i32 {
    guard(|caller| {
        let (gateway, answer, target) =
            (&required(gateway)?.0, required(answer)?, caller.bytes(target, target_length)?);
        let target = std::str::from_utf8(target).map_err(|_| Reason::InvalidArgument)?;
        let names = Identity::from_bytes(caller.bytes(identity, identity_length)?).ok_or(Reason::InvalidArgument)?;
        if !target::is_normalised(target) {
            return Err(Reason::InvalidArgument);
        }
        let found = Found { target, fingerprint: answer.fingerprint, identity: names.with_target(target) };
        gateway.remember_found(Tag(u128::from_ne_bytes(answer.tag)), found, now, ttl)?;
        write_target(answer, target, ttl);
        Ok(())
    })
}

/// Writes the identity of a token that this process's cache has, for [`super::rn_identity_check`].
///
/// `answer` must be that of a lookup or of [`rn_gateway_remember`].
///
/// Errors: `NotCached`; `TokenRevoked`, `RevocationsUnknown`; `BufferTooSmall` ([`super::RN_IDENTITY_BYTES`] is always
/// enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_identity(
    gateway: Option<&rn_gateway>,
    answer: Option<&rn_answer>,
    now: i64,
    identity: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (gateway, answer) = (&required(gateway)?.0, required(answer)?);
        let mut bytes = Vec::new();
        let tag = Tag(u128::from_ne_bytes(answer.tag));
        gateway.look_up(&tag, now, |entry| bytes = entry.identity().to_bytes())?;
        caller.write(&bytes, identity, capacity, length)
    })
}

/// Writes the key of `answer`'s token in the cache that all workers share, 32 bytes, and its fingerprint to `answer`.
///
/// `answer` must be that of a lookup which returned `NotCached`, with its token still readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_gateway_shared_key(
    gateway: Option<&rn_gateway>,
    answer: Option<&mut rn_answer>,
    key: *mut u8,
) -> i32 {
    guard(|caller| {
        let (gateway, answer) = (&required(gateway)?.0, required(answer)?);
        let token = caller.bytes(answer.token, answer.token_length as usize)?;
        let (shared_key, fingerprint) = gateway.shared_key(token);
        answer.fingerprint = fingerprint;
        caller.fill(&shared_key, key, shared_key.len())
    })
}

/// Writes a token's fingerprint, its identifier in logs: 12 hexadecimal digits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_token_fingerprint(token: *const u8, token_length: usize, out: *mut u8) -> i32 {
    guard(|caller| caller.fill(&fingerprint(caller.bytes(token, token_length)?), out, FINGERPRINT_BYTES))
}

/// Verifies a token and writes its claims, the JSON text that was signed.
///
/// Errors: the 100s; `BufferTooSmall` (the token's length is always enough).
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
        let (gateway, token) = (&required(gateway)?.0, caller.bytes(token, token_length)?);
        let verified = gateway.verify(token, now)?;
        caller.write(&verified.json, claims, capacity, length)
    })
}

/// Decrypts the base64 text of a `hash` claim and writes its target.
///
/// Errors: `PayloadInvalid` for every failure; `BufferTooSmall`.
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
        let (gateway, hash) = (&required(gateway)?.0, caller.bytes(hash, hash_length)?);
        let host = gateway.decrypt(hash)?;
        caller.write(host.as_bytes(), target, capacity, length)
    })
}

/// Returns the number of entries in this process's cache, 0 for a null handle.
#[unsafe(no_mangle)]
pub extern "C" fn rn_gateway_cached_entries(gateway: Option<&rn_gateway>) -> usize {
    let mut entries = 0;
    guard(|_| {
        entries = required(gateway)?.0.cached_entries();
        Ok(())
    });
    entries
}

/// Writes the token to `answer` and, if it is cached, its target and its fingerprint.
fn look_up(gateway: &Gateway, token: &[u8], now: i64, answer: &mut rn_answer) -> Result<(), Reason> {
    answer.token = token.as_ptr();
    answer.token_length = token.len() as u32; // at most MAX_TOKEN_BYTES
    // Overwrites the tag of an earlier lookup, under which rn_gateway_remember() would cache this token's target.
    let tag = gateway.tag(token).ok_or(Reason::Internal)?;
    answer.tag = tag.0.to_ne_bytes();
    gateway.look_up(&tag, now, |entry| {
        answer.fingerprint = *entry.fingerprint();
        write_target(answer, entry.target(), entry.ttl(now));
    })
}

fn write_target(answer: &mut rn_answer, target: &str, ttl: u32) {
    answer.ttl = ttl;
    answer.target[..target.len()].copy_from_slice(target.as_bytes());
    answer.target_length = target.len() as u32; // at most MAX_HOST_BYTES
    answer.is_name = u32::from(!target::is_address(target));
}

fn new_gateway(caller: &Caller, options: &rn_gateway_options, policy: Policy) -> Result<Gateway, ConfigError> {
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
        payload_key: path(options.payload_key, options.payload_key_length)?,
        padding,
        policy,
        suffix,
        cache_entries: options.cache_entries as usize,
    })
}
