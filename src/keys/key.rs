//! Verification keys: parsed once, bound to the algorithms that they may be used with.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};

use super::Algorithm;
use super::curve::{CURVES, keys_on_curves};
use super::secret::{self, HMAC};
use crate::digest::sha256;
use crate::error::{ConfigError, Reason};

const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::RS256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &signature::RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &signature::RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &signature::RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &signature::RSA_PSS_2048_8192_SHA512),
];

/// The sizes of an RSA modulus that are accepted.
pub(super) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A verification key. Its type fixes the algorithms: an RSA key verifies RS and PS, a P-256 key ES256, and so on;
/// a JWK's `alg` narrows that to one.
pub struct Key {
    id: Option<String>,
    uses: Vec<(Algorithm, Verifier)>,
    identity: [u8; 32],
}

enum Verifier {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

impl Key {
    /// A shared secret for HS256, HS384 and HS512, each as far as the secret is long enough for it.
    pub fn from_secret(secret: &[u8]) -> Result<Key, ConfigError> {
        secret::check(secret)?;
        Ok(Self::secret(secret, |shortest| secret.len() >= shortest))
    }

    /// A secret of any length but 0 for HS256, HS384 and HS512: for programs that have always used a short one. A
    /// secret shorter than the hash can be guessed from one token (RFC 7518 §3.2).
    pub fn from_short_secret(secret: &[u8]) -> Result<Key, ConfigError> {
        secret::check_short(secret)?;
        Ok(Self::secret(secret, |_| true))
    }

    fn secret(secret: &[u8], wanted: impl Fn(usize) -> bool) -> Key {
        let uses = HMAC
            .iter()
            .filter(|(_, _, shortest)| wanted(*shortest))
            .map(|(algorithm, hash, _)| (*algorithm, Verifier::Secret(Box::new(hmac::Key::new(*hash, secret)))))
            .collect();
        Key { id: None, uses, identity: identity(b"secret", secret) }
    }

    pub(super) fn set_id(&mut self, id: Option<&str>) {
        self.id = id.map(str::to_owned);
    }

    pub(super) fn narrow(&mut self, to: Algorithm) {
        self.uses.retain(|(algorithm, _)| algorithm.same_as(to));
    }

    /// The key's `kid`, when it came as a JWK that has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The algorithms that this key verifies.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.uses.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Names the key together with what it may be used for, and under which id.
    pub(super) fn described(&self) -> [u8; 32] {
        let id = self.id.as_ref().map_or_else(String::new, |id| format!(" kid {id}"));
        let names: Vec<_> = self.algorithms().map(Algorithm::name).collect();
        identity(b"described", &[&self.identity, names.join(",").as_bytes(), id.as_bytes()].concat())
    }

    /// `None` when the key does not do `algorithm`; else whether the signature is its own.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (_, verifier) = self.uses.iter().find(|(candidate, _)| candidate.same_as(algorithm))?;
        Some(match verifier {
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
            Verifier::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        })
    }
}

/// An RSA key from PKCS#1 or SPKI DER.
pub(super) fn rsa_key_from_der(der: &[u8]) -> Result<Key, ConfigError> {
    rsa_key(RSA.iter().map(|(algorithm, parameters)| (*algorithm, ParsedPublicKey::new(*parameters, der).ok())), der)
}

pub(super) fn rsa_key_from_numbers(n: &[u8], e: &[u8]) -> Result<Key, ConfigError> {
    let components = RsaPublicKeyComponents { n, e };
    let parsed =
        RSA.iter().map(|(algorithm, parameters)| (*algorithm, components.to_parsed_public_key(parameters).ok()));
    rsa_key(parsed, &[n, b"/", e].concat())
}

/// aws-lc-rs looks at the size of an RSA key only when it verifies, which would make a weak key's tokens bad (401)
/// where the configuration is (503).
fn rsa_key(
    parsed: impl Iterator<Item = (Algorithm, Option<ParsedPublicKey>)>,
    bytes: &[u8],
) -> Result<Key, ConfigError> {
    let strong = |key: &ParsedPublicKey| rsa_bits(key).is_some_and(|bits| RSA_BITS.contains(&bits));
    public_key(parsed.map(|(algorithm, key)| (algorithm, key.filter(strong))), bytes)
}

fn rsa_bits(key: &ParsedPublicKey) -> Option<usize> {
    let der = key.as_der().ok()?;
    let key = PublicKey::from_der(der.as_ref()).ok()?;
    let modulus = key.modulus().big_endian_without_leading_zero();
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}

/// The key of one curve, named by its algorithm, from an uncompressed point or SPKI DER.
pub(super) fn ec_key(curve: Algorithm, point: &[u8]) -> Result<Key, ConfigError> {
    let wanted = CURVES.iter().filter(|(algorithm, _)| *algorithm == curve);
    public_key(wanted.map(|(algorithm, curve)| (*algorithm, ParsedPublicKey::new(*curve, point).ok())), point)
}

/// An ECDSA key on whichever curve the point lies on, from an uncompressed point or SPKI DER.
pub(super) fn ec_key_of_any_curve(point: &[u8]) -> Result<Key, ConfigError> {
    public_key(keys_on_curves(point).map(|(algorithm, key)| (algorithm, Some(key))), point)
}

/// An Ed25519 key from its 32 bytes.
pub(super) fn ed25519_key(point: &[u8]) -> Result<Key, ConfigError> {
    public_key(std::iter::once((Algorithm::EdDSA, ParsedPublicKey::new(&signature::ED25519, point).ok())), point)
}

fn public_key(
    parsed: impl Iterator<Item = (Algorithm, Option<ParsedPublicKey>)>,
    bytes: &[u8],
) -> Result<Key, ConfigError> {
    let uses: Vec<_> = parsed.filter_map(|(algorithm, key)| Some((algorithm, Verifier::Public(key?)))).collect();
    if uses.is_empty() {
        let what = "is a public key that is refused: RSA of 2048 to 8192 bits, P-256, P-384, P-521, secp256k1 or Ed25519 is needed";
        return Err(ConfigError::new(Reason::KeyTooWeak, what));
    }
    Ok(Key { id: None, uses, identity: identity(b"public", bytes) })
}

pub(super) fn identity(kind: &[u8], bytes: &[u8]) -> [u8; 32] {
    sha256(&[b"route_native key identity 1 ", kind, b" ", bytes])
}
