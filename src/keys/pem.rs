//! A parser of PEM: public keys in `PUBLIC KEY` (SPKI, RFC 5280), `RSA PUBLIC KEY` (PKCS#1) and `CERTIFICATE`, and
//! private keys in `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1) and `EC PRIVATE KEY` (SEC 1).

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, PublicKey};
use jsonwebtoken::DecodingKey;
use pem::Pem;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use zeroize::Zeroizing;

use super::key::{Key, ec_key_of_any_curve, ed25519_key, rsa_key_from_der};
use super::signing::SigningKey;
use crate::error::ConfigError;

/// The identifier of id-RSASSA-PSS (RFC 4055 §3.1) in DER, and how far into an SPKI it begins.
const RSA_PSS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const RSA_PSS_WITHIN: usize = 16;

/// A key of a PEM text.
pub(super) enum PemKey {
    Public(Key),
    Private(SigningKey),
}

/// Parses every key and certificate of a PEM text. Skips `EC PARAMETERS`, which openssl writes in front of a key, and
/// the certificates of authorities that issued another one of the text: theirs are not the keys of tokens.
pub(super) fn parse_pem(text: &[u8]) -> Result<Vec<PemKey>, ConfigError> {
    let blocks = blocks(text, "is neither PEM nor a JWK")?;
    let certificates: Vec<_> = blocks.iter().filter(|block| block.tag() == "CERTIFICATE").map(names).collect();
    if certificates.len() > 1 && certificates.contains(&None) {
        let message =
            "holds several certificates, and one whose issuer cannot be read; store that in a file of its own";
        return Err(ConfigError::unsupported_key(message));
    }
    // A certificate that its own key signed has no issuer among the others.
    let issued = certificates.into_iter().flatten().filter(|(subject, issuer)| subject != issuer);
    let issuers: Vec<_> = issued.map(|(_, issuer)| issuer).collect();
    // Each block is wiped, also those behind one that is refused.
    let keys: Vec<_> = blocks
        .into_iter()
        .filter(|block| block.tag() != "EC PARAMETERS")
        .filter(|block| !names(block).is_some_and(|(subject, _)| issuers.contains(&subject)))
        .map(parse_block)
        .collect();
    if keys.is_empty() {
        return Err(ConfigError::unsupported_key("holds no key"));
    }
    keys.into_iter().collect()
}

impl SigningKey {
    /// Parses a private key in PEM: the first of the text. Returns `Ok(None)` when the text holds public keys only.
    pub fn from_pem(text: &[u8]) -> Result<Option<SigningKey>, ConfigError> {
        let private = |key| if let PemKey::Private(key) = key { Some(key) } else { None };
        Ok(parse_pem(text)?.into_iter().find_map(private))
    }
}

/// Returns whether a text holds a private key in PEM, of whatever kind. Decodes nothing, so that nothing needs wiping.
pub(super) fn holds_private_key(text: &[u8]) -> bool {
    const END: &[u8] = b"PRIVATE KEY-----";
    text.windows(END.len()).any(|bytes| bytes == END)
}

fn is_private(block: &Pem) -> bool {
    block.tag().ends_with("PRIVATE KEY")
}

fn parse_block(block: Pem) -> Result<PemKey, ConfigError> {
    let readable = check_readable(&block);
    if !is_private(&block) {
        return public_key(&block).map(PemKey::Public);
    }
    let tag = block.tag().to_owned();
    let der = Zeroizing::new(block.into_contents());
    readable?;
    SigningKey::from_block(&tag, &der).map(PemKey::Private)
}

fn public_key(block: &Pem) -> Result<Key, ConfigError> {
    match block.tag() {
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => {}
        _ => {
            let message = "holds a PEM block that is neither a key nor a certificate";
            return Err(ConfigError::unsupported_key(message));
        }
    }
    let text = pem::encode(block);
    let bytes = |key: DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
    if let Ok(key) = DecodingKey::from_rsa_pem(text.as_bytes()) {
        return rsa_key_from_der(&bytes(key));
    } else if let Ok(key) = DecodingKey::from_ed_pem(text.as_bytes()) {
        return ed25519_key(&bytes(key));
    }
    // jsonwebtoken lacks some of the curves.
    match block.tag() {
        "CERTIFICATE" => certificate_key(block.contents()),
        _ => public_key_from_der(block.contents()),
    }
}

/// Refuses the formats of private keys that are never read.
fn check_readable(block: &Pem) -> Result<(), ConfigError> {
    let message = match block.tag() {
        // In the traditional format, only a header marks an encrypted key (RFC 1421 §4.6.1.1).
        tag if tag == "ENCRYPTED PRIVATE KEY" || block.headers().get("DEK-Info").is_some() => {
            "is encrypted with a passphrase; store it without one"
        }
        "OPENSSH PRIVATE KEY" => "is an OpenSSH key; store it as PEM in PKCS#8",
        _ => return Ok(()),
    };
    Err(ConfigError::unsupported_key(message))
}

/// Returns the key of a certificate in DER.
pub(super) fn certificate_key(der: &[u8]) -> Result<Key, ConfigError> {
    let der = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&der)
        .map_err(|_| ConfigError::unsupported_key("holds a certificate that cannot be read"))?;
    public_key_from_der(certificate.subject_public_key_info().as_ref())
}

/// Returns the PEM blocks of a text, or an error that says what the text is: `otherwise` if that is unknown.
fn blocks(text: &[u8], otherwise: &str) -> Result<Vec<Pem>, ConfigError> {
    let blocks = pem::parse_many(text).unwrap_or_default();
    if !blocks.is_empty() {
        return Ok(blocks);
    }
    let text = text.trim_ascii_start();
    // A DER sequence of 128 bytes or more (X.690 §8.1.3.5).
    let is_der = matches!(text, [0x30, 0x81..=0x83, ..]);
    let is_openssh = text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-") || text.starts_with(b"---- BEGIN SSH2");
    Err(ConfigError::unsupported_key(match () {
        _ if is_der => "is DER; convert it to PEM, for example with openssl and -inform DER",
        _ if is_openssh => "is an OpenSSH key; convert it with ssh-keygen -e -m PKCS8",
        _ => otherwise,
    }))
}

/// Returns the subject and the issuer of a certificate, or `None` for another block and for a version before 3.
fn names(block: &Pem) -> Option<(Vec<u8>, Vec<u8>)> {
    let der = CertificateDer::from(block.contents());
    let certificate = (block.tag() == "CERTIFICATE").then(|| EndEntityCert::try_from(&der).ok()).flatten()?;
    Some((certificate.subject().to_vec(), certificate.issuer().to_vec()))
}

/// Parses a public key in SPKI DER, or in PKCS#1 DER for RSA.
pub(super) fn public_key_from_der(der: &[u8]) -> Result<Key, ConfigError> {
    if der.windows(RSA_PSS.len()).take(RSA_PSS_WITHIN).any(|oid| oid == RSA_PSS) {
        return Err(ConfigError::unsupported_key(
            "is a key for RSA-PSS alone; store it as a plain RSA key, which does PS256 too",
        ));
    }
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

/// Parses the first private key of a PEM text as an RSA key: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
/// Returns its PKCS#8 DER.
pub(crate) fn rsa_pkcs8(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let block = blocks(text, "is not PEM")?.into_iter().find(is_private);
    let block = block.ok_or_else(|| ConfigError::unsupported_key("does not hold a private key"))?;
    let (readable, tag) = (check_readable(&block), block.tag().to_owned());
    let der = Zeroizing::new(block.into_contents());
    readable?;
    match tag.as_str() {
        "PRIVATE KEY" => return Ok(der),
        "RSA PRIVATE KEY" => {}
        _ => return Err(ConfigError::unsupported_key("holds a private key that is not RSA")),
    }
    // aws-lc-rs parses decryption keys from PKCS#8 only, but its signing key converts PKCS#1 to PKCS#8.
    KeyPair::from_der(&der)
        .ok()
        .and_then(|key| key.as_der().ok().map(|pkcs8: Pkcs8V1Der<'_>| Zeroizing::new(pkcs8.as_ref().to_vec())))
        .ok_or_else(|| ConfigError::unsupported_key("is not an RSA private key of 2048 to 8192 bits"))
}
