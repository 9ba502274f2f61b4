//! Thumbprints of public JWKs (RFC 7638, RFC 8037 §2), and the keys that strangers send with their thumbprint.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Key;
use super::jwk::Jwk;
use crate::digest::sha256;
use crate::error::{ConfigError, Reason};

/// The length of a thumbprint: a SHA-256 in base64url.
pub const THUMBPRINT_BYTES: usize = 43;

/// A SHA-256 in base64url, such as the thumbprint of a key.
pub type Thumbprint = [u8; THUMBPRINT_BYTES];

/// The members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Returns a digest in base64url.
pub(crate) fn encoded(digest: &[u8; 32]) -> Thumbprint {
    let mut text = [0; THUMBPRINT_BYTES];
    // 32 bytes always have 43 characters, so that this cannot fail.
    let _ = URL_SAFE_NO_PAD.encode_slice(digest, &mut text);
    text
}

/// Returns the key of a JWK that somebody else has sent, and its thumbprint.
///
/// Errors: `KeyUnsupported` also for a JWK with a private member or a secret, and those of a key that cannot be read.
pub fn public_key(jwk: &Map<String, Value>) -> Result<(Key, Thumbprint), ConfigError> {
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(ConfigError::unsupported_key("is a JWK with private members"));
    }
    let thumbprint = thumbprint(jwk)?;
    Ok((Jwk::from_members(jwk.clone()).verifying_key()?, thumbprint))
}

/// Returns the thumbprint of a JWK: the SHA-256 of its required members, in the order of their names and without blanks.
///
/// Errors: `KeyUnsupported` for a JWK that is not EC, OKP or RSA, lacks one of these members, or has one that is not
/// base64url.
pub fn thumbprint(jwk: &Map<String, Value>) -> Result<Thumbprint, ConfigError> {
    let unknown = || ConfigError::unsupported_key("is a JWK of an unknown kind");
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let number = |name| {
        text(name)
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
            .ok_or_else(|| ConfigError::unsupported_key("is a JWK that lacks a member of its kind"))
    };
    // No member holds a character that JSON escapes: names of curves come from a list, numbers are base64url.
    let curve =
        |known: &[&'static str]| known.iter().copied().find(|known| text("crv") == Some(known)).ok_or_else(unknown);
    let digest = match text("kty") {
        Some("EC") => {
            let curve = curve(&["P-256", "P-384", "P-521", "secp256k1"])?;
            hash(&[
                "{\"crv\":\"",
                curve,
                "\",\"kty\":\"EC\",\"x\":\"",
                number("x")?,
                "\",\"y\":\"",
                number("y")?,
                "\"}",
            ])
        }
        Some("OKP") => hash(&["{\"crv\":\"", curve(&["Ed25519"])?, "\",\"kty\":\"OKP\",\"x\":\"", number("x")?, "\"}"]),
        Some("RSA") => hash(&["{\"e\":\"", number("e")?, "\",\"kty\":\"RSA\",\"n\":\"", number("n")?, "\"}"]),
        _ => return Err(ConfigError::new(Reason::KeyUnsupported, unknown().message)),
    };
    Ok(encoded(&digest))
}

fn hash<const N: usize>(parts: &[&str; N]) -> [u8; 32] {
    sha256(&parts.map(str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_object;

    fn of(jwk: &str) -> Result<String, Reason> {
        let members = parse_object(jwk.as_bytes()).expect("the test's own JSON");
        let text = thumbprint(&members).map_err(|error| error.reason)?;
        Ok(String::from_utf8(text.to_vec()).expect("base64url"))
    }

    /// RFC 8037 A.3.
    #[test]
    fn the_published_thumbprint_of_an_ed25519_key() {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}"#;
        assert_eq!(of(jwk), Ok("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k".to_owned()));
    }

    #[test]
    fn a_member_that_json_would_escape_gives_no_thumbprint() {
        for jwk in [
            r#"{"kty":"RSA","e":"AQAB","n":"a\"b"}"#,
            r#"{"kty":"RSA","e":"AQAB","n":7}"#,
            r#"{"kty":"EC","crv":"P-256\"","x":"a","y":"b"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"a"}"#,
            r#"{"kty":"oct","k":"AAAA"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"a"}"#,
            "{}",
        ] {
            assert_eq!(of(jwk), Err(Reason::KeyUnsupported), "{jwk}");
        }
    }
}
