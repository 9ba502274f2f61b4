//! Signing keys: parsed once, and bound to the algorithms that they allow.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};

use super::Algorithm;
use super::key::{Key, RSA_BITS, ec_key, ed25519_key, rsa_key_from_der};
use super::secret::{self, HMAC};
use crate::error::{ConfigError, Reason};

const RSA: [(Algorithm, &dyn RsaEncoding); 6] = [
    (Algorithm::RS256, &signature::RSA_PKCS1_SHA256),
    (Algorithm::RS384, &signature::RSA_PKCS1_SHA384),
    (Algorithm::RS512, &signature::RSA_PKCS1_SHA512),
    (Algorithm::PS256, &signature::RSA_PSS_SHA256),
    (Algorithm::PS384, &signature::RSA_PSS_SHA384),
    (Algorithm::PS512, &signature::RSA_PSS_SHA512),
];

const ECDSA: [(Algorithm, &EcdsaSigningAlgorithm); 4] = [
    (Algorithm::ES256, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
    (Algorithm::ES384, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
    (Algorithm::ES512, &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
    (Algorithm::ES256K, &signature::ECDSA_P256K1_SHA256_FIXED_SIGNING),
];

/// A signing key. Its type fixes the algorithms, as that of a [`Key`] does. A JWK's `alg` narrows them to one.
pub struct SigningKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    signer: Signer,
}

enum Signer {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Secret(Vec<(Algorithm, hmac::Key)>),
}

impl SigningKey {
    /// Returns a key for a shared secret. See [`Key::from_secret`].
    pub fn from_secret(secret: &[u8]) -> Result<SigningKey, ConfigError> {
        secret::check(secret)?;
        Ok(Self::secret(secret, |shortest| secret.len() >= shortest))
    }

    /// Returns a key for a shared secret of any length but 0. See [`Key::from_short_secret`].
    pub fn from_short_secret(secret: &[u8]) -> Result<SigningKey, ConfigError> {
        secret::check_short(secret)?;
        Ok(Self::secret(secret, |_| true))
    }

    fn secret(secret: &[u8], allows: impl Fn(usize) -> bool) -> SigningKey {
        let allowed = HMAC.iter().filter(|(_, _, shortest)| allows(*shortest));
        let keys: Vec<_> = allowed.map(|(name, hash, _)| (*name, hmac::Key::new(*hash, secret))).collect();
        SigningKey { id: None, algorithms: keys.iter().map(|(name, _)| *name).collect(), signer: Signer::Secret(keys) }
    }

    /// Parses the contents of a PEM block with a private key.
    pub(super) fn from_block(tag: &str, der: &[u8]) -> Result<SigningKey, ConfigError> {
        if tag != "RSA PRIVATE KEY" {
            return Self::from_der(der);
        }
        let pair = RsaKeyPair::from_der(der)
            .map_err(|_| ConfigError::unsupported_key("is not an RSA private key that can sign"))?;
        Self::rsa(pair)
    }

    fn from_der(der: &[u8]) -> Result<SigningKey, ConfigError> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            return Self::rsa(pair);
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::ed25519(pair));
        }
        for (name, curve) in ECDSA {
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(curve, der) {
                return Ok(Self::ecdsa(name, pair));
            }
        }
        Err(ConfigError::unsupported_key(
            "is a private key that is neither RSA, P-256, P-384, P-521, secp256k1 nor Ed25519",
        ))
    }

    pub(super) fn rsa(pair: RsaKeyPair) -> Result<SigningKey, ConfigError> {
        if !RSA_BITS.contains(&(pair.public_modulus_len() * 8)) {
            return Err(ConfigError::new(Reason::KeyTooWeak, "is an RSA key that is not of 2048 to 8192 bits"));
        }
        Ok(Self::of(RSA.iter().map(|(name, _)| *name).collect(), Signer::Rsa(pair)))
    }

    pub(super) fn ed25519(pair: Ed25519KeyPair) -> SigningKey {
        Self::of(vec![Algorithm::EdDSA], Signer::Ed25519(pair))
    }

    fn ecdsa(name: Algorithm, pair: EcdsaKeyPair) -> SigningKey {
        Self::of(vec![name], Signer::Ecdsa(pair))
    }

    /// Returns the ECDSA key with that private number, in big-endian, and that uncompressed point.
    pub(super) fn ecdsa_from_numbers(name: Algorithm, private: &[u8], point: &[u8]) -> Result<Self, ConfigError> {
        let curve = ECDSA.iter().find(|(candidate, _)| *candidate == name).map(|(_, curve)| *curve);
        curve
            .and_then(|curve| EcdsaKeyPair::from_private_key_and_public_key(curve, private, point).ok())
            .map(|pair| Self::ecdsa(name, pair))
            .ok_or_else(|| ConfigError::unsupported_key("is a private JWK whose members do not make a key"))
    }

    fn of(algorithms: Vec<Algorithm>, signer: Signer) -> SigningKey {
        SigningKey { id: None, algorithms, signer }
    }

    pub(super) fn set_id(&mut self, id: Option<&str>) {
        self.id = id.map(str::to_owned);
    }

    pub(super) fn narrow(&mut self, algorithm: Algorithm) {
        self.algorithms.retain(|candidate| candidate.same_as(algorithm));
    }

    /// Returns the key's `kid`, which only a JWK has.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the algorithms that this key signs with. The first is the default.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Returns the public half.
    ///
    /// Errors: `KeyUnsupported` for a shared secret, which has none.
    pub fn verifying_key(&self) -> Result<Key, ConfigError> {
        let lacks_it = || ConfigError::unsupported_key("has no public half");
        let mut key = match &self.signer {
            Signer::Rsa(pair) => rsa_key_from_der(pair.public_key().as_der().map_err(|_| lacks_it())?.as_ref())?,
            Signer::Ecdsa(pair) => ec_key(self.algorithms[0], pair.public_key().as_ref())?,
            Signer::Ed25519(pair) => ed25519_key(pair.public_key().as_ref())?,
            Signer::Secret(_) => return Err(lacks_it()),
        };
        key.set_id(self.id());
        Ok(key)
    }

    /// Signs `message` and returns the signature (RFC 7518 §3).
    ///
    /// Errors: `KeyCannotSign` when the key does not allow `algorithm`.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Reason> {
        if !self.algorithms.iter().any(|candidate| candidate.same_as(algorithm)) {
            return Err(Reason::KeyCannotSign);
        }
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Rsa(pair) => {
                let encoding = RSA.iter().find(|(name, _)| *name == algorithm).ok_or(Reason::KeyCannotSign)?.1;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).map_err(|_| Reason::Internal)?;
                Ok(signature)
            }
            Signer::Ecdsa(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| Reason::Internal)
            }
            Signer::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Signer::Secret(keys) => {
                let (_, key) = keys.iter().find(|(name, _)| *name == algorithm).ok_or(Reason::KeyCannotSign)?;
                Ok(hmac::sign(key, message).as_ref().to_vec())
            }
        }
    }
}
