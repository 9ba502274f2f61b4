//! The C ABI of revocations. The conventions are those of [`super`].

use super::{Caller, guard, required};
use crate::error::Reason;
use crate::revocation::{Identity, KEYS, Names, Record, live, new_id, script};

/// The size of the longest identity of a token, in bytes.
pub const RN_IDENTITY_BYTES: usize = 176;
const _: () = assert!(Identity::MAX_BYTES == RN_IDENTITY_BYTES);

/// The names that a token or a session can be revoked by. A text is a pointer and a length, which is 0 for an absent
/// name.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_names {
    /// The token itself.
    pub token: *const u8,
    /// Its length.
    pub token_length: usize,
    /// The id of the token.
    pub jti: *const u8,
    /// Its length.
    pub jti_length: usize,
    /// The user.
    pub sub: *const u8,
    /// Its length.
    pub sub_length: usize,
    /// The digest of the user's login name, as [`super::rn_login_name_digest`] writes it.
    pub account: *const u8,
    /// Its length.
    pub account_length: usize,
    /// The session.
    pub sid: *const u8,
    /// Its length.
    pub sid_length: usize,
    /// The `kid` of the key that verified the token.
    pub kid: *const u8,
    /// Its length.
    pub kid_length: usize,
    /// The issuer of the token.
    pub iss: *const u8,
    /// Its length.
    pub iss_length: usize,
    /// When the token was issued, in seconds since the epoch. -1: unknown.
    pub issued_at: i64,
    /// When it expires, in seconds since the epoch. -1: unknown.
    pub expires_at: i64,
}

/// Parses the JSON of a revocation, and writes the JSON to store and when it ends, in seconds since the epoch. `seconds`
/// is the life of one that names no end.
///
/// Errors: `SettingInvalid`, with one sentence in `error`; `BufferTooSmall` ([`super::RN_TOKEN_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_revocation_parse(
    json: *const u8,
    json_length: usize,
    now: i64,
    seconds: u32,
    record: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
    ends: Option<&mut i64>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (json, ends) = (caller.bytes(json, json_length)?, required(ends)?);
        let parsed = caller.or_write_error(Record::parse(json, now, seconds), error, error_capacity, error_length)?;
        *ends = parsed.ends();
        caller.write(parsed.to_json().as_bytes(), record, capacity, length)
    })
}

/// Writes a random id for a revocation, from 1 to 10^14 - 1: Lua writes 14 digits of a number.
///
/// Errors: `Internal` if the system has no random numbers.
#[unsafe(no_mangle)]
pub extern "C" fn rn_revocation_id(id: Option<&mut u64>) -> i32 {
    guard(|_| {
        *required(id)? = new_id()?;
        Ok(())
    })
}

/// Writes the names of the three keys with which nodes exchange revocations through Redis, each on a line, and then the
/// script that does it.
///
/// Errors: `BufferTooSmall` ([`super::RN_TOKEN_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_revocation_script(out: *mut u8, capacity: usize, length: Option<&mut usize>) -> i32 {
    guard(|caller| caller.write(format!("{}\n{}", KEYS.join("\n"), script()).as_bytes(), out, capacity, length))
}

/// Adds a stored revocation to those of this process, under its id. One that is there already stays as it is.
///
/// Errors: `SettingInvalid` for a text that [`rn_revocation_parse`] never writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_revocations_add(id: u64, record: *const u8, record_length: usize, now: i64) -> i32 {
    guard(|caller| {
        let record = caller.bytes(record, record_length)?;
        live().add(id, record, now).map_err(|error| error.reason)
    })
}

/// Removes a revocation from those of this process. One that is not there is no error.
#[unsafe(no_mangle)]
pub extern "C" fn rn_revocations_remove(id: u64) -> i32 {
    guard(|_| {
        live().remove(id);
        Ok(())
    })
}

/// Returns a number that changes with the revocations of this process. It is 0 as long as nothing was ever revoked.
#[unsafe(no_mangle)]
pub extern "C" fn rn_revocations_generation() -> u32 {
    live().generation()
}

/// Returns the number of revocations of this process.
#[unsafe(no_mangle)]
pub extern "C" fn rn_revocations_count() -> usize {
    let mut count = 0;
    guard(|_| {
        count = live().len();
        Ok(())
    });
    count
}

/// Sets whether (1) or not (0) the revocations may be too old. If so, every check fails with `RevocationsUnknown`.
#[unsafe(no_mangle)]
pub extern "C" fn rn_revocations_set_outdated(is_outdated: u32) {
    live().set_outdated(is_outdated != 0);
}

/// Writes the identity of a token: digests of its names, for [`rn_identity_check`]. Whoever reads it learns no name.
///
/// Errors: `BufferTooSmall` ([`RN_IDENTITY_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_identity_write(
    names: Option<&rn_names>,
    identity: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let names = read_names(caller, required(names)?)?;
        caller.write(&names.identity().to_bytes(), identity, capacity, length)
    })
}

/// Checks an identity against the revocations of this process.
///
/// Errors: `TokenRevoked`, `RevocationsUnknown`; `InvalidArgument` for other bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_identity_check(identity: *const u8, identity_length: usize, now: i64) -> i32 {
    guard(|caller| {
        let identity = Identity::from_bytes(caller.bytes(identity, identity_length)?);
        live().check(&identity.ok_or(Reason::InvalidArgument)?, now)
    })
}

/// Returns when the token of an identity expires, in seconds since the epoch; -1 if nobody knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_identity_expires_at(identity: *const u8, identity_length: usize) -> f64 {
    let mut expires_at = -1.0;
    guard(|caller| {
        let identity = Identity::from_bytes(caller.bytes(identity, identity_length)?);
        expires_at = identity.and_then(|identity| identity.expires_at()).map_or(-1.0, |seconds| seconds as f64);
        Ok(())
    });
    expires_at
}

fn read_names<'a>(caller: &'a Caller, names: &rn_names) -> Result<Names<'a>, Reason> {
    Ok(Names {
        token: caller.bytes(names.token, names.token_length)?,
        jti: caller.bytes(names.jti, names.jti_length)?,
        sub: caller.bytes(names.sub, names.sub_length)?,
        account: caller.bytes(names.account, names.account_length)?,
        sid: caller.bytes(names.sid, names.sid_length)?,
        kid: caller.bytes(names.kid, names.kid_length)?,
        iss: caller.bytes(names.iss, names.iss_length)?,
        target: b"",
        issued_at: (names.issued_at >= 0).then_some(names.issued_at),
        expires_at: (names.expires_at >= 0).then_some(names.expires_at),
    })
}
