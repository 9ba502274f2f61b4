//! Keys and tokens for the tests. RSA is that of the `rsa` crate, an implementation independent of the library's.
#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use pem::Pem;
use rsa::pkcs1::{EncodeRsaPrivateKey as _, EncodeRsaPublicKey as _, LineEnding};
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use rsa::sha2::{Sha256, Sha384, Sha512};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{Oaep, Pkcs1v15Encrypt, RsaPrivateKey, RsaPublicKey, pss};
use serde_json::{Value, json};

/// The current time of the tests, in seconds since the epoch.
pub const NOW: i64 = 1_700_000_000;

/// An RSA key of the `rsa` crate, in the formats of key files.
pub struct RsaKey {
    pub private: RsaPrivateKey,
    pub private_pem: String,
    pub private_pkcs1_pem: String,
    pub public_pem: String,
    pub public_pkcs1_pem: String,
}

impl RsaKey {
    pub fn generate(bits: usize) -> RsaKey {
        let private = RsaPrivateKey::new(&mut rand::thread_rng(), bits).unwrap();
        let public = RsaPublicKey::from(&private);
        RsaKey {
            private_pem: private.to_pkcs8_pem(LineEnding::LF).unwrap().to_string(),
            private_pkcs1_pem: private.to_pkcs1_pem(LineEnding::LF).unwrap().to_string(),
            public_pem: public.to_public_key_pem(LineEnding::LF).unwrap(),
            public_pkcs1_pem: public.to_pkcs1_pem(LineEnding::LF).unwrap(),
            private,
        }
    }

    /// Signs with an algorithm from RS256 to PS512.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let (key, rng) = (self.private.clone(), &mut rand::thread_rng());
        match algorithm {
            "RS256" => SigningKey::<Sha256>::new(key).sign(message).to_vec(),
            "RS384" => SigningKey::<Sha384>::new(key).sign(message).to_vec(),
            "RS512" => SigningKey::<Sha512>::new(key).sign(message).to_vec(),
            "PS256" => pss::SigningKey::<Sha256>::new(key).sign_with_rng(rng, message).to_vec(),
            "PS384" => pss::SigningKey::<Sha384>::new(key).sign_with_rng(rng, message).to_vec(),
            "PS512" => pss::SigningKey::<Sha512>::new(key).sign_with_rng(rng, message).to_vec(),
            other => panic!("{other} is no RSA algorithm"),
        }
    }

    /// Returns a token of `claims` whose header has only `alg`.
    pub fn token(&self, algorithm: &str, claims: &Value) -> String {
        token(&json!({ "alg": algorithm }), claims, |message| self.sign(algorithm, message))
    }

    /// Returns the public key as a JWK with more members.
    pub fn jwk(&self, more: Value) -> Value {
        let (n, e) = (self.private.n().to_bytes_be(), self.private.e().to_bytes_be());
        merged(json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e) }), more)
    }

    /// Encrypts a `hash` claim.
    pub fn encrypt(&self, padding: &str, text: &[u8]) -> String {
        let (key, rng) = (RsaPublicKey::from(&self.private), &mut rand::thread_rng());
        let ciphertext = match padding {
            "pkcs1v15" => key.encrypt(rng, Pkcs1v15Encrypt, text),
            "oaep-sha1" => key.encrypt(rng, Oaep::new::<sha1::Sha1>(), text),
            "oaep-sha256" => key.encrypt(rng, Oaep::new::<Sha256>(), text),
            other => panic!("{other} is no padding"),
        };
        STANDARD.encode(ciphertext.unwrap())
    }
}

/// Returns the key that signs.
pub fn signer() -> &'static RsaKey {
    static KEY: OnceLock<RsaKey> = OnceLock::new();
    KEY.get_or_init(|| RsaKey::generate(2048))
}

/// Returns another key, which decrypts payloads and whose signatures are forgeries.
pub fn stranger() -> &'static RsaKey {
    static KEY: OnceLock<RsaKey> = OnceLock::new();
    KEY.get_or_init(|| RsaKey::generate(2048))
}

/// An elliptic curve key.
pub struct CurveKey {
    pub public_pem: String,
    pub private_pem: String,
    pub point: Vec<u8>,
    pub encoding: EncodingKey,
}

/// Returns a new P-256 key.
pub fn p256() -> CurveKey {
    ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)
}

/// Returns a new P-384 key.
pub fn p384() -> CurveKey {
    ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> CurveKey {
    let key = EcdsaKeyPair::generate(algorithm).unwrap();
    let private_pem = pem("PRIVATE KEY", key.to_pkcs8v1().unwrap().as_ref());
    CurveKey {
        encoding: EncodingKey::from_ec_pem(private_pem.as_bytes()).unwrap(),
        private_pem,
        public_pem: pem("PUBLIC KEY", AsDer::as_der(key.public_key()).unwrap().as_ref()),
        point: key.public_key().as_ref().to_vec(),
    }
}

/// Returns a new Ed25519 key.
pub fn ed25519() -> CurveKey {
    let key = Ed25519KeyPair::generate().unwrap();
    let private_pem = pem("PRIVATE KEY", key.to_pkcs8().unwrap().as_ref());
    CurveKey {
        encoding: EncodingKey::from_ed_pem(private_pem.as_bytes()).unwrap(),
        private_pem,
        public_pem: pem("PUBLIC KEY", AsDer::as_der(key.public_key()).unwrap().as_ref()),
        point: key.public_key().as_ref().to_vec(),
    }
}

/// Returns a PEM block.
pub fn pem(tag: &str, der: &[u8]) -> String {
    pem::encode(&Pem::new(tag, der))
}

/// Returns a token with a header, claims and a signature.
pub fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    raw_token(&header.to_string(), &claims.to_string(), sign)
}

/// Returns a token with texts that need not be JSON.
pub fn raw_token(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Returns claims that are valid for ten minutes.
pub fn claims() -> Value {
    json!({ "sub": "ada", "iat": NOW, "nbf": NOW, "exp": NOW + 600 })
}

/// Returns an object with the members of both.
pub fn merged(mut object: Value, more: Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}
