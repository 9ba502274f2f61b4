//! What a login's body must be, so that it has one reading and costs little to read.

use crate::json::{has_at_most, parse_object};

/// More values than any login has. Each of them costs its reader a table or a string.
const MAX_VALUES: usize = 1000;

/// Returns whether a text is a form with one reading: fields parted by `&` alone, since older readers part them at `;`
/// too, each `%` followed by two digits, since ASP.NET reads `%u0061`, and no NUL, which ends what C reads.
pub fn is_form(body: &[u8]) -> bool {
    body.iter().enumerate().all(|(i, byte)| match byte {
        b'%' => body.get(i + 1..i + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        b';' | 0 => false,
        _ => true,
    })
}

/// Returns whether a text is one JSON object that names no member twice, at any depth, with at most [`MAX_VALUES`] values.
pub fn is_object(body: &[u8]) -> bool {
    has_at_most(body, MAX_VALUES) && parse_object(body).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_reading() {
        for form in ["", "a=1&b=2", "a=%C3%A9+%2b&%3B=%00", "username=demo&password=a=b"] {
            assert!(is_form(form.as_bytes()), "{form}");
        }
        for text in ["a;b", "a=%u0061", "a=%", "a=%1", "%%41=a", "a=%4", "a=50%off", "a=%4g", "a\0=1"] {
            assert!(!is_form(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_object_has_a_bounded_number_of_values() {
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
