//! The C ABI of random texts and of digests. The conventions are those of [`super`].

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};

use super::guard;
use crate::error::Reason;
use crate::keys::random;

/// The longest digest, in bytes.
pub const RN_DIGEST_BYTES: usize = 64;

/// The most random bytes that one call writes.
pub const RN_RANDOM_BYTES: usize = 1024;

/// Fills a buffer with random bytes of the system, for values that nobody may guess.
///
/// Errors: `InvalidArgument` for more than [`RN_RANDOM_BYTES`]; `Internal` if the system has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_random_fill(out: *mut u8, bytes: usize) -> i32 {
    guard(|caller| {
        if bytes > RN_RANDOM_BYTES {
            return Err(Reason::InvalidArgument);
        }
        caller.fill(&random(bytes)?, out, bytes)
    })
}

/// Writes the SHA-2 digest of a text: 32, 48 or 64 bytes for `bits` of 256, 384 or 512.
///
/// Errors: `InvalidArgument` for other bits, `BufferTooSmall` ([`RN_DIGEST_BYTES`] is always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_digest_write(
    bits: u32,
    text: *const u8,
    text_length: usize,
    out: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let algorithm = match bits {
            256 => &SHA256,
            384 => &SHA384,
            512 => &SHA512,
            _ => return Err(Reason::InvalidArgument),
        };
        caller.write(digest(algorithm, caller.bytes(text, text_length)?).as_ref(), out, capacity, length)
    })
}
