//! Keys: which texts and files hold one, and what each may be used for.
//!
//! ```text
//! text or file ── pem, jwk, secret ──► Key (verifies), SigningKey (signs) ── set, ring ──► what a program holds
//! ```
//!
//! The key decides which algorithms it may be used with, never a token (RFC 8725 §3.1).

mod algorithm;
mod certificate;
mod curve;
mod file;
mod jwk;
mod key;
mod pem;
mod public_material;
mod ring;
mod secret;
mod set;
mod signing;

pub use algorithm::Algorithm;
pub use certificate::{MAX_CHAIN, trusted_key};
pub use file::{MAX_KEY_FILE_BYTES, load};
pub use key::Key;
pub(crate) use pem::{rsa_pkcs8, rsa_spki};
pub(crate) use public_material::is_public_material;
pub use ring::{Form, Keyring, Ring};
pub use set::KeySet;
pub use signing::SigningKey;
