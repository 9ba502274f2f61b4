//! The promises of an export's caller, as types.
//!
//! A handle, a struct and a single value to write are `Option<&T>` or `Option<&mut T>`: a pointer in C, and `None` when
//! it is null. Memory with a length is a pointer and a length, which only [`Caller`] can read or write.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{ptr, slice, str};

use super::rn_string;
use crate::error::{ConfigError, Reason};

/// The promise of an export's caller: until the export returns, each pointer with a length is readable for that length,
/// or writable where it is `mut`, and nobody else writes there.
///
/// [`guard`] creates one for each call. References from it cannot outlive the call.
pub(super) struct Caller(());

/// Runs the body of an export and returns its status. A panic becomes [`Reason::Internal`]: in C it would abort the
/// worker.
///
/// Only an export may call this. One that takes a pointer with a length is an `unsafe fn`, whose caller makes the
/// promise of [`Caller`].
pub(super) fn guard(body: impl FnOnce(&Caller) -> Result<(), Reason>) -> i32 {
    match catch_unwind(AssertUnwindSafe(|| body(&Caller(())))) {
        Ok(Ok(())) => 0,
        Ok(Err(reason)) => reason.code(),
        Err(_) => Reason::Internal.code(),
    }
}

/// Returns the referent of a pointer, or `InvalidArgument` when it is null.
pub(super) fn required<T>(pointer: Option<T>) -> Result<T, Reason> {
    pointer.ok_or(Reason::InvalidArgument)
}

impl Caller {
    /// Returns an array, which is empty when its length is 0.
    ///
    /// Errors: `InvalidArgument` for a null pointer with another length, or an impossible length.
    pub fn array<T>(&self, data: *const T, length: usize) -> Result<&[T], Reason> {
        // A slice must not exceed isize::MAX bytes. A negative number that was cast to a size does.
        let possible = length.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
        match (data.is_null(), length) {
            (_, 0) => Ok(&[]),
            (false, length) if possible => {
                // SAFETY: the caller's promise, for a pointer that is not null; the slice lives no longer than `self`.
                Ok(unsafe { slice::from_raw_parts(data, length) })
            }
            _ => Err(Reason::InvalidArgument),
        }
    }

    /// Returns bytes, as [`Caller::array`] does.
    pub fn bytes(&self, data: *const u8, length: usize) -> Result<&[u8], Reason> {
        self.array(data, length)
    }

    /// Returns a buffer to write to.
    ///
    /// Errors: as [`Caller::array`].
    #[allow(clippy::mut_from_ref)] // buffers do not overlap: the caller's promise
    pub fn buffer(&self, data: *mut u8, capacity: usize) -> Result<&mut [u8], Reason> {
        match (data.is_null(), capacity) {
            (_, 0) => Ok(&mut []),
            (false, capacity) if isize::try_from(capacity).is_ok() => {
                // SAFETY: the caller's promise, for a pointer that is not null; the slice lives no longer than `self`.
                Ok(unsafe { slice::from_raw_parts_mut(data, capacity) })
            }
            _ => Err(Reason::InvalidArgument),
        }
    }

    /// Returns the bytes of an nginx string, which is empty for a null pointer or a negative length.
    pub fn string(&self, text: &rn_string) -> &[u8] {
        self.bytes(text.data, usize::try_from(text.length).unwrap_or(0)).unwrap_or_default()
    }

    /// Returns the bytes of an option, empty when it is absent.
    pub fn option_bytes(&self, data: *const u8, length: usize) -> Result<&[u8], ConfigError> {
        self.bytes(data, length).map_err(|_| invalid_option("a text of the options is null"))
    }

    /// Returns the text of an option, empty when it is absent.
    pub fn option_text(&self, data: *const u8, length: usize) -> Result<&str, ConfigError> {
        str::from_utf8(self.option_bytes(data, length)?)
            .map_err(|_| invalid_option("a text of the options is not UTF-8"))
    }

    /// Returns the path of an option, empty when it is absent.
    pub fn option_path(&self, data: *const u8, length: usize) -> Result<&Path, ConfigError> {
        self.option_bytes(data, length).map(path_of)
    }

    /// Copies `bytes` into a buffer and writes their length to `length`, also when they do not fit.
    ///
    /// Errors: `BufferTooSmall`, `InvalidArgument`.
    pub fn write(
        &self,
        bytes: &[u8],
        buffer: *mut u8,
        capacity: usize,
        length: Option<&mut usize>,
    ) -> Result<(), Reason> {
        *required(length)? = bytes.len();
        self.fill(bytes, buffer, capacity)
    }

    /// Copies `bytes` into a buffer whose caller knows their length otherwise.
    ///
    /// Errors: `BufferTooSmall`, `InvalidArgument`.
    pub fn fill(&self, bytes: &[u8], buffer: *mut u8, capacity: usize) -> Result<(), Reason> {
        if bytes.len() > capacity {
            return Err(Reason::BufferTooSmall);
        } else if bytes.is_empty() {
            return Ok(());
        } else if buffer.is_null() {
            return Err(Reason::InvalidArgument);
        }
        // SAFETY: the caller's promise; the source is ours, so the two cannot overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len()) };
        Ok(())
    }

    /// Returns the value, or writes the error's message, cut to the capacity, and returns its reason.
    pub fn or_write_error<T>(
        &self,
        result: Result<T, ConfigError>,
        error: *mut u8,
        capacity: usize,
        length: Option<&mut usize>,
    ) -> Result<T, Reason> {
        result.map_err(|ConfigError { reason, message }| {
            let text = &message.as_bytes()[..message.len().min(capacity)];
            self.write(text, error, capacity, length).err().unwrap_or(reason)
        })
    }

    /// Moves the value to the heap and writes its handle, or writes the error's message.
    pub fn new_handle<T>(
        &self,
        result: Result<T, ConfigError>,
        handle: &mut *mut T,
        error: *mut u8,
        capacity: usize,
        length: Option<&mut usize>,
    ) -> Result<(), Reason> {
        *handle = Box::into_raw(Box::new(self.or_write_error(result, error, capacity, length)?));
        Ok(())
    }

    /// Does the same for a value with notes, which are written to the error's buffer, one a line and cut to its capacity.
    pub fn new_handle_with_notes<T>(
        &self,
        result: Result<T, ConfigError>,
        notes: impl FnOnce(&T) -> Vec<String>,
        handle: &mut *mut T,
        error: *mut u8,
        capacity: usize,
        mut length: Option<&mut usize>,
    ) -> Result<(), Reason> {
        let value = self.or_write_error(result, error, capacity, length.as_deref_mut())?;
        self.write_notes(&notes(&value), error, capacity, length)?;
        *handle = Box::into_raw(Box::new(value));
        Ok(())
    }

    /// Writes notes where an error would be written.
    pub fn write_notes(
        &self,
        notes: &[String],
        error: *mut u8,
        capacity: usize,
        length: Option<&mut usize>,
    ) -> Result<(), Reason> {
        let text = notes.join("\n");
        match length {
            Some(length) => self.write(&text.as_bytes()[..text.len().min(capacity)], error, capacity, Some(length)),
            None => Ok(()),
        }
    }
}

/// Releases a handle. Null is allowed.
pub(super) fn release<T>(handle: Option<Box<T>>) {
    guard(|_| {
        drop(handle);
        Ok(())
    });
}

/// Returns bytes as a path.
pub(super) fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Returns a `SettingInvalid` with its message.
pub(super) fn invalid_option(message: &str) -> ConfigError {
    ConfigError::new(Reason::SettingInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(guard(|_| panic!("by a test")), Reason::Internal.code());
    }
}
