//! The three parts of a compact JWS (RFC 7515 §3.1, §7.1), taken apart strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Claims, MAX_TOKEN_BYTES};
use crate::error::Reason;
use crate::json::parse_object;
use crate::keys::Algorithm;

/// Header members that change what a token means and that are refused wherever they stand: extensions that must
/// be understood (`crit`, with it `b64` of RFC 7797), compression and encryption.
const REFUSED_HEADERS: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// The three parts of a token as they came, nothing decoded.
pub struct Parts<'a> {
    signing_input: &'a [u8],
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

/// What a token's header says, as far as it counts.
pub struct Header {
    /// The header's `alg`; `None` for a name that is not in [`Algorithm::ALL`], `none` among them.
    pub algorithm: Option<Algorithm>,
    /// The header's `kid`.
    pub key_id: Option<String>,
    /// The header's `typ`, when it is a string.
    pub token_type: Option<String>,
    /// The header as it was sent.
    pub json: Vec<u8>,
}

impl Header {
    /// The `typ` as a media type: lower-case and without `application/` (RFC 7515 §4.1.9, RFC 8725 §3.11).
    pub fn media_type(&self) -> Option<String> {
        let media_type = self.token_type.as_deref()?.to_ascii_lowercase();
        Some(media_type.strip_prefix("application/").map(str::to_owned).unwrap_or(media_type))
    }
}

/// A token taken apart; nothing in it is verified yet.
pub struct Compact<'a> {
    /// What the signature covers: the first two parts with the dot between them.
    pub signing_input: &'a [u8],
    /// What the header says.
    pub header: Header,
    /// The signature, decoded.
    pub signature: Vec<u8>,
    payload: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Finds the parts. Each refusal has its own reason: `TokenMissing` when `token` is empty, `TokenTooLarge`, and
    /// `TokenMalformed` when there are fewer or more than three parts.
    pub fn split(token: &'a [u8]) -> Result<Self, Reason> {
        Parts::split_within(token, MAX_TOKEN_BYTES)
    }

    /// As [`Parts::split`], with another bound: for tokens that come from a server and not from a client.
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

    /// The header, a JSON object whatever it says, and the payload, any bytes: for looking at, nothing is verified.
    pub fn unverified(&self) -> Result<(Vec<u8>, Vec<u8>), Reason> {
        let header = decode(self.header)?;
        parse_object(&header).ok_or(Reason::TokenMalformed)?;
        Ok((header, decode(self.payload)?))
    }

    /// Reads the header: `TokenMalformed` when it is no JSON object with an `alg`, `HeaderUnsupported` when it asks
    /// for something that is refused.
    pub fn header(&self) -> Result<Header, Reason> {
        let json = decode(self.header)?;
        let header = parse_object(&json).ok_or(Reason::TokenMalformed)?;
        if REFUSED_HEADERS.iter().any(|name| header.contains_key(*name)) {
            return Err(Reason::HeaderUnsupported);
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => Algorithm::from_name(name),
            _ => return Err(Reason::TokenMalformed),
        };
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(Reason::TokenMalformed),
        };
        let token_type = header.get("typ").and_then(Value::as_str).map(str::to_owned);
        Ok(Header { algorithm, key_id, token_type, json })
    }
}

impl<'a> Compact<'a> {
    /// Takes `token` apart: exactly three parts in canonical base64url (no padding, no stray trailing bits), the
    /// first a JSON object.
    pub fn parse(token: &'a [u8]) -> Result<Self, Reason> {
        Compact::parse_within(token, MAX_TOKEN_BYTES)
    }

    /// As [`Compact::parse`], with another bound on the token's length.
    pub fn parse_within(token: &'a [u8], max_bytes: usize) -> Result<Self, Reason> {
        let parts = Parts::split_within(token, max_bytes)?;
        Ok(Compact {
            signing_input: parts.signing_input,
            header: parts.header()?,
            signature: decode(parts.signature)?,
            payload: parts.payload,
        })
    }

    /// The claims as bytes and parsed, whether or not the signature holds.
    pub fn unverified_claims(&self) -> Result<Claims, Reason> {
        let json = decode(self.payload)?;
        let members = parse_object(&json).ok_or(Reason::TokenMalformed)?;
        Ok(Claims { json, members })
    }
}

fn decode(part: &[u8]) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::TokenMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn refusal(token: &str) -> Option<Reason> {
        Compact::parse(token.as_bytes()).and_then(|compact| compact.unverified_claims()).err()
    }

    #[test]
    fn three_canonical_parts_only() {
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
            format!("{}.{payload}.c2ln", part(r#"{"alg":"RS256","kid":7}"#)),
            format!("{header}\0.{payload}.c2ln"),
        ];
        for token in malformed {
            assert_eq!(refusal(&token), Some(Reason::TokenMalformed), "{token}");
        }
        assert_eq!(refusal(&"a".repeat(MAX_TOKEN_BYTES + 1)), Some(Reason::TokenTooLarge));
    }

    #[test]
    fn headers_that_change_the_meaning_are_refused() {
        for extra in [r#""crit":["exp"]"#, r#""b64":false"#, r#""zip":"DEF""#, r#""enc":"A128GCM""#] {
            let token = format!("{}.{}.c2ln", part(&format!(r#"{{"alg":"RS256",{extra}}}"#)), part("{}"));
            assert_eq!(refusal(&token), Some(Reason::HeaderUnsupported), "{extra}");
        }
    }
}
