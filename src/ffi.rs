//! The C ABI: all the unsafe code and all the panic guards, nothing else.
//!
//! Conventions, the same for every export:
//!
//! - Names are `rn_<noun>_<verb>`. Handles are opaque, made by `_new` and released by `_free`.
//! - A fallible call returns a status: 0, or a [`Reason`]'s number. Outputs are valid only on 0, except where
//!   a length says how large a buffer must be (`BufferTooSmall`).
//! - Bytes come in as pointer and length. A null pointer is allowed where the length is 0. Nothing is kept past the
//!   call, and no C strings, structs by value or callbacks are used: LuaJIT does not compile calls that have them.
//! - `now` is in seconds since the epoch.
//! - No panic leaves the library: it becomes [`Reason::Internal`].
//! - A gateway may be used by several threads at once; `_free` needs it to itself.

mod gateway;
mod introspection;
mod jwe;
mod jwt;
mod scan;
mod session;

pub use gateway::*;
pub use introspection::*;
pub use jwe::*;
pub use jwt::*;
pub use scan::*;
pub use session::*;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{ptr, slice, str};

use crate::error::{ConfigError, Reason};

/// The version of this ABI. Lua refuses a library whose version is another.
pub const RN_ABI_VERSION: u32 = 1;

/// Bytes with a 32-bit length, laid out as lua-nginx-module's `ngx_http_lua_ffi_str_t`.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_string {
    /// Length in bytes; negative lengths are refused.
    pub length: i32,
    /// The bytes.
    pub data: *const u8,
}

/// A request's header, laid out as lua-nginx-module's `ngx_http_lua_ffi_table_elt_t`, so that the array which
/// nginx fills is read where it lies.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_header {
    /// The name as received.
    pub name: rn_string,
    /// The value as received.
    pub value: rn_string,
}

/// The version of the ABI that this library has: [`RN_ABI_VERSION`].
#[unsafe(no_mangle)]
pub extern "C" fn rn_abi_version() -> u32 {
    RN_ABI_VERSION
}

/// Writes the name of a status, such as `token_expired`.
///
/// Errors: `InvalidArgument` for a number that is no reason, `BufferTooSmall`.
///
/// # Safety
/// `out` must be writable for `capacity` bytes and `length` for one value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_reason_name(status: i32, out: *mut u8, capacity: usize, length: *mut usize) -> i32 {
    guard(|| {
        let reason = Reason::from_code(status).ok_or(Reason::InvalidArgument)?;
        // SAFETY: the caller's promise.
        unsafe { write_bytes(reason.name().as_bytes(), out, capacity, length) }
    })
}

/// Runs the body of an export. A panic must not cross into C (it would abort the worker); it becomes a status.
fn guard(body: impl FnOnce() -> Result<(), Reason>) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(reason)) => reason.code(),
        Err(_) => Reason::Internal.code(),
    }
}

/// # Safety
/// `pointer` must be null or writable for one value that nobody else uses during the call.
unsafe fn out<'a, T>(pointer: *mut T) -> Result<&'a mut T, Reason> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or(Reason::InvalidArgument)
}

/// # Safety
/// `data` must be null or readable for `length` values.
unsafe fn array<'a, T>(data: *const T, length: usize) -> Result<&'a [T], Reason> {
    // No memory is longer than isize::MAX bytes, and no slice may be: a negative length that became a size.
    let possible = length.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
    match (data.is_null(), length) {
        (_, 0) => Ok(&[]),
        (false, length) if possible => {
            // SAFETY: the caller's promise, for a pointer that is not null.
            Ok(unsafe { slice::from_raw_parts(data, length) })
        }
        _ => Err(Reason::InvalidArgument),
    }
}

/// # Safety
/// As [`array`].
unsafe fn bytes<'a>(data: *const u8, length: usize) -> Result<&'a [u8], Reason> {
    // SAFETY: the caller's promise.
    unsafe { array(data, length) }
}

/// # Safety
/// The string must be readable for its length; a negative length or a null pointer reads as empty.
unsafe fn string(text: &rn_string) -> &[u8] {
    // SAFETY: the caller's promise.
    unsafe { bytes(text.data, usize::try_from(text.length).unwrap_or(0)) }.unwrap_or_default()
}

/// Copies `bytes` into a buffer of the caller and says how many they are (or would be).
///
/// # Safety
/// `out` must be writable for `capacity` bytes, `length` for one value.
unsafe fn write_bytes(bytes: &[u8], out: *mut u8, capacity: usize, length: *mut usize) -> Result<(), Reason> {
    // SAFETY: the caller's promise.
    *unsafe { self::out(length) }? = bytes.len();
    if bytes.len() > capacity {
        return Err(Reason::BufferTooSmall);
    }
    if out.is_null() {
        return if bytes.is_empty() { Ok(()) } else { Err(Reason::InvalidArgument) };
    }
    // SAFETY: the caller's promise; the source is ours, so the two cannot overlap.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), out, bytes.len()) };
    Ok(())
}

/// Writes the sentence of a configuration mistake and turns it into its reason.
///
/// # Safety
/// `error` must be writable for `capacity` bytes, `length` for one value.
unsafe fn explain<T>(
    result: Result<T, ConfigError>,
    error: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> Result<T, Reason> {
    result.map_err(|mistake| {
        let sentence = mistake.sentence.as_bytes();
        // SAFETY: the caller's promise.
        match unsafe { write_bytes(&sentence[..sentence.len().min(capacity)], error, capacity, length) } {
            Ok(()) => mistake.reason,
            Err(reason) => reason,
        }
    })
}

/// Puts what was made into a handle of the caller, or explains why nothing was.
///
/// # Safety
/// As [`explain`].
unsafe fn hand_out<T>(
    made: Result<T, ConfigError>,
    handle: &mut *mut T,
    error: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> Result<(), Reason> {
    // SAFETY: the caller's promise.
    *handle = Box::into_raw(Box::new(unsafe { explain(made, error, capacity, length) }?));
    Ok(())
}

/// Releases what [`hand_out`] made; null is allowed.
///
/// # Safety
/// `handle` must be null or come from [`hand_out`], be released once, and not be in use.
unsafe fn release<T>(handle: *mut T) {
    guard(|| {
        if !handle.is_null() {
            // SAFETY: the caller's promise: a handle of ours, released once.
            drop(unsafe { Box::from_raw(handle) });
        }
        Ok(())
    });
}

/// The bytes of an option: empty when it is absent.
///
/// # Safety
/// As [`array`].
unsafe fn option_bytes<'a>(data: *const u8, length: usize) -> Result<&'a [u8], ConfigError> {
    // SAFETY: the caller's promise.
    unsafe { bytes(data, length) }.map_err(|_| invalid_option("a text of the options is null"))
}

/// The text of an option: empty when it is absent.
///
/// # Safety
/// As [`array`].
unsafe fn option_text<'a>(data: *const u8, length: usize) -> Result<&'a str, ConfigError> {
    // SAFETY: the caller's promise.
    str::from_utf8(unsafe { option_bytes(data, length) }?)
        .map_err(|_| invalid_option("a text of the options is not UTF-8"))
}

/// The path that an option is.
///
/// # Safety
/// As [`array`].
unsafe fn option_path<'a>(data: *const u8, length: usize) -> Result<&'a Path, ConfigError> {
    // SAFETY: the caller's promise.
    Ok(path_of(unsafe { option_bytes(data, length) }?))
}

fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn invalid_option(sentence: &str) -> ConfigError {
    ConfigError::new(Reason::SettingInvalid, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unguarded, it would abort the whole nginx worker.
    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(guard(|| panic!("made by a test")), Reason::Internal.code());
    }
}
