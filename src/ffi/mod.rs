//! The C ABI: all unsafe code, and a panic guard around each call.
//!
//! Conventions of every export:
//!
//! - A name is `rn_<noun>_<verb>`. A handle is opaque. `_new` or `_open` creates it, and `_free` releases it: once, and
//!   when no other call uses it. Handles from before nginx's fork are inherited by the workers.
//! - A fallible call returns a status: 0, or the number of a [`Reason`]. Outputs are valid only on 0, except for the
//!   length that `BufferTooSmall` requires. A status never changes its meaning.
//! - Input is a pointer and a length. Output goes into the caller's buffer, with its capacity. A null pointer with a
//!   length other than 0 is `InvalidArgument`. No pointer is kept after the call. There are no C strings, structs by
//!   value or callbacks, because LuaJIT does not compile calls with them.
//! - `error` receives one sentence for the operator, cut to its capacity; [`RN_ERROR_BYTES`] is enough for each. Where an
//!   export says so, it receives notes on success. `error_length` may be null.
//! - `now` is in seconds since the epoch.
//! - A panic becomes [`Reason::Internal`].
//! - Several threads may use a handle at once; `_free` requires exclusive use.
//!
//! An export that takes a pointer with a length is an `unsafe fn`. [`caller::Caller`] states its caller's promise.

// The module's documentation states the contract of all exports.
#![allow(clippy::missing_safety_doc)]

mod caller;
mod gateway;
mod introspection;
mod jwe;
mod jwt;
mod keys;
mod metrics;
mod proof;
mod random;
mod revocation;
mod rsa;
mod scan;
mod session;

pub use gateway::*;
pub use introspection::*;
pub use jwe::*;
pub use jwt::*;
pub use keys::*;
pub use metrics::*;
pub use proof::*;
pub use random::*;
pub use revocation::*;
pub use rsa::*;
pub use scan::*;
pub use session::*;

use self::caller::{Caller, guard, invalid_option, path_of, release, required};
use crate::error::Reason;

/// Returns the seconds since the epoch, for notes about certificates. Whatever decides about a token is given `now`.
fn clock() -> i64 {
    let elapsed = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    i64::try_from(elapsed).unwrap_or(i64::MAX)
}

/// The status of success.
pub const RN_OK: i32 = 0;

/// The size of a buffer for any error message, in bytes.
pub const RN_ERROR_BYTES: usize = 1024;

/// The size of a buffer for any status's name, in bytes.
pub const RN_REASON_NAME_BYTES: usize = 64;

/// The version of this ABI. Lua refuses a library of another version.
pub const RN_ABI_VERSION: u32 = 3;

/// Bytes with a 32-bit length, laid out as lua-nginx-module's `ngx_http_lua_ffi_str_t`.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_string {
    /// The length in bytes. A negative length reads as 0.
    pub length: i32,
    /// The bytes.
    pub data: *const u8,
}

/// A request header, laid out as lua-nginx-module's `ngx_http_lua_ffi_table_elt_t`, so that nginx's array needs no
/// copy.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_header {
    /// The name as received.
    pub name: rn_string,
    /// The value as received.
    pub value: rn_string,
}

/// Returns the library's ABI version, [`RN_ABI_VERSION`].
#[unsafe(no_mangle)]
pub extern "C" fn rn_abi_version() -> u32 {
    RN_ABI_VERSION
}

/// Writes the name of a status, such as `token_expired`.
///
/// Errors: `InvalidArgument` for an unknown status, `BufferTooSmall`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_reason_name(status: i32, out: *mut u8, capacity: usize, length: Option<&mut usize>) -> i32 {
    guard(|caller| {
        let reason = Reason::from_code(status).ok_or(Reason::InvalidArgument)?;
        caller.write(reason.name().as_bytes(), out, capacity, length)
    })
}
