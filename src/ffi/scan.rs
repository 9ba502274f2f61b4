//! The C ABI of the scanner for cookies and arguments. The conventions are those of [`super`].

use std::ops::Range;

use super::{guard, required};
use crate::error::Reason;
use crate::scan::{self, Found};

/// The position of a cookie or an argument: offsets in the text, in bytes. They are valid when `is_there` is 1.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_found {
    /// 1 when it was found, else 0.
    pub is_there: u32,
    /// The value's first byte.
    pub value_start: u32,
    /// The end of the value.
    pub value_end: u32,
    /// The name's first byte, or that of the whitespace before it.
    pub start: u32,
    /// The following separator, or the end of the text. A search for the next begins one byte later.
    pub stop: u32,
}

/// Finds the next cookie with that name in a Cookie header, beginning at the offset `from`.
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
            (caller.bytes(header, header_length)?, caller.bytes(name, name_length)?, required(found)?);
        *found = to_found(scan::cookie(header, name, from))?;
        Ok(())
    })
}

/// Finds the next argument with that name (in lower case) in a query, beginning at the offset `from`. The comparison
/// ignores case and decodes percent-encoding.
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
            (caller.bytes(query, query_length)?, caller.bytes(name, name_length)?, required(found)?);
        *found = to_found(scan::argument(query, name, from))?;
        Ok(())
    })
}

/// Finds the next token in a URL or another text, beginning at the offset `from`: a compact token, or the value of what
/// is named `…token`, also percent-encoded. Value and whole are the same.
///
/// Errors: `InvalidArgument` for a text of 4 GB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_token_scan(
    text: *const u8,
    text_length: usize,
    from: usize,
    found: Option<&mut rn_found>,
) -> i32 {
    guard(|caller| {
        let (text, found) = (caller.bytes(text, text_length)?, required(found)?);
        *found = to_found(scan::token(text, from).map(|range| Found { value: range.clone(), whole: range }))?;
        Ok(())
    })
}

/// Writes a Cookie header without the cookies named in `names`, a list separated by semicolons. With `any_prefix` other
/// than 0, also drops a name with a prefix such as `__Host-`.
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
        let (rest, length) = (caller.buffer(rest, capacity)?, required(length)?);
        *length = scan::without_cookies(header, names, any_prefix != 0, rest);
        if *length > capacity { Err(Reason::BufferTooSmall) } else { Ok(()) }
    })
}

/// Converts a position to offsets of 32 bits.
fn to_found(found: Option<Found>) -> Result<rn_found, Reason> {
    let Some(Found { value, whole }) = found else {
        return Ok(rn_found { is_there: 0, value_start: 0, value_end: 0, start: 0, stop: 0 });
    };
    let offset = |at: usize| u32::try_from(at).map_err(|_| Reason::InvalidArgument);
    let offsets = |range: Range<usize>| Ok::<_, Reason>((offset(range.start)?, offset(range.end)?));
    let ((value_start, value_end), (start, stop)) = (offsets(value)?, offsets(whole)?);
    Ok(rn_found { is_there: 1, value_start, value_end, start, stop })
}
