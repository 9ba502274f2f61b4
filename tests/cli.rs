//! The program `route-token`: its commands, output and exit codes.

#[path = "support/program.rs"]
mod program;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use program::{Run, run, run_with};
use route_native::desktop::gateway::{Gateway, Options};
use route_native::desktop::hash_claim::Padding;
use route_native::error::Reason;
use route_native::jwt::Policy;
use route_native::keys::{Algorithm, Form, Keyring};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};
use support::*;
use tempfile::TempDir;

/// A directory with keys of `keygen`.
struct Keys(TempDir);

impl Keys {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn arg(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Runs `mint` with more arguments.
    fn mint(&self, more: &[&str]) -> Run {
        let (key, payload_key) = (self.arg("signing_private.pem"), self.arg("payload_public.pem"));
        run(&[&["mint", "--key", &key, "--payload-key", &payload_key], more].concat(), "")
    }

    /// Returns a token of `mint`.
    fn token(&self, more: &[&str]) -> String {
        self.mint(more).succeeds()
    }

    /// Runs `explain` with the token on standard input.
    fn explain(&self, token: &str, more: &[&str]) -> Run {
        let (key, payload_key) = (self.arg("signing_public.pem"), self.arg("payload_private.pem"));
        run(&[&["explain", "--key", &key, "--payload-key", &payload_key], more].concat(), token)
    }

    fn gateway(&self) -> Gateway {
        self.gateway_with(Policy::default())
    }

    fn gateway_with(&self, policy: Policy) -> Gateway {
        let keys = Keyring::from_file(&self.path("signing_public.pem"), Form::Public).expect("the signing key");
        let gateway = Gateway::new(Options {
            payload_key: &self.path("payload_private.pem"),
            padding: Padding::default(),
            policy,
            suffix: None,
            cache_entries: 0,
        })
        .unwrap_or_else(|error| panic!("{error}"));
        assert!(gateway.use_keys(keys.current()));
        gateway
    }
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = Keys(TempDir::new().expect("a temporary directory"));
        assert_eq!(run(&["keygen", &keys.0.path().display().to_string()], "").succeeds(), "");
        keys
    })
}

fn now() -> i64 {
    UNIX_EPOCH.elapsed().expect("after 1970").as_secs().try_into().expect("before the year 292e9")
}

fn claims_of(token: &str) -> Value {
    let members = route_native::jwt::Compact::parse(token.as_bytes()).and_then(|compact| compact.unverified_claims());
    Value::Object(members.expect("a token").members)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

#[test]
fn keygen_writes_two_key_pairs_that_another_implementation_reads() {
    let mut moduli = Vec::new();
    for name in ["signing", "payload"] {
        let private = keys().text(&format!("{name}_private.pem"));
        let private = RsaPrivateKey::from_pkcs8_pem(&private).expect("PKCS#8");
        let public = RsaPublicKey::from_public_key_pem(&keys().text(&format!("{name}_public.pem"))).expect("SPKI");
        assert_eq!(RsaPublicKey::from(&private), public);
        assert_eq!(public.n().bits(), 2048);
        moduli.push(public);
    }
    assert_ne!(moduli[0], moduli[1]);
}

#[test]
fn only_the_owner_may_read_the_private_keys_of_keygen() {
    for name in ["signing", "payload"] {
        assert_eq!(mode(&keys().path(&format!("{name}_private.pem"))), 0o600);
        assert_eq!(mode(&keys().path(&format!("{name}_public.pem"))) & 0o444, 0o444);
    }
}

#[test]
fn keygen_replaces_keys_only_with_force_and_restricts_their_permissions() {
    let directory = TempDir::new().expect("a temporary directory");
    let (path, file) = (directory.path().display().to_string(), directory.path().join("payload_private.pem"));
    fs::write(&file, "precious").expect("the file can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("our own file");

    let message = run(&["keygen", &path], "").fails(1);
    assert_eq!(message, format!("{} already exists; --force replaces it", file.display()));
    assert_eq!(fs::read_to_string(&file).expect("the file is there"), "precious");
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);

    run(&["keygen", &path, "--force"], "").succeeds();
    assert!(fs::read_to_string(&file).expect("the file is there").starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn keygen_accepts_the_sizes_that_it_lists() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("made/by/keygen");
    run(&["keygen", &path.display().to_string(), "--bits", "3072"], "").succeeds();
    let public = fs::read_to_string(path.join("signing_public.pem")).expect("the file is there");
    assert_eq!(RsaPublicKey::from_public_key_pem(&public).expect("SPKI").n().bits(), 3072);
    assert_eq!(run(&["keygen", &path.display().to_string(), "--bits", "1024"], "").status, 2);
}

#[test]
fn the_gateway_resolves_a_minted_token() {
    let token = keys().token(&["--target", "Pod.Example", "--kid", "k1"]);
    assert_eq!(token.lines().count(), 1);
    let resolution = keys().gateway().resolve(token.as_bytes(), now()).expect("the gateway lets it in");
    assert_eq!(resolution.target, "pod.example");
    for input in [token.clone(), format!("Bearer {token}"), format!("bearer {token}\r\n")] {
        let run = keys().explain(&input, &[]);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{}", run.stdout);
        assert!(
            run.stdout.ends_with("\nThe gateway accepts this token and routes it to pod.example\n"),
            "{}",
            run.stdout
        );
        assert!(run.stdout.lines().filter(|line| !line.is_empty()).rev().skip(1).all(|line| line.starts_with("ok ")));
    }
}

#[test]
fn mint_sets_the_times_and_accepts_claims_as_json_or_text() {
    let more = ["--claim", "sub=ada", "--claim", "roles=[\"a\"]", "--claim", "n=1", "--claim", "text=a=b"];
    let claims = claims_of(&keys().token(&[&["--target", "pod", "--ttl", "90"], &more[..]].concat()));
    for (name, value) in [("sub", json!("ada")), ("roles", json!(["a"])), ("n", json!(1)), ("text", json!("a=b"))] {
        assert_eq!(claims[name], value, "{name}");
    }
    let issued = claims["iat"].as_i64().expect("a time");
    assert!((now() - 60..=now()).contains(&issued));
    assert_eq!((&claims["nbf"], &claims["exp"]), (&json!(issued), &json!(issued + 90)));
}

#[test]
fn mint_replaces_a_claim_and_refuses_a_repeated_one() {
    let token = keys().token(&["--target", "pod", "--claim", "exp=never", "--without", "nbf"]);
    assert_eq!(claims_of(&token)["exp"], "never");
    assert_eq!(claims_of(&token).get("nbf"), None);
    let message = keys().mint(&["--target", "pod", "--claim", "a=1", "--claim", "a=2"]).fails(2);
    assert_eq!(message, "--claim names a claim twice");
    let run = keys().mint(&["--target", "pod", "--claim", "hash=x"]);
    assert_eq!(run.stderr, "route-token: note: --claim hash replaces the encrypted target\n");
    assert_eq!(claims_of(run.stdout.trim_end())["hash"], "x");
}

#[test]
fn mint_refuses_a_target_that_the_gateway_would_refuse() {
    for target in ["127.0.0.1:22", "a/../b", "a b", "", "http://a"] {
        let message = keys().mint(&["--target", target]).fails(2);
        assert!(message.starts_with("--target must be a host name"), "{message}");
        let attack = keys().token(&["--unchecked-target", "--target", target]);
        assert_eq!(keys().gateway().resolve(attack.as_bytes(), now()), Err(Reason::PayloadInvalid), "{target}");
    }
    let long = "a".repeat(300);
    let message = keys().mint(&["--unchecked-target", "--target", &long]).fails(1);
    assert_eq!(message, "the target is too long for the payload key");
}

#[test]
fn mint_signs_with_every_kind_of_key_and_explain_reads_them() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("the key can be written");
        path.display().to_string()
    };
    let payload = keys().arg("payload_private.pem");
    let curves = [("ES256", p256()), ("ES384", p384()), ("EdDSA", ed25519())];
    let mut pairs: Vec<_> =
        curves.iter().map(|(name, key)| (*name, key.private_pem.as_str(), key.public_pem.as_str())).collect();
    pairs.push(("RS256", &signer().private_pem, &signer().public_pem));
    pairs.push(("RS256", &signer().private_pkcs1_pem, &signer().public_pkcs1_pem));
    for (algorithm, private, public) in pairs {
        let (private, public) = (file("private", private), file("public", public));
        let token = run(&["mint", "--key", &private, "--payload-key", &payload, "--target", "pod"], "").succeeds();
        let explained = run(&["explain", "--key", &public, "--payload-key", &payload], &token);
        assert_eq!(explained.status, 0, "{algorithm}: {}", explained.stdout);
        assert_eq!(explained.line("algorithm"), format!("ok       algorithm        {algorithm}, no kid"));
    }
}

#[test]
fn mint_encrypts_with_every_format_of_the_payload_key_and_every_padding() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("key");
    let signing = keys().arg("signing_private.pem");
    let key = stranger();
    for text in [&key.private_pem, &key.private_pkcs1_pem, &key.public_pem, &key.public_pkcs1_pem] {
        fs::write(&path, text).expect("the key can be written");
        for padding in ["pkcs1v15", "oaep-sha1", "oaep-sha256"] {
            let arguments = ["mint", "--key", &signing, "--payload-key", &path.display().to_string()];
            let token = run(&[&arguments[..], &["--target", "pod", "--padding", padding]].concat(), "").succeeds();
            let hash = claims_of(&token)["hash"].as_str().expect("a string").to_owned();
            assert_eq!(decrypted(&key.private_pkcs1_pem, padding, &hash), b"pod");
        }
    }
}

/// Decrypts with the `rsa` crate.
fn decrypted(private_pkcs1_pem: &str, padding: &str, hash: &str) -> Vec<u8> {
    use base64::Engine as _;
    let key = RsaPrivateKey::from_pkcs1_pem(private_pkcs1_pem).expect("PKCS#1");
    let ciphertext = base64::engine::general_purpose::STANDARD.decode(hash).expect("base64");
    let text = match padding {
        "pkcs1v15" => key.decrypt(rsa::Pkcs1v15Encrypt, &ciphertext),
        "oaep-sha1" => key.decrypt(rsa::Oaep::new::<sha1::Sha1>(), &ciphertext),
        _ => key.decrypt(rsa::Oaep::new::<rsa::sha2::Sha256>(), &ciphertext),
    };
    text.expect("the rsa crate decrypts it")
}

#[test]
fn mint_refuses_an_algorithm_that_the_key_does_not_support() {
    assert_eq!(keys().explain(&keys().token(&["--target", "pod", "--alg", "PS384"]), &[]).status, 0);
    for algorithm in ["HS256", "ES256", "none", "EdDSA", ""] {
        let message = keys().mint(&["--target", "pod", "--alg", algorithm]).fails(2);
        assert!(message.starts_with("--alg must be one that the key can sign with: RS256, "), "{message}");
    }
}

/// `explain` has its own sequence of checks, which must fail where the gateway fails.
#[test]
fn explain_fails_with_the_reason_of_the_gateway() {
    let minted = |more: &[&str]| keys().token(&[&["--target", "pod"], more].concat());
    let raw = |header: &str, claims: &str| raw_token(header, claims, |_| vec![1; 256]);
    let good = minted(&[]);
    let (rest, _) = good.rsplit_once('.').expect("three parts");
    let corpus = [
        ("token", String::new()),
        ("size", "a".repeat(16 * 1024 + 1)),
        ("size", "a".repeat(1 << 20)),
        ("three", "x".into()),
        ("three", format!("{good}.x")),
        ("header", "a.b.c".into()),
        ("header", raw("{}", "{}")),
        ("header", raw(r#"{"alg":"RS256","alg":"RS256"}"#, "{}")),
        ("extensions", raw(r#"{"alg":"RS256","crit":["exp"]}"#, "{}")),
        ("encoding", format!("{good}=")),
        ("algorithm", raw(r#"{"alg":"none"}"#, "{}")),
        ("key", raw(r#"{"alg":"HS256"}"#, "{}")),
        ("signature", raw(r#"{"alg":"RS256"}"#, "{}")),
        ("signature", format!("{rest}.")),
        ("exp", minted(&["--ttl=-180"])),
        ("exp", minted(&["--claim", "exp=never"])),
        ("exp", minted(&["--claim", "exp=null"])),
        ("exp", minted(&["--without", "exp"])),
        ("nbf", minted(&["--claim", "nbf=9999999999"])),
        ("nbf", minted(&["--claim", "nbf=soon"])),
        ("iat", minted(&["--claim", "iat=true"])),
        ("hash", minted(&["--without", "hash"])),
        ("hash", keys().mint(&["--target", "pod", "--claim", "hash=[]"]).stdout.trim_end().to_owned()),
        ("target", keys().mint(&["--target", "pod", "--claim", "hash=AAAA"]).stdout.trim_end().to_owned()),
        ("target", minted(&["--padding", "oaep-sha1"])),
        ("target", keys().token(&["--target", "127.0.0.1:22", "--unchecked-target"])),
    ];
    let gateway = keys().gateway();
    for (check, token) in corpus {
        let run = keys().explain(&token, &[]);
        let reason = gateway.resolve(token.as_bytes(), now()).expect_err("the gateway refuses it");
        assert_eq!(run.status, 1, "{check}: {}", run.stdout);
        let line = run.line(check);
        assert!(line.starts_with("FAILED ") && line.ends_with(&format!(" ({reason})")), "{check}: {line}");
        assert!(run.stdout.ends_with(&format!("{line}\n\nThe gateway refuses this token.\n")), "{}", run.stdout);
    }
}

#[test]
fn explain_checks_the_policy_of_the_gateway() {
    let texts = |list: &[&str]| Some(list.iter().map(|text| (*text).to_owned()).collect());
    let policy = Policy {
        algorithms: Some(vec![Algorithm::RS256]),
        issuers: texts(&["https://a", "https://b"]),
        audiences: texts(&["desktops"]),
        max_lifetime: Some(600),
        ..Policy::default()
    };
    let asked = "--allow RS256 --issuer https://a --issuer https://b --audience desktops --max-lifetime 600";
    let asked: Vec<_> = asked.split(' ').collect();
    let gateway = keys().gateway_with(policy);
    let minted = |changes: &[(&str, &str)], more: &[&str]| {
        let fresh = now().to_string();
        let mut all = vec![("iss", "https://b"), ("aud", "desktops"), ("iat", &fresh)];
        all.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let claims: Vec<_> = all.iter().chain(changes).map(|(name, value)| format!("{name}={value}")).collect();
        let claims = claims.iter().filter(|claim| !claim.ends_with('=')).flat_map(|claim| ["--claim", claim]);
        keys()
            .token(&["--target", "pod", "--ttl=300"].into_iter().chain(claims).chain(more.to_vec()).collect::<Vec<_>>())
    };
    let (old, future) = ((now() - 900).to_string(), (now() + 200).to_string());
    let good = minted(&[], &[]);
    assert!(gateway.resolve(good.as_bytes(), now()).is_ok());
    let run = keys().explain(&good, &asked);
    assert_eq!(run.status, 0, "{}", run.stdout);
    for check in ["iss", "aud", "lifetime"] {
        assert!(run.line(check).starts_with("ok "), "{}", run.stdout);
    }
    for (check, token) in [
        ("key", minted(&[], &["--alg", "RS512"])),
        ("iss", minted(&[("iss", "https://c")], &[])),
        ("iss", minted(&[("iss", "")], &[])),
        ("aud", minted(&[("aud", "desktop")], &[])),
        ("lifetime", minted(&[("iat", &old)], &[])),
        ("lifetime", minted(&[("iat", "")], &["--without", "iat"])),
        ("lifetime", minted(&[("iat", &future)], &[])),
    ] {
        let run = keys().explain(&token, &asked);
        let reason = gateway.resolve(token.as_bytes(), now()).expect_err("the gateway refuses it");
        let line = run.line(check);
        assert!(line.starts_with("FAILED ") && line.ends_with(&format!(" ({reason})")), "{check}: {}", run.stdout);
    }
    // Without the options nothing is asked.
    let run = keys().explain(&keys().token(&["--target", "pod"]), &[]);
    assert!(run.status == 0 && !run.stdout.contains("lifetime"), "{}", run.stdout);
}

#[test]
fn explain_names_the_missing_key_id() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("keys.json");
    let set = json!({ "keys": [signer().jwk(json!({ "kid": "a" })), stranger().jwk(json!({ "kid": "b" }))] });
    fs::write(&path, set.to_string()).expect("the set can be written");
    let with = |kid: &str| token(&json!({ "alg": "RS256", "kid": kid }), &claims(), |m| signer().sign("RS256", m));
    let run = |kid: &str| run(&["explain", "--key", &path.display().to_string()], &with(kid));
    assert!(run("c").stdout.contains("FAILED   kid              none of the keys has the token's kid (key_not_found)"));
    assert!(run("b").line("signature").starts_with("FAILED "));
    assert!(run("a").line("signature").starts_with("ok "));
}

#[test]
fn explain_prints_times_for_people() {
    let at = |ttl: &str, more: &[&str]| keys().explain(&keys().token(&["--target", "pod", ttl]), more);
    assert!(at("--ttl=-180", &[]).line("exp").starts_with("FAILED   exp              expired 3 min "));
    assert!(at("--ttl=7260", &[]).line("exp").starts_with("ok       exp              expires in 2 h"));
    assert!(at("--ttl=-100", &["--leeway", "300"]).line("exp").contains(", within the leeway of 300 s"));
    assert!(at("--ttl=7260", &[]).line("cache").ends_with("the target is cached for 10 min"));
    assert!(at("--ttl=0", &[]).line("cache").ends_with("the target is not cached: 1 s or less is left"));
}

#[test]
fn explain_uses_the_settings_of_the_gateway() {
    let token = keys().token(&["--target", "pod.svc"]);
    assert_eq!(keys().explain(&token, &["--suffix", "svc"]).status, 0);
    let refused = keys().explain(&token, &["--suffix", "other"]);
    assert!(refused.status == 1 && refused.line("target").starts_with("FAILED "), "{}", refused.stdout);
    let oaep = keys().token(&["--target", "pod", "--padding", "oaep-sha256"]);
    assert_eq!(keys().explain(&oaep, &["--padding", "oaep-sha256"]).status, 0);
    for wrong in [["--suffix", "a b"], ["--leeway", "301"], ["--padding", "none"]] {
        assert_eq!(keys().explain(&token, &wrong).status, 2, "{wrong:?}");
    }
}

#[test]
fn explain_skips_checks_without_their_key_and_prints_no_target() {
    let token = keys().token(&["--target", "secret-pod"]);
    let (key, payload_key) = (keys().arg("signing_public.pem"), keys().arg("payload_private.pem"));
    for (arguments, skipped) in [
        (&["explain"][..], &["key", "signature", "target"][..]),
        (&["explain", "--key", &key], &["target"]),
        (&["explain", "--payload-key", &payload_key], &["key", "signature"]),
    ] {
        let run = run(arguments, &token);
        assert_eq!(run.status, 3, "{}", run.stdout);
        for check in ["key", "signature", "target"] {
            assert_eq!(run.line(check).starts_with("skipped "), skipped.contains(&check), "{}", run.stdout);
        }
        assert!(!run.stdout.contains("secret-pod"), "{}", run.stdout);
    }
    assert_eq!(run(&["explain"], &keys().token(&["--target", "pod", "--ttl=-60"])).status, 1);
}

/// A secret file verifies tokens of route_native.auth, and never those of the gateway.
#[test]
fn explain_checks_the_signature_and_the_times_with_a_secret_file() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("the file can be written");
        path.display().to_string()
    };
    let secret = "0123456789abcdef0123456789abcdef";
    let token = |exp: i64| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &json!({ "sub": "ada", "exp": exp }), &key).unwrap()
    };
    let good = token(now() + 60);
    for (name, text) in [("one", secret), ("two", &*format!("{}\n{secret}\n", "x".repeat(40)))] {
        let run = run(&["explain", "--key", &file(name, text)], &good);
        assert_eq!(run.status, 0, "{name}: {}{}", run.stdout, run.stderr);
        assert!(run.line("signature").starts_with("ok ") && run.line("exp").starts_with("ok "), "{}", run.stdout);
        assert!(run.stdout.contains("The desktop gateway takes no secret file."), "{}", run.stdout);
        assert!(!run.stdout.contains(secret), "{}", run.stdout);
    }
    let other = file("other", &"y".repeat(32));
    let refused = run(&["explain", "--key", &other], &good);
    assert!(refused.status == 1 && refused.line("signature").starts_with("FAILED "), "{}", refused.stdout);
    let expired = run(&["explain", "--key", &file("one", secret)], &token(now() - 60));
    assert!(expired.status == 1 && expired.line("exp").starts_with("FAILED "), "{}", expired.stdout);
    // An RS256 token needs another key.
    let foreign = run(&["explain", "--key", &other], &keys().token(&["--target", "pod"]));
    assert!(foreign.status == 1 && foreign.line("key").starts_with("FAILED "), "{}", foreign.stdout);
    // What is no secret stays refused, and the gateway takes none.
    let short = run(&["explain", "--key", &file("short", "short")], &good).fails(2);
    assert!(short.contains("is neither PEM nor a JWK"), "{short}");
    let private = run(&["explain", "--key", &keys().arg("signing_private.pem")], &good).fails(2);
    assert!(private.contains("holds a private key"), "{private}");
    let payload_key = keys().arg("payload_private.pem");
    let checked = run(&["check-keys", "--key", &file("one", secret), "--payload-key", &payload_key], "").fails(1);
    assert!(checked.contains("is neither PEM nor a JWK"), "{checked}");
}

#[test]
fn explain_reads_an_argument_a_file_or_standard_input() {
    let token = keys().token(&["--target", "pod"]);
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("token");
    fs::write(&file, format!("{token}\n")).expect("the token can be written");
    for (argument, input) in [(token.as_str(), ""), (&file.display().to_string(), ""), ("-", token.as_str())] {
        assert_eq!(keys().explain(input, &[argument]).status, 0);
    }
    let message = keys().explain("", &[&directory.path().display().to_string()]).fails(2);
    assert!(message.contains("cannot be read"), "{message}");
}

/// People paste the output into tickets and chats.
#[test]
fn explain_prints_nothing_that_can_be_used_as_a_token() {
    let good = keys().token(&["--target", "pod", "--claim", "secret=swordfish"]);
    let refused = keys().token(&["--target", "pod", "--claim", "secret=swordfish", "--ttl=-60"]);
    for token in [good, refused, keys().token(&["--target", "inner-host:22", "--unchecked-target"])] {
        let run = keys().explain(&token, &[]);
        let hash = claims_of(&token)["hash"].as_str().expect("a string").to_owned();
        let private = keys().text("payload_private.pem");
        let lines = private.lines().chain(token.split('.')).chain([hash.as_str(), "swordfish", "inner-host"]);
        for secret in lines.filter(|line| !line.starts_with("-----")) {
            assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{}", run.stdout);
            // The output contains no part of it either.
            let piece = &secret[..secret.len().min(16)];
            assert!(!run.stdout.contains(piece), "{}", run.stdout);
        }
    }
}

/// Runs a command with the two variables of the gateway.
fn with_environment(command: &str, signing: &str, payload: &str, input: &str) -> Run {
    run_with(
        Command::new(env!("CARGO_BIN_EXE_route-token"))
            .arg(command)
            .env("JWT_DESKTOP_SIGNING_PUBLIC_KEY", signing)
            .env("JWT_DESKTOP_PAYLOAD_PRIVATE_KEY", payload),
        input,
    )
}

#[test]
fn the_keys_are_read_from_the_variables_of_the_gateway() {
    let (signing, payload) = (keys().arg("signing_public.pem"), keys().arg("payload_private.pem"));
    let listed = "signing key 1: RS256, RS384, RS512, PS256, PS384, PS512\npayload key: RSA";
    assert_eq!(with_environment("check-keys", &signing, &payload, "").succeeds(), listed);
    let token = keys().token(&["--target", "pod"]);
    assert_eq!(with_environment("explain", &signing, &payload, &token).status, 0);
    assert_eq!(with_environment("explain", "", "", &token).status, 3);
    assert_eq!(with_environment("explain", "/nonexistent", "", &token).status, 2);
    let swapped = ["check-keys", "--key", &signing, "--payload-key", &payload];
    assert_eq!(run(&swapped, "").succeeds(), listed);
}

#[test]
fn check_keys_names_the_variable_and_the_file_of_an_error() {
    let (signing, payload) = (keys().arg("signing_public.pem"), keys().arg("payload_private.pem"));
    for (signing_key, payload_key, message) in [
        ("", payload.as_str(), "JWT_DESKTOP_SIGNING_PUBLIC_KEY is not set".to_owned()),
        (signing.as_str(), "", "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY is not set".to_owned()),
        (
            "/nonexistent",
            &payload,
            "JWT_DESKTOP_SIGNING_PUBLIC_KEY: the key file /nonexistent cannot be read".to_owned(),
        ),
        (
            &payload,
            &payload,
            format!("JWT_DESKTOP_SIGNING_PUBLIC_KEY: the key file {payload} holds a private key where a public"),
        ),
        (
            &signing,
            &signing,
            format!("JWT_DESKTOP_PAYLOAD_PRIVATE_KEY: the key file {signing} does not hold a private key"),
        ),
    ] {
        let stderr = with_environment("check-keys", signing_key, payload_key, "").fails(1);
        assert!(stderr.starts_with(&message), "{stderr}");
    }
    let stderr = run(&["check-keys", "--key", "/nonexistent", "--payload-key", &payload], "").fails(1);
    assert!(stderr.starts_with("--key: the key file /nonexistent cannot be read"), "{stderr}");
}

#[test]
fn every_command_has_help_with_an_example_that_fits_a_terminal() {
    for command in ["keygen", "mint", "explain", "check-keys", "revoke"] {
        let help = run(&[command, "--help"], "").succeeds();
        assert!(help.contains("Example") && help.contains(&format!("\n  route-token {command} ")), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    assert!(run(&["--help"], "").succeeds().contains("\n  route-token keygen keys\n"));
    for wrong in [&[][..], &["unheard-of"], &["mint"], &["explain", "a", "b"]] {
        assert_eq!(run(wrong, "").status, 2, "{wrong:?}");
    }
}

/// A directory with a key of `dpop key`, and the key's thumbprint.
fn holder(algorithm: &str) -> (TempDir, String, String) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("holder.jwk").display().to_string();
    let thumbprint = run(&["dpop", "key", &path, "--alg", algorithm], "").succeeds();
    (directory, path, thumbprint)
}

#[test]
fn dpop_makes_a_key_that_only_its_owner_reads_and_never_replaces_one() {
    let (_directory, path, thumbprint) = holder("es256");
    assert_eq!(thumbprint.len(), 43);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(run(&["dpop", "key", &path], "").fails(1).contains("cannot be written"));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // Neither the key nor a part of it is printed.
    let jwk: Value = serde_json::from_str(&text).unwrap();
    assert!(!thumbprint.contains(jwk["d"].as_str().unwrap()));
}

#[test]
fn a_proof_of_dpop_is_valid_for_its_request_and_its_token() {
    use route_native::bound::{NonceSecret, ProofPolicy, Request, check};
    let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let secret = NonceSecret::new(&[7; 32]).unwrap();
    let nonce = String::from_utf8(secret.current(now, 300).to_vec()).unwrap();
    let policy = ProofPolicy::from_json(br#"{"origins":"https://api.example","nonce_seconds":300}"#).unwrap();
    for algorithm in ["es256", "eddsa"] {
        let (_directory, path, thumbprint) = holder(algorithm);
        let uri = "https://api.example/items?page=1#top";
        let base = ["dpop", "proof", "--key", &path, "--method", "PUT", "--uri", uri, "--nonce", &nonce];
        let proof = run(&[&base[..], &["--token", "-"]].concat(), "Bearer a.b.c\n").succeeds();
        let request =
            Request { method: b"PUT", target: b"/items", token: Some(b"a.b.c"), key: Some(thumbprint.as_bytes()) };
        assert!(check(proof.as_bytes(), &request, &policy, Some(&secret), now).is_ok(), "{algorithm}");
        let other = Request { token: Some(b"other"), ..request };
        assert_eq!(
            check(proof.as_bytes(), &other, &policy, Some(&secret), now),
            Err(Reason::ProofTokenMismatch),
            "{algorithm}"
        );
        let again = run(&[&base[..], &["--token", "-"]].concat(), "a.b.c").succeeds();
        assert_ne!(proof, again, "a proof is good for one use");
    }
}

#[test]
fn dpop_refuses_what_makes_no_proof() {
    let (directory, path, _) = holder("es256");
    let with = |key: &str, token: &str| {
        run(&["dpop", "proof", "--key", key, "--uri", "https://api.example/", "--token", "-"], token)
    };
    assert!(with("/no/such/file", "a").fails(1).contains("/no/such/file"));
    assert!(with(&path, " ").fails(2).contains("--token"));
    let public = directory.path().join("public.jwk");
    let mut jwk: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    jwk.as_object_mut().unwrap().remove("d");
    fs::write(&public, jwk.to_string()).unwrap();
    assert!(with(&public.display().to_string(), "a").fails(1).contains("holds a public one"));
}

#[test]
fn explain_explains_a_proof_with_the_key_that_it_holds() {
    let (_directory, path, thumbprint) = holder("es256");
    let proof = run(&["dpop", "proof", "--key", &path, "--uri", "https://api.example/items"], "").succeeds();
    let report = run(&["explain"], &proof);
    assert_eq!(report.status, 0, "{}", report.stdout);
    assert!(report.line("jkt").ends_with(&thumbprint));
    assert!(report.line("request").ends_with("GET https://api.example/items"));
    assert!(!report.stdout.contains(proof.rsplit('.').next().unwrap()), "the signature is printed");

    let mut forged = proof.into_bytes();
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let report = run(&["explain"], std::str::from_utf8(&forged).unwrap());
    assert_eq!(report.status, 1);
    assert!(report.line("signature").starts_with("FAILED"), "{}", report.stdout);

    let claims = json!({ "jti": "a", "htm": "GET", "htu": "no URI\u{1b}", "iat": 1 });
    let refused =
        run(&["explain"], &raw_token(r#"{"typ":"dpop+jwt","alg":"ES256"}"#, &claims.to_string(), |_| vec![7]));
    assert_eq!(refused.status, 1);
    assert!(refused.line("htu").starts_with("FAILED") && !refused.stdout.contains('\u{1b}'), "{}", refused.stdout);
}
