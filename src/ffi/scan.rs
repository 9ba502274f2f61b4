//! Cookies and arguments, found in the text that the client sent.

use std::{ops::Range, slice};

use super::{bytes, guard, out};
use crate::error::Reason;
use crate::scan::{self, Found};

/// Where a cookie or an argument stands: offsets in the text, in bytes. All are valid when `is_there` is 1.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_found {
    /// 1, or 0 when there is none.
    pub is_there: u32,
    /// Where the value begins.
    pub value_start: u32,
    /// Where the value ends.
    pub value_end: u32,
    /// Where the name begins, with the blanks before it.
    pub start: u32,
    /// The separator behind it, or the text's end: one more is where to look for the next.
    pub stop: u32,
}

/// Finds the next cookie with a name in a Cookie header, from an offset on.
///
/// Errors: `InvalidArgument` for a header of 4 GB.
///
/// # Safety
/// `header` and `name` must be readable for their lengths, `found` writable for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_cookie_find(
    header: *const u8,
    header_length: usize,
    name: *const u8,
    name_length: usize,
    from: usize,
    found: *mut rn_found,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (header, name, found) = unsafe { (bytes(header, header_length)?, bytes(name, name_length)?, out(found)?) };
        *found = placed(scan::cookie(header, name, from))?;
        Ok(())
    })
}

/// Finds the next argument with a name (in lower case) in a query, from an offset on: in any case, also where it is
/// spelt with percent signs.
///
/// Errors: `InvalidArgument` for a query of 4 GB.
///
/// # Safety
/// `query` and `name` must be readable for their lengths, `found` writable for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_argument_find(
    query: *const u8,
    query_length: usize,
    name: *const u8,
    name_length: usize,
    from: usize,
    found: *mut rn_found,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (query, name, found) = unsafe { (bytes(query, query_length)?, bytes(name, name_length)?, out(found)?) };
        *found = placed(scan::argument(query, name, from))?;
        Ok(())
    })
}

/// Writes a Cookie header without the cookies whose names are in `names`, which semicolons separate. With `any_prefix`
/// other than 0, also those whose name has a prefix such as `__Host-`.
///
/// Errors: `BufferTooSmall` (one and a half times the header is always enough).
///
/// # Safety
/// `header` and `names` must be readable for their lengths, `rest` writable for `capacity`, `length` for one value. The
/// header must not lie where `rest` is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_cookies_without(
    header: *const u8,
    header_length: usize,
    names: *const u8,
    names_length: usize,
    any_prefix: u32,
    rest: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (header, names) = unsafe { (bytes(header, header_length)?, bytes(names, names_length)?) };
        // SAFETY: the caller's promise.
        let (rest, length) = unsafe { (room(rest, capacity)?, out(length)?) };
        *length = scan::without_cookies(header, names, any_prefix != 0, rest);
        if *length > capacity { Err(Reason::BufferTooSmall) } else { Ok(()) }
    })
}

/// # Safety
/// `data` must be null or writable for `capacity` bytes that nobody else uses during the call.
unsafe fn room<'a>(data: *mut u8, capacity: usize) -> Result<&'a mut [u8], Reason> {
    match (data.is_null(), capacity) {
        (_, 0) => Ok(&mut []),
        (false, capacity) if isize::try_from(capacity).is_ok() => {
            // SAFETY: the caller's promise, for a pointer that is not null.
            Ok(unsafe { slice::from_raw_parts_mut(data, capacity) })
        }
        _ => Err(Reason::InvalidArgument),
    }
}

fn placed(found: Option<Found>) -> Result<rn_found, Reason> {
    let Some(Found { value, whole }) = found else {
        return Ok(rn_found { is_there: 0, value_start: 0, value_end: 0, start: 0, stop: 0 });
    };
    let offset = |at: usize| u32::try_from(at).map_err(|_| Reason::InvalidArgument);
    let offsets = |range: Range<usize>| Ok::<_, Reason>((offset(range.start)?, offset(range.end)?));
    let ((value_start, value_end), (start, stop)) = (offsets(value)?, offsets(whole)?);
    Ok(rn_found { is_there: 1, value_start, value_end, start, stop })
}
