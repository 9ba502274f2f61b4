//! Checks of a login's body: that every parser reads the same fields, and that parsing is cheap.

use crate::json::{has_at_most, parse_object};

/// The most values of a login's JSON. Each costs a parser a table or a string.
const MAX_VALUES: usize = 1000;

/// Returns whether all parsers read the same fields from a form. It has no `;`, which older parsers take as a
/// separator; each `%` has two hexadecimal digits, because ASP.NET decodes `%u0061`; and no NUL, which ends a C string.
pub fn is_form(body: &[u8]) -> bool {
    body.iter().enumerate().all(|(i, byte)| match byte {
        b'%' => body.get(i + 1..i + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        b';' | 0 => false,
        _ => true,
    })
}

/// Returns whether a text is one JSON object without duplicate members at any depth and with at most 1,000 values.
pub fn is_object(body: &[u8]) -> bool {
    has_at_most(body, MAX_VALUES) && parse_object(body).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_that_parsers_read_differently_is_refused() {
        for form in ["", "a=1&b=2", "a=%C3%A9+%2b&%3B=%00", "username=demo&password=a=b"] {
            assert!(is_form(form.as_bytes()), "{form}");
        }
        for text in ["a;b", "a=%u0061", "a=%", "a=%1", "%%41=a", "a=%4", "a=50%off", "a=%4g", "a\0=1"] {
            assert!(!is_form(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_object_with_too_many_values_or_duplicate_members_is_refused() {
        let list = |count: usize| format!(r#"{{"a":",[{{\"{{","b":[{}]}}"#, vec!["1"; count].join(","));
        assert!(is_object(list(MAX_VALUES - 3).as_bytes()));
        assert!(!is_object(list(MAX_VALUES - 2).as_bytes()));
        let nested = format!(r#"{{"a":[{}1]}}"#, r#"{"a":1},"#.repeat(MAX_VALUES));
        assert!(!is_object(nested.as_bytes()));
        for text in ["[]", "{", r#"{"a":1,"a":2}"#, "", "{}x", "\u{feff}{}"] {
            assert!(!is_object(text.as_bytes()), "{text}");
        }
        assert!(is_object(br#"{"username":"a,b","password":"[[[{{{"}"#));
    }
}
