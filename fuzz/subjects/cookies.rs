//! Cookies and arguments of a query: src/scan.rs, compared with readers that are as simple as possible.

use route_native::scan::{Found, argument, cookie, without_cookies};

use super::{Input, decoded};

const COOKIE_PIECES: &[&str] =
    &["s", "s_login", "a", "=", ";", "; ", " ", "\t", "\"", "__Host-", "__Secure-", "__x-", "__", "s=1;", "a=2;", "\r"];
const QUERY_PIECES: &[&str] =
    &["t", "a", "=", "&", "%74", "%54", "%2574", "T", "%", "%7", "t=1&", "+", "?", "%26", "%3D", "."];
const HIDDEN: &[u8] = b"s;s_login";

/// Checks that each value is found once and in its order, so that none depends on which came first; and that what is
/// removed is gone, under every prefix, and nothing else.
pub fn cookies(input: &[u8]) {
    let mut input = Input(input);
    match input.byte() & 1 {
        0 => check_cookies(&input.text(COOKIE_PIECES, 300)),
        _ => check_query(&input.text(QUERY_PIECES, 300)),
    }
}

fn check_cookies(header: &[u8]) {
    for name in [&b"s"[..], b"s_login", b"a"] {
        let values = all(header, |from| cookie(header, name, from));
        assert_eq!(values, cookies_of(header, name));
        let turned = reversed(header, b';');
        let mut turned = all(&turned, |from| cookie(&turned, name, from));
        turned.reverse();
        assert_eq!(values, turned, "in the other order");
    }
    for any_prefix in [true, false] {
        let mut out = vec![0; header.len() * 3 / 2];
        let length = without_cookies(header, HIDDEN, any_prefix, &mut out);
        let rest = &out[..length];
        for name in [&b"s"[..], b"s_login"] {
            for prefix in if any_prefix { &["", "__Host-", "__Secure-", "__x-"][..] } else { &[""] } {
                let name = [prefix.as_bytes(), name].concat();
                assert_eq!(cookie(rest, &name, 0), None, "{name:?} is left");
            }
        }
        assert_eq!(cookies_of(rest, b"a"), cookies_of(header, b"a"), "another cookie has changed");
        let mut again = vec![0; length];
        assert_eq!(without_cookies(rest, HIDDEN, any_prefix, &mut again), length, "a second time removes more");
        assert_eq!(again, rest);
        let mut small = vec![0; length / 2];
        assert_eq!(without_cookies(header, HIDDEN, any_prefix, &mut small), length);
    }
}

fn check_query(query: &[u8]) {
    let values = all(query, |from| argument(query, b"t", from));
    let simple: Vec<Vec<u8>> = query
        .split(|byte| *byte == b'&')
        .filter_map(split_at_equals)
        .filter(|(name, _)| decoded(name).eq_ignore_ascii_case(b"t"))
        .map(|(_, value)| value.to_vec())
        .collect();
    assert_eq!(values, simple);
    let turned = reversed(query, b'&');
    let mut turned = all(&turned, |from| argument(&turned, b"t", from));
    turned.reverse();
    assert_eq!(values, turned, "in the other order");
}

fn all(text: &[u8], find: impl Fn(usize) -> Option<Found>) -> Vec<Vec<u8>> {
    let (mut values, mut from) = (Vec::new(), 0);
    while let Some(found) = find(from) {
        assert!(found.whole.start >= from && found.whole.start <= found.value.start);
        assert!(found.value.end <= found.whole.end && found.whole.end <= text.len());
        values.push(text[found.value].to_vec());
        from = found.whole.end + 1;
    }
    values
}

fn reversed(text: &[u8], separator: u8) -> Vec<u8> {
    let mut pieces: Vec<_> = text.split(|byte| *byte == separator).collect();
    pieces.reverse();
    pieces.join(&separator)
}

fn split_at_equals(piece: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = piece.iter().position(|byte| *byte == b'=')?;
    Some((&piece[..at], &piece[at + 1..]))
}

/// Returns the values of a cookie (RFC 6265 §4.2.1).
fn cookies_of(header: &[u8], name: &[u8]) -> Vec<Vec<u8>> {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 11;
    let trimmed = |text: &[u8]| -> Vec<u8> {
        let start: Vec<u8> = text.iter().copied().skip_while(is_blank).collect();
        let mut end: Vec<u8> = start.into_iter().rev().skip_while(is_blank).collect();
        end.reverse();
        end
    };
    let pairs = header.split(|byte| *byte == b';').filter_map(split_at_equals);
    pairs.filter(|(written, _)| trimmed(written) == name).map(|(_, value)| trimmed(value)).collect()
}
