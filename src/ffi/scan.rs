//! Cookies and arguments, found in the text that the client sent.

use std::ops::Range;

use super::{given, guard};
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
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_cookie_find(
    header: *const u8,
    header_length: usize,
    name: *const u8,
    name_length: usize,
    from: usize,
    found: Option<&mut rn_found>,
) -> i32 {
    guard(|caller| {
        let (header, name, found) =
            (caller.bytes(header, header_length)?, caller.bytes(name, name_length)?, given(found)?);
        *found = placed(scan::cookie(header, name, from))?;
        Ok(())
    })
}

/// Finds the next argument with a name (in lower case) in a query, from an offset on: in any case, also where it is
/// spelt with percent signs.
///
/// Errors: `InvalidArgument` for a query of 4 GB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_argument_find(
    query: *const u8,
    query_length: usize,
    name: *const u8,
    name_length: usize,
    from: usize,
    found: Option<&mut rn_found>,
) -> i32 {
    guard(|caller| {
        let (query, name, found) =
            (caller.bytes(query, query_length)?, caller.bytes(name, name_length)?, given(found)?);
        *found = placed(scan::argument(query, name, from))?;
        Ok(())
    })
}

/// Writes a Cookie header without the cookies whose names are in `names`, which semicolons separate. With `any_prefix`
/// other than 0, also those whose name has a prefix such as `__Host-`.
///
/// Errors: `BufferTooSmall` (one and a half times the header is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_cookies_without(
    header: *const u8,
    header_length: usize,
    names: *const u8,
    names_length: usize,
    any_prefix: u32,
    rest: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (header, names) = (caller.bytes(header, header_length)?, caller.bytes(names, names_length)?);
        let (rest, length) = (caller.room(rest, capacity)?, given(length)?);
        *length = scan::without_cookies(header, names, any_prefix != 0, rest);
        if *length > capacity { Err(Reason::BufferTooSmall) } else { Ok(()) }
    })
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
