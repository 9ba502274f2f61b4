//! JSON whose numbers are their literals, so that a check sees each digit. It shares no code with the library.

use super::Input;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

use Json::*;

/// Texts that a careless scanner would take for something else.
const TEXTS: &[&str] = &[
    "4e5",
    "\"",
    "\\",
    "9007199254740993",
    ",",
    "%",
    "%41",
    "é",
    "\u{1}",
    "/",
    "a",
    " ",
    "\u{10348}",
    "1",
    "\r\n",
    "\u{7f}",
    "-1.5e300",
    "[",
    "{",
    ":",
    "0x",
];

/// Numbers at the edges of a double.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "1e15",
    "1e16",
    "1e20",
    "1E+20",
    "9007199254740991.9",
    "900719925474.0993e4",
    "0.1",
    "1e-7",
    "123456789012345678901234567890",
    "951824235837328",
    "1.7976931348623157e308",
    "5e-324",
    "12345678901234.5",
    "99999999999999.99",
    "1000000000000000000000",
    "0.30000000000000004",
    "1e3",
];

/// Returns a value as the input says.
pub fn value(input: &mut Input, depth: usize) -> Json {
    match input.below(10) {
        0 => Null,
        1 => Bool(input.byte() & 1 == 1),
        2 => Text(text(input)),
        8 if depth > 0 => List((0..input.below(6)).map(|_| value(input, depth - 1)).collect()),
        9 if depth > 0 => Object(members(input, depth)),
        _ => Number(number(input)),
    }
}

/// Returns members with different names.
pub fn members(input: &mut Input, depth: usize) -> Vec<(String, Json)> {
    let mut members: Vec<(String, Json)> = Vec::new();
    for _ in 0..input.below(6) {
        let (name, value) = (text(input), value(input, depth - 1));
        if members.iter().all(|(known, _)| *known != name) {
            members.push((name, value));
        }
    }
    members
}

pub fn text(input: &mut Input) -> String {
    (0..input.below(5)).map(|_| *input.pick(TEXTS)).collect()
}

/// Returns a number's literal (RFC 8259 §6).
pub fn number(input: &mut Input) -> String {
    if input.byte() & 1 == 0 {
        return (*input.pick(NUMBERS)).to_owned();
    }
    let form = input.byte();
    let digits = |input: &mut Input, most: usize| -> String {
        (0..input.below(most) + 1).map(|_| char::from(b'0' + input.byte() % 10)).collect()
    };
    let mut literal = digits(input, 24).trim_start_matches('0').to_owned();
    if literal.is_empty() {
        literal.push('0');
    }
    if form & 1 > 0 {
        literal.insert(0, '-');
    }
    if form & 2 > 0 {
        literal = format!("{literal}.{}", digits(input, 20));
    }
    if form & 4 > 0 {
        literal = format!("{literal}{}{}", if form & 8 > 0 { "e-" } else { "E" }, input.below(320));
    }
    literal
}

impl Json {
    /// Returns the JSON text. `escapes` writes each character of a text as `\uXXXX`.
    pub fn write(&self, escapes: bool) -> String {
        let string = |text: &str| match escapes {
            true => format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>()),
            false => serde_json::to_string(text).expect("a string"),
        };
        match self {
            Null => "null".into(),
            Bool(value) => value.to_string(),
            Number(literal) => literal.clone(),
            Text(text) => string(text),
            List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.write(escapes)).collect();
                format!("[{}]", items.join(", "))
            }
            Object(members) => {
                let member = |(name, value): &(String, Json)| format!("{}: {}", string(name), value.write(escapes));
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Parses a JSON text, which must be valid.
    pub fn parse(text: &str) -> Json {
        let mut rest = text;
        let value = parse(&mut rest);
        assert_eq!(rest.trim_start(), "", "one value: {text}");
        value
    }

    /// Returns whether a double holds every number with all of its digits.
    pub fn is_short(&self) -> bool {
        match self {
            Number(literal) => literal.len() <= 15 && !literal.contains(['e', 'E']),
            List(items) => items.iter().all(Json::is_short),
            Object(members) => members.iter().all(|(_, value)| value.is_short()),
            _ => true,
        }
    }

    /// Returns whether `other` says the same, with the digits of every number. An empty list and an empty object are
    /// one for Lua. `may_quote` allows a number that a double cannot hold to become the text of its digits.
    pub fn is_kept_in(&self, other: &Json, may_quote: bool) -> bool {
        match (self, other) {
            (Number(signed), Number(got)) => keeps_digits(signed, got),
            (Number(signed), Text(got)) => may_quote && decimal(got).is_some_and(|got| Some(got) == decimal(signed)),
            (List(items), Object(members)) => items.is_empty() && members.is_empty(),
            (Object(members), List(items)) => items.is_empty() && members.is_empty(),
            (List(items), List(others)) => {
                items.len() == others.len()
                    && items.iter().zip(others).all(|(item, other)| item.is_kept_in(other, may_quote))
            }
            (Object(members), Object(others)) => {
                let is_kept = |(name, value): &(String, Json)| {
                    others.iter().any(|(known, other)| known == name && value.is_kept_in(other, may_quote))
                };
                members.len() == others.len() && members.iter().all(is_kept)
            }
            (value, other) => value == other,
        }
    }
}

fn parse(rest: &mut &str) -> Json {
    *rest = rest.trim_start();
    let first = rest.chars().next().expect("a value");
    match first {
        '"' => Text(string(rest)),
        '[' => {
            let mut items = Vec::new();
            list(rest, ']', |rest| items.push(parse(rest)));
            List(items)
        }
        '{' => {
            let mut members = Vec::new();
            list(rest, '}', |rest| {
                *rest = rest.trim_start();
                let name = string(rest);
                *rest = rest.trim_start().strip_prefix(':').expect("a colon");
                members.push((name, parse(rest)));
            });
            Object(members)
        }
        _ => {
            let end = rest.find([',', ']', '}', ' ', '\n']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            *rest = after;
            match word {
                "null" => Null,
                "true" => Bool(true),
                "false" => Bool(false),
                number => {
                    assert!(decimal(number).is_some(), "a number: {number}");
                    Number(number.to_owned())
                }
            }
        }
    }
}

fn list(rest: &mut &str, end: char, mut item: impl FnMut(&mut &str)) {
    *rest = rest[1..].trim_start();
    while !rest.starts_with(end) {
        item(rest);
        *rest = rest.trim_start();
        *rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    *rest = &rest[1..];
}

fn string(rest: &mut &str) -> String {
    let mut is_escaped = false;
    let is_end = |char: char| {
        let ends = char == '"' && !is_escaped;
        is_escaped = char == '\\' && !is_escaped;
        ends
    };
    let end = 1 + rest[1..].find(is_end).expect("the end of a string") + 1;
    let text = serde_json::from_str(&rest[..end]).expect("a string");
    *rest = &rest[end..];
    text
}

/// Returns whether the text of a number says what was signed: a whole number and one beyond 2^53 have the same digits,
/// a fraction names the same double.
pub fn keeps_digits(signed: &str, got: &str) -> bool {
    let (Some(before), Some(after)) = (decimal(signed), decimal(got)) else { return false };
    let double = |text: &str| text.parse::<f64>().expect("a number");
    let is_fraction = before.2 < 0 && double(signed).abs() < 9_007_199_254_740_992.0;
    before == after || (is_fraction && double(signed) == double(got))
}

/// Returns a number's sign, its digits without zeros at the ends, and the power of ten behind them. `None`: no number.
pub fn decimal(literal: &str) -> Option<(bool, String, i64)> {
    literal.parse::<f64>().ok().filter(|_| literal.ends_with(|last: char| last.is_ascii_digit()))?;
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let is_negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa.trim_start_matches(['-', '+']).split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches(['-', '+']);
    let digits = format!("{whole}{fraction}");
    let exponent = exponent.parse::<i64>().ok()? - fraction.len() as i64;
    let kept = digits.trim_end_matches('0');
    let exponent = exponent + (digits.len() - kept.len()) as i64;
    match kept.trim_start_matches('0') {
        "" => Some((false, String::new(), 0)),
        kept => Some((is_negative, kept.to_owned(), exponent)),
    }
}
