//! Claims for an API that takes no JWT.
//!
//! What becomes of them as headers is `lua/route_native/core/claim_headers.lua`'s: the rule is the same for all
//! capabilities.

use serde_json::{Map, Value};

/// The names of the claims that the API receives.
#[derive(Debug, Default)]
pub struct ClaimNames(Vec<String>);

impl ClaimNames {
    /// Reads a name a line; an empty text is no claim at all.
    pub fn parse(text: &str) -> ClaimNames {
        ClaimNames(text.lines().map(str::to_owned).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The named claims as a JSON object of texts and lists of texts; a claim that is absent, null or empty is not in
    /// it. Numbers keep all of their digits, which a reader that knows only doubles would lose.
    pub(super) fn select(&self, claims: &Map<String, Value>) -> String {
        let named = self.0.iter().filter_map(|name| Some((name.clone(), texts(claims.get(name)?)?)));
        Value::Object(named.collect()).to_string()
    }
}

/// A claim as a text, or as a list of texts.
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
    }
}
