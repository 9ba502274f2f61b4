//! Claims as headers, for APIs that take no JWT.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::error::{ConfigError, Reason};

/// Which claim becomes which header.
#[derive(Debug, Default)]
pub struct ClaimHeaders(Vec<(String, String)>);

impl ClaimHeaders {
    /// Reads lines of `Header: claim`; an empty text is no header at all.
    pub fn parse(text: &str) -> Result<ClaimHeaders, ConfigError> {
        let invalid = || {
            let sentence =
                "claim_headers must name a claim for each header, and a header is made of letters, digits and -";
            ConfigError::new(Reason::SettingInvalid, sentence)
        };
        let pair = |line: &str| {
            let (header, claim) = line.split_once(": ").ok_or_else(invalid)?;
            let is_name = !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !is_name || claim.is_empty() { Err(invalid()) } else { Ok((header.to_owned(), claim.to_owned())) }
        };
        text.lines().map(pair).collect::<Result<_, _>>().map(ClaimHeaders)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers with their values, a line `Name: value` each; a claim that is absent or null has none.
    pub(super) fn write(&self, claims: &Map<String, Value>) -> String {
        let mut lines = String::new();
        for (header, claim) in &self.0 {
            let value = match claims.get(claim) {
                None | Some(Value::Null) => continue,
                Some(Value::String(text)) => encoded(text),
                Some(other) => encoded(&other.to_string()),
            };
            let _ = writeln!(lines, "{header}: {value}");
        }
        lines
    }
}

/// What may stand in a header's value: visible ASCII and blanks between. All else, and `%`, is percent-encoded, so that
/// no claim can end a header or begin another.
fn encoded(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let inside = at > 0 && at + 1 < text.len();
        if (byte.is_ascii_graphic() && byte != b'%') || (byte == b' ' && inside) {
            value.push(char::from(byte));
        } else {
            let _ = write!(value, "%{byte:02X}");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_claim_can_end_its_header() {
        let headers = ClaimHeaders::parse("X-Sub: sub\nX-Roles: roles\nX-Age: age\nX-None: none").expect("valid");
        let claims = json!({ "sub": "a\r\nX-Admin: 1 é%", "roles": ["a", "b c"], "age": 7, "none": null });
        let lines = headers.write(claims.as_object().expect("an object"));
        assert_eq!(lines, "X-Sub: a%0D%0AX-Admin: 1 %C3%A9%25\nX-Roles: [\"a\",\"b c\"]\nX-Age: 7\n");
    }

    #[test]
    fn a_header_that_is_no_name_is_refused() {
        for text in ["X Sub: sub", ": sub", "X-Sub: ", "X-Sub", "X_Sub: sub", "X-Sub: sub\n\n"] {
            assert!(ClaimHeaders::parse(text).is_err(), "{text:?}");
        }
        assert!(ClaimHeaders::parse("").expect("none").is_empty());
    }
}
