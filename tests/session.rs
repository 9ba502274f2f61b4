//! The exports of session ids and paths: what they write, and null pointers and absurd values as a status.

use std::ptr::{null, null_mut};

use route_native::error::Reason;
use route_native::ffi::*;

const NOW: i64 = 1_800_000_000;
const INVALID: i32 = Reason::InvalidArgument as i32;

fn next_ring(ring: &[u8], now: i64) -> Result<Vec<u8>, i32> {
    let (mut text, mut length) = ([0; 160], 0);
    // SAFETY: slices are as long as they are said to be.
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

fn new_id(ring: &[u8], now: i64) -> Result<[u8; 76], i32> {
    let mut id = [0; 76];
    // SAFETY: as above.
    let status = unsafe { rn_session_id_new(ring.as_ptr(), ring.len(), now, id.as_mut_ptr()) };
    if status == 0 { Ok(id) } else { Err(status) }
}

fn check(ring: &[u8], id: &[u8], now: i64, lifetime: u32) -> Result<u32, i32> {
    let mut age = 0;
    // SAFETY: as above.
    let status =
        unsafe { rn_session_id_check(ring.as_ptr(), ring.len(), id.as_ptr(), id.len(), now, lifetime, Some(&mut age)) };
    if status == 0 { Ok(age) } else { Err(status) }
}

#[test]
fn an_id_is_good_for_its_lifetime_and_through_one_rotation() {
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
fn a_signed_page_gives_its_path_back() {
    let ring = next_ring(b"", NOW).unwrap();
    let (mut page, mut path, mut length) = ([0; 2722], [0; 2000], 0);
    for wanted in [&b"/b/c?d"[..], &[b'/'; 2000]] {
        // SAFETY: slices are as long as they are said to be.
        let sign = unsafe {
            rn_session_page_sign(
                ring.as_ptr(),
                ring.len(),
                NOW,
                wanted.as_ptr(),
                wanted.len(),
                page.as_mut_ptr(),
                page.len(),
                Some(&mut length),
            )
        };
        assert_eq!(sign, 0);
        let signed = &page[..length];
        let mut check = |now, lifetime| {
            // SAFETY: as above.
            let status = unsafe {
                rn_session_page_check(
                    ring.as_ptr(),
                    ring.len(),
                    signed.as_ptr(),
                    signed.len(),
                    now,
                    lifetime,
                    path.as_mut_ptr(),
                    path.len(),
                    Some(&mut length),
                )
            };
            if status == 0 { Ok(path[..length].to_vec()) } else { Err(status) }
        };
        assert_eq!(check(NOW + 9, 10).as_deref(), Ok(wanted));
        assert_eq!(check(NOW + 10, 10), Err(Reason::SessionExpired as i32));
    }
}

#[test]
fn keys_that_are_none_have_a_status_of_their_own() {
    let damaged = Reason::SessionKeysInvalid as i32;
    assert_eq!(next_ring(b"rubbish", NOW), Err(damaged));
    assert_eq!(new_id(b"", NOW), Err(damaged));
    assert_eq!(check(b"v1 ", b"x", NOW, 1), Err(damaged));
}

#[test]
fn the_longest_ring_fits_into_the_buffer_that_lua_has() {
    let first = next_ring(b"", i64::MAX - 400_000).unwrap();
    let second = next_ring(&first, i64::MAX - 200_000).unwrap();
    assert_eq!(second.len(), 130);
}

#[test]
fn the_clock_may_say_anything() {
    for now in [i64::MIN, -1, 0, i64::MAX] {
        let ring = next_ring(b"", NOW).unwrap();
        let _ = next_ring(&ring, now);
        let id = new_id(&ring, now).unwrap();
        let _ = check(&ring, &id, NOW, u32::MAX);
        let _ = check(&ring, &new_id(&ring, NOW).unwrap(), now, 0);
    }
}

#[test]
fn null_where_a_pointer_is_needed_is_an_invalid_argument() {
    let ring = next_ring(b"", NOW).unwrap();
    let (mut buffer, mut length, mut age) = ([0; 160], 0, 0);
    let (r, n, b) = (ring.as_ptr(), ring.len(), buffer.as_mut_ptr());
    // SAFETY: null is what is tested; everything else is readable and writable for its length.
    unsafe {
        assert_eq!(rn_session_ring_next(null(), 1, NOW, 1, 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_ring_next(r, n, NOW, 1, 1, null_mut(), 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_ring_next(r, n, NOW, 1, 1, b, 160, None), INVALID);
        assert_eq!(rn_session_ring_next(r, n, NOW, 1, 1, b, 10, Some(&mut length)), Reason::BufferTooSmall as i32);
        assert_eq!(rn_session_id_new(null(), 1, NOW, b), INVALID);
        assert_eq!(rn_session_id_new(r, n, NOW, null_mut()), INVALID);
        assert_eq!(rn_session_id_check(r, n, null(), 1, NOW, 1, Some(&mut age)), INVALID);
        assert_eq!(rn_session_id_check(r, n, b, 1, NOW, 1, None), INVALID);
        assert_eq!(rn_session_id_check(r, usize::MAX, b, 1, NOW, 1, Some(&mut age)), INVALID);
        assert_eq!(rn_session_digest(null(), 1, b), INVALID);
        assert_eq!(rn_session_digest(b, 1, null_mut()), INVALID);
        assert_eq!(rn_login_name_digest(null(), 1, b), INVALID);
        assert_eq!(rn_login_name_digest(b, 1, null_mut()), INVALID);
        assert_eq!(rn_login_name_digest(null(), 0, b), 0);
        assert_eq!(rn_session_page_sign(null(), 1, NOW, r, n, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_sign(r, n, NOW, null(), 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_sign(r, n, NOW, r, 2001, b, 160, None), INVALID);
        assert_eq!(rn_session_page_sign(r, n, NOW, r, n, null_mut(), 4000, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_sign(r, n, NOW, r, n, b, 10, Some(&mut length)), Reason::BufferTooSmall as i32);
        assert_eq!(rn_session_page_check(r, n, null(), 1, NOW, 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_check(null(), 1, r, n, NOW, 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_session_page_check(r, n, r, usize::MAX, NOW, 1, b, 160, Some(&mut length)), INVALID);
        assert_eq!(rn_login_field_check(null(), 1, r, n, Some(&mut age)), INVALID);
        assert_eq!(rn_login_field_check(r, n, null(), 1, Some(&mut age)), INVALID);
        assert_eq!(rn_login_field_check(r, n, r, n, None), INVALID);
        assert_eq!(rn_login_form_check(null(), 1), INVALID);
        assert_eq!(rn_login_object_check(null(), 1), INVALID);
        assert_eq!(rn_login_name_digest(r, usize::MAX, b), INVALID);
        assert_eq!(rn_path_check(null(), 1), INVALID);
        assert_eq!(rn_path_check(null(), 0), Reason::PathRefused as i32);
        assert_eq!(rn_path_check(b"/b/".as_ptr(), 3), 0);
    }
}
