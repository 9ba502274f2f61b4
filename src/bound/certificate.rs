//! The SHA-256 of a client's certificate, which a token names as `x5t#S256` (RFC 8705 §3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::sha256;
use crate::error::Reason;
use crate::keys::{Thumbprint, encoded};

/// The longest certificate, in bytes of its text.
const MAX_BYTES: usize = 16 * 1024;

/// The first byte of every certificate in DER: a SEQUENCE.
const SEQUENCE: u8 = 0x30;

/// Returns the thumbprint of a certificate in PEM, as nginx gives it.
///
/// Errors: `CertificateMismatch` for any other text.
pub fn of_pem(text: &[u8]) -> Result<Thumbprint, Reason> {
    let block = (text.len() <= MAX_BYTES).then(|| pem::parse(text).ok()).flatten();
    let block = block.filter(|block| block.tag() == "CERTIFICATE").ok_or(Reason::CertificateMismatch)?;
    of_der(block.contents())
}

/// Returns the thumbprint of the certificate in a `Client-Cert` header: base64 of its DER between colons (RFC 9440 §2.1,
/// RFC 8941 §3.3.5).
///
/// Errors: `CertificateMismatch` for any other text.
pub fn of_header(text: &[u8]) -> Result<Thumbprint, Reason> {
    let inner = text.trim_ascii().strip_prefix(b":").and_then(|rest| rest.strip_suffix(b":"));
    let inner = inner.filter(|inner| inner.len() <= MAX_BYTES).ok_or(Reason::CertificateMismatch)?;
    of_der(&STANDARD.decode(inner).map_err(|_| Reason::CertificateMismatch)?)
}

fn of_der(der: &[u8]) -> Result<Thumbprint, Reason> {
    match der.first() {
        Some(&SEQUENCE) => Ok(encoded(&sha256(&[der]))),
        _ => Err(Reason::CertificateMismatch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../../tests/data/certificate_ec.pem");

    #[test]
    fn both_forms_of_a_certificate_have_one_thumbprint() {
        let der = pem::parse(PEM).unwrap().into_contents();
        let expected = encoded(&sha256(&[&der]));
        assert_eq!(of_pem(PEM.as_bytes()), Ok(expected));
        let header = format!(" :{}: ", STANDARD.encode(&der));
        assert_eq!(of_header(header.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_text_that_is_no_certificate_has_no_thumbprint() {
        let key = pem::encode(&pem::Pem::new("PUBLIC KEY", vec![0x30, 0]));
        for text in ["", "x", &PEM.replace("BEGIN", "BEGUN"), &key, &"a".repeat(MAX_BYTES + 1)] {
            assert_eq!(of_pem(text.as_bytes()), Err(Reason::CertificateMismatch), "{text}");
        }
        let long = format!(":{}:", "MDAw".repeat(MAX_BYTES / 4 + 1));
        for text in ["", ":", "::", "MDAw", ":MDAw", ":MD-w:", ":MDA:", ":AAAA:", ":MDAw:, :MDAw:", PEM, &long] {
            assert_eq!(of_header(text.as_bytes()), Err(Reason::CertificateMismatch), "{text}");
        }
        assert!(of_header(b":MDAw:").is_ok());
    }
}
