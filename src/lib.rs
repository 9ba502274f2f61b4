//! route_native: token checks for OpenResty gateways.
//!
//! Data flows one way, and so do the modules' imports:
//!
//! ```text
//! conf/*.conf -> lua/route_native* -> ffi -> the pure modules below
//! ```
//!
//! | module            | purpose                                                                     |
//! |-------------------|-----------------------------------------------------------------------------|
//! | [`error`]         | the reasons for a refusal, with numbers that never change                   |
//! | [`json`]          | a strict parser of JSON objects                                             |
//! | [`scan`]          | a scanner for cookies and query arguments                                   |
//! | [`keys`]          | keys and key files, each with the algorithms that it allows                 |
//! | [`jwt`]           | policies, verification, signing and encryption of tokens (RFC 7515–7519)    |
//! | [`credential`]    | the token in a request's headers, and its fingerprint for logs              |
//! | [`desktop`]       | the desktop gateway: token to target, and the worker's cache                |
//! | [`introspection`] | phantom tokens: introspection responses, and what the API receives          |
//! | [`border`]        | border sessions: ids, login names, login bodies and redirects               |
//! | [`bound`]         | tokens that only their holder can use: DPoP proofs and client certificates  |
//! | [`revocation`]    | what is no longer accepted, though its signature is valid                   |
//! | [`metrics`]       | counters and times of this process, and the text of Prometheus              |
//! | [`ffi`]           | the C ABI: all unsafe code, each call behind a panic guard                  |
//!
//! The feature `tunnel` adds `mux`, the tunnel's multiplexer, and `tunnel`, its server and client. They run as
//! processes of their own, never inside nginx. So do the users of `tls_client`.
//!
//! The pure modules know no C type, no Lua and no nginx, and the clock is passed in.

pub mod border;
pub mod bound;
pub mod credential;
pub mod desktop;
mod digest;
pub mod error;
pub mod ffi;
pub mod introspection;
pub mod json;
pub mod jwt;
pub mod keys;
pub mod metrics;
#[cfg(feature = "tunnel")]
pub mod mux;
pub mod revocation;
pub mod scan;
mod settings;
#[cfg(any(feature = "cli", feature = "tunnel"))]
pub mod tls_client;
#[cfg(feature = "tunnel")]
pub mod tunnel;
