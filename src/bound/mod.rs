//! Tokens that only their holder can use: DPoP proofs (RFC 9449) and client certificates (RFC 8705).
//!
//! ```text
//! proof ── jwt::Compact ──► key in its header ── signature, method, URI, time, token, nonce ──► Proof
//! certificate (PEM, or a header of RFC 9440) ──► its SHA-256, for x5t#S256
//! ```
//!
//! A proof is the only JWT whose header supplies the key. The key is nobody's until a token names its thumbprint, which
//! a trusted issuer has signed: [`check`] verifies that somebody holds it, and compares the thumbprint.

mod certificate;
mod nonce;
mod proof;
mod uri;

pub use certificate::{of_header, of_pem};
pub use nonce::{NONCE_BYTES, NonceSecret, SECRET_BYTES};
pub use proof::{MAX_PROOF_BYTES, Proof, ProofPolicy, Request, bind, check};
pub use uri::Origin;
