//! Recognises key material that others may know: a shared secret is never such a text. Whoever signs HS256 with the
//! text of a published key would otherwise be believed (CVE-2015-9235, CVE-2016-5431 and their many successors).
//!
//! What is recognised, anywhere in the text:
//! - PEM of any kind, an RFC 4716 block, an RSA key in XML, what `openssl pkey -text` prints;
//! - a JWK that is not `oct`, and with it every JWK Set, list or object that holds one; an empty JWK Set. The members
//!   are found in the text itself, so that it does not matter which reader would accept the JSON around them;
//! - DER: SPKI, and with it certificates, requests and PKCS#7; PKCS#8, PKCS#1 and SEC 1;
//! - the blob of an OpenSSH public key, as its line, its certificate and a PuTTY file have it;
//! - the packet of an OpenPGP key, a COSE_Key, and what the CryptoAPI and CNG of Windows export;
//! - the whole text or one of its words: an uncompressed point, with or without its first byte, of P-256, P-384, P-521
//!   or secp256k1.
//!
//! Private keys and certificates are included: such a text is a secret by mistake only.
//!
//! Each is recognised in these wrappings, up to [`MAX_DEPTH`] in one another: base64 or base64url, with whatever
//! between its letters; hexadecimal likewise; lists of decimal bytes; the lines of a dump, in hexadecimal or octal;
//! UTF-16 and UTF-32; percent-encoding; the entities of HTML and XML; the escapes of a string in JSON or another
//! language.
//!
//! What cannot be told from a random secret stays one: an RSA modulus alone, the 32 bytes of an Ed25519 or X25519 key,
//! a compressed point. So does an `oct` JWK as a text, which is secret itself, and a part of a key, such as the letters
//! that all keys begin with. Base32, base58 and base85 are not tried, and compressed or encrypted wrappings not opened.
//!
//! Time and memory are linear in the text's length.
//!
//! `formats` recognises a key in plain bytes. `escapes` and `wrappings` take off what may be around it, and both read
//! digits by `digits`.

mod digits;
mod escapes;
mod formats;
mod wrappings;

use std::iter::successors;

use zeroize::Zeroizing;

use self::escapes::unescaped;
use self::formats::{is_point, shows_key};
use crate::error::ConfigError;

/// How many wrappings around the material are taken off.
const MAX_DEPTH: usize = 3;
/// How often escapes are taken off: a text in a JSON string in a form has two layers.
const MAX_ESCAPES: usize = 3;

/// A decoded copy of what may be a secret.
type Text = Zeroizing<Vec<u8>>;

/// Refuses a shared secret that is key material. The sentence does not tell which.
pub(super) fn refuse_public_material(secret: &[u8]) -> Result<(), ConfigError> {
    if is_public_material(secret) {
        return Err(ConfigError::unsupported_key(
            "is a public key, a private key or a certificate used as an HMAC secret",
        ));
    }
    Ok(())
}

/// Returns whether the text is public key material, in whatever wrapping.
pub(crate) fn is_public_material(text: &[u8]) -> bool {
    pem::parse(text).is_ok() || is_material(text, MAX_DEPTH)
}

/// Looks at the bytes as they stand and after each layer of escapes: what looks like an escape may be none.
fn is_material(bytes: &[u8], depth: usize) -> bool {
    let is_found = |bytes: &[u8]| shows_key(bytes) || is_point(bytes) || holds_wrapped(bytes, depth);
    is_found(bytes)
        || successors(unescaped(bytes), |text| unescaped(text)).take(MAX_ESCAPES).any(|text| is_found(&text))
}

/// Returns whether the bytes hold material in a wrapping.
fn holds_wrapped(bytes: &[u8], depth: usize) -> bool {
    depth > 0 && wrappings::any(bytes, &|unwrapped| is_material(unwrapped, depth - 1))
}
