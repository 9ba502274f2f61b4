//! Keys from certificate chains (`x5c`, RFC 7515 §4.1.6), validated against trusted certificates (RFC 5280 §6).

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert,
};

use super::pem::public_key_from_der;
use super::{Key, KeySet};
use crate::error::{ConfigError, Reason};

/// The most certificates of a chain.
pub const MAX_CHAIN: usize = 8;

/// A validator that accepts every extended key usage: no usage is registered for signing tokens.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

/// The first and the last second in which a certificate is valid, since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    from: u64,
    until: u64,
}

impl Validity {
    /// Returns `None` for a certificate that cannot be read.
    pub fn of(der: &[u8]) -> Option<Validity> {
        let der = CertificateDer::from(der);
        let certificate = EndEntityCert::try_from(&der).ok()?;
        // webpki checks the dates first, and its errors have them.
        let error_at = |seconds| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            certificate.verify_for_usage(ALL_VERIFICATION_ALGS, &[], &[], time, AnyPurpose, None, None).err()
        };
        let Some(Error::CertExpired { not_after, .. }) = error_at(u64::MAX) else { return None };
        let from = match error_at(0) {
            Some(Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
            _ => 0,
        };
        Some(Validity { from, until: not_after.as_secs() })
    }

    /// Returns the end of a sentence about a certificate that is not valid at `now`.
    pub fn fault(self, now: i64) -> Option<String> {
        let now = now.max(0).unsigned_abs();
        if now > self.until {
            Some(format!("expired on {}", date(self.until)))
        } else if now < self.from {
            Some(format!("is not valid before {}", date(self.from)))
        } else {
            None
        }
    }
}

/// Returns the day of a second since the epoch in UTC, such as `2026-01-31`, in the Gregorian calendar.
fn date(seconds: u64) -> String {
    let mut days = seconds / 86_400;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut month) = (1970, 1);
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// Returns the key of the first certificate of `chain`, each in DER or PEM.
///
/// The certificate must be valid at `now` (seconds since the epoch), and must chain to a certificate in the PEM text
/// `trusted`, directly or through the other certificates of `chain`.
///
/// Errors: `KeyUnsupported` when `trusted` holds no certificate, `TokenMalformed` when `chain` is empty, too long or
/// malformed, `CertificateNotTrusted`, and those of an unsupported key.
pub fn trusted_key(trusted: &[u8], chain: &[&[u8]], now: i64) -> Result<KeySet, ConfigError> {
    let blocks = pem::parse_many(trusted).unwrap_or_default();
    let certificates = blocks.iter().filter(|block| matches!(block.tag(), "CERTIFICATE" | "TRUSTED CERTIFICATE"));
    let roots: Vec<_> = certificates.map(|block| CertificateDer::from(block.contents())).collect();
    let anchors: Vec<_> = roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    if anchors.is_empty() {
        return Err(ConfigError::unsupported_key("holds no certificates"));
    }
    let malformed = |why: &str| ConfigError::new(Reason::TokenMalformed, why);
    if chain.len() > MAX_CHAIN {
        return Err(malformed("the chain is too long"));
    }
    let chain: Vec<_> = chain.iter().map(|text| certificate(text)).collect();
    let (leaf, others) = chain.split_first().ok_or_else(|| malformed("there is no certificate"))?;
    let end = EndEntityCert::try_from(leaf).map_err(|_| malformed("the certificate cannot be read"))?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.max(0).unsigned_abs()));
    match end.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, others, time, AnyPurpose, None, None) {
        Ok(_) => {}
        // webpki refuses a CA as the end entity after it has checked the validity period. A trusted one may sign.
        Err(Error::CaUsedAsEndEntity) if roots.iter().any(|root| verify_slices_are_equal(root, leaf).is_ok()) => {}
        Err(error) => return Err(ConfigError::new(Reason::CertificateNotTrusted, error.to_string())),
    }
    let key: Key = public_key_from_der(end.subject_public_key_info().as_ref())?;
    Ok(key.into())
}

/// Returns the DER of a certificate in DER or PEM.
fn certificate(text: &[u8]) -> CertificateDer<'static> {
    match pem::parse(text) {
        Ok(block) => CertificateDer::from(block.into_contents()),
        Err(_) => CertificateDer::from(text.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_date() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
        ] {
            assert_eq!(date(seconds), day);
        }
    }

    #[test]
    fn a_certificate_has_its_dates() {
        for text in
            [include_str!("../../tests/data/certificate_rsa.pem"), include_str!("../../tests/data/certificate_ec.pem")]
        {
            let validity = Validity::of(pem::parse(text).unwrap().contents()).unwrap();
            assert!(validity.from > 0 && validity.from < validity.until, "{validity:?}");
            let fault = |seconds: u64| validity.fault(seconds.cast_signed());
            assert_eq!((fault(validity.from), fault(validity.until)), (None, None));
            assert_eq!(fault(validity.until + 1), Some(format!("expired on {}", date(validity.until))));
            assert_eq!(fault(validity.from - 1), Some(format!("is not valid before {}", date(validity.from))));
        }
        assert_eq!(Validity::of(b"no certificate"), None);
    }
}
