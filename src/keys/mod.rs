//! Keys: the formats that they are read from, and the algorithms that each allows.
//!
//! ```text
//! text or file ── parse: pem, jwk; secret ──► Key (verifies), SigningKey (signs) ──► KeySet, Keyring
//! text         ── encryption: pem, jwk    ──► EncryptionKeys (encrypt or decrypt)
//! ```
//!
//! The key's type fixes the algorithms; a token never chooses them (RFC 8725 §3.1).

mod algorithm;
mod certificate;
mod curve;
mod encryption;
mod file;
mod jwk;
mod key;
mod keyring;
mod management;
mod parse;
mod pem;
mod public_material;
mod rsa;
mod secret;
mod set;
mod signing;
mod thumbprint;
mod validity;

pub use algorithm::Algorithm;
pub use certificate::{MAX_CHAIN, trusted_key};
pub use encryption::EncryptionKeys;
pub(crate) use encryption::{Content, Direction, decoded};
pub use file::{MAX_KEY_FILE_BYTES, load, note_certificate};
pub(crate) use jwk::key_id;
pub use key::Key;
pub use keyring::{Form, Keyring, Keys};
pub use management::Management;
pub(crate) use management::random;
pub(crate) use pem::{rsa_pkcs8, rsa_spki};
pub use rsa::{DecryptingKey, EncryptingKey, MAX_MODULUS_BYTES, Padding, generate};
pub use set::KeySet;
pub use signing::SigningKey;
pub(crate) use thumbprint::encoded;
pub use thumbprint::{THUMBPRINT_BYTES, Thumbprint, public_key, thumbprint};
