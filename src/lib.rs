//! route_native checks tokens for OpenResty gateways.
//!
//! Data flows one way, and so do the modules' imports:
//!
//! ```text
//! conf/*.conf -> lua/route_native* -> ffi -> the pure modules below
//! ```
//!
//! | module         | purpose                                                              |
//! |----------------|----------------------------------------------------------------------|
//! | [`error`]      | the fixed list of reasons, with numbers that never change            |
//! | [`jwt`]        | keys, policy and verification of signed tokens (RFC 7515, 7519)      |
//! | [`payload`]    | the RSA key that opens the `hash` claim                              |
//! | [`target`]     | which strings may become the address of a desktop                    |
//! | [`credential`] | which of a request's headers carries the token                       |
//! | [`resolve`]    | token to target, with the seconds that the answer may be kept        |
//! | [`cache`]      | the worker's own bounded cache of answers                            |
//! | [`gateway`]    | the three above put together from one set of options                 |
//! | [`session`]    | the border's session ids and the keys that sign them                 |
//! | [`login_name`] | names that a login may take for one another                          |
//! | [`login_body`] | what a login's body must be, so that it has one reading               |
//! | [`redirect`]   | where a client may be sent after login and logout                    |
//! | [`scan`]       | cookies and arguments, found in what a client sends                  |
//! | [`introspection`] | what an authorization server says of an opaque token, and what is passed on |
//! | [`ffi`]        | the C ABI: all the unsafe code and all the panic guards              |
//!
//! With the feature `tunnel` there are also `mux`, the tunnel's multiplexer, and `tunnel`, its server and client: they
//! run as processes of their own, never inside nginx.
//!
//! The pure modules know no C type, no Lua and no nginx, and the clock is passed in.

pub mod cache;
pub mod credential;
pub mod error;
pub mod ffi;
pub mod gateway;
pub mod introspection;
pub mod jwt;
pub mod login_body;
pub mod login_name;
#[cfg(feature = "tunnel")]
pub mod mux;
pub mod payload;
pub mod redirect;
pub mod resolve;
pub mod scan;
pub mod session;
pub mod target;
#[cfg(feature = "tunnel")]
pub mod tunnel;
