//! Which of a request's headers carries the token, and what stands for it in logs.
//!
//! The order is the reference's: `AbcAuthorization`, then `Authorization`, both with or without `Bearer `
//! in any case (RFC 6750 §2.1, RFC 9110 §11.1). Two headers of one name are refused rather than chosen between.

use aws_lc_rs::digest::{SHA256, digest};

use crate::error::Reason;
use crate::jwt::MAX_TOKEN_BYTES;

const ABC_AUTHORIZATION: &[u8] = b"abcauthorization";
const AUTHORIZATION: &[u8] = b"authorization";
const BEARER: &[u8] = b"bearer ";

/// Hexadecimal digits of a token's fingerprint.
pub const FINGERPRINT_BYTES: usize = 12;

/// What stands for a token in logs: the first digits of its SHA-256, the same everywhere.
pub type Fingerprint = [u8; FINGERPRINT_BYTES];

/// A token's fingerprint; `printf %s "$TOKEN" | sha256sum | cut -c1-12` shows the same.
pub fn fingerprint(token: &[u8]) -> Fingerprint {
    fingerprint_of_digest(digest(&SHA256, token).as_ref())
}

/// The fingerprint of a token whose SHA-256 is known.
pub fn fingerprint_of_digest(digest: &[u8]) -> Fingerprint {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[usize::from(digest[i / 2] >> (4 * (1 - i % 2)) & 15)])
}

/// Finds the token among a request's headers (name and value as received).
///
/// `Ok(None)` means that neither header is there, so that other places may be asked.
pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Option<&'a [u8]>, Reason> {
    let (mut abc, mut standard) = (None, None);
    for (name, value) in headers {
        // The length settles most names without a comparison: this runs on every request.
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

/// The token inside a header's value or a query argument, without its `Bearer ` and surrounding blanks.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(headers: &[(&'a str, &'a str)]) -> Result<Option<&'a str>, Reason> {
        from_headers(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
            .map(|found| found.map(|token| std::str::from_utf8(token).expect("the test's own text")))
    }

    #[test]
    fn the_reference_order_and_every_spelling_of_bearer() {
        assert_eq!(find(&[("Host", "x")]), Ok(None));
        assert_eq!(find(&[("authorization", "T")]), Ok(Some("T")));
        assert_eq!(find(&[("Authorization", "Bearer T")]), Ok(Some("T")));
        assert_eq!(find(&[("AUTHORIZATION", "bEARER   T ")]), Ok(Some("T")));
        assert_eq!(find(&[("Authorization", "S"), ("AbcAuthorization", "Bearer A")]), Ok(Some("A")));
    }

    #[test]
    fn a_fingerprint_is_what_sha256sum_shows() {
        assert_eq!(&fingerprint(b"abc"), b"ba7816bf8f01");
    }

    #[test]
    fn doubtful_credentials_are_refused() {
        assert_eq!(find(&[("Authorization", "A"), ("authorization", "B")]), Err(Reason::TokenAmbiguous));
        assert_eq!(find(&[("Authorization", "")]), Err(Reason::TokenMissing));
        assert_eq!(find(&[("Authorization", "Bearer")]), Err(Reason::TokenMissing));
        assert_eq!(find(&[("Authorization", "Bearer  ")]), Err(Reason::TokenMissing));
        // An empty first choice is a mistake of the client, not a reason to try the next place.
        assert_eq!(find(&[("AbcAuthorization", " "), ("Authorization", "T")]), Err(Reason::TokenMissing));
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        assert_eq!(find(&[("Authorization", long.as_str())]), Err(Reason::TokenTooLarge));
    }
}
