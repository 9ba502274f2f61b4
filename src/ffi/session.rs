//! The C ABI of border sessions: ids and their keys, login names and bodies, redirects. The conventions are those of
//! [`super`].

use super::{guard, release, required};
use crate::border::login_body;
use crate::border::login_name;
use crate::border::redirect;
use crate::border::session_id::{self, SessionKeys, digest_of};
use crate::error::Reason;

/// The length of a session id, in characters.
pub const RN_SESSION_ID_BYTES: usize = 76;
const _: () = assert!(session_id::ID_BYTES == RN_SESSION_ID_BYTES);

/// The length of a digest, in hexadecimal digits.
pub const RN_SESSION_DIGEST_BYTES: usize = 64;
const _: () = assert!(session_id::DIGEST_BYTES == RN_SESSION_DIGEST_BYTES);

/// The longest key ring, in bytes.
pub const RN_SESSION_KEYS_BYTES: usize = 160;
const _: () = assert!(session_id::MAX_RING_BYTES == RN_SESSION_KEYS_BYTES);

/// The longest path of a signed page, in bytes.
pub const RN_SESSION_PATH_BYTES: usize = 2000;
const _: () = assert!(session_id::MAX_PATH_BYTES == RN_SESSION_PATH_BYTES);

/// The longest signed page, in characters.
pub const RN_SESSION_PAGE_BYTES: usize = 2722;
const _: () = assert!(session_id::MAX_PAGE_BYTES == RN_SESSION_PAGE_BYTES);

/// The size of a login name's digest, in bytes.
pub const RN_LOGIN_NAME_BYTES: usize = 32;
const _: () = assert!(login_name::DIGEST_BYTES == RN_LOGIN_NAME_BYTES);

/// The keys that sign and accept session ids.
#[allow(non_camel_case_types)]
pub struct rn_session_keys(SessionKeys);

/// Writes the key ring to store: a new one when `ring` is empty; a rotated one when its newest key has been in force
/// for `period` seconds, with a new key that will be in force in `notice` seconds; otherwise the same ring.
///
/// Errors: `SessionKeysInvalid`, `BufferTooSmall` (160 bytes are always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_ring_next(
    ring: *const u8,
    ring_length: usize,
    now: i64,
    period: u32,
    notice: u32,
    next: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let text = caller.bytes(ring, ring_length)?;
        let ring = if text.is_empty() { SessionKeys::new(now)? } else { SessionKeys::parse(text)? };
        let ring = ring.rotated(now, period, notice)?.unwrap_or(ring);
        caller.write(ring.text().as_bytes(), next, capacity, length)
    })
}

/// Parses a key ring.
///
/// Errors: `SessionKeysInvalid`.
///
/// Release with [`rn_session_keys_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_keys_new(
    ring: *const u8,
    ring_length: usize,
    keys: Option<&mut *mut rn_session_keys>,
) -> i32 {
    guard(|caller| {
        let keys = required(keys)?;
        let parsed = SessionKeys::parse(caller.bytes(ring, ring_length)?)?;
        *keys = Box::into_raw(Box::new(rn_session_keys(parsed)));
        Ok(())
    })
}

/// Releases session keys. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_session_keys_free(keys: Option<Box<rn_session_keys>>) {
    release(keys)
}

/// Writes the id of a new session that begins at `now`: 76 characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_id_new(keys: Option<&rn_session_keys>, now: i64, id: *mut u8) -> i32 {
    guard(|caller| caller.fill(&required(keys)?.0.new_id(now)?, id, RN_SESSION_ID_BYTES))
}

/// Checks a session id and writes the session's age in seconds.
///
/// Errors: `SessionInvalid`, `SessionExpired` from an age of `lifetime` seconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_id_check(
    keys: Option<&rn_session_keys>,
    id: *const u8,
    id_length: usize,
    now: i64,
    lifetime: u32,
    age: Option<&mut u32>,
) -> i32 {
    guard(|caller| {
        let (id, age) = (caller.bytes(id, id_length)?, required(age)?);
        *age = required(keys)?.0.check(id, now, lifetime)?;
        Ok(())
    })
}

/// Signs the path of a requested page, for the cookie that holds it until the login: at most 2,722 characters. A signed
/// page does not pass as a session id, nor an id as a page.
///
/// Errors: `InvalidArgument` for a path of more than 2,000 bytes, `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_page_sign(
    keys: Option<&rn_session_keys>,
    now: i64,
    path: *const u8,
    path_length: usize,
    page: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let path = caller.bytes(path, path_length)?;
        let signed = required(keys)?.0.sign_page(path, now)?;
        caller.write(signed.as_bytes(), page, capacity, length)
    })
}

/// Checks a signed page and writes its path: at most 2,000 bytes.
///
/// Errors: `SessionInvalid`, `SessionExpired` from an age of `lifetime` seconds, `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_page_check(
    keys: Option<&rn_session_keys>,
    page: *const u8,
    page_length: usize,
    now: i64,
    lifetime: u32,
    path: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let page = caller.bytes(page, page_length)?;
        let text = required(keys)?.0.check_page(page, now, lifetime)?;
        caller.write(&text, path, capacity, length)
    })
}

/// Writes the SHA-256 of a text in 64 hexadecimal digits: the key of a session in the store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_digest(text: *const u8, text_length: usize, digest: *mut u8) -> i32 {
    guard(|caller| caller.fill(&digest_of(caller.bytes(text, text_length)?), digest, RN_SESSION_DIGEST_BYTES))
}

/// Writes the digest of a user name, 32 bytes. Names that backends treat as equal have one digest.
///
/// Errors: `InvalidArgument` for a name of more than 256 bytes, or of more than 512 characters after folding.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_name_digest(name: *const u8, name_length: usize, digest: *mut u8) -> i32 {
    guard(|caller| caller.fill(&login_name::digest_of(caller.bytes(name, name_length)?)?, digest, RN_LOGIN_NAME_BYTES))
}

/// Writes 1 when a backend may read a login's field as the field named `expected`, 0 when none does, and 2 when the name
/// is too long to tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_field_check(
    field: *const u8,
    field_length: usize,
    expected: *const u8,
    expected_length: usize,
    may_be: Option<&mut u32>,
) -> i32 {
    guard(|caller| {
        let (field, expected, may_be) =
            (caller.bytes(field, field_length)?, caller.bytes(expected, expected_length)?, required(may_be)?);
        *may_be = login_name::may_be_field(field, expected).map_or(2, u32::from);
        Ok(())
    })
}

/// Checks that all parsers read the same fields from a form: 0 or `ClaimMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_form_check(body: *const u8, body_length: usize) -> i32 {
    guard(|caller| login_body::is_form(caller.bytes(body, body_length)?).then_some(()).ok_or(Reason::ClaimMalformed))
}

/// Checks that a text is one JSON object without duplicate members at any depth and with at most 1,000 values: 0 or
/// `ClaimMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_object_check(body: *const u8, body_length: usize) -> i32 {
    guard(|caller| login_body::is_object(caller.bytes(body, body_length)?).then_some(()).ok_or(Reason::ClaimMalformed))
}

/// Checks that a path is safe to redirect to: 0 when it leads to the same origin, else `PathRefused`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_path_check(path: *const u8, path_length: usize) -> i32 {
    guard(|caller| redirect::is_local_path(caller.bytes(path, path_length)?).then_some(()).ok_or(Reason::PathRefused))
}
