//! A strict parser of the compact JWS serialization (RFC 7515 §3.1, §7.1).

use serde_json::{Map, Value};

use super::{Claims, MAX_TOKEN_BYTES, decode};
use crate::error::Reason;
use crate::json::parse_object;
use crate::keys::{Algorithm, key_id};

/// The header parameters that are refused because they change a token's meaning: critical extensions (`crit`, and `b64`
/// of RFC 7797), compression and encryption.
const REFUSED_HEADERS: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// The three parts of a token, still encoded.
pub struct Parts<'a> {
    signing_input: &'a [u8],
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

/// The supported parameters of a token's header.
pub struct Header {
    /// The header's `alg`; `None` for a name that is not in [`Algorithm::ALL`], such as `none`.
    pub algorithm: Option<Algorithm>,
    /// The header's `kid`.
    pub key_id: Option<String>,
    /// The header's `typ`, if it is a string.
    pub token_type: Option<String>,
    /// The header's JSON text.
    pub json: Vec<u8>,
    /// Every member of the header. None of them chooses a key, except in a DPoP proof (`src/bound`).
    pub members: Map<String, Value>,
}

impl Header {
    /// Returns the `typ` in lower case and without `application/` (RFC 7515 §4.1.9, RFC 8725 §3.11).
    pub fn media_type(&self) -> Option<String> {
        self.token_type.as_deref().map(media_type)
    }
}

/// Returns a `typ` in lower case and without `application/` (RFC 7515 §4.1.9, RFC 8725 §3.11).
pub(super) fn media_type(token_type: &str) -> String {
    let lower = token_type.to_ascii_lowercase();
    lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
}

/// A parsed token. Nothing in it is verified yet.
pub struct Compact<'a> {
    /// The bytes that are signed: the first two parts with the dot between them (RFC 7515 §5.1).
    pub signing_input: &'a [u8],
    /// The header.
    pub header: Header,
    /// The signature, decoded.
    pub signature: Vec<u8>,
    payload: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits a token of at most [`MAX_TOKEN_BYTES`].
    ///
    /// Errors: `TokenMissing` for an empty token, `TokenTooLarge`, `TokenMalformed` for fewer or more than three parts.
    pub fn split(token: &'a [u8]) -> Result<Self, Reason> {
        Parts::split_within(token, MAX_TOKEN_BYTES)
    }

    /// Splits a token of at most `max_bytes`, for tokens that come from a server rather than from a client.
    ///
    /// Errors: as [`Parts::split`].
    pub fn split_within(token: &'a [u8], max_bytes: usize) -> Result<Self, Reason> {
        if token.is_empty() {
            return Err(Reason::TokenMissing);
        }
        if token.len() > max_bytes {
            return Err(Reason::TokenTooLarge);
        }
        let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Reason::TokenMalformed);
        };
        Ok(Parts {
            signing_input: &token[..second],
            header: &token[..first],
            payload: &token[first + 1..second],
            signature: &token[second + 1..],
        })
    }

    /// Returns the decoded header, a JSON object, and the decoded payload, any bytes. **Nothing is verified.**
    ///
    /// Errors: `TokenMalformed`.
    pub fn unverified(&self) -> Result<(Vec<u8>, Vec<u8>), Reason> {
        let header = decode(self.header)?;
        parse_object(&header).ok_or(Reason::TokenMalformed)?;
        Ok((header, decode(self.payload)?))
    }

    /// Parses the header.
    ///
    /// Errors: `TokenMalformed` without an `alg` or for anything but a JSON object, `HeaderUnsupported` for a refused
    /// parameter.
    pub fn header(&self) -> Result<Header, Reason> {
        let json = decode(self.header)?;
        let members = parse_object(&json).ok_or(Reason::TokenMalformed)?;
        if REFUSED_HEADERS.iter().any(|name| members.contains_key(*name)) {
            return Err(Reason::HeaderUnsupported);
        }
        let algorithm = match members.get("alg") {
            Some(Value::String(name)) => Algorithm::from_name(name),
            _ => return Err(Reason::TokenMalformed),
        };
        let key_id = key_id(&members)?;
        let token_type = members.get("typ").and_then(Value::as_str).map(str::to_owned);
        Ok(Header { algorithm, key_id, token_type, json, members })
    }
}

impl<'a> Compact<'a> {
    /// Parses a token of at most [`MAX_TOKEN_BYTES`]: exactly three parts in canonical base64url (no padding, no
    /// trailing bits), of which the first is a JSON object.
    ///
    /// Errors: those of [`Parts::split`] and [`Parts::header`].
    pub fn parse(token: &'a [u8]) -> Result<Self, Reason> {
        Compact::parse_within(token, MAX_TOKEN_BYTES)
    }

    /// Parses a token of at most `max_bytes`, as [`Compact::parse`] does.
    pub fn parse_within(token: &'a [u8], max_bytes: usize) -> Result<Self, Reason> {
        let parts = Parts::split_within(token, max_bytes)?;
        Ok(Compact {
            signing_input: parts.signing_input,
            header: parts.header()?,
            signature: decode(parts.signature)?,
            payload: parts.payload,
        })
    }

    /// Returns the claims. **The signature is not verified.**
    ///
    /// Errors: `TokenMalformed`.
    pub fn unverified_claims(&self) -> Result<Claims, Reason> {
        let json = decode(self.payload)?;
        let members = parse_object(&json).ok_or(Reason::TokenMalformed)?;
        Ok(Claims::of(json, members))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn part(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn refusal(token: &str) -> Option<Reason> {
        Compact::parse(token.as_bytes()).and_then(|compact| compact.unverified_claims()).err()
    }

    #[test]
    fn only_three_canonical_parts_are_accepted() {
        let (header, payload) = (part(r#"{"alg":"RS256"}"#), part("{}"));
        assert_eq!(refusal(&format!("{header}.{payload}.c2ln")), None);
        assert_eq!(refusal(""), Some(Reason::TokenMissing));
        let malformed = [
            format!("{header}.{payload}"),
            format!("{header}.{payload}.c2ln.c2ln"),
            format!("{header}.{payload}.c2ln.c2ln.c2ln"),
            format!("{header}.{payload}.c2ln="),
            format!("{header}.{payload}.c2lnZh"), // trailing bits set
            format!("{header}.{payload}.c2l/"),
            format!("{header}.{payload}.c2 n"),
            format!("{header}..c2ln"),
            format!(".{payload}.c2ln"),
            format!("{header}.{}.c2ln", part("[]")),
            format!("{header}.{}.c2ln", part(r#"{"a":1,"a":2}"#)),
            format!("{}.{payload}.c2ln", part(r#"{"alg":"RS256","alg":"RS256"}"#)),
            format!("{}.{payload}.c2ln", part("{}")),
            format!("{}.{payload}.c2ln", part(r#"{"alg":null}"#)),
            format!("{}.{payload}.c2ln", part(r#"{"alg":"RS256","kid":7.5}"#)),
            format!("{}.{payload}.c2ln", part(r#"{"alg":"RS256","kid":[]}"#)),
            format!("{header}\0.{payload}.c2ln"),
        ];
        for token in malformed {
            assert_eq!(refusal(&token), Some(Reason::TokenMalformed), "{token}");
        }
        assert_eq!(refusal(&"a".repeat(MAX_TOKEN_BYTES + 1)), Some(Reason::TokenTooLarge));
    }

    #[test]
    fn a_key_id_may_be_absent_in_every_way_or_a_number() {
        for (kid, id) in [("null", None), (r#""""#, None), ("7", Some("7")), (r#""7""#, Some("7")), ("-1", Some("-1"))]
        {
            let token = format!("{}.{}.c2ln", part(&format!(r#"{{"alg":"RS256","kid":{kid}}}"#)), part("{}"));
            let compact = Compact::parse(token.as_bytes()).expect("a token");
            assert_eq!(compact.header.key_id.as_deref(), id, "{kid}");
        }
    }

    #[test]
    fn headers_that_change_a_tokens_meaning_are_refused() {
        for extra in [r#""crit":["exp"]"#, r#""b64":false"#, r#""zip":"DEF""#, r#""enc":"A128GCM""#] {
            let token = format!("{}.{}.c2ln", part(&format!(r#"{{"alg":"RS256",{extra}}}"#)), part("{}"));
            assert_eq!(refusal(&token), Some(Reason::HeaderUnsupported), "{extra}");
        }
    }
}
