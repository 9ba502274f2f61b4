//! A parser of PEM: public keys in `PUBLIC KEY` (SPKI, RFC 5280), `RSA PUBLIC KEY` (PKCS#1) and `CERTIFICATE`, and RSA
//! private keys.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, PublicKey};
use jsonwebtoken::DecodingKey;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use zeroize::Zeroizing;

use super::key::{Key, ec_key_of_any_curve, ed25519_key, rsa_key_from_der};
use crate::error::ConfigError;

/// Parses the first PEM block of `text` as a public key or certificate.
pub(super) fn parse(text: &[u8]) -> Result<Key, ConfigError> {
    let block = pem::parse(text).map_err(|_| ConfigError::unsupported_key("is neither PEM nor a JWK"))?;
    match block.tag() {
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => {}
        tag if tag.ends_with("PRIVATE KEY") => {
            return Err(ConfigError::unsupported_key("holds a private key where a public key or certificate belongs"));
        }
        _ => {
            return Err(ConfigError::unsupported_key(
                "holds a PEM block that is neither a public key nor a certificate",
            ));
        }
    }
    let bytes = |key: &DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
    if let Ok(key) = DecodingKey::from_rsa_pem(text) {
        return rsa_key_from_der(&bytes(&key));
    } else if let Ok(key) = DecodingKey::from_ed_pem(text) {
        return ed25519_key(&bytes(&key));
    }
    // jsonwebtoken lacks some of the curves. A certificate holds its key in SPKI, as a PUBLIC KEY block does.
    if block.tag() != "CERTIFICATE" {
        return public_key_from_der(block.contents());
    }
    let der = CertificateDer::from(block.contents());
    let certificate = EndEntityCert::try_from(&der)
        .map_err(|_| ConfigError::unsupported_key("holds a certificate that cannot be read"));
    public_key_from_der(certificate?.subject_public_key_info().as_ref())
}

/// Parses a public key in SPKI DER, or in PKCS#1 DER for RSA.
pub(super) fn public_key_from_der(der: &[u8]) -> Result<Key, ConfigError> {
    let attempts = [rsa_key_from_der(der), ec_key_of_any_curve(der), ed25519_key(der)];
    let found = attempts.into_iter().find_map(Result::ok);
    found.ok_or_else(|| {
        ConfigError::unsupported_key("is neither an RSA, a P-256, a P-384, a P-521, a secp256k1 nor an Ed25519 key")
    })
}

/// Returns the SPKI DER of an RSA public key or certificate in PEM, or `None` for another kind of key or a weak one.
pub(crate) fn rsa_spki(text: &[u8]) -> Option<Vec<u8>> {
    let block = pem::parse(text).ok()?;
    let der = CertificateDer::from(block.contents());
    let der = match block.tag() {
        "CERTIFICATE" => EndEntityCert::try_from(&der).ok()?.subject_public_key_info().to_vec(),
        _ => block.contents().to_vec(),
    };
    rsa_key_from_der(&der).ok()?;
    PublicKey::from_der(&der).ok()?.as_der().ok().map(|spki| spki.as_ref().to_vec())
}

/// Parses the first PEM block of `text` as an RSA private key: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
/// Returns its PKCS#8 DER.
pub(crate) fn rsa_pkcs8(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let block = pem::parse(text).map_err(|_| ConfigError::unsupported_key("is not PEM"))?;
    // In the traditional format, only a header marks an encrypted key (RFC 1421 §4.6.1.1).
    let encrypted = block.headers().get("DEK-Info").is_some();
    let tag = block.tag().to_owned();
    let der = Zeroizing::new(block.into_contents());
    match tag.as_str() {
        _ if encrypted || tag == "ENCRYPTED PRIVATE KEY" => {
            Err(ConfigError::unsupported_key("is encrypted with a passphrase; store it without one"))
        }
        "PRIVATE KEY" => Ok(der),
        // aws-lc-rs parses decryption keys from PKCS#8 only, but its signing key converts PKCS#1 to PKCS#8.
        "RSA PRIVATE KEY" => KeyPair::from_der(&der)
            .ok()
            .and_then(|key| key.as_der().ok().map(|pkcs8: Pkcs8V1Der<'_>| Zeroizing::new(pkcs8.as_ref().to_vec())))
            .ok_or_else(|| ConfigError::unsupported_key("is not an RSA private key of 2048 to 8192 bits")),
        _ => Err(ConfigError::unsupported_key("does not hold a private key")),
    }
}
