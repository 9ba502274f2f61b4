//! Verification keys: parsed once, bound to the algorithms that they may be used with.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};

use super::Algorithm;
use super::jwk::Jwk;
use super::pem_key::{self, unsupported};
use super::public_material::refuse_public_material;
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

/// The curves, under the algorithm that each is for. A compressed or foreign point is refused.
const CURVES: [(Algorithm, &EcdsaVerificationAlgorithm); 4] = [
    (Algorithm::ES256, &signature::ECDSA_P256_SHA256_FIXED),
    (Algorithm::ES384, &signature::ECDSA_P384_SHA384_FIXED),
    (Algorithm::ES512, &signature::ECDSA_P521_SHA512_FIXED),
    (Algorithm::ES256K, &signature::ECDSA_P256K1_SHA256_FIXED),
];

/// The HMAC algorithms with the shortest secret that each allows, in bytes (RFC 7518 §3.2).
pub(super) const HMAC: [(Algorithm, hmac::Algorithm, usize); 3] = [
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
        let jwks = Jwk::all(text).unwrap_or_default();
        match jwks.as_slice() {
            [jwk] if !Jwk::is_set(text) => jwk.verifying_key(),
            _ => Err(unsupported("is not a JWK that can be read")),
        }
    }

    /// A shared secret for HS256, HS384 and HS512, each as far as the secret is long enough for it.
    pub fn from_secret(secret: &[u8]) -> Result<Key, ConfigError> {
        refuse_public_material(secret)?;
        if secret.len() < 32 {
            return Err(ConfigError::new(Reason::KeyTooWeak, "is an HMAC secret of fewer than 32 bytes"));
        }
        Ok(Self::secret(secret, |shortest| secret.len() >= shortest))
    }

    /// A secret of any length but 0 for HS256, HS384 and HS512: for programs that have always used a short one. A
    /// secret shorter than the hash can be guessed from one token (RFC 7518 §3.2).
    pub fn from_short_secret(secret: &[u8]) -> Result<Key, ConfigError> {
        if secret.is_empty() {
            return Err(ConfigError::new(Reason::KeyTooWeak, "is an empty HMAC secret"));
        }
        refuse_public_material(secret)?;
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
    fn described(&self) -> [u8; 32] {
        let id = self.id.as_ref().map_or_else(String::new, |id| format!(" kid {id}"));
        let names: Vec<_> = self.algorithms().map(Algorithm::name).collect();
        identity(b"described", &[&self.identity, names.join(",").as_bytes(), id.as_bytes()].concat())
    }

    /// `None` when the key does not do `algorithm`; else whether the signature is its own.
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (_, verifier) = self.uses.iter().find(|(candidate, _)| candidate.same_as(algorithm))?;
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
        if !Jwk::is_set(text) {
            return Key::parse(text).map(KeySet::from);
        }
        let jwks = Jwk::all(text).ok_or_else(|| unsupported("is a JWK Set whose keys are no list"))?;
        KeySet::new(jwks.iter().filter_map(|jwk| jwk.verifying_key().ok()).collect())
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
    public_key(CURVES.iter().map(|(algorithm, curve)| (*algorithm, ParsedPublicKey::new(*curve, point).ok())), point)
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

fn identity(kind: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, &[b"route_native key identity 1 ", kind, b" ", bytes].concat()).as_ref());
    out
}
