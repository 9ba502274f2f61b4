//! Session ids, their keys, names at a login, and where a client may be sent.

use super::{given, guard};
use crate::border::login_name;
use crate::border::redirect;
use crate::border::session_id::{DIGEST_BYTES, ID_BYTES, Ring, digest_of};
use crate::error::Reason;

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
        let ring = if text.is_empty() { Ring::new(now)? } else { Ring::parse(text)? };
        let ring = ring.rotated(now, period, notice)?.unwrap_or(ring);
        caller.write(ring.text().as_bytes(), next, capacity, length)
    })
}

/// Makes the id of a session that begins at `now`: 76 characters.
///
/// Errors: `SessionKeysInvalid`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_id_new(ring: *const u8, ring_length: usize, now: i64, id: *mut u8) -> i32 {
    guard(|caller| {
        let ring = Ring::parse(caller.bytes(ring, ring_length)?)?;
        caller.fill(&ring.new_id(now)?, id, ID_BYTES)
    })
}

/// Checks a session id and writes the session's age in seconds.
///
/// Errors: `SessionInvalid`, `SessionExpired` at an age of `lifetime` seconds, `SessionKeysInvalid`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_id_check(
    ring: *const u8,
    ring_length: usize,
    id: *const u8,
    id_length: usize,
    now: i64,
    lifetime: u32,
    age: Option<&mut u32>,
) -> i32 {
    guard(|caller| {
        let (ring, id, age) = (caller.bytes(ring, ring_length)?, caller.bytes(id, id_length)?, given(age)?);
        *age = Ring::parse(ring)?.check(id, now, lifetime)?;
        Ok(())
    })
}

/// Writes the SHA-256 of a text in hexadecimal, 64 characters: what stands for a session id in the store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_session_digest(text: *const u8, text_length: usize, digest: *mut u8) -> i32 {
    guard(|caller| caller.fill(&digest_of(caller.bytes(text, text_length)?), digest, DIGEST_BYTES))
}

/// Writes what stands for a user's name, and for all that a login may take for it, where attempts are counted: 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_login_name_digest(name: *const u8, name_length: usize, digest: *mut u8) -> i32 {
    guard(|caller| {
        caller.fill(&login_name::digest_of(caller.bytes(name, name_length)?), digest, login_name::DIGEST_BYTES)
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
