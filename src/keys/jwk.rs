//! A parser of JSON Web Keys and JWK Sets (RFC 7517, RFC 7518 §6, RFC 8037 §2, RFC 8812 §3.1): public, private and
//! symmetric keys.

use aws_lc_rs::rsa::KeyPairComponents;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Algorithm;
use super::key::{Key, ec_key, ed25519_key, rsa_key_from_numbers};
use super::signing::SigningKey;
use crate::error::ConfigError;
use crate::json::parse_object;

/// The members of one JWK.
pub(super) struct Jwk(Map<String, Value>);

impl Jwk {
    /// Parses a JWK Set or a single JWK. Returns `None` when the text is not a JSON object, or `keys` is not a list.
    pub fn all(text: &[u8]) -> Option<Vec<Jwk>> {
        let mut object = parse_object(text)?;
        match object.remove("keys") {
            Some(Value::Array(keys)) => Some(
                keys.into_iter()
                    .filter_map(|key| match key {
                        Value::Object(members) => Some(Jwk(members)),
                        _ => None,
                    })
                    .collect(),
            ),
            Some(_) => None,
            None => Some(vec![Jwk(object)]),
        }
    }

    /// Returns whether the text is a JSON object with a member `keys`.
    pub fn is_set(text: &[u8]) -> bool {
        parse_object(text).is_some_and(|object| object.contains_key("keys"))
    }

    /// Returns the verification key; for a private key, its public half.
    pub fn verifying_key(&self) -> Result<Key, ConfigError> {
        self.check_use()?;
        let mut key = match self.text("kty") {
            Some("RSA") => rsa_key_from_numbers(&self.number("n")?, &self.number("e")?)?,
            Some("EC") => ec_key(self.curve()?, &self.point()?)?,
            Some("OKP") if self.text("crv") == Some("Ed25519") => ed25519_key(&self.bytes("x")?)?,
            Some("oct") => Key::from_secret(&self.bytes("k")?)?,
            _ => return Err(ConfigError::unsupported_key("is a JWK of an unknown kind")),
        };
        if let Some(narrowed) = self.algorithm()? {
            key.narrow(narrowed);
        }
        if key.algorithms().next().is_none() {
            return Err(ConfigError::unsupported_key("is a JWK whose alg does not fit its key"));
        }
        key.set_id(self.text("kid"));
        Ok(key)
    }

    /// Returns the signing key, or `Ok(None)` for a public key.
    pub fn signing_key(&self) -> Result<Option<SigningKey>, ConfigError> {
        self.check_use()?;
        let refused = |_| ConfigError::unsupported_key("is a private JWK whose members do not make a key");
        let mut key = match self.text("kty") {
            Some("oct") => SigningKey::from_secret(&self.bytes("k")?)?,
            _ if !self.0.contains_key("d") => return Ok(None),
            Some("RSA") => {
                let public_key = RsaPublicKeyComponents { n: self.number("n")?, e: self.number("e")? };
                let components = KeyPairComponents {
                    public_key,
                    d: self.number("d")?,
                    p: self.number("p")?,
                    q: self.number("q")?,
                    dP: self.number("dp")?,
                    dQ: self.number("dq")?,
                    qInv: self.number("qi")?,
                };
                SigningKey::rsa(RsaKeyPair::from_components(&components).map_err(refused)?)?
            }
            Some("EC") => SigningKey::ecdsa_from_numbers(self.curve()?, &self.coordinate("d")?, &self.point()?)?,
            Some("OKP") if self.text("crv") == Some("Ed25519") => {
                let (seed, public) = (self.bytes("d")?, self.bytes("x")?);
                SigningKey::ed25519(Ed25519KeyPair::from_seed_and_public_key(&seed, &public).map_err(refused)?)
            }
            _ => return Err(ConfigError::unsupported_key("is a JWK of an unknown kind")),
        };
        if let Some(narrowed) = self.algorithm()? {
            key.narrow(narrowed);
        }
        key.set_id(self.text("kid"));
        Ok(Some(key))
    }

    /// Returns whether the key is a shared secret.
    pub fn is_secret(&self) -> bool {
        self.text("kty") == Some("oct")
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn check_use(&self) -> Result<(), ConfigError> {
        match self.0.get("use") {
            None => Ok(()),
            Some(Value::String(usage)) if usage == "sig" => Ok(()),
            Some(_) => Err(ConfigError::unsupported_key("is a JWK whose use is not sig")),
        }
    }

    /// Returns the algorithm that the JWK is restricted to, if any.
    fn algorithm(&self) -> Result<Option<Algorithm>, ConfigError> {
        match self.0.get("alg") {
            None => Ok(None),
            Some(name) => match name.as_str().and_then(Algorithm::from_name) {
                Some(algorithm) => Ok(Some(algorithm)),
                None => Err(ConfigError::unsupported_key("is a JWK whose alg does not fit its key")),
            },
        }
    }

    fn curve(&self) -> Result<Algorithm, ConfigError> {
        match self.text("crv") {
            Some("P-256") => Ok(Algorithm::ES256),
            Some("P-384") => Ok(Algorithm::ES384),
            Some("P-521") => Ok(Algorithm::ES512),
            Some("secp256k1") => Ok(Algorithm::ES256K),
            _ => Err(ConfigError::unsupported_key("is a JWK of an unknown kind")),
        }
    }

    /// Returns the uncompressed point (SEC 1 §2.3.3) of `x` and `y`.
    fn point(&self) -> Result<Vec<u8>, ConfigError> {
        Ok([&[4][..], &self.coordinate("x")?, &self.coordinate("y")?].concat())
    }

    /// Returns a number padded to its curve's size. RFC 7518 §6.2.1.2 requires leading zero bytes, but some writers
    /// omit them: three of four P-521 keys have one.
    fn coordinate(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        let size = match self.curve()? {
            Algorithm::ES384 => 48,
            Algorithm::ES512 => 66,
            _ => 32,
        };
        let bytes = self.bytes(name)?;
        let zeros = vec![0; size - bytes.len().min(size)];
        Ok(Zeroizing::new([&zeros, bytes.as_slice()].concat()))
    }

    fn bytes(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        let text =
            self.text(name).ok_or_else(|| ConfigError::unsupported_key("is a JWK that lacks a member of its kind"))?;
        URL_SAFE_NO_PAD
            .decode(text)
            .map(Zeroizing::new)
            .map_err(|_| ConfigError::unsupported_key("is a JWK with a member that is not base64url"))
    }

    /// Returns a number without leading zero bytes. Some writers add them, and aws-lc-rs refuses them.
    fn number(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        let bytes = self.bytes(name)?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(Zeroizing::new(bytes[zeros..].to_vec()))
    }
}
