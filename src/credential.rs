//! The token in a request's headers, and its fingerprint for logs.
//!
//! The desktop gateway reads `AbcAuthorization`, then `Authorization`, both with or without `Bearer ` in any case (RFC
//! 6750 §2.1, RFC 9110 §11.1). A request with two headers of one name is refused as ambiguous.

use crate::digest::{hex, sha256};
use crate::error::Reason;
use crate::jwt::MAX_TOKEN_BYTES;

const ABC_AUTHORIZATION: &[u8] = b"abcauthorization";
const AUTHORIZATION: &[u8] = b"authorization";
const BEARER: &[u8] = b"bearer ";

/// The length of a fingerprint in hexadecimal digits.
pub const FINGERPRINT_BYTES: usize = 12;

/// The identifier of a token in logs: the first hexadecimal digits of its SHA-256.
pub type Fingerprint = [u8; FINGERPRINT_BYTES];

/// Returns a token's fingerprint. `printf %s "$TOKEN" | sha256sum | cut -c1-12` prints the same.
pub fn fingerprint(token: &[u8]) -> Fingerprint {
    hex(&sha256(&[token]))
}

/// Finds the token among a request's headers (name and value as received).
///
/// Returns `Ok(None)` without either header: the caller may then look in the query.
///
/// Errors: `TokenAmbiguous`, `TokenMissing` for an empty header, `TokenTooLarge`.
pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Option<&'a [u8]>, Reason> {
    let (mut abc, mut standard) = (None, None);
    for (name, value) in headers {
        // Compares lengths first, because this runs for every header of every request.
        let slot = match name.len() {
            16 if name.eq_ignore_ascii_case(ABC_AUTHORIZATION) => &mut abc,
            13 if name.eq_ignore_ascii_case(AUTHORIZATION) => &mut standard,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(Reason::TokenAmbiguous);
        }
    }
    abc.or(standard).map(token_of).transpose()
}

/// Returns the token in a header's value or a query argument, without `Bearer ` and surrounding whitespace.
///
/// Errors: `TokenMissing`, `TokenTooLarge`.
pub fn token_of(value: &[u8]) -> Result<&[u8], Reason> {
    let mut token = value.trim_ascii();
    if token.len() >= BEARER.len() && token[..BEARER.len()].eq_ignore_ascii_case(BEARER) {
        token = token[BEARER.len()..].trim_ascii_start();
    } else if token.eq_ignore_ascii_case(BEARER.trim_ascii_end()) {
        token = b"";
    }
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
    if !value.get(..BEARER.len() - 1).is_some_and(|scheme| scheme.eq_ignore_ascii_case(&BEARER[..BEARER.len() - 1])) {
        return Err(Reason::TokenMissing);
    }
    let token = value[BEARER.len() - 1..].trim_ascii_start();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Reason::TokenTooLarge);
    }
    if value.get(BEARER.len() - 1) != Some(&b' ') || !is_token68(token) {
        return Err(Reason::TokenMalformed);
    }
    Ok(token)
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
            .map(|found| found.map(|token| std::str::from_utf8(token).expect("the test's own text")))
    }

    #[test]
    fn headers_are_read_in_the_reference_order_with_any_spelling_of_bearer() {
        assert_eq!(find(&[("Host", "x")]), Ok(None));
        assert_eq!(find(&[("authorization", "T")]), Ok(Some("T")));
        assert_eq!(find(&[("Authorization", "Bearer T")]), Ok(Some("T")));
        assert_eq!(find(&[("AUTHORIZATION", "bEARER   T ")]), Ok(Some("T")));
        assert_eq!(find(&[("Authorization", "S"), ("AbcAuthorization", "Bearer A")]), Ok(Some("A")));
    }

    #[test]
    fn a_fingerprint_is_the_beginning_of_sha256sum() {
        assert_eq!(&fingerprint(b"abc"), b"ba7816bf8f01");
    }

    #[test]
    fn repeated_empty_and_long_headers_are_refused() {
        assert_eq!(find(&[("Authorization", "A"), ("authorization", "B")]), Err(Reason::TokenAmbiguous));
        assert_eq!(find(&[("Authorization", "")]), Err(Reason::TokenMissing));
        assert_eq!(find(&[("Authorization", "Bearer")]), Err(Reason::TokenMissing));
        assert_eq!(find(&[("Authorization", "Bearer  ")]), Err(Reason::TokenMissing));
        // An empty preferred header is a client's mistake: the other header is not tried.
        assert_eq!(find(&[("AbcAuthorization", " "), ("Authorization", "T")]), Err(Reason::TokenMissing));
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
}
