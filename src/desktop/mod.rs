//! The desktop gateway: resolves a signed token to the desktop that it names.
//!
//! ```text
//! token ── resolve ──► verify (crate::jwt) ── hash_claim ──► target        gateway caches the target
//! ```

pub mod cache;
pub mod gateway;
pub mod hash_claim;
pub mod resolve;
pub mod target;
