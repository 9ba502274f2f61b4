//! The token in a request's headers, and its fingerprint for logs.
//!
//! The desktop gateway reads `AbcAuthorization`, then `Authorization`, both with or without `Bearer ` in any case (RFC
//! 6750 §2.1, RFC 9110 §11.1). A header without a token, such as one of another scheme, is passed over. A request with
//! two headers of one name is refused as ambiguous.

use crate::digest::{hex, sha256};
use crate::error::Reason;
use crate::jwt::MAX_TOKEN_BYTES;

const ABC_AUTHORIZATION: &[u8] = b"abcauthorization";
const AUTHORIZATION: &[u8] = b"authorization";
const SUBPROTOCOLS: &[u8] = b"sec-websocket-protocol";
const BEARER: &[u8] = b"bearer";
const DPOP: &[u8] = b"dpop";

/// The length of a fingerprint in hexadecimal digits.
pub const FINGERPRINT_BYTES: usize = 12;

/// The identifier of a token in logs: the first hexadecimal digits of its SHA-256.
pub type Fingerprint = [u8; FINGERPRINT_BYTES];

/// Returns a token's fingerprint. `printf %s "$TOKEN" | sha256sum | cut -c1-12` prints the same.
pub fn fingerprint(token: &[u8]) -> Fingerprint {
    hex(&sha256(&[token]))
}

/// What a request's headers say about its token.
#[derive(Debug, PartialEq)]
pub struct Found<'a> {
    /// The token that decides, if a header has one.
    pub token: Option<&'a [u8]>,
    /// Whether `Authorization` holds a token that does not decide.
    pub has_another: bool,
    /// Whether there is a `Sec-WebSocket-Protocol`, which may hold a token too.
    pub has_protocol: bool,
}

/// Finds the token among a request's headers (name and value as received).
///
/// Returns no token when neither header has one: the caller may then look elsewhere.
///
/// Errors: `TokenAmbiguous`, `TokenTooLarge`.
pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Found<'a>, Reason> {
    let (mut abc, mut standard, mut has_protocol) = (None, None, false);
    for (name, value) in headers {
        // Compares lengths first, because this runs for every header of every request.
        let slot = match name.len() {
            16 if name.eq_ignore_ascii_case(ABC_AUTHORIZATION) => &mut abc,
            13 if name.eq_ignore_ascii_case(AUTHORIZATION) => &mut standard,
            22 if name.eq_ignore_ascii_case(SUBPROTOCOLS) => {
                has_protocol = true;
                continue;
            }
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(Reason::TokenAmbiguous);
        }
    }
    let (abc, standard) = (abc.and_then(in_header), standard.and_then(in_header));
    let token = abc.or(standard).map(token_of).transpose()?;
    Ok(Found { token, has_another: abc.is_some() && standard.is_some(), has_protocol })
}

/// Returns a header's value if it can hold a token: it is not empty and of no other scheme than Bearer. A scheme is
/// followed by a blank, and no token holds one.
fn in_header(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let has_token = match scheme_and_rest(value) {
        Some((scheme, _)) => scheme.eq_ignore_ascii_case(BEARER),
        None => !value.is_empty() && !value.eq_ignore_ascii_case(BEARER),
    };
    has_token.then_some(value)
}

/// Splits a trimmed header's value at the first blank.
fn scheme_and_rest(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = value.iter().position(|byte| b" \t".contains(byte))?;
    Some((&value[..end], value[end..].trim_ascii_start()))
}

/// Returns the token in a header's value or a query argument, without `Bearer ` and surrounding whitespace.
///
/// Errors: `TokenMissing`, `TokenTooLarge`.
pub fn token_of(value: &[u8]) -> Result<&[u8], Reason> {
    let value = value.trim_ascii();
    let token = match scheme_and_rest(value) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(BEARER) => token,
        None if value.eq_ignore_ascii_case(BEARER) => b"",
        _ => value,
    };
    match token.len() {
        0 => Err(Reason::TokenMissing),
        length if length > MAX_TOKEN_BYTES => Err(Reason::TokenTooLarge),
        _ => Ok(token),
    }
}

/// Finds the token of the `Authorization: Bearer …` header, which must follow RFC 6750 §2.1.
///
/// Errors: `TokenMissing` without the header or under another scheme, `TokenAmbiguous` for two headers,
/// `TokenTooLarge`, `TokenMalformed`.
pub fn bearer<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<&'a [u8], Reason> {
    authorization(headers, false).map(|sent| sent.token)
}

/// The token of an `Authorization` header.
#[derive(Debug, PartialEq)]
pub struct Sent<'a> {
    /// The token.
    pub token: &'a [u8],
    /// Whether its scheme is DPoP, and not Bearer.
    pub is_dpop: bool,
}

/// Finds the token of the `Authorization` header, as [`bearer`] does. With `takes_dpop`, the scheme may be DPoP too (RFC
/// 9449 §7.1).
pub fn authorization<'a>(
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    takes_dpop: bool,
) -> Result<Sent<'a>, Reason> {
    let mut found = None;
    for (name, value) in headers {
        if name.len() == AUTHORIZATION.len()
            && name.eq_ignore_ascii_case(AUTHORIZATION)
            && found.replace(value).is_some()
        {
            return Err(Reason::TokenAmbiguous);
        }
    }
    let value = found.ok_or(Reason::TokenMissing)?.trim_ascii();
    let begins_with = |scheme: &[u8]| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let is_dpop = takes_dpop && begins_with(DPOP);
    let scheme = if is_dpop { DPOP } else { BEARER };
    if !begins_with(scheme) {
        return Err(Reason::TokenMissing);
    }
    let token = value[scheme.len()..].trim_ascii_start();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Reason::TokenTooLarge);
    }
    if value.get(scheme.len()) != Some(&b' ') || !is_token68(token) {
        return Err(Reason::TokenMalformed);
    }
    Ok(Sent { token, is_dpop })
}

/// Returns whether the text is a `b64token` of RFC 6750 §2.1, the `token68` of RFC 9110 §11.2.
fn is_token68(text: &[u8]) -> bool {
    let body = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte)).count();
    body > 0 && text[body..].iter().all(|byte| *byte == b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(headers: &[(&'a str, &'a str)]) -> Result<Option<&'a str>, Reason> {
        from_headers(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
            .map(|found| found.token.map(|token| std::str::from_utf8(token).expect("the test's own text")))
    }

    #[test]
    fn headers_are_read_in_the_reference_order_with_any_spelling_of_bearer() {
        assert_eq!(find(&[("Host", "x")]), Ok(None));
        assert_eq!(find(&[("authorization", "T")]), Ok(Some("T")));
        assert_eq!(find(&[("Authorization", "Bearer T")]), Ok(Some("T")));
        assert_eq!(find(&[("AUTHORIZATION", "bEARER   T ")]), Ok(Some("T")));
        assert_eq!(find(&[("Authorization", "Bearer\t T")]), Ok(Some("T")));
        assert_eq!(find(&[("Authorization", "S"), ("AbcAuthorization", "Bearer A")]), Ok(Some("A")));
    }

    #[test]
    fn a_fingerprint_is_the_beginning_of_sha256sum() {
        assert_eq!(&fingerprint(b"abc"), b"ba7816bf8f01");
    }

    #[test]
    fn a_header_without_a_token_is_passed_over() {
        for none in ["", " ", "Bearer", "Bearer  ", "Basic dTpw", "Negotiate \tx", "Digest username=\"a\", b", "a b"] {
            assert_eq!(find(&[("Authorization", none)]), Ok(None), "{none:?}");
            assert_eq!(find(&[("AbcAuthorization", none), ("Authorization", "T")]), Ok(Some("T")), "{none:?}");
            assert_eq!(find(&[("AbcAuthorization", "A"), ("Authorization", none)]), Ok(Some("A")), "{none:?}");
        }
        // A malformed token decides too: the other header is no way around it.
        for bad in ["Bearer a b", "T", "bearer x,Bearer y"] {
            assert_ne!(find(&[("AbcAuthorization", bad), ("Authorization", "S")]), Ok(Some("S")), "{bad:?}");
        }
    }

    #[test]
    fn a_token_beside_the_one_that_decides_is_told() {
        let has_another = |abc: &str, standard: &str| {
            let headers = [("abcauthorization", abc), ("authorization", standard)];
            from_headers(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
                .map(|found| found.has_another)
        };
        assert_eq!(has_another("A", "Bearer V"), Ok(true));
        assert_eq!(has_another("A", "Basic dTpw"), Ok(false));
        assert_eq!(has_another("", "Bearer V"), Ok(false));
    }

    #[test]
    fn a_list_of_subprotocols_is_told_whether_or_not_a_header_has_the_token() {
        for headers in [vec![("Authorization", "T")], vec![]] {
            let has_protocol = |headers: &[(&'static str, &'static str)]| {
                from_headers(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
                    .map(|found| found.has_protocol)
            };
            assert_eq!(has_protocol(&headers), Ok(false));
            assert_eq!(has_protocol(&[&headers[..], &[("Sec-WebSocket-Protocol", "binary")]].concat()), Ok(true));
            assert_eq!(has_protocol(&[&headers[..], &[("Sec-WebSocket-Protocal", "x")]].concat()), Ok(false));
        }
    }

    #[test]
    fn repeated_and_long_headers_are_refused() {
        assert_eq!(find(&[("Authorization", "A"), ("authorization", "B")]), Err(Reason::TokenAmbiguous));
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        assert_eq!(find(&[("Authorization", long.as_str())]), Err(Reason::TokenTooLarge));
    }

    #[test]
    fn bearer_accepts_the_grammar_of_rfc_6750_only() {
        let of = |values: &[&'static str]| {
            bearer(values.iter().map(|value| (&b"authorization"[..], value.as_bytes())))
                .map(|found| std::str::from_utf8(found).expect("the test's own text"))
        };
        assert_eq!(of(&["Bearer a-._~+/9=="]), Ok("a-._~+/9=="));
        assert_eq!(of(&["bEARER  a "]), Ok("a"));
        assert_eq!(of(&[]), Err(Reason::TokenMissing));
        assert_eq!(of(&["Basic a"]), Err(Reason::TokenMissing));
        assert_eq!(of(&["Bearer a", "Bearer a"]), Err(Reason::TokenAmbiguous));
        for malformed in [
            "Bearer",
            "Bearer ",
            "Bearera",
            "Bearer\ta",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer é",
        ] {
            assert_eq!(of(&[malformed]), Err(Reason::TokenMalformed), "{malformed:?}");
        }
    }

    #[test]
    fn the_scheme_dpop_has_the_same_grammar_where_it_is_taken() {
        let of = |value: &'static str, takes_dpop| {
            let sent = authorization([(&b"Authorization"[..], value.as_bytes())].into_iter(), takes_dpop);
            sent.map(|sent| (std::str::from_utf8(sent.token).expect("the test's own text"), sent.is_dpop))
        };
        assert_eq!(of("dPoP  a.b", true), Ok(("a.b", true)));
        assert_eq!(of("Bearer a", true), Ok(("a", false)));
        assert_eq!(of("DPoP a", false), Err(Reason::TokenMissing));
        assert_eq!(of("Basic a", true), Err(Reason::TokenMissing));
        for malformed in ["DPoP", "DPoPa", "DPoP a, Bearer b", "DPoP a b"] {
            assert_eq!(of(malformed, true), Err(Reason::TokenMalformed), "{malformed}");
        }
    }
}
