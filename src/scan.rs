//! A scanner for the cookies of a request, the arguments of a query, and the tokens in a URL.
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

/// Three adjacent parts of a compact token have at least this many characters: header, claims and signature of a JWS;
/// initialization vector, ciphertext and tag of a JWE. The names of hosts and files have shorter ones.
const MIN_PART: usize = 16;

/// The shortest value of an argument that is taken for a token by its name, in bytes as written.
const MIN_NAMED: usize = 16;

/// How deep escapes are undone whose digits are escapes too: `%25%32%45` is `%2E`, and that is a dot.
const MAX_NESTED: usize = 4;

/// Decodes the character at the start of a text, through any number of percent-encodings: `.`, `%2E`, `%252E` and
/// `%25%32%45` are one. Returns the byte and the length of its encoding.
fn character(text: &[u8]) -> (u8, usize) {
    nested(text, MAX_NESTED)
}

fn nested(text: &[u8], depth: usize) -> (u8, usize) {
    let mut length = 1;
    if text[0] != b'%' || depth == 0 {
        return (text[0], length);
    }
    while let Some((byte, more)) = escape(&text[length..], depth - 1) {
        length += more;
        if byte != b'%' {
            return (byte, length);
        }
    }
    (b'%', length)
}

/// Decodes the two digits of an escape. Each may be an escape itself.
fn escape(text: &[u8], depth: usize) -> Option<(u8, usize)> {
    let digit = |at: usize| {
        let (byte, length) = text.get(at..).filter(|rest| !rest.is_empty()).map(|rest| nested(rest, depth))?;
        Some((char::from(byte).to_digit(16)?, at + length))
    };
    let (high, at) = digit(0)?;
    let (low, at) = digit(at)?;
    // At most 255: two digits.
    Some(((high * 16 + low) as u8, at))
}

/// Finds the next token in a URL, or in any other text, beginning at the offset `from`: a compact token wherever it
/// stands, and the value of what is named `…token`, such as `jwt_token=…`. Sees both through percent-encoding. conf/maps.conf
/// has the same rule for the access log.
pub fn token(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    // The run of token characters that ends here: its start, the length of its last part, how many adjacent parts before
    // that are long, whether the run is a token, and the last five characters.
    let (mut start, mut part, mut long, mut is_token, mut name) = (at, 0, 0, false, [0; 5]);
    loop {
        let (byte, length) = text.get(at..).filter(|rest| !rest.is_empty()).map_or((0, 0), character);
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            part += 1;
        } else {
            long = if part >= MIN_PART { long + 1 } else { 0 };
            is_token |= long == 3;
            part = 0;
            if byte != b'.' {
                if is_token {
                    return Some(start..at);
                } else if byte == b'=' && name == *b"token" {
                    let value = at + length;
                    let rest = &text[value..];
                    // A value in a query may hold `/` and `?`. A blank ends the URL of a request line.
                    let end = rest.iter().position(|byte| b"&;# ".contains(byte)).unwrap_or(rest.len());
                    let is_overwritten = rest[..end].iter().all(|byte| *byte == b'*');
                    if end >= MIN_NAMED && !is_overwritten {
                        return Some(value..value + end);
                    }
                } else if length == 0 {
                    return None;
                }
                (start, long) = (at + length, 0);
            }
        }
        // The name of a list, such as `token[]`, is the name of its items.
        if byte != b'[' && byte != b']' {
            name.rotate_left(1);
            name[4] = byte.to_ascii_lowercase();
        }
        at += length;
    }
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

    #[test]
    fn tokens_are_found_wherever_they_stand_and_however_they_are_encoded() {
        let token = format!("{}.{}.{}", "eyJhbGciOiJSUzI1NiJ9", "c".repeat(40), "s-_".repeat(20));
        let all_encoded: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let escaped_again = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let one_encoded = token.replacen('J', "%4a", 1);
        let forms = [
            token.clone(),
            token.replace('.', "%2E"),
            token.replace('.', "%252e"),
            all_encoded.clone(),
            all_encoded.replace('%', "%2525"),
            escaped_again(&all_encoded),
            escaped_again(&escaped_again(&token.replace('.', "%2E"))),
            token.replace('.', "%2%45"),
            token.replace('.', "%%32e"),
            one_encoded,
            format!("{}..{}.{}.{}", "h".repeat(20), "i".repeat(16), "c".repeat(30), "t".repeat(22)),
        ];
        for form in &forms {
            for (before, after) in [
                ("", ""),
                ("/websockify?", ""),
                ("/a?t=", "&b=1"),
                ("/x;jwt_token=", "/y"),
                ("/", "/"),
                ("?%74=", "#"),
                ("https://gw.example.com/a%2F", "%26x"),
                ("GET /", " HTTP/1.1"),
                ("%", "%"),
                ("=%", ""),
                ("%2", "%2"),
            ] {
                let text = format!("{before}{form}{after}");
                let found = super::token(text.as_bytes(), 0).unwrap_or_else(|| panic!("nothing in {text}"));
                assert!(found.start <= before.len() && found.end >= before.len() + form.len(), "{text}: {found:?}");
                assert!(found.start + 3 >= before.len(), "{text}: {found:?}");
            }
        }
        assert_eq!(super::token(b"?access_token=ab/0123456789abcdef&x", 0), Some(14..33));
        assert_eq!(super::token(b"?token[]=0123456789abcdef", 0), Some(9..25));
        assert_eq!(super::token(b"?token%5B%5D=0123456789abcdef", 0), Some(13..29));
        let line = b"GET /x?jwt_token=0123456789abcdef HTTP/1.1";
        assert_eq!(super::token(line, 0), Some(17..33));
        assert_eq!(super::token(b"GET /x?jwt_token=**************** HTTP/1.1", 0), None);
        for (named, value) in [
            ("?jwt_token=0123456789abcdef", 11..27),
            ("?JWT%5FTOKEN=0123456789abcdef&a", 13..29),
            (";access%5Ftoken%3D0123456789abcdef;a", 18..34),
            ("?jwt%74oken=x&token=token=0123456789abcdef", 20..42),
        ] {
            let from = if named.contains("x&") { 12 } else { 0 };
            assert_eq!(super::token(named.as_bytes(), from), Some(value), "{named}");
        }
        for other in [
            "",
            ".",
            "..",
            "%",
            "%2",
            "%25",
            "%2525",
            "?token=short",
            "/very-long-host-name.another-long-name.example",
            "/assets/main.0123456789abcdef0123456789abcdef.js",
            "/a.b.c.d",
            "?tokens=0123456789abcdef",
            "=0123456789abcdef0",
        ] {
            assert_eq!(super::token(other.as_bytes(), 0), None, "{other}");
        }
        let two = format!("{token}/{token}");
        assert_eq!(super::token(two.as_bytes(), token.len()), Some(token.len() + 1..two.len()));
        assert_eq!(super::token(b"a", usize::MAX), None);
    }
}
