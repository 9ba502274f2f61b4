//! The time in which a certificate is valid (RFC 5280 §4.1.2.5).

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter};

/// A validator that accepts every extended key usage: no usage is registered for signing tokens.
pub(super) struct AnyPurpose;

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

    /// Returns the last second in which the certificate is valid.
    pub fn until(self) -> u64 {
        self.until
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

/// Returns the day of a second since the epoch in UTC, such as `2026-01-31`.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map_or_else(|| "a day after the year 9999".to_owned(), |time| time.date().to_string())
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
