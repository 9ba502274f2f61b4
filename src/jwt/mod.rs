//! Signed tokens: JWS in compact form (RFC 7515) carrying JWT claims (RFC 7519).
//!
//! ```text
//! bytes ── compact ──► Compact ── verify(keys, policy, now) ──► Claims
//! ```
//!
//! The key fixes the algorithms, and a token's header has to agree (RFC 8725 §3.1). A header never supplies the key:
//! `jwk`, `jku`, `x5c` and `x5u` are ignored, and `kid` only selects a key of the set.

mod claims;
mod compact;
mod content;
pub mod jwe;
mod sign;
mod verify;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Reason;

pub use claims::Claims;
pub use compact::{Compact, Header, Parts};
pub use sign::{SignOptions, sign, sign_parts, sign_within};
pub use verify::{
    Policy, check_expiry, check_issued_at, check_not_before, check_requirements, check_signature, verify,
    verify_compact,
};

/// The longest accepted token, in bytes. A longer one is refused before it is read.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Decodes one part of a token: canonical base64url without padding.
fn decode(part: &[u8]) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::TokenMalformed)
}
