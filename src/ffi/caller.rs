//! What the caller of an export promises, carried by types.
//!
//! A handle, a struct and a single value to write come in as `Option<&T>` or `Option<&mut T>`: a pointer in C, `None` when
//! it is null. Memory with a length comes in as a pair, which only [`Caller`] can read or write.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{ptr, slice, str};

use super::rn_string;
use crate::error::{ConfigError, Reason};

/// The promise of an export's caller: until the export returns, each pointer that comes with a length is readable, or
/// where it is `mut` writable, for that length, and nobody else writes there.
///
/// [`guard`] makes one for each call. What is read through it cannot outlive it, and so not the call.
pub(super) struct Caller(());

/// Runs the body of an export. A panic must not cross into C (it would abort the worker); it becomes a status.
///
/// Only an export may call this, and an export that takes a pointer with a length is an `unsafe fn`: its caller makes the
/// promise that the body relies on.
pub(super) fn guard(body: impl FnOnce(&Caller) -> Result<(), Reason>) -> i32 {
    match catch_unwind(AssertUnwindSafe(|| body(&Caller(())))) {
        Ok(Ok(())) => 0,
        Ok(Err(reason)) => reason.code(),
        Err(_) => Reason::Internal.code(),
    }
}

/// Returns what a pointer of the caller leads to, or `InvalidArgument` when it is null.
pub(super) fn given<T>(pointer: Option<T>) -> Result<T, Reason> {
    pointer.ok_or(Reason::InvalidArgument)
}

impl Caller {
    /// Returns an array: empty when its length is 0, and `InvalidArgument` when it is null otherwise.
    pub fn array<T>(&self, data: *const T, length: usize) -> Result<&[T], Reason> {
        // No memory is longer than isize::MAX bytes, and no slice may be: a negative length that became a size.
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

    /// Returns a buffer of the caller to write to.
    #[allow(clippy::mut_from_ref)] // each buffer is another one: the caller's promise
    pub fn room(&self, data: *mut u8, capacity: usize) -> Result<&mut [u8], Reason> {
        match (data.is_null(), capacity) {
            (_, 0) => Ok(&mut []),
            (false, capacity) if isize::try_from(capacity).is_ok() => {
                // SAFETY: the caller's promise, for a pointer that is not null; the slice lives no longer than `self`.
                Ok(unsafe { slice::from_raw_parts_mut(data, capacity) })
            }
            _ => Err(Reason::InvalidArgument),
        }
    }

    /// Returns the bytes of a string of nginx. A negative length or a null pointer reads as empty.
    pub fn string(&self, text: &rn_string) -> &[u8] {
        self.bytes(text.data, usize::try_from(text.length).unwrap_or(0)).unwrap_or_default()
    }

    /// Returns the bytes of an option: empty when it is absent.
    pub fn option_bytes(&self, data: *const u8, length: usize) -> Result<&[u8], ConfigError> {
        self.bytes(data, length).map_err(|_| invalid_option("a text of the options is null"))
    }

    /// Returns the text of an option: empty when it is absent.
    pub fn option_text(&self, data: *const u8, length: usize) -> Result<&str, ConfigError> {
        str::from_utf8(self.option_bytes(data, length)?)
            .map_err(|_| invalid_option("a text of the options is not UTF-8"))
    }

    /// Returns the path that an option is: empty when it is absent.
    pub fn option_path(&self, data: *const u8, length: usize) -> Result<&Path, ConfigError> {
        self.option_bytes(data, length).map(path_of)
    }

    /// Copies `bytes` into a buffer of the caller and writes how many they are to `length`, also when they do not fit.
    pub fn write(
        &self,
        bytes: &[u8],
        buffer: *mut u8,
        capacity: usize,
        length: Option<&mut usize>,
    ) -> Result<(), Reason> {
        *given(length)? = bytes.len();
        self.fill(bytes, buffer, capacity)
    }

    /// Copies `bytes` into a buffer of the caller that knows its length by another way.
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

    /// Writes the sentence of a configuration mistake, cut to the capacity, and turns it into its reason.
    pub fn explain<T>(
        &self,
        result: Result<T, ConfigError>,
        error: *mut u8,
        capacity: usize,
        length: Option<&mut usize>,
    ) -> Result<T, Reason> {
        result.map_err(|mistake| {
            let sentence = mistake.message.as_bytes();
            match self.write(&sentence[..sentence.len().min(capacity)], error, capacity, length) {
                Ok(()) => mistake.reason,
                Err(reason) => reason,
            }
        })
    }

    /// Puts what was made into a handle of the caller, or explains why nothing was.
    pub fn hand_out<T>(
        &self,
        made: Result<T, ConfigError>,
        handle: &mut *mut T,
        error: *mut u8,
        capacity: usize,
        length: Option<&mut usize>,
    ) -> Result<(), Reason> {
        *handle = Box::into_raw(Box::new(self.explain(made, error, capacity, length)?));
        Ok(())
    }
}

/// Releases a handle that [`Caller::hand_out`] made; null is allowed.
pub(super) fn release<T>(handle: Option<Box<T>>) {
    guard(|_| {
        drop(handle);
        Ok(())
    });
}

/// Returns bytes as the path that they name.
pub(super) fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Returns a `SettingInvalid` with its sentence.
pub(super) fn invalid_option(sentence: &str) -> ConfigError {
    ConfigError::new(Reason::SettingInvalid, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unguarded, it would abort the whole nginx worker.
    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(guard(|_| panic!("made by a test")), Reason::Internal.code());
    }
}
