//! route_native checks tokens for OpenResty gateways.
//!
//! Data flows one way, and so do the modules' imports:
//!
//! ```text
//! conf/*.conf -> lua/route_native* -> ffi -> the pure modules below
//! ```
//!
//! | module            | purpose                                                                     |
//! |-------------------|-----------------------------------------------------------------------------|
//! | [`error`]         | the fixed list of reasons, with numbers that never change                   |
//! | [`json`]          | JSON objects without duplicate members                                      |
//! | [`scan`]          | cookies and arguments, found in what a client sends                         |
//! | [`keys`]          | keys and key files: what verifies, what signs, with which algorithms        |
//! | [`jwt`]           | policy, verification, signing and decryption of tokens (RFC 7515–7519)      |
//! | [`credential`]    | which of a request's headers carries the token, and its fingerprint         |
//! | [`desktop`]       | the desktop gateway: token to target, with the worker's own cache           |
//! | [`introspection`] | phantom tokens: what an authorization server says, and what is passed on    |
//! | [`border`]        | border sessions: ids, login names and redirects                             |
//! | [`ffi`]           | the C ABI: all the unsafe code and all the panic guards                     |
//!
//! With the feature `tunnel` there are also `mux`, the tunnel's multiplexer, and `tunnel`, its server and client: they
//! run as processes of their own, never inside nginx.
//!
//! The pure modules know no C type, no Lua and no nginx, and the clock is passed in.

pub mod border;
pub mod credential;
pub mod desktop;
mod digest;
pub mod error;
pub mod ffi;
pub mod introspection;
pub mod json;
pub mod jwt;
pub mod keys;
#[cfg(feature = "tunnel")]
pub mod mux;
pub mod scan;
#[cfg(feature = "tunnel")]
pub mod tunnel;
