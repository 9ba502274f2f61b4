//! The gateway: targets of tokens, the cache, and the messages of invalid configurations.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use route_native::desktop::gateway::{Gateway, Options};
use route_native::desktop::hash_claim::Padding;
use route_native::desktop::target::Suffix;
use route_native::error::{ConfigError, Reason};
use route_native::jwt::{MAX_TOKEN_BYTES, Policy};
use route_native::keys::{Algorithm, Form, Keyring};
use serde_json::{Value, json};
use support::*;
use tempfile::TempDir;

/// A directory with the two key files.
struct Keys(TempDir);

impl Keys {
    fn new() -> Keys {
        let keys = Keys(TempDir::new().expect("a temporary directory"));
        keys.write("signing", &signer().public_pem);
        keys.write("payload", &stranger().private_pem);
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the key file can be written");
    }

    fn open(&self, change: impl FnOnce(&mut Options)) -> Result<Gateway, ConfigError> {
        let payload_key = &self.path("payload");
        let mut options = Options {
            payload_key,
            padding: Padding::default(),
            policy: Policy::default(),
            suffix: None,
            cache_entries: 100,
        };
        change(&mut options);
        let keys = Keyring::from_file(&self.path("signing"), Form::Public)?;
        let gateway = Gateway::new(options)?;
        assert!(gateway.use_keys(keys.current()));
        Ok(gateway)
    }

    fn gateway(&self) -> Gateway {
        self.open(|_| {}).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refusal(&self, change: impl FnOnce(&mut Options)) -> ConfigError {
        self.open(change).err().expect("the configuration is refused")
    }
}

fn token_for(target: &str, more: Value) -> String {
    let hash = stranger().encrypt("pkcs1v15", target.as_bytes());
    signer().token("RS256", &merged(merged(claims(), json!({ "hash": hash })), more))
}

fn cached(gateway: &Gateway, token: &str, now: i64) -> Option<String> {
    gateway.cached(token.as_bytes(), now, |target, _| target.to_owned())
}

#[test]
fn a_token_resolves_to_a_target_and_its_ttl() {
    let gateway = Keys::new().gateway();
    for (exp, ttl) in [(NOW + 90, 90), (NOW + 9999, 600), (NOW + 1, 0), (NOW - 3, 0)] {
        let token = token_for("Pod.Example", json!({ "exp": exp }));
        let resolution = gateway.resolve(token.as_bytes(), NOW).expect("the token holds");
        assert_eq!((resolution.target.as_str(), resolution.ttl), ("pod.example", ttl), "exp {exp}");
    }
}

#[test]
fn every_refusal_has_its_reason_and_is_not_cached() {
    let gateway = Keys::new().gateway();
    let forged = stranger().token("RS256", &claims());
    for (token, reason) in [
        (String::new(), Reason::TokenMissing),
        ("x".into(), Reason::TokenMalformed),
        (forged, Reason::SignatureInvalid),
        (token_for("a", json!({ "exp": NOW - 5 })), Reason::TokenExpired),
        (token_for("a", json!({ "nbf": NOW + 6 })), Reason::TokenNotYetValid),
        (signer().token("RS256", &claims()), Reason::ClaimMissing),
        (token_for("a", json!({ "hash": null })), Reason::ClaimMalformed),
        (token_for("a", json!({ "hash": ["a"] })), Reason::ClaimMalformed),
        (token_for("a", json!({ "hash": "" })), Reason::PayloadInvalid),
        (token_for("127.0.0.1:22", json!({})), Reason::PayloadInvalid),
    ] {
        assert_eq!(gateway.resolve(token.as_bytes(), NOW), Err(reason));
        assert_eq!(cached(&gateway, &token, NOW), None, "{reason}");
    }
    assert_eq!(gateway.cached_entries(), 0);
}

#[test]
fn a_cached_target_is_found_until_exp() {
    let gateway = Keys::new().gateway();
    let token = token_for("pod", json!({ "exp": NOW + 90 }));
    assert_eq!(cached(&gateway, &token, NOW), None);
    gateway.resolve(token.as_bytes(), NOW).expect("the token holds");
    assert_eq!(gateway.cached_entries(), 1);
    assert_eq!(cached(&gateway, &token, NOW).as_deref(), Some("pod"));
    assert_eq!(cached(&gateway, &token, NOW + 89).as_deref(), Some("pod"));
    assert_eq!(cached(&gateway, &token, NOW + 90), None);
    assert_eq!(gateway.cached_entries(), 1);
}

/// The leeway must not extend the life of a cached target.
#[test]
fn a_token_in_its_last_second_or_its_leeway_is_not_cached() {
    let gateway = Keys::new().gateway();
    for exp in [NOW + 1, NOW, NOW - 4] {
        let token = token_for("pod", json!({ "exp": exp }));
        assert_eq!(gateway.resolve(token.as_bytes(), NOW).map(|resolution| resolution.ttl), Ok(0));
        assert_eq!(cached(&gateway, &token, NOW), None);
    }
    assert_eq!(gateway.cached_entries(), 0);
}

#[test]
fn the_result_of_another_worker_can_be_cached() {
    let gateway = Keys::new().gateway();
    gateway.remember(b"token", "pod", NOW, 30);
    assert_eq!(cached(&gateway, "token", NOW + 29).as_deref(), Some("pod"));
    assert_eq!(cached(&gateway, "token", NOW + 30), None);
    assert_eq!(cached(&gateway, "tokem", NOW), None);
    gateway.remember(&vec![b'a'; MAX_TOKEN_BYTES + 1], "pod", NOW, 30);
    assert_eq!(gateway.cached_entries(), 1);
}

#[test]
fn the_setting_limits_the_cache() {
    let gateway = Keys::new().open(|options| options.cache_entries = 2).expect("a gateway");
    for at in 0..9 {
        gateway.remember(format!("token {at}").as_bytes(), "pod", NOW, 30);
    }
    assert_eq!(gateway.cached_entries(), 2);
}

#[test]
fn a_hash_can_be_decrypted_alone_and_only_to_an_allowed_target() {
    let keys = Keys::new();
    let hash = |text: &str| stranger().encrypt("pkcs1v15", text.as_bytes());
    assert_eq!(keys.gateway().decrypt(hash("Pod.example").as_bytes()).as_deref(), Ok("pod.example"));
    for bad in ["127.0.0.1:22", "a/../b", "a\r\nb", "a\0", ""] {
        assert_eq!(keys.gateway().decrypt(hash(bad).as_bytes()), Err(Reason::PayloadInvalid), "{bad:?}");
    }
    let below = keys.open(|options| options.suffix = Suffix::parse("svc")).expect("a gateway");
    assert_eq!(below.decrypt(hash("pod.svc").as_bytes()).as_deref(), Ok("pod.svc"));
    assert_eq!(below.decrypt(hash("pod.example").as_bytes()), Err(Reason::PayloadInvalid));
}

#[test]
fn a_token_can_be_verified_alone() {
    let gateway = Keys::new().gateway();
    let verified = gateway.verify(signer().token("PS512", &claims()).as_bytes(), NOW).expect("the token holds");
    assert_eq!(Value::Object(verified.members), claims());
}

/// Entries of the shared dictionary outlive a reload. Every worker must find them after a reload without changes, and
/// none after a change of keys or settings.
#[test]
fn shared_keys_are_equal_only_for_equal_configurations() {
    let keys = Keys::new();
    let mut seen = vec![keys.gateway().shared_key(b"token")];
    assert_eq!(keys.gateway().shared_key(b"token"), seen[0]);
    assert_ne!(keys.gateway().shared_key(b"tokem"), seen[0]);
    let mut another = |what: &str, gateway: Result<Gateway, ConfigError>| {
        let key = gateway.unwrap_or_else(|error| panic!("{error}")).shared_key(b"token");
        assert!(!seen.contains(&key), "another {what}");
        seen.push(key);
    };
    another("padding", keys.open(|options| options.padding = Padding::OaepSha1));
    another("leeway", keys.open(|options| options.policy.leeway = 6));
    another("policy", keys.open(|options| options.policy.algorithms = Some(vec![Algorithm::RS256])));
    another("suffix", keys.open(|options| options.suffix = Suffix::parse("svc")));
    keys.write("payload", &signer().private_pem);
    another("payload key", keys.open(|_| {}));
    keys.write("signing", &stranger().public_pem);
    another("signing key", keys.open(|_| {}));
    for jwk in [json!({}), json!({ "alg": "RS256" }), json!({ "alg": "PS256" }), json!({ "kid": "a" })] {
        keys.write("signing", &signer().jwk(jwk.clone()).to_string());
        another(&format!("JWK {jwk}"), keys.open(|_| {}));
    }
}

#[test]
fn a_leeway_above_the_limit_is_refused() {
    let keys = Keys::new();
    assert!(keys.open(|options| options.policy.leeway = Policy::MAX_LEEWAY).is_ok());
    let error = keys.refusal(|options| options.policy.leeway = Policy::MAX_LEEWAY + 1);
    assert_eq!(error, ConfigError::new(Reason::SettingInvalid, "leeway must be 0 to 300 seconds"));
}

/// Opens a configuration with a changed file and returns its error, which is one message with the file's name and
/// without key material.
fn config_error(file: &str, text: &str) -> (Reason, String) {
    let keys = Keys::new();
    keys.write(file, text);
    let error = keys.refusal(|_| {});
    let path = keys.path(file).display().to_string();
    assert!(error.message.starts_with(&format!("the key file {path} ")), "{}", error.message);
    assert!(!error.message.contains('\n'), "{}", error.message);
    assert!(text.lines().all(|line| line.len() < 16 || !error.message.contains(line)), "{}", error.message);
    (error.reason, error.message[path.len() + "the key file  ".len()..].to_owned())
}

#[test]
fn the_error_of_a_wrong_key_names_the_file() {
    let cases = [
        ("signing", signer().private_pem.clone(), "holds a private key where a public key or certificate belongs"),
        ("signing", "hush, a secret of forty-two characters".into(), "is neither PEM nor a JWK"),
        ("signing", String::new(), "is neither PEM nor a JWK"),
        ("payload", signer().public_pem.clone(), "does not hold a private key"),
        ("payload", p256().private_pem, "is not an RSA private key of 2048 to 8192 bits"),
        ("payload", "hush, a secret of forty-two characters".into(), "is not PEM"),
    ];
    for (file, text, message) in cases {
        assert_eq!(config_error(file, &text), (Reason::KeyUnsupported, message.to_owned()));
    }
    assert_eq!(config_error("signing", &RsaKey::generate(1024).public_pem).0, Reason::KeyTooWeak);
}

#[test]
fn the_error_of_an_unreadable_key_file_names_the_file() {
    let large = "x".repeat(256 * 1024 + 1);
    let (reason, message) = config_error("signing", &large);
    assert_eq!((reason, message.as_str()), (Reason::KeyUnreadable, "is larger than 256 KiB"));
    let keys = Keys::new();
    for path in ["/nonexistent/key", "/", "/dev/zero"] {
        let error = keys.refusal(|options| options.payload_key = Path::new(path));
        assert_eq!(error.reason, Reason::KeyUnreadable);
        assert!(error.message.starts_with(&format!("the key file {path} ")), "{}", error.message);
    }
}
