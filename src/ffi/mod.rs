//! The C ABI: all the unsafe code and all the panic guards, nothing else.
//!
//! Conventions, the same for every export:
//!
//! - Names are `rn_<noun>_<verb>`. Handles are opaque, made by `_new` or `_open` and released by `_free`: once, and when
//!   nobody uses them. They are made before nginx forks or after; workers inherit them.
//! - A fallible call returns a status: 0, or a [`Reason`]'s number. Outputs are valid only on 0, except where
//!   a length says how large a buffer must be (`BufferTooSmall`). Statuses never change their meaning.
//! - Bytes come in as pointer and length, and go out into a buffer of the caller with its capacity. A null pointer is
//!   allowed where the length is 0; elsewhere it is `InvalidArgument`. Nothing is kept past the call, and no C strings,
//!   structs by value or callbacks are used: LuaJIT does not compile calls that have them.
//! - A sentence for a person goes into `error`, cut to its capacity ([`RN_ERROR_BYTES`] hold every one of ours).
//! - `now` is in seconds since the epoch.
//! - No panic leaves the library: it becomes [`Reason::Internal`].
//! - A handle may be used by several threads at once; `_free` needs it to itself.
//!
//! An export that takes a pointer with a length is an `unsafe fn`: what its caller promises is written once, at
//! [`caller::Caller`].

// The contract is the same for all of them, and stands above.
#![allow(clippy::missing_safety_doc)]

mod caller;
mod gateway;
mod introspection;
mod jwe;
mod jwt;
mod keys;
mod scan;
mod session;

pub use gateway::*;
pub use introspection::*;
pub use jwe::*;
pub use jwt::*;
pub use keys::*;
pub use scan::*;
pub use session::*;

use self::caller::{Caller, given, guard, invalid_option, path_of, release};
use crate::error::Reason;

/// The status of a call that succeeded.
pub const RN_OK: i32 = 0;

/// The size of a buffer that holds every sentence of an error.
pub const RN_ERROR_BYTES: usize = 1024;

/// The size of a buffer that holds the name of every status.
pub const RN_REASON_NAME_BYTES: usize = 64;

/// The version of this ABI. Lua refuses a library whose version is another.
pub const RN_ABI_VERSION: u32 = 2;

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
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_reason_name(status: i32, out: *mut u8, capacity: usize, length: Option<&mut usize>) -> i32 {
    guard(|caller| {
        let reason = Reason::from_code(status).ok_or(Reason::InvalidArgument)?;
        caller.write(reason.name().as_bytes(), out, capacity, length)
    })
}
