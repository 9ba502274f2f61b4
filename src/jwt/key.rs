//! Verification keys: parsed once, bound to the algorithms that they may be used with.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};

use super::Algorithm;
use super::pem_key::{self, looks_like_pem, unsupported};
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
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The HMAC algorithms with the shortest secret that each allows, in bytes (RFC 7518 §3.2).
const HMAC: [(Algorithm, hmac::Algorithm, usize); 3] = [
    (Algorithm::HS256, hmac::HMAC_SHA256, 32),
    (Algorithm::HS384, hmac::HMAC_SHA384, 48),
    (Algorithm::HS512, hmac::HMAC_SHA512, 64),
];

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
    /// Reads a public key or certificate in PEM, or one JWK (RFC 7517) in JSON.
    pub fn parse(text: &[u8]) -> Result<Key, ConfigError> {
        if text.trim_ascii_start().first() != Some(&b'{') {
            return pem_key::parse(text);
        }
        let jwk: Jwk = serde_json::from_slice(text).map_err(|_| unsupported("is not a JWK that can be read"))?;
        Key::from_jwk(&jwk)
    }

    /// A shared secret for HS256, HS384 and HS512, each as far as the secret is long enough for it.
    pub fn from_secret(secret: &[u8]) -> Result<Key, ConfigError> {
        if looks_like_pem(secret) {
            return Err(unsupported("is a PEM key used as an HMAC secret"));
        }
        let uses: Vec<_> = HMAC
            .iter()
            .filter(|(_, _, shortest)| secret.len() >= *shortest)
            .map(|(algorithm, hash, _)| (*algorithm, Verifier::Secret(Box::new(hmac::Key::new(*hash, secret)))))
            .collect();
        if uses.is_empty() {
            return Err(ConfigError::new(Reason::KeyTooWeak, "is an HMAC secret of fewer than 32 bytes"));
        }
        Ok(Key { id: None, uses, identity: identity(b"secret", secret) })
    }

    fn from_jwk(jwk: &Jwk) -> Result<Key, ConfigError> {
        if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return Err(unsupported("is a JWK whose use is not sig"));
        }
        let parsed = DecodingKey::from_jwk(jwk).map_err(|_| unsupported("is a JWK of an unknown kind"))?;
        let mut key = match (&jwk.algorithm, parsed.kind()) {
            (AlgorithmParameters::RSA(_), DecodingKeyKind::RsaModulusExponent { n, e }) => rsa_key_from_numbers(n, e)?,
            (AlgorithmParameters::OctetKey(_), DecodingKeyKind::SecretOrDer(secret)) => Key::from_secret(secret)?,
            (AlgorithmParameters::EllipticCurve(_), DecodingKeyKind::SecretOrDer(point)) => ec_key(point)?,
            (AlgorithmParameters::OctetKeyPair(pair), DecodingKeyKind::SecretOrDer(point))
                if pair.curve == EllipticCurve::Ed25519 =>
            {
                ed25519_key(point)?
            }
            _ => return Err(unsupported("is a JWK of an unknown kind")),
        };
        if let Some(name) = jwk.common.key_algorithm {
            key.uses.retain(|(algorithm, _)| algorithm.name() == name.to_string());
        }
        if key.uses.is_empty() {
            return Err(unsupported("is a JWK whose alg does not fit its key"));
        }
        key.id = jwk.common.key_id.clone();
        Ok(key)
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
    fn described(&self) -> [u8; 32] {
        let id = self.id.as_ref().map_or_else(String::new, |id| format!(" kid {id}"));
        let names: Vec<_> = self.algorithms().map(Algorithm::name).collect();
        identity(b"described", &[&self.identity, names.join(",").as_bytes(), id.as_bytes()].concat())
    }

    /// `None` when the key does not do `algorithm`; else whether the signature is its own.
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (_, verifier) = self.uses.iter().find(|(candidate, _)| *candidate == algorithm)?;
        Some(match verifier {
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
            Verifier::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        })
    }
}

/// The keys that a token may be signed with: one, or several in rotation.
pub struct KeySet {
    keys: Vec<Key>,
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        KeySet { keys: vec![key] }
    }
}

impl KeySet {
    /// The most keys that a set may hold: each may cost a signature check.
    pub const MAX_KEYS: usize = 64;

    /// A set of several keys; `kid`s select among those that have one.
    pub fn new(keys: Vec<Key>) -> Result<KeySet, ConfigError> {
        match keys.len() {
            0 => Err(unsupported("holds no key that can verify a signature")),
            length if length > Self::MAX_KEYS => Err(unsupported("holds more than 64 keys")),
            _ => Ok(KeySet { keys }),
        }
    }

    /// Reads whatever a key file may hold: a public key or certificate in PEM, a JWK, or a JWK Set (RFC 7517 §5).
    /// Keys of a set that are of other kinds are passed over, as the RFC asks.
    pub fn parse(text: &[u8]) -> Result<KeySet, ConfigError> {
        match serde_json::from_slice::<JwkSet>(text) {
            Ok(set) => KeySet::new(set.keys.iter().filter_map(|jwk| Key::from_jwk(jwk).ok()).collect()),
            Err(_) => Key::parse(text).map(KeySet::from),
        }
    }

    /// The keys, in their order.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// A digest that names the set: two sets with other keys have other identities, also when only a key's id or
    /// algorithms differ, for they too decide what a token is worth.
    pub fn identity(&self) -> [u8; 32] {
        let all: Vec<u8> = self.keys.iter().flat_map(Key::described).collect();
        identity(b"set", &all)
    }

    /// Checks a signature with the key that bears `kid`. Without a `kid`, or when no key of the set has one, every
    /// key that does `algorithm` is tried.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Reason> {
        let named = self.keys.iter().any(|key| key.id.is_some());
        let mut answer = Err(match kid {
            Some(_) if named => Reason::KeyNotFound,
            _ => Reason::AlgorithmNotAllowed,
        });
        for key in &self.keys {
            if named && kid.is_some() && key.id.as_deref() != kid {
                continue;
            }
            match key.verify(algorithm, message, signature) {
                Some(true) => return Ok(()),
                Some(false) => answer = Err(Reason::SignatureInvalid),
                None if answer == Err(Reason::KeyNotFound) => answer = Err(Reason::AlgorithmNotAllowed),
                None => {}
            }
        }
        answer
    }
}

/// An RSA key from PKCS#1 or SPKI DER.
pub(super) fn rsa_key_from_der(der: &[u8]) -> Result<Key, ConfigError> {
    rsa_key(RSA.iter().map(|(algorithm, parameters)| (*algorithm, ParsedPublicKey::new(*parameters, der).ok())), der)
}

fn rsa_key_from_numbers(n: &[u8], e: &[u8]) -> Result<Key, ConfigError> {
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

/// A P-256 or P-384 key from its uncompressed point; the curve is the one that the point lies on.
pub(super) fn ec_key(point: &[u8]) -> Result<Key, ConfigError> {
    let curves: [(Algorithm, &'static dyn VerificationAlgorithm); 2] = [
        (Algorithm::ES256, &signature::ECDSA_P256_SHA256_FIXED),
        (Algorithm::ES384, &signature::ECDSA_P384_SHA384_FIXED),
    ];
    public_key(curves.into_iter().map(|(algorithm, curve)| (algorithm, ParsedPublicKey::new(curve, point).ok())), point)
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
        let what = "is a public key that is refused: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519 is needed";
        return Err(ConfigError::new(Reason::KeyTooWeak, what));
    }
    Ok(Key { id: None, uses, identity: identity(b"public", bytes) })
}

fn identity(kind: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, &[b"route_native key identity 1 ", kind, b" ", bytes].concat()).as_ref());
    out
}
