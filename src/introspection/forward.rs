//! The claims that an API receives in place of a JWT.
//!
//! `lua/route_native/core/claim_headers.lua` writes them as headers, by one rule for all capabilities.

use crate::json::has_lost_digits;
use serde_json::{Map, Value};

/// The names of the claims that an API receives.
#[derive(Debug, Default)]
pub struct ClaimNames(Vec<String>);

impl ClaimNames {
    /// Parses one name per line. An empty text names no claim.
    pub fn parse(text: &str) -> ClaimNames {
        ClaimNames(text.lines().map(str::to_owned).collect())
    }

    /// Returns whether no claim is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a named claim holds a number whose digits are lost.
    pub(super) fn lose_digits(&self, claims: &Map<String, Value>) -> bool {
        self.0.iter().filter_map(|name| claims.get(name)).any(has_lost_digits)
    }

    /// Returns the named claims as a JSON object of strings and lists of strings, without those that are absent, null
    /// or empty. A number becomes a string: a parser of doubles would lose digits.
    pub(super) fn select(&self, claims: &Map<String, Value>) -> String {
        let named = self.0.iter().filter_map(|name| Some((name.clone(), texts(claims.get(name)?)?)));
        Value::Object(named.collect()).to_string()
    }
}

/// Returns a claim as a string or a list of strings, or `None` when it is null or empty.
fn texts(value: &Value) -> Option<Value> {
    match value {
        Value::Array(items) if !items.is_empty() => Some(items.iter().filter_map(text).map(Value::String).collect()),
        _ => text(value).map(Value::String),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.is_empty() => None,
        Value::Object(members) if members.is_empty() => None,
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_named_claims_are_selected_and_numbers_keep_their_digits() {
        let names = ClaimNames::parse("sub\nroles\nid\nnone\nabsent\nof\nempty");
        let claims = json!({ "sub": "a\r\nb", "roles": ["a", 9007199254740993_u64, null], "id": 9007199254740993_u64,
            "none": null, "of": { "b": [1] }, "empty": {}, "secret": "s" });
        let selected: Value =
            serde_json::from_str(&names.select(claims.as_object().expect("an object"))).expect("JSON");
        let wanted = json!({ "sub": "a\r\nb", "roles": ["a", "9007199254740993"], "id": "9007199254740993",
            "of": "{\"b\":[1]}" });
        assert_eq!(selected, wanted);
        assert!(ClaimNames::parse("").is_empty());
        for (text, is_lost) in [
            ("1e20", true),
            ("18446744073709551615", false),
            ("[{\"a\":18446744073709551616}]", true),
            ("0.5", false),
            ("9007199254740993.5", true),
        ] {
            let claims = format!("{{\"id\":{text},\"other\":1e300}}");
            let claims: Value = serde_json::from_str(&claims).expect("JSON");
            assert_eq!(names.lose_digits(claims.as_object().expect("an object")), is_lost, "{text}");
        }
    }
}
