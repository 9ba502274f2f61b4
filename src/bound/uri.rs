//! Compares the URI of a proof with that of its request, as RFC 9449 §4.3 says: without query and fragment, after the
//! normalisation of RFC 3986 §6.2.2 (case, percent-encoding, dot segments) and §6.2.3 (default port, empty path).

use std::borrow::Cow;

/// An origin under which clients reach this server, such as `https://api.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_tls: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Parses an origin: a scheme, a host and an optional port, without a path.
    pub fn parse(text: &str) -> Option<Origin> {
        let (origin, rest) = split(text.as_bytes())?;
        rest.is_empty().then_some(origin)
    }

    /// Returns whether `uri` names this origin and `target`, the path of a request with its query as received.
    pub fn is_uri(&self, uri: &[u8], target: &[u8]) -> bool {
        let Some((origin, path)) = split(uri) else { return false };
        if origin != *self || target.first() != Some(&b'/') {
            return false;
        }
        let (path, target) = (without_query(path), without_query(target));
        // Most requests need no normalisation.
        path == target && !needs_normalisation(path)
            || is_path(path) && is_path(target) && normal(path) == normal(target)
    }
}

/// Splits a URI into its origin and the rest. Returns `None` for another scheme, for user information, and for a host or
/// a port that is no such thing.
fn split(uri: &[u8]) -> Option<(Origin, &[u8])> {
    let colon = uri.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = (&uri[..colon], uri[colon..].strip_prefix(b"://")?);
    let is_tls = scheme.eq_ignore_ascii_case(b"https");
    if !is_tls && !scheme.eq_ignore_ascii_case(b"http") {
        return None;
    }
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host_end = match authority.first()? {
        b'[' => authority.iter().position(|byte| *byte == b']')? + 1,
        _ => authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    let port = match port.strip_prefix(b":") {
        // An empty port is the default one (RFC 3986 §6.2.3).
        Some(digits) if !digits.is_empty() => number(digits)?,
        Some(_) => default_port(is_tls),
        None if port.is_empty() => default_port(is_tls),
        None => return None,
    };
    Some((Origin { is_tls, host: host_of(host)?, port }, rest))
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// Returns a host in lower case: a name, an IPv4 address, or an IPv6 address in brackets.
fn host_of(host: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(host).ok()?.to_ascii_lowercase();
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    is_host.then_some(name)
}

fn number(digits: &[u8]) -> Option<u16> {
    let is_number = digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|byte| b"?#".contains(byte)).unwrap_or(path.len());
    &path[..end]
}

fn needs_normalisation(path: &[u8]) -> bool {
    path.is_empty() || path.iter().any(|byte| b"%.".contains(byte) || !byte.is_ascii_graphic())
}

/// Returns whether a path has only characters of a path (RFC 3986 §3.3) and complete escapes, and begins with a slash or
/// is empty.
fn is_path(path: &[u8]) -> bool {
    let is_escape = |at: usize| path.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    let mut bytes = path.iter().enumerate();
    bytes.all(|(at, byte)| if *byte == b'%' { is_escape(at) } else { is_allowed(*byte) })
        && path.first().is_none_or(|first| *first == b'/')
}

/// Returns the normal form of a path that [`is_path`].
fn normal(path: &[u8]) -> Cow<'_, [u8]> {
    if !needs_normalisation(path) {
        return Cow::Borrowed(path);
    }
    Cow::Owned(without_dot_segments(&with_normal_escapes(path)))
}

/// Decodes the escapes of unreserved characters, and writes all others in upper case (RFC 3986 §6.2.2.1, §6.2.2.2).
fn with_normal_escapes(path: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::with_capacity(path.len()), 0);
    while at < path.len() {
        let escape = path.get(at + 1..at + 3).filter(|_| path[at] == b'%');
        let decoded = escape.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (decoded, escape) {
            (Some(byte), _) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(byte),
            (Some(_), Some(two)) => {
                out.push(b'%');
                out.extend(two.iter().map(u8::to_ascii_uppercase));
            }
            _ => out.push(path[at]),
        }
        at += if decoded.is_some() { 3 } else { 1 };
    }
    out
}

/// Removes `.` and `..` segments (RFC 3986 §5.2.4). An empty path is `/`.
fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." => {}
            b".." => drop(out.pop()),
            _ => {
                out.push(segment);
                continue;
            }
        }
        // A dot segment at the end leaves the slash before it.
        if is_last {
            out.push(b"");
        }
    }
    if out.is_empty() {
        return b"/".to_vec();
    }
    out.iter().flat_map(|segment| std::iter::once(b'/').chain(segment.iter().copied())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(origin: &str, uri: &str, target: &str) -> bool {
        Origin::parse(origin).expect("the test's own origin").is_uri(uri.as_bytes(), target.as_bytes())
    }

    #[test]
    fn equal_uris_match_however_they_are_written() {
        for (uri, target) in [
            ("https://api.example/a/b", "/a/b"),
            ("HTTPS://API.Example/a/b", "/a/b"),
            ("https://api.example:443/a/b", "/a/b"),
            ("https://api.example:/a/b", "/a/b"),
            ("https://api.example/a/b?x=1#y", "/a/b?z=2"),
            ("https://api.example", "/"),
            ("https://api.example?x", "/"),
            ("https://api.example/%7Eada/%2f", "/~ada/%2F"),
            ("https://api.example/./a/../b/", "/b/"),
            ("https://api.example/a/..", "/"),
            ("https://api.example/a/b/.", "/a/b/"),
            ("https://api.example/a//b", "/a//b"),
            ("https://api.example/%2E%2e/a", "/a"),
            ("https://api.example/a.b", "/a.b"),
        ] {
            assert!(matches("https://api.example", uri, target), "{uri} {target}");
        }
        assert!(matches("http://[::1]:8080", "http://[::1]:8080/a", "/a"));
        assert!(matches("http://127.0.0.1:80", "http://127.0.0.1/a", "/a"));
    }

    #[test]
    fn other_uris_do_not_match() {
        for (uri, target) in [
            ("http://api.example/a", "/a"),
            ("https://api.example:8443/a", "/a"),
            ("https://api.example.evil/a", "/a"),
            ("https://api.example@evil/a", "/a"),
            ("https://evil@api.example/a", "/a"),
            ("https://api.example:443:443/a", "/a"),
            ("https://api.example:0443000/a", "/a"),
            ("https://api.example\\/a", "/a"),
            ("https:/api.example/a", "/a"),
            ("//api.example/a", "/a"),
            ("/a", "/a"),
            ("", "/a"),
            ("https://api.example/A", "/a"),
            ("https://api.example/a/", "/a"),
            ("https://api.example/a%2Fb", "/a/b"),
            ("https://api.example//a", "/a"),
            ("https://api.example/a%", "/a%"),
            ("https://api.example/a%zz", "/a%zz"),
            ("https://api.example/a b", "/a b"),
            ("https://api.example/é", "/é"),
            ("https://api.example/a", "*"),
            ("https://api.example/a", "https://api.example/a"),
            ("https://[api.example]/a", "/a"),
        ] {
            assert!(!matches("https://api.example", uri, target), "{uri} {target}");
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        for text in ["https://a/", "https://a?b", "ftp://a", "https://", "https://a:70000", "a", "https://a b"] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }
}
