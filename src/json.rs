//! A strict parser of JSON objects: no duplicate members at any depth, and a bounded number of values.
//!
//! serde_json keeps the last of two members with one name; other parsers keep the first. A token whose meaning depends
//! on the parser is refused (RFC 7515 §4, RFC 7519 §4).

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The most values that a text may hold. Each value costs a parser a table, a string or a tree node. An object of one
/// member takes 50 times its size in memory: parsing 64 KiB of them would block the event loop for 3 ms.
pub const MAX_VALUES: usize = 4096;

/// Parses a text that is exactly one JSON object.
///
/// Returns `None` for anything else, for a duplicate member, for more than [`MAX_VALUES`] values, for a nesting deeper
/// than 128 (serde_json's limit), and for a number that overflows a double.
pub fn parse_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    read_object(bytes).ok()
}

/// Parses a text like [`parse_object`]. The error says what is wrong, and quotes nothing of the text.
pub fn try_parse_object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    read_object(bytes).map_err(|error| match error {
        Some(error) => error.to_string(),
        None => format!("it is no object of at most {MAX_VALUES} values"),
    })
}

fn read_object(bytes: &[u8]) -> Result<Map<String, Value>, Option<serde_json::Error>> {
    if !has_at_most(bytes, MAX_VALUES) {
        return Err(None);
    }
    match serde_json::from_slice(bytes)? {
        Strict(Value::Object(object)) => Ok(object),
        _ => Err(None),
    }
}

/// Returns whether a value holds a number whose digits a parser of doubles has lost: a whole number beyond 64 bits, or
/// any other that is beyond 2^53.
pub fn has_lost_digits(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64() && number.as_f64().is_some_and(|n| n.abs() >= 9007199254740992.0),
        Value::Array(items) => items.iter().any(has_lost_digits),
        Value::Object(members) => members.values().any(has_lost_digits),
        _ => false,
    }
}

/// Returns whether a JSON text has at most `limit` values.
pub fn has_at_most(bytes: &[u8], limit: usize) -> bool {
    // A value takes two bytes with its separator or brackets, so that a short text needs no count.
    bytes.len() / 2 <= limit || count_values(bytes) <= limit
}

/// Returns an upper bound of the values in a JSON text: one, and one for each `,`, `[` or `{` outside of strings.
fn count_values(bytes: &[u8]) -> usize {
    let (mut values, mut in_string, mut escaped) = (1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("an object names a member twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_object_without_duplicate_members_is_parsed() {
        assert!(parse_object(br#"{"a":1,"b":{"a":[1,2.5,null,true,"x"]}}"#).is_some());
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
            r#"{"a":1e400}"#,
            r#"{"a":1} x"#,
            "[1]",
            "\"a\"",
            "",
            "{",
            "\u{feff}{}",
        ] {
            assert!(parse_object(text.as_bytes()).is_none(), "{text}");
        }
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_none());
        assert!(parse_object(&[b"{\"a\":".repeat(200), b"1".to_vec(), b"}".repeat(200)].concat()).is_none());
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let list = |count: usize| format!(r#"{{"a":",[{{\"{{","b":[{}]}}"#, vec!["1"; count].join(","));
        assert_eq!(count_values(list(5).as_bytes()), 8);
        assert!(parse_object(list(MAX_VALUES - 3).as_bytes()).is_some());
        assert!(parse_object(list(MAX_VALUES - 2).as_bytes()).is_none());
        let objects = format!(r#"{{"a":[{}1]}}"#, r#"{"a":1},"#.repeat(MAX_VALUES));
        assert!(parse_object(objects.as_bytes()).is_none());
        let text = format!(r#"{{"a":"{}"}}"#, ",[{".repeat(MAX_VALUES));
        assert!(parse_object(text.as_bytes()).is_some());
    }
}
