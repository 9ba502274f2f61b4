//! The C ABI of metrics. The conventions are those of [`super`].

use std::sync::LazyLock;
use std::time::Instant;

use super::{guard, path_of, required};
use crate::error::Reason;
use crate::keys::note_certificate;
use crate::metrics::{counters, files, key_use, text};

/// The size of a buffer for [`rn_metrics_take`] and [`rn_metrics_state`], in bytes.
pub const RN_METRICS_BYTES: usize = 65536;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns a number of seconds that only grows, for [`rn_metrics_observe`].
#[unsafe(no_mangle)]
pub extern "C" fn rn_metrics_clock() -> f64 {
    START.elapsed().as_secs_f64()
}

/// Writes the number of a counter or histogram for [`rn_metrics_count`] or [`rn_metrics_observe`]. `key` is its name
/// without `route_native_`, and the labels' values in the order of `src/metrics/families.rs`, with a byte 31 between.
///
/// Errors: `InvalidArgument` for another name or number of labels. A value that a label does not have is no error, but
/// counts as `other`, and so does what finds no room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_metrics_cell(key: *const u8, key_length: usize, cell: Option<&mut u32>) -> i32 {
    guard(|caller| {
        let (key, cell) = (caller.bytes(key, key_length)?, required(cell)?);
        *cell = counters::cell(key).ok_or(Reason::InvalidArgument)?;
        Ok(())
    })
}

/// Adds 1 to a counter.
#[unsafe(no_mangle)]
pub extern "C" fn rn_metrics_count(cell: u32) {
    counters::count(cell);
}

/// Adds a time to a histogram.
#[unsafe(no_mangle)]
pub extern "C" fn rn_metrics_observe(cell: u32, seconds: f64) {
    counters::observe(cell, seconds);
}

/// Writes what the counters of this process have grown by since the last call: lines of a number, a blank and a key.
/// What does not fit stays for the next call. Nothing is written when there is nothing new.
///
/// Errors: `BufferTooSmall` never, if the buffer has [`RN_METRICS_BYTES`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_metrics_take(buffer: *mut u8, capacity: usize, length: Option<&mut usize>) -> i32 {
    guard(|caller| caller.write(counters::take(capacity).as_bytes(), buffer, capacity, length))
}

/// Writes the state of this process's key files and keys, in lines as [`rn_metrics_take`] writes them.
///
/// Errors: `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_metrics_state(buffer: *mut u8, capacity: usize, length: Option<&mut usize>) -> i32 {
    guard(|caller| caller.write((files::lines() + &key_use::lines()).as_bytes(), buffer, capacity, length))
}

/// Forgets the key files and the keys, which the next configuration names anew.
#[unsafe(no_mangle)]
pub extern "C" fn rn_metrics_forget() {
    guard(|_| {
        files::forget();
        key_use::forget();
        Ok(())
    });
}

/// Notes a file with a certificate that this library does not read itself.
///
/// Errors: `KeyUnreadable`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_metrics_note_certificate(path: *const u8, path_length: usize) -> i32 {
    guard(|caller| note_certificate(path_of(caller.bytes(path, path_length)?)).map_err(|error| error.reason))
}

/// Writes the text of Prometheus for lines of all workers.
///
/// Errors: `BufferTooSmall`, with the size needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_metrics_write(
    lines: *const u8,
    lines_length: usize,
    buffer: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let text = text::write(caller.bytes(lines, lines_length)?);
        caller.write(text.as_bytes(), buffer, capacity, length)
    })
}
