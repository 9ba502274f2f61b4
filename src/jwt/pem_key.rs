//! Public keys from PEM: `PUBLIC KEY` (RFC 5280 SPKI), `RSA PUBLIC KEY` (PKCS#1) and `CERTIFICATE`.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::PublicKey;
use jsonwebtoken::DecodingKey;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::key::{Key, ec_key_of_any_curve, ed25519_key, rsa_key_from_der};
use crate::error::{ConfigError, Reason};

/// Reads the first PEM block of `text`.
pub(super) fn parse(text: &[u8]) -> Result<Key, ConfigError> {
    let block = pem::parse(text).map_err(|_| unsupported("is neither PEM nor a JWK"))?;
    match block.tag() {
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => {}
        tag if tag.ends_with("PRIVATE KEY") => {
            return Err(unsupported("holds a private key where a public key or certificate belongs"));
        }
        _ => return Err(unsupported("holds a PEM block that is neither a public key nor a certificate")),
    }
    let bytes = |key: &DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
    if let Ok(key) = DecodingKey::from_rsa_pem(text) {
        return rsa_key_from_der(&bytes(&key));
    } else if let Ok(key) = DecodingKey::from_ed_pem(text) {
        return ed25519_key(&bytes(&key));
    }
    // The curves are more than jsonwebtoken knows. The SPKI in a certificate is the same DER as a PUBLIC KEY.
    if block.tag() != "CERTIFICATE" {
        return public_key_from_der(block.contents());
    }
    let der = CertificateDer::from(block.contents());
    let certificate = EndEntityCert::try_from(&der).map_err(|_| unsupported("holds a certificate that cannot be read"));
    public_key_from_der(certificate?.subject_public_key_info().as_ref())
}

/// A key from its SPKI DER, or PKCS#1 for RSA.
pub(super) fn public_key_from_der(der: &[u8]) -> Result<Key, ConfigError> {
    let attempts = [rsa_key_from_der(der), ec_key_of_any_curve(der), ed25519_key(der)];
    let found = attempts.into_iter().find_map(Result::ok);
    found.ok_or_else(|| unsupported("is neither an RSA, a P-256, a P-384, a P-521, a secp256k1 nor an Ed25519 key"))
}

/// The SPKI DER of an RSA public key or certificate in PEM. `None` when it is another kind of key, or a weak one.
pub(super) fn rsa_spki(text: &[u8]) -> Option<Vec<u8>> {
    let block = pem::parse(text).ok()?;
    let der = CertificateDer::from(block.contents());
    let der = match block.tag() {
        "CERTIFICATE" => EndEntityCert::try_from(&der).ok()?.subject_public_key_info().to_vec(),
        _ => block.contents().to_vec(),
    };
    rsa_key_from_der(&der).ok()?;
    PublicKey::from_der(&der).ok()?.as_der().ok().map(|spki| spki.as_ref().to_vec())
}

pub(super) fn unsupported(what: &str) -> ConfigError {
    ConfigError::new(Reason::KeyUnsupported, what)
}
