//! A scanner for the cookies of a request and the arguments of a query.
//!
//! A client may send hundreds of kilobytes of them. The scanner is linear in their length and allocates nothing.

use percent_encoding::percent_decode;
use std::ops::Range;

/// The position of a named value in a text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Range<usize>,
    /// The whole `name=value`, up to the separator.
    pub whole: Range<usize>,
}

/// Returns whether Lua's `%s` and C's `isspace` match the byte.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

/// Splits a text at its separators, beginning at the offset `from`.
fn pieces(text: &[u8], separator: u8, from: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut next = Some(from).filter(|from| *from <= text.len());
    std::iter::from_fn(move || {
        let start = next?;
        let end = text[start..].iter().position(|byte| *byte == separator).map(|length| start + length);
        next = end.map(|end| end + 1);
        Some(start..end.unwrap_or(text.len()))
    })
}

/// Returns a range without the whitespace at its ends.
fn trimmed(text: &[u8], range: Range<usize>) -> Range<usize> {
    let piece = &text[range.clone()];
    let Some(first) = piece.iter().position(|byte| !is_blank(*byte)) else { return range.start..range.start };
    let last = piece.iter().rposition(|byte| !is_blank(*byte)).unwrap_or(first);
    range.start + first..range.start + last + 1
}

/// Finds the next cookie named `name` in a Cookie header, beginning at the offset `from` (RFC 6265 §4.2.1). Whitespace
/// around name and value is ignored.
pub fn cookie(header: &[u8], name: &[u8], from: usize) -> Option<Found> {
    pieces(header, b';', from).find_map(|whole| {
        let pair = trimmed(header, whole.clone());
        let equals = pair.start + header[pair.clone()].iter().position(|byte| *byte == b'=')?;
        let value = trimmed(header, equals + 1..pair.end);
        (header[trimmed(header, pair.start..equals)] == *name).then_some(Found { value, whole })
    })
}

/// Copies a Cookie header to `out` without the cookies named in `names`, a list separated by semicolons. With
/// `any_prefix`, also drops a name with a prefix such as `__Host-`. The remaining cookies are separated by `; `.
///
/// Returns the size needed in bytes, at most one and a half times the header's. A cookie that does not fit into `out`
/// is not copied.
pub fn without_cookies(header: &[u8], names: &[u8], any_prefix: bool, out: &mut [u8]) -> usize {
    let mut length = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(room) = out.get_mut(length..length + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        length += bytes.len();
    };
    let is_named = |word: &[u8]| names.split(|byte| *byte == b';').any(|name| name == word);
    // Compares lengths first, because most names differ in length from all of the list.
    let lengths = || names.split(|byte| *byte == b';').map(<[u8]>::len);
    let lengths = lengths().min().unwrap_or(0)..=lengths().max().unwrap_or(0);
    let mut is_first = true;
    for pair in pieces(header, b';', 0).map(|piece| &header[trimmed(header, piece)]).filter(|pair| !pair.is_empty()) {
        // Some parsers end a cookie's name at whitespace.
        let end = pair.iter().position(|byte| *byte == b'=' || is_blank(*byte)).unwrap_or(pair.len());
        let word = if any_prefix { without_prefix(&pair[..end]) } else { &pair[..end] };
        if lengths.contains(&word.len()) && is_named(word) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            put(b"; ");
        }
        put(pair);
    }
    length
}

/// Returns a cookie's name without its prefix: `__Host-`, `__Secure-` or a future one of that form.
fn without_prefix(name: &[u8]) -> &[u8] {
    let Some(rest) = name.strip_prefix(b"__") else { return name };
    let letters = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    match rest.get(letters) {
        Some(b'-') if letters > 0 => &rest[letters + 1..],
        _ => name,
    }
}

/// Finds the next argument named `name` (in lower case) in a query, beginning at the offset `from`. The comparison
/// ignores case, as nginx's `$arg_NAME` does, and decodes percent-encoding (RFC 3986 §2.3).
pub fn argument(query: &[u8], name: &[u8], from: usize) -> Option<Found> {
    pieces(query, b'&', from).find_map(|whole| {
        let equals = whole.start + query[whole.clone()].iter().position(|byte| *byte == b'=')?;
        let value = equals + 1..whole.end;
        let written = &query[whole.start..equals];
        // Compares lengths first, because encoding never makes a name shorter.
        let is_named = written.len() >= name.len()
            && percent_decode(written).map(|byte| byte.to_ascii_lowercase()).eq(name.iter().copied());
        is_named.then_some(Found { value, whole })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, find: impl Fn(usize) -> Option<Found>) -> Vec<&str> {
        let mut from = 0;
        let next = || {
            let found = find(from)?;
            from = found.whole.end + 1;
            Some(&text[found.value])
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn cookies_are_found_by_name() {
        for (header, values) in [
            ("", &[][..]),
            ("s=1", &["1"]),
            ("a=b; s=1; c=d", &["1"]),
            ("s=1;s=2; S=3;s =4;s= 5 ;xs=6;sx=7", &["1", "2", "4", "5"]),
            (" \t s \x0b=\x0c a b \r; s==b=c", &["a b", "=b=c"]),
            ("s; s=; =s; ;;;s", &[""]),
            ("a s=1; a=s=1; \"s=1\"", &[]),
            ("s=\"1\"", &["\"1\""]),
        ] {
            assert_eq!(all(header, |from| cookie(header.as_bytes(), b"s", from)), values, "{header:?}");
        }
        assert_eq!(cookie(b"s=1", b"s", 4), None);
        assert_eq!(cookie(b"s=1", b"s", usize::MAX), None);
    }

    #[test]
    fn named_cookies_are_removed_and_others_kept() {
        let without = |header: &str, any_prefix| {
            let mut out = vec![0; header.len() * 3 / 2];
            let length = without_cookies(header.as_bytes(), b"s;s_login", any_prefix, &mut out);
            assert_eq!(without_cookies(header.as_bytes(), b"s;s_login", any_prefix, &mut []), length);
            String::from_utf8(out[..length].to_vec()).expect("a part of a text")
        };
        for (header, rest) in [
            ("", ""),
            ("s=1", ""),
            ("a=1;b=2;c", "a=1; b=2; c"),
            ("  a=1 ;; ;\t; s=2; s x=1; s ;s; s_login=3; xs=4 ", "a=1; xs=4"),
            ("__s=1; __-s=2; __1-s=3; __Host=4; _Host-s=5", "__s=1; __-s=2; __1-s=3; __Host=4; _Host-s=5"),
            ("a;b;c;d", "a; b; c; d"),
        ] {
            assert_eq!(without(header, true), rest, "{header:?}");
            assert_eq!(without(header, false), rest, "{header:?}");
        }
        assert_eq!(without("__Host-s=1; __Secure-s_login=2; __x-s=3; a=b", true), "a=b");
        assert_eq!(without("__Host-s=1; s=2", false), "__Host-s=1");
    }

    #[test]
    fn a_cookie_that_does_not_fit_is_dropped_but_included_in_the_size() {
        let mut out = [b'.'; 4];
        assert_eq!(without_cookies(b"a=1;b=2", b"c", false, &mut out), 8);
        assert_eq!(&out, b"a=1.");
    }

    #[test]
    fn arguments_are_found_by_name() {
        for (query, values) in [
            ("", &[][..]),
            ("t=1&T=2&%74=3&%54=4&x=5&t", &["1", "2", "3", "4"]),
            ("tt=1&%74t=2&=3&&%=4&%7=5&%7t=6&+t=7&t%=8&t%zz=9", &[]),
            ("t==&t=&a=t=1", &["=", ""]),
        ] {
            assert_eq!(all(query, |from| argument(query.as_bytes(), b"t", from)), values, "{query:?}");
        }
        assert_eq!(
            all("jwt%5Ftoken=a&JWT_TOKEN=b", |from| { argument(b"jwt%5Ftoken=a&JWT_TOKEN=b", b"jwt_token", from) }),
            ["a", "b"]
        );
        assert_eq!(argument(b"a=1&t=2", b"t", 0).expect("there is one").whole, 4..7);
    }
}
