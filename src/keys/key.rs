//! Verification keys: parsed once, and bound to the algorithms that they allow.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};

use super::Algorithm;
use super::curve::{CURVES, keys_on_curves};
use super::secret::{self, HMAC};
use super::validity::Validity;
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

/// The accepted sizes of an RSA modulus, in bits.
pub(super) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// See [`super::KeySet::MAX_KEYS`].
pub(super) const MAX_KEYS: usize = 64;

/// A verification key. Its type fixes the algorithms: RS and PS for RSA, ES256 for P-256, and so on. A JWK's `alg`
/// narrows them to one.
pub struct Key {
    id: Option<String>,
    uses: Vec<(Algorithm, Verifier)>,
    identity: [u8; 32],
    /// That of the certificate that holds the key, if any. It changes nothing about signatures.
    validity: Option<Validity>,
}

enum Verifier {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

impl Key {
    /// Returns a key for a shared secret. It allows those of HS256, HS384 and HS512 that the secret is long enough for.
    ///
    /// Errors: `KeyTooWeak` for fewer than 32 bytes, `KeyUnsupported` for public key material.
    pub fn from_secret(secret: &[u8]) -> Result<Key, ConfigError> {
        secret::check(secret)?;
        Ok(Self::secret(secret, |shortest| secret.len() >= shortest))
    }

    /// Returns a key for a shared secret of any length but 0, for HS256, HS384 and HS512.
    ///
    /// Use it only to migrate from programs that allow short secrets: one token is enough to guess a secret that is
    /// shorter than the hash (RFC 7518 §3.2).
    pub fn from_short_secret(secret: &[u8]) -> Result<Key, ConfigError> {
        secret::check_short(secret)?;
        Ok(Self::secret(secret, |_| true))
    }

    fn secret(secret: &[u8], allows: impl Fn(usize) -> bool) -> Key {
        let uses = HMAC
            .iter()
            .filter(|(_, _, shortest)| allows(*shortest))
            .map(|(algorithm, hash, _)| (*algorithm, Verifier::Secret(Box::new(hmac::Key::new(*hash, secret)))))
            .collect();
        Key { id: None, uses, identity: identity(b"secret", secret), validity: None }
    }

    pub(super) fn set_id(&mut self, id: Option<&str>) {
        self.id = id.map(str::to_owned);
    }

    pub(super) fn narrow(&mut self, to: Algorithm) {
        self.uses.retain(|(algorithm, _)| algorithm.same_as(to));
    }

    pub(super) fn set_validity(&mut self, validity: Option<Validity>) {
        self.validity = validity;
    }

    /// Returns what is wrong at `now` with the certificate that holds the key, as the end of a sentence.
    pub(super) fn certificate_fault(&self, now: i64) -> Option<String> {
        self.validity?.fault(now)
    }

    /// Returns the key's `kid`, which only a JWK has.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the algorithms that this key verifies.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.uses.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Returns a digest that identifies the key together with its `kid` and its algorithms.
    pub(super) fn full_identity(&self) -> [u8; 32] {
        let id = self.id.as_ref().map_or_else(String::new, |id| format!(" kid {id}"));
        let names: Vec<_> = self.algorithms().map(Algorithm::name).collect();
        identity(b"described", &[&self.identity, names.join(",").as_bytes(), id.as_bytes()].concat())
    }

    /// Returns whether the signature is valid, or `None` when the key does not allow `algorithm`.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (_, verifier) = self.uses.iter().find(|(candidate, _)| candidate.same_as(algorithm))?;
        Some(match verifier {
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
            Verifier::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        })
    }
}

/// Parses an RSA key in PKCS#1 or SPKI DER.
pub(super) fn rsa_key_from_der(der: &[u8]) -> Result<Key, ConfigError> {
    rsa_key(RSA.iter().map(|(algorithm, parameters)| (*algorithm, ParsedPublicKey::new(*parameters, der).ok())), der)
}

/// Returns the RSA key with the modulus `n` and the exponent `e`, both big-endian.
pub(super) fn rsa_key_from_numbers(n: &[u8], e: &[u8]) -> Result<Key, ConfigError> {
    let components = RsaPublicKeyComponents { n, e };
    let parsed =
        RSA.iter().map(|(algorithm, parameters)| (*algorithm, components.to_parsed_public_key(parameters).ok()));
    rsa_key(parsed, &[n, b"/", e].concat())
}

/// Returns an RSA key of an accepted size. aws-lc-rs checks the size only when it verifies: a weak key would then look
/// like the token's fault (401) rather than the configuration's (503).
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

/// Parses a key of one curve, named by its algorithm: an uncompressed point or SPKI DER.
pub(super) fn ec_key(curve: Algorithm, point: &[u8]) -> Result<Key, ConfigError> {
    let curves = CURVES.iter().filter(|(algorithm, _)| *algorithm == curve);
    public_key(curves.map(|(algorithm, curve)| (*algorithm, ParsedPublicKey::new(*curve, point).ok())), point)
}

/// Parses a key of any supported curve: an uncompressed point or SPKI DER.
pub(super) fn ec_key_of_any_curve(point: &[u8]) -> Result<Key, ConfigError> {
    public_key(keys_on_curves(point).map(|(algorithm, key)| (algorithm, Some(key))), point)
}

/// Parses an Ed25519 key: its 32 bytes or SPKI DER.
pub(super) fn ed25519_key(point: &[u8]) -> Result<Key, ConfigError> {
    public_key(std::iter::once((Algorithm::EdDSA, ParsedPublicKey::new(&signature::ED25519, point).ok())), point)
}

fn public_key(
    parsed: impl Iterator<Item = (Algorithm, Option<ParsedPublicKey>)>,
    bytes: &[u8],
) -> Result<Key, ConfigError> {
    let uses: Vec<_> = parsed.filter_map(|(algorithm, key)| Some((algorithm, Verifier::Public(key?)))).collect();
    if uses.is_empty() {
        let message = "is a public key that is refused: \
            RSA of 2048 to 8192 bits, P-256, P-384, P-521, secp256k1 or Ed25519 is needed";
        return Err(ConfigError::new(Reason::KeyTooWeak, message));
    }
    Ok(Key { id: None, uses, identity: identity(b"public", bytes), validity: None })
}

/// Returns the digest that identifies key material of one kind.
pub(super) fn identity(kind: &[u8], bytes: &[u8]) -> [u8; 32] {
    sha256(&[b"route_native key identity 1 ", kind, b" ", bytes])
}
