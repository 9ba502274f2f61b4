//! A parser of JSON Web Keys and JWK Sets (RFC 7517, RFC 7518 §6, RFC 8037 §2, RFC 8812 §3.1): public, private and
//! symmetric keys.

use aws_lc_rs::rsa::KeyPairComponents;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Algorithm;
use super::key::{Key, ec_key, ed25519_key, rsa_key_from_numbers};
use super::pem::certificate_key;
use super::signing::SigningKey;
use crate::error::{ConfigError, Reason};
use crate::json::try_parse_object;

/// The members of one JWK.
pub(super) struct Jwk(Map<String, Value>);

impl Jwk {
    /// Parses a JWK Set or a single JWK. Returns its keys, and whether it is a set.
    pub fn all(text: &[u8]) -> Result<(Vec<Jwk>, bool), ConfigError> {
        let refused = |why: &str| ConfigError::unsupported_key(&format!("is not a JWK that can be read: {why}"));
        let mut object = try_parse_object(text).map_err(|why| refused(&why))?;
        let members = |key| match key {
            Value::Object(members) => Jwk(members),
            // Skipped like any other key that is not supported.
            _ => Jwk(Map::new()),
        };
        match object.remove("keys") {
            Some(Value::Array(keys)) => Ok((keys.into_iter().map(members).collect(), true)),
            Some(_) => Err(ConfigError::unsupported_key("is a JWK Set whose keys are no list")),
            None => Ok((vec![Jwk(object)], false)),
        }
    }

    /// Returns the key of these members.
    pub fn from_members(members: Map<String, Value>) -> Jwk {
        Jwk(members)
    }

    /// Returns the verification key; for a private key, its public half.
    pub fn verifying_key(&self) -> Result<Key, ConfigError> {
        self.check_use("sig")?;
        // What signs may be verified: the public half of a private key, or the same secret.
        let fits = self.has_operation("verify") || !self.is_public() && self.has_operation("sign");
        if !fits {
            return Err(ConfigError::unsupported_key("is a JWK whose key_ops do not name verify"));
        }
        let mut key = match self.text("kty") {
            Some("RSA" | "EC" | "OKP") if !self.0.contains_key("n") && !self.0.contains_key("x") => self.certified()?,
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
        key.set_id(self.kid().as_deref());
        Ok(key)
    }

    /// Returns the signing key, or `Ok(None)` for a public key and one whose `key_ops` do not name it.
    pub fn signing_key(&self) -> Result<Option<SigningKey>, ConfigError> {
        self.check_use("sig")?;
        if self.is_public() || !self.has_operation("sign") {
            return Ok(None);
        }
        let mut key = match self.text("kty") {
            Some("oct") => SigningKey::from_secret(&self.bytes("k")?)?,
            Some("RSA") => SigningKey::rsa(self.rsa_pair()?)?,
            Some("EC") => SigningKey::ecdsa_from_numbers(self.curve()?, &self.coordinate("d")?, &self.point()?)?,
            Some("OKP") if self.text("crv") == Some("Ed25519") => {
                let (seed, public) = (self.bytes("d")?, self.bytes("x")?);
                SigningKey::ed25519(Ed25519KeyPair::from_seed_and_public_key(&seed, &public).map_err(no_pair)?)
            }
            _ => return Err(ConfigError::unsupported_key("is a JWK of an unknown kind")),
        };
        if let Some(narrowed) = self.algorithm()? {
            key.narrow(narrowed);
        }
        key.set_id(self.kid().as_deref());
        Ok(Some(key))
    }

    /// Returns the pair of a private RSA key.
    pub fn rsa_pair(&self) -> Result<RsaKeyPair, ConfigError> {
        if ["p", "q", "dp", "dq", "qi"].iter().any(|name| !self.0.contains_key(*name)) {
            return Err(ConfigError::unsupported_key("is a private RSA JWK that lacks p, q, dp, dq or qi"));
        }
        let components = KeyPairComponents {
            public_key: RsaPublicKeyComponents { n: self.number("n")?, e: self.number("e")? },
            d: self.number("d")?,
            p: self.number("p")?,
            q: self.number("q")?,
            dP: self.number("dp")?,
            dQ: self.number("dq")?,
            qInv: self.number("qi")?,
        };
        RsaKeyPair::from_components(&components).map_err(no_pair)
    }

    /// Returns whether the key is a shared secret.
    pub fn is_secret(&self) -> bool {
        self.text("kty") == Some("oct")
    }

    /// Returns whether the key holds neither a private member nor a shared secret.
    pub fn is_public(&self) -> bool {
        !self.is_secret() && !self.0.contains_key("d")
    }

    /// Returns the key's `kid`, or `None` for a malformed one too.
    pub fn kid(&self) -> Option<String> {
        key_id(&self.0).ok().flatten()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Returns whether the key has a member.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns an optional member. Some writers say null for what they leave out.
    pub fn optional(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Refuses a key whose `use` is another than the wanted one.
    pub fn check_use(&self, wanted: &str) -> Result<(), ConfigError> {
        match self.optional("use").map(Value::as_str) {
            None => Ok(()),
            Some(found) if found == Some(wanted) => Ok(()),
            Some(_) => Err(ConfigError::unsupported_key(&format!("is a JWK whose use is not {wanted}"))),
        }
    }

    /// Returns whether `key_ops` (RFC 7517 §4.3), when there are any, name an operation.
    fn has_operation(&self, operation: &str) -> bool {
        match self.optional("key_ops") {
            None => true,
            Some(Value::Array(operations)) => operations.iter().any(|name| name == operation),
            Some(_) => false,
        }
    }

    /// Returns the key of the first certificate of `x5c` (RFC 7517 §4.7), for a JWK that has no other members.
    pub fn certified(&self) -> Result<Key, ConfigError> {
        let key = certificate_key(&self.certificate()?)?;
        let family = match self.text("kty") {
            Some("RSA") => "RS",
            Some("EC") => "ES",
            _ => "EdDSA",
        };
        if !key.algorithms().any(|algorithm| algorithm.name().starts_with(family)) {
            return Err(ConfigError::unsupported_key("is a JWK whose x5c holds a key of another kind"));
        }
        Ok(key)
    }

    /// Returns the first certificate of `x5c`, in DER.
    pub fn certificate(&self) -> Result<Vec<u8>, ConfigError> {
        let chain = self.0.get("x5c").and_then(Value::as_array);
        let text = chain.and_then(|chain| chain.first()).and_then(Value::as_str).ok_or_else(lacks_a_member)?;
        STANDARD.decode(text).map_err(|_| ConfigError::unsupported_key("is a JWK whose x5c is not base64"))
    }

    /// Returns the algorithm that the JWK is restricted to, if any.
    fn algorithm(&self) -> Result<Option<Algorithm>, ConfigError> {
        match self.optional("alg") {
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
    pub fn point(&self) -> Result<Vec<u8>, ConfigError> {
        Ok([&[4][..], &self.coordinate("x")?, &self.coordinate("y")?].concat())
    }

    /// Returns a number padded to its curve's size. RFC 7518 §6.2.1.2 requires leading zero bytes, but some writers
    /// omit them, as three of four P-521 keys have one, and some add one more.
    pub fn coordinate(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        let size = match self.curve()? {
            Algorithm::ES384 => 48,
            Algorithm::ES512 => 66,
            _ => 32,
        };
        let bytes = self.number(name)?;
        let zeros = vec![0; size - bytes.len().min(size)];
        Ok(Zeroizing::new([&zeros, bytes.as_slice()].concat()))
    }

    /// Returns the bytes of a member. Base64url is without padding (RFC 7515 §2), but some writers pad it, or write
    /// standard base64.
    pub fn bytes(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        let text = self.text(name).ok_or_else(lacks_a_member)?.trim_end_matches('=');
        let text = Zeroizing::new(text.replace('+', "-").replace('/', "_"));
        URL_SAFE_NO_PAD
            .decode(text.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| ConfigError::unsupported_key("is a JWK with a member that is not base64url"))
    }

    /// Returns a number without leading zero bytes. Some writers add them, and aws-lc-rs refuses them.
    pub fn number(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        let bytes = self.bytes(name)?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Ok(Zeroizing::new(bytes[zeros..].to_vec()))
    }
}

/// Returns the `kid` of a key or of a token's header. Some issuers write an empty id for none, or a whole number: it only
/// chooses among keys.
///
/// Errors: `TokenMalformed` for any other value.
pub(crate) fn key_id(members: &Map<String, Value>) -> Result<Option<String>, Reason> {
    match members.get("kid") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(kid)) => Ok(Some(kid.clone()).filter(|kid| !kid.is_empty())),
        Some(Value::Number(kid)) if !kid.is_f64() => Ok(Some(kid.to_string())),
        Some(_) => Err(Reason::TokenMalformed),
    }
}

fn no_pair<E>(_: E) -> ConfigError {
    ConfigError::unsupported_key("is a private JWK whose members do not make a key")
}

fn lacks_a_member() -> ConfigError {
    ConfigError::unsupported_key("is a JWK that lacks a member of its kind")
}
