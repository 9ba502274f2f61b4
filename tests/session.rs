//! The exports for session ids and paths: their outputs, and the statuses of invalid arguments.

use std::ptr::{null, null_mut};

use route_native::error::Reason;
use route_native::ffi::*;

const NOW: i64 = 1_800_000_000;
const INVALID: i32 = Reason::InvalidArgument as i32;

fn next_ring(ring: &[u8], now: i64) -> Result<Vec<u8>, i32> {
    let (mut text, mut length) = ([0; 160], 0);
    // SAFETY: the slices have these lengths.
    let status = unsafe {
        rn_session_ring_next(
            ring.as_ptr(),
            ring.len(),
            now,
            86_400,
            60,
            text.as_mut_ptr(),
            text.len(),
            Some(&mut length),
        )
    };
    if status == 0 { Ok(text[..length].to_vec()) } else { Err(status) }
}

/// Calls `body` with the handle of a ring, or returns the status of its error.
fn with_keys<T>(ring: &[u8], body: impl FnOnce(Option<&rn_session_keys>) -> Result<T, i32>) -> Result<T, i32> {
    let mut keys = null_mut();
    // SAFETY: the slices have these lengths.
    let status = unsafe { rn_session_keys_new(ring.as_ptr(), ring.len(), Some(&mut keys)) };
    if status != 0 {
        return Err(status);
    }
    // SAFETY: the handle is created above and released below.
    let outcome = body(unsafe { keys.as_ref() });
    // SAFETY: as above.
    rn_session_keys_free(Some(unsafe { Box::from_raw(keys) }));
    outcome
}

fn new_id(ring: &[u8], now: i64) -> Result<[u8; 76], i32> {
    with_keys(ring, |keys| {
        let mut id = [0; 76];
        // SAFETY: as above.
        let status = unsafe { rn_session_id_new(keys, now, id.as_mut_ptr()) };
        if status == 0 { Ok(id) } else { Err(status) }
    })
}

fn check(ring: &[u8], id: &[u8], now: i64, lifetime: u32) -> Result<u32, i32> {
    with_keys(ring, |keys| {
        let mut age = 0;
        // SAFETY: as above.
        let status = unsafe { rn_session_id_check(keys, id.as_ptr(), id.len(), now, lifetime, Some(&mut age)) };
        if status == 0 { Ok(age) } else { Err(status) }
    })
}

#[test]
fn an_id_is_valid_for_its_lifetime_and_through_one_rotation() {
    let first = next_ring(b"", NOW).unwrap();
    let id = new_id(&first, NOW).unwrap();
    assert_eq!(check(&first, &id, NOW + 9, 10), Ok(9));
    assert_eq!(check(&first, &id, NOW + 10, 10), Err(Reason::SessionExpired as i32));

    assert_eq!(next_ring(&first, NOW + 86_399).unwrap(), first);
    let second = next_ring(&first, NOW + 86_400).unwrap();
    assert_ne!(second, first);
    assert!(check(&second, &id, NOW + 86_400, u32::MAX).is_ok());
    let third = next_ring(&second, NOW + 3 * 86_400).unwrap();
    assert_eq!(check(&third, &id, NOW + 3 * 86_400, u32::MAX), Err(Reason::SessionInvalid as i32));
}

#[test]
fn the_path_of_a_signed_page_is_returned() {
    let ring = next_ring(b"", NOW).unwrap();
    let sign = |wanted: &[u8]| {
        with_keys(&ring, |keys| {
            let (mut page, mut length) = ([0; RN_SESSION_PAGE_BYTES], 0);
            let (data, size) = (wanted.as_ptr(), wanted.len());
            // SAFETY: the slices have these lengths.
            let status = unsafe {
                rn_session_page_sign(keys, NOW, data, size, page.as_mut_ptr(), page.len(), Some(&mut length))
            };
            if status == 0 { Ok(page[..length].to_vec()) } else { Err(status) }
        })
    };
    let check = |signed: &[u8], now, lifetime| {
        with_keys(&ring, |keys| {
            let (mut path, mut length) = ([0; RN_SESSION_PATH_BYTES], 0);
            let (data, size) = (signed.as_ptr(), signed.len());
            let (out, room) = (path.as_mut_ptr(), path.len());
            // SAFETY: as above.
            let status =
                unsafe { rn_session_page_check(keys, data, size, now, lifetime, out, room, Some(&mut length)) };
            if status == 0 { Ok(path[..length].to_vec()) } else { Err(status) }
        })
    };
    for wanted in [&b"/b/c?d"[..], &[b'/'; 2000]] {
        let signed = sign(wanted).unwrap();
        assert_eq!(check(&signed, NOW + 9, 10).as_deref(), Ok(wanted));
        assert_eq!(check(&signed, NOW + 10, 10), Err(Reason::SessionExpired as i32));
    }
}

#[test]
fn invalid_keys_have_their_own_status() {
    let damaged = Reason::SessionKeysInvalid as i32;
    assert_eq!(next_ring(b"rubbish", NOW), Err(damaged));
    assert_eq!(new_id(b"", NOW), Err(damaged));
    assert_eq!(check(b"v1 ", b"x", NOW, 1), Err(damaged));
}

#[test]
fn the_longest_ring_fits_into_luas_buffer() {
    let first = next_ring(b"", i64::MAX - 400_000).unwrap();
    let second = next_ring(&first, i64::MAX - 200_000).unwrap();
    assert_eq!(second.len(), 130);
}

#[test]
fn any_time_is_accepted() {
    for now in [i64::MIN, -1, 0, i64::MAX] {
        let ring = next_ring(b"", NOW).unwrap();
        let _ = next_ring(&ring, now);
        let id = new_id(&ring, now).unwrap();
        let _ = check(&ring, &id, NOW, u32::MAX);
        let _ = check(&ring, &new_id(&ring, NOW).unwrap(), now, 0);
    }
}

#[test]
fn a_null_pointer_is_an_invalid_argument() {
    let ring = next_ring(b"", NOW).unwrap();
    let (mut buffer, mut length, mut age) = ([0; 160], 0, 0);
    let (r, n, b) = (ring.as_ptr(), ring.len(), buffer.as_mut_ptr());
    // SAFETY: pointers are null, which is tested, or readable and writable for their length.
    unsafe {
        assert_eq!(rn_session_ring_next(null(), 1, NOW, 1, 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_ring_next(r, n, NOW, 1, 1, null_mut(), 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_ring_next(r, n, NOW, 1, 1, b, 160, None), INVALID);
        assert_eq!(rn_session_ring_next(r, n, NOW, 1, 1, b, 10, Some(&mut length)), Reason::BufferTooSmall as i32);
        let mut handle = null_mut();
        assert_eq!(rn_session_keys_new(null(), 1, Some(&mut handle)), INVALID);
        assert_eq!(rn_session_keys_new(r, n, None), INVALID);
        assert_eq!(rn_session_keys_new(r, n, Some(&mut handle)), 0);
        let keys = handle.as_ref();
        assert_eq!(rn_session_id_new(None, NOW, b), INVALID);
        assert_eq!(rn_session_id_new(keys, NOW, null_mut()), INVALID);
        assert_eq!(rn_session_id_check(keys, null(), 1, NOW, 1, Some(&mut age)), INVALID);
        assert_eq!(rn_session_id_check(keys, b, 1, NOW, 1, None), INVALID);
        assert_eq!(rn_session_id_check(keys, b, usize::MAX, NOW, 1, Some(&mut age)), INVALID);
        assert_eq!(rn_session_digest(null(), 1, b), INVALID);
        assert_eq!(rn_session_digest(b, 1, null_mut()), INVALID);
        assert_eq!(rn_login_name_digest(null(), 1, b), INVALID);
        assert_eq!(rn_login_name_digest(b, 1, null_mut()), INVALID);
        assert_eq!(rn_login_name_digest(null(), 0, b), 0);
        assert_eq!(rn_session_page_sign(None, NOW, r, n, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_sign(keys, NOW, null(), 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_sign(keys, NOW, r, 2001, b, 160, None), INVALID);
        assert_eq!(rn_session_page_sign(keys, NOW, r, n, null_mut(), 4000, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_sign(keys, NOW, r, n, b, 10, Some(&mut length)), Reason::BufferTooSmall as i32);
        assert_eq!(rn_session_page_check(keys, null(), 1, NOW, 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_check(None, r, n, NOW, 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_check(keys, r, usize::MAX, NOW, 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_login_field_check(null(), 1, r, n, Some(&mut age)), INVALID);
        assert_eq!(rn_login_field_check(r, n, null(), 1, Some(&mut age)), INVALID);
        assert_eq!(rn_login_field_check(r, n, r, n, None), INVALID);
        assert_eq!(rn_login_form_check(null(), 1), INVALID);
        assert_eq!(rn_login_object_check(null(), 1), INVALID);
        assert_eq!(rn_login_name_digest(r, usize::MAX, b), INVALID);
        assert_eq!(rn_path_check(null(), 1), INVALID);
        assert_eq!(rn_path_check(null(), 0), Reason::PathRefused as i32);
        assert_eq!(rn_path_check(b"/b/".as_ptr(), 3), 0);
        rn_session_keys_free(Some(Box::from_raw(handle)));
        rn_session_keys_free(None);
    }
}
