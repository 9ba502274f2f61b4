//! Session ids, their keys, names at a login, and where a client may be sent.

use super::{given, guard, release};
use crate::border::login_body;
use crate::border::login_name;
use crate::border::redirect;
use crate::border::session_id::{self, SessionKeys, digest_of};
use crate::error::Reason;

/// Characters of a session id.
pub const RN_SESSION_ID_BYTES: usize = 76;
const _: () = assert!(session_id::ID_BYTES == RN_SESSION_ID_BYTES);

/// Characters of a digest: what stands for a secret in a store.
pub const RN_SESSION_DIGEST_BYTES: usize = 64;
const _: () = assert!(session_id::DIGEST_BYTES == RN_SESSION_DIGEST_BYTES);

/// The longest text of a key ring.
pub const RN_SESSION_KEYS_BYTES: usize = 160;
const _: () = assert!(session_id::MAX_RING_BYTES == RN_SESSION_KEYS_BYTES);

/// The longest path of a page that is signed.
pub const RN_SESSION_PATH_BYTES: usize = 2000;
const _: () = assert!(session_id::MAX_PATH_BYTES == RN_SESSION_PATH_BYTES);

/// The longest signed page.
pub const RN_SESSION_PAGE_BYTES: usize = 2722;
const _: () = assert!(session_id::MAX_PAGE_BYTES == RN_SESSION_PAGE_BYTES);

/// The size of what stands for a login's name where attempts are counted.
pub const RN_LOGIN_NAME_BYTES: usize = 32;
const _: () = assert!(login_name::DIGEST_BYTES == RN_LOGIN_NAME_BYTES);

/// The keys that sign and accept session ids.
#[allow(non_camel_case_types)]
pub struct rn_session_keys(SessionKeys);

/// Writes the key ring that is to be in the store: a first one when `ring` is empty, the next one when its newest key
/// has been in force for `period` seconds (the new key will be in `notice` seconds), else the same text again.
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

/// Reads a key ring.
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
        let keys = given(keys)?;
        let read = SessionKeys::parse(caller.bytes(ring, ring_length)?)?;
        *keys = Box::into_raw(Box::new(rn_session_keys(read)));
        Ok(())
    })
}

/// Releases session keys; null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_session_keys_free(keys: Option<Box<rn_session_keys>>) {
    release(keys)
}

/// Makes the id of a session that begins at `now`: 76 characters.
///
/// Errors: `SessionKeysInvalid`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_id_new(keys: Option<&rn_session_keys>, now: i64, id: *mut u8) -> i32 {
    guard(|caller| caller.fill(&given(keys)?.0.new_id(now)?, id, RN_SESSION_ID_BYTES))
}

/// Checks a session id and writes the session's age in seconds.
///
/// Errors: `SessionInvalid`, `SessionExpired` at an age of `lifetime` seconds, `SessionKeysInvalid`.
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
        let (id, age) = (caller.bytes(id, id_length)?, given(age)?);
        *age = given(keys)?.0.check(id, now, lifetime)?;
        Ok(())
    })
}

/// Signs the path of the page that a visit asked for, for the cookie that holds it until the login: at most 2,722
/// characters. Neither a session id nor this can pass as the other.
///
/// Errors: `InvalidArgument` for a path of more than 2,000 bytes, `SessionKeysInvalid`, `BufferTooSmall`.
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
        let signed = given(keys)?.0.sign_page(path, now)?;
        caller.write(signed.as_bytes(), page, capacity, length)
    })
}

/// Checks a signed page and writes its path: at most 2,000 bytes.
///
/// Errors: `SessionInvalid`, `SessionExpired` `lifetime` seconds after it was signed, `SessionKeysInvalid`,
/// `BufferTooSmall`.
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
        let signed = given(keys)?.0.check_page(page, now, lifetime)?;
        caller.write(&signed, path, capacity, length)
    })
}

/// Writes the SHA-256 of a text in hexadecimal, 64 characters: what stands for a session id in the store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_digest(text: *const u8, text_length: usize, digest: *mut u8) -> i32 {
    guard(|caller| caller.fill(&digest_of(caller.bytes(text, text_length)?), digest, RN_SESSION_DIGEST_BYTES))
}

/// Writes what stands for a user's name, and for all that a login may take for it, where attempts are counted: 32 bytes.
///
/// Errors: `InvalidArgument` for a name of more than 256 bytes, or one that grows beyond 512 characters as it is folded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_name_digest(name: *const u8, name_length: usize, digest: *mut u8) -> i32 {
    guard(|caller| caller.fill(&login_name::digest_of(caller.bytes(name, name_length)?)?, digest, RN_LOGIN_NAME_BYTES))
}

/// Writes 1 when a backend may take a login's field for the one that it looks for, under any of the spellings that
/// programs take for one another, 0 when none does, and 2 when the name is too long to tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_field_check(
    field: *const u8,
    field_length: usize,
    wanted: *const u8,
    wanted_length: usize,
    may_be: Option<&mut u32>,
) -> i32 {
    guard(|caller| {
        let (field, wanted, may_be) =
            (caller.bytes(field, field_length)?, caller.bytes(wanted, wanted_length)?, given(may_be)?);
        *may_be = login_name::may_be_field(field, wanted).map_or(2, u32::from);
        Ok(())
    })
}

/// Whether a text is a form that has one reading: 0 or `ClaimMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_form_check(body: *const u8, body_length: usize) -> i32 {
    guard(|caller| {
        let is_form = login_body::is_form(caller.bytes(body, body_length)?);
        if is_form { Ok(()) } else { Err(Reason::ClaimMalformed) }
    })
}

/// Whether a text is one JSON object that names no member twice, at any depth, with at most 1,000 values: 0 or
/// `ClaimMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_object_check(body: *const u8, body_length: usize) -> i32 {
    guard(|caller| {
        let is_object = login_body::is_object(caller.bytes(body, body_length)?);
        if is_object { Ok(()) } else { Err(Reason::ClaimMalformed) }
    })
}

/// Whether a client may be redirected to a path: 0 when it is of the same origin, `PathRefused` otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_path_check(path: *const u8, path_length: usize) -> i32 {
    guard(|caller| {
        let path = caller.bytes(path, path_length)?;
        if redirect::is_local_path(path) { Ok(()) } else { Err(Reason::PathRefused) }
    })
}
