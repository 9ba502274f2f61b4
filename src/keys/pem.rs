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
use super::validity::Validity;
use crate::error::ConfigError;

/// The identifier of id-RSASSA-PSS (RFC 4055 §3.1) in DER, and how far into an SPKI it begins.
const RSA_PSS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const RSA_PSS_WITHIN: usize = 16;

/// A key of a PEM text.
pub(super) enum PemKey {
    Public(Key),
    Private(SigningKey),
}

/// Parses every key and certificate of a PEM text. Returns a note for each certificate that is left out.
pub(super) fn parse_pem(text: &[u8]) -> Result<(Vec<PemKey>, Vec<String>), ConfigError> {
    let (blocks, notes) = key_blocks(text)?;
    // Each block is wiped, also those behind one that is refused.
    let keys: Vec<_> = blocks.into_iter().map(parse_block).collect();
    Ok((keys.into_iter().collect::<Result<_, _>>()?, notes))
}

/// Returns the blocks of the keys and certificates of a PEM text, and a note for each certificate that is left out,
/// because its key is an authority's and not a token's. Skips `EC PARAMETERS`, which openssl writes in front of a key.
pub(super) fn key_blocks(text: &[u8]) -> Result<(Vec<Pem>, Vec<String>), ConfigError> {
    let blocks = blocks(text, "is neither PEM nor a JWK")?;
    let certificates: Vec<_> = blocks.iter().filter(|block| is_certificate(block)).map(Names::of).collect();
    if certificates.len() > 1 && certificates.contains(&None) {
        let message =
            "holds several certificates, and one whose issuer cannot be read; store that in a file of its own";
        return Err(ConfigError::unsupported_key(message));
    }
    let certificates: Vec<_> = certificates.into_iter().flatten().collect();
    let (mut found, mut notes, mut number) = (Vec::new(), Vec::new(), 0);
    for block in blocks.into_iter().filter(|block| block.tag() != "EC PARAMETERS") {
        if is_certificate(&block) {
            number += 1;
            if Names::of(&block).is_some_and(|names| names.is_authority_among(&certificates)) {
                notes.push(format!("certificate {number} is left out: its key is that of an authority"));
                continue;
            }
        }
        found.push(block);
    }
    if found.is_empty() {
        return Err(ConfigError::unsupported_key("holds no key"));
    }
    Ok((found, notes))
}

/// What a certificate says of itself (RFC 5280 §4.1, §4.2.1.9).
#[derive(PartialEq)]
struct Names {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    is_authority: bool,
}

impl Names {
    /// Returns `None` for a certificate that cannot be read, such as one of version 1.
    fn of(block: &Pem) -> Option<Names> {
        let der = CertificateDer::from(block.contents());
        let certificate = EndEntityCert::try_from(&der).ok()?;
        let (subject, issuer) = (certificate.subject().to_vec(), certificate.issuer().to_vec());
        Some(Names { subject, issuer, is_authority: is_authority(block.contents()) })
    }

    /// Returns whether the certificate may issue others, and the file holds a certificate that may not, or one that this
    /// one issued. Alone, or beside others that signed themselves, such a certificate is a token's.
    fn is_authority_among(&self, all: &[Names]) -> bool {
        let is_issuer = |other: &Names| other.issuer == self.subject && other.issuer != other.subject;
        self.is_authority && all.iter().any(|other| !other.is_authority || is_issuer(other))
    }
}

/// Returns whether the basic constraints of a certificate in DER say `cA` (RFC 5280 §4.2.1.9).
fn is_authority(der: &[u8]) -> bool {
    const BASIC_CONSTRAINTS: &[u8] = b"\x06\x03\x55\x1d\x13";
    const TRUE: &[u8] = b"\x01\x01\xff";
    let Some(at) = der.windows(BASIC_CONSTRAINTS.len()).position(|bytes| bytes == BASIC_CONSTRAINTS) else {
        return false;
    };
    let rest = &der[at + BASIC_CONSTRAINTS.len()..];
    let value = rest.strip_prefix(TRUE).unwrap_or(rest);
    // An octet string with a sequence that begins with cA.
    matches!(value, [0x04, _, 0x30, _, sequence @ ..] if sequence.starts_with(TRUE))
}

fn is_certificate(block: &Pem) -> bool {
    block.tag() == "CERTIFICATE"
}

impl SigningKey {
    /// Parses a private key in PEM: the first of the text. Returns `Ok(None)` when the text holds public keys only.
    pub fn from_pem(text: &[u8]) -> Result<Option<SigningKey>, ConfigError> {
        let private = |key| if let PemKey::Private(key) = key { Some(key) } else { None };
        Ok(parse_pem(text)?.0.into_iter().find_map(private))
    }
}

/// Returns whether a text holds a private key in PEM, of whatever kind. Decodes nothing, so that nothing needs wiping.
pub(super) fn holds_private_key(text: &[u8]) -> bool {
    const END: &[u8] = b"PRIVATE KEY-----";
    text.windows(END.len()).any(|bytes| bytes == END)
}

pub(super) fn is_private(block: &Pem) -> bool {
    block.tag().ends_with("PRIVATE KEY")
}

fn parse_block(block: Pem) -> Result<PemKey, ConfigError> {
    if !is_private(&block) {
        return public_key(&block).map(PemKey::Public);
    }
    let (tag, der) = private_der(block)?;
    SigningKey::from_block(&tag, &der).map(PemKey::Private)
}

/// Returns the tag and the content of a private key's block, or an error for a format that is never read. The content is
/// wiped in both cases.
pub(super) fn private_der(block: Pem) -> Result<(String, Zeroizing<Vec<u8>>), ConfigError> {
    let (readable, tag) = (check_readable(&block), block.tag().to_owned());
    let der = Zeroizing::new(block.into_contents());
    readable.map(|()| (tag, der))
}

fn public_key(block: &Pem) -> Result<Key, ConfigError> {
    match block.tag() {
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => {}
        _ => {
            let message = "holds a PEM block that is neither a key nor a certificate";
            return Err(ConfigError::unsupported_key(message));
        }
    }
    let mut key = public_key_of_block(block)?;
    key.set_validity(if is_certificate(block) { Validity::of(block.contents()) } else { None });
    Ok(key)
}

fn public_key_of_block(block: &Pem) -> Result<Key, ConfigError> {
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
    let mut key = public_key_from_der(&certificate_spki(der)?)?;
    key.set_validity(Validity::of(der));
    Ok(key)
}

/// Returns the public key of a certificate in DER, as SPKI DER.
pub(super) fn certificate_spki(der: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let der = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&der)
        .map_err(|_| ConfigError::unsupported_key("holds a certificate that cannot be read"))?;
    Ok(certificate.subject_public_key_info().to_vec())
}

/// Returns the PEM blocks of a text, or an error that says what the text is: `otherwise` if that is unknown.
fn blocks(text: &[u8], otherwise: &str) -> Result<Vec<Pem>, ConfigError> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let blocks = pem::parse_many(text).unwrap_or_default();
    if !blocks.is_empty() {
        // The parser passes over a block without an end, in silence.
        let begun = text.windows(BEGIN.len()).filter(|bytes| *bytes == BEGIN).count();
        if begun != blocks.len() {
            // Private keys are wiped.
            blocks.into_iter().for_each(|block| drop(private_der(block)));
            return Err(ConfigError::unsupported_key("holds a PEM block that is cut off or malformed"));
        }
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
    let der = if is_certificate(&block) { certificate_spki(block.contents()).ok()? } else { block.into_contents() };
    rsa_key_from_der(&der).ok()?;
    PublicKey::from_der(&der).ok()?.as_der().ok().map(|spki| spki.as_ref().to_vec())
}

/// Parses the first private key of a PEM text as an RSA key: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1).
/// Returns its PKCS#8 DER.
pub(crate) fn rsa_pkcs8(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let block = blocks(text, "is not PEM")?.into_iter().find(is_private);
    let block = block.ok_or_else(|| ConfigError::unsupported_key("does not hold a private key"))?;
    let (tag, der) = private_der(block)?;
    rsa_pkcs8_from(&tag, der)
}

/// Returns the PKCS#8 DER of the RSA key in a block.
pub(super) fn rsa_pkcs8_from(tag: &str, der: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    match tag {
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
