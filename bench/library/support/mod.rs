//! Keys, tokens and gateways for the benchmarks. Keys are generated here, so that nothing secret lies in the repository.

use std::fs;
use std::path::PathBuf;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pem::Pem;
use route_native::desktop::gateway::{Gateway, Options};
use route_native::desktop::hash_claim::Padding;
use route_native::jwt::Policy;
use route_native::keys::{Form, Keyring};
use tempfile::TempDir;

/// The benchmarks' present, in seconds since the epoch.
pub const NOW: i64 = 1_700_000_000;

/// A host as Kubernetes names a desktop's pod.
pub const TARGET: &str = "desktop-7d9f8c6b5.abcdesktop.svc.cluster.local";

/// One RSA key that both signs tokens and opens payloads, and the files that a gateway reads it from.
pub struct Keys {
    pair: KeyPair,
    directory: TempDir,
}

impl Keys {
    pub fn generate(size: KeySize) -> Keys {
        let pair = KeyPair::generate(size).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, tag, der: &[u8]| {
            fs::write(directory.path().join(name), pem::encode(&Pem::new(tag, der))).unwrap();
        };
        write("private.pem", "PRIVATE KEY", pair.as_der().unwrap().as_ref());
        let public: aws_lc_rs::encoding::PublicKeyX509Der = pair.public_key().as_der().unwrap();
        write("public.pem", "PUBLIC KEY", public.as_ref());
        Keys { pair, directory }
    }

    /// The private key as PKCS#8, for arms that use aws-lc directly.
    #[allow(dead_code, reason = "each benchmark uses its part")]
    pub fn pkcs8(&self) -> Vec<u8> {
        self.pair.as_der().unwrap().as_ref().to_vec()
    }

    /// The public key as SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        let public: aws_lc_rs::encoding::PublicKeyX509Der = self.pair.public_key().as_der().unwrap();
        public.as_ref().to_vec()
    }

    /// An RS256 token that holds for an hour.
    pub fn token(&self) -> String {
        let claims =
            serde_json::json!({ "sub": "ada", "iat": NOW, "nbf": NOW, "exp": NOW + 3600, "hash": self.hash() });
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A `hash` claim that holds [`TARGET`].
    pub fn hash(&self) -> String {
        let key = Pkcs1PublicEncryptingKey::new(PublicEncryptingKey::from_der(&self.spki()).unwrap()).unwrap();
        let mut ciphertext = vec![0; key.ciphertext_size()];
        STANDARD.encode(key.encrypt(TARGET.as_bytes(), &mut ciphertext).unwrap())
    }

    /// A gateway that keeps at most `cache_entries` answers.
    pub fn gateway(&self, cache_entries: usize) -> Gateway {
        let file = |name: &str| -> PathBuf { self.directory.path().join(name) };
        let keys = Keyring::from_file(&file("public.pem"), Form::Public).unwrap_or_else(|error| panic!("{error}"));
        let gateway = Gateway::new(Options {
            payload_key: &file("private.pem"),
            padding: Padding::Pkcs1v15,
            policy: Policy::default(),
            suffix: None,
            cache_entries,
        })
        .unwrap_or_else(|error| panic!("{}", error.message));
        gateway.use_keys(keys.current());
        gateway
    }
}
