//! Signed tokens: JWS in compact form (RFC 7515) carrying JWT claims (RFC 7519).
//!
//! ```text
//! bytes ── compact ──► Compact ── verify(keys, policy, now) ──► Claims
//! ```
//!
//! The key decides which algorithms count; a token's header only has to agree (RFC 8725 §3.1). Headers never
//! choose keys by content: `jwk`, `jku`, `x5c` and `x5u` are ignored, `kid` only selects within the given set.

mod claims;
mod compact;
pub mod jwe;
mod settings;
mod sign;
mod verify;

pub use claims::Claims;
pub use compact::{Compact, Header, Parts};
pub use sign::{SignOptions, sign, sign_parts, sign_within};
pub use verify::{
    Policy, check_demands, check_expiry, check_issued_at, check_not_before, check_signature, verify, verify_compact,
};

/// The longest token that is looked at, in bytes. Beyond it a token is refused before any work is done.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
