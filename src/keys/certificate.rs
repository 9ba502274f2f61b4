//! Keys from certificate chains (`x5c`, RFC 7515 §4.1.6), validated against trusted certificates (RFC 5280 §6).

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, anchor_from_trusted_cert};

use super::pem::public_key_from_der;
use super::validity::AnyPurpose;
use super::{Key, KeySet};
use crate::error::{ConfigError, Reason};

/// The most certificates of a chain.
pub const MAX_CHAIN: usize = 8;

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
