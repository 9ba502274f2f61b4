//! What a verification and a signature cost, for each algorithm, against the cryptographic library's own primitives on the
//! same message: the difference is what reading and checking a token adds. Prints JSON, in microseconds a call.
//!
//!     cargo bench --bench jwt -- MILLISECONDS
//!
//! MILLISECONDS is how long each of them is measured; default 200. With the further argument `proof`, it measures the check
//! of a DPoP proof against ES256 alone.

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as raw, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RsaKeyPair};
use pem::Pem;
use route_native::bound::{ProofPolicy, Request, check};
use route_native::jwt::{Policy, SignOptions, sign, verify};
use route_native::keys::{Algorithm, Form, Keyring};
use serde_json::{Map, Value, json};

const NOW: i64 = 1_700_000_000;
const CLAIMS: &[u8] =
    br#"{"sub":"ada","aud":"api","iss":"https://id.example","scope":"read write","name":"Ada Lovelace"}"#;

type Operation = Box<dyn Fn(&[u8], &[u8])>;

/// A key as text, and the library's own verification and signature with it.
struct Bench {
    form: Form,
    key: Vec<u8>,
    verify: Operation,
    sign: Operation,
}

fn pem(der: &[u8]) -> Vec<u8> {
    pem::encode(&Pem::new("PRIVATE KEY", der)).into_bytes()
}

fn public(key: ParsedPublicKey) -> Operation {
    Box::new(move |message, signature| key.verify_sig(message, signature).expect("a good signature"))
}

fn rsa(algorithm: &'static raw::RsaParameters, encoding: &'static dyn raw::RsaEncoding) -> Bench {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let parsed = ParsedPublicKey::new(algorithm, pair.public_key().as_ref()).expect("its public half");
    let key = pem(AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).expect("its text").as_ref());
    let sign = move |message: &[u8], _: &[u8]| {
        let mut signature = [0; 256];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature).expect("a signature");
        black_box(signature);
    };
    Bench { form: Form::Key, key, verify: public(parsed), sign: Box::new(sign) }
}

fn ecdsa(algorithm: &'static raw::EcdsaVerificationAlgorithm, signing: &'static raw::EcdsaSigningAlgorithm) -> Bench {
    let pair = EcdsaKeyPair::generate(signing).expect("a key");
    let parsed = ParsedPublicKey::new(algorithm, pair.public_key().as_ref()).expect("its public half");
    let key = pem(pair.to_pkcs8v1().expect("its text").as_ref());
    let sign = move |message: &[u8], _: &[u8]| {
        black_box(pair.sign(&SystemRandom::new(), message).expect("a signature"));
    };
    Bench { form: Form::Key, key, verify: public(parsed), sign: Box::new(sign) }
}

fn ed25519() -> Bench {
    let pair = Ed25519KeyPair::generate().expect("a key");
    let parsed = ParsedPublicKey::new(&raw::ED25519, pair.public_key().as_ref()).expect("its public half");
    let key = pem(pair.to_pkcs8().expect("its text").as_ref());
    let sign = move |message: &[u8], _: &[u8]| {
        black_box(pair.sign(message));
    };
    Bench { form: Form::Key, key, verify: public(parsed), sign: Box::new(sign) }
}

fn secret(algorithm: hmac::Algorithm) -> Bench {
    let key = vec![7; 64];
    let (verifying, signing) = (hmac::Key::new(algorithm, &key), hmac::Key::new(algorithm, &key));
    let verify =
        move |message: &[u8], signature: &[u8]| hmac::verify(&verifying, message, signature).expect("a good tag");
    let sign = move |message: &[u8], _: &[u8]| {
        black_box(hmac::sign(&signing, message));
    };
    Bench { form: Form::Secret, key, verify: Box::new(verify), sign: Box::new(sign) }
}

fn bench_of(algorithm: Algorithm) -> Bench {
    match algorithm {
        Algorithm::RS256 => rsa(&raw::RSA_PKCS1_2048_8192_SHA256, &raw::RSA_PKCS1_SHA256),
        Algorithm::RS384 => rsa(&raw::RSA_PKCS1_2048_8192_SHA384, &raw::RSA_PKCS1_SHA384),
        Algorithm::RS512 => rsa(&raw::RSA_PKCS1_2048_8192_SHA512, &raw::RSA_PKCS1_SHA512),
        Algorithm::PS256 => rsa(&raw::RSA_PSS_2048_8192_SHA256, &raw::RSA_PSS_SHA256),
        Algorithm::PS384 => rsa(&raw::RSA_PSS_2048_8192_SHA384, &raw::RSA_PSS_SHA384),
        Algorithm::PS512 => rsa(&raw::RSA_PSS_2048_8192_SHA512, &raw::RSA_PSS_SHA512),
        Algorithm::ES256 => ecdsa(&raw::ECDSA_P256_SHA256_FIXED, &raw::ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => ecdsa(&raw::ECDSA_P384_SHA384_FIXED, &raw::ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::ES512 => ecdsa(&raw::ECDSA_P521_SHA512_FIXED, &raw::ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::ES256K => ecdsa(&raw::ECDSA_P256K1_SHA256_FIXED, &raw::ECDSA_P256K1_SHA256_FIXED_SIGNING),
        Algorithm::EdDSA | Algorithm::Ed25519 => ed25519(),
        Algorithm::HS256 => secret(hmac::HMAC_SHA256),
        Algorithm::HS384 => secret(hmac::HMAC_SHA384),
        Algorithm::HS512 => secret(hmac::HMAC_SHA512),
    }
}

/// Microseconds of one call of each, in turns: the best of 100 spells, short ones, for the machine has other things to do.
fn costs<const N: usize>(patience: Duration, calls: [&dyn Fn(); N]) -> [f64; N] {
    let spell = |call: &dyn Fn()| {
        let (start, mut count) = (Instant::now(), 0u32);
        while count == 0 || start.elapsed() < patience / 100 {
            call();
            count += 1;
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    };
    let mut best = [f64::INFINITY; N];
    for _ in 0..100 {
        for (cost, call) in best.iter_mut().zip(calls) {
            *cost = cost.min(spell(call));
        }
    }
    best
}

/// The costs of one algorithm.
fn measure(algorithm: Algorithm, patience: Duration) -> Value {
    let bench = bench_of(algorithm);
    let keyring = Keyring::from_texts(&[(bench.form, &bench.key)]).expect("a key");
    let current = keyring.current();
    let (keys, key) = (&current.verifying, current.signing().expect("signs"));
    let issue = SignOptions { algorithm: Some(algorithm), lifetime: Some(600), ..SignOptions::default() };
    let token = sign(CLAIMS, key, &issue, NOW).expect("a token");
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let signature = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature);
    let (message, signature) = (message.as_bytes(), signature.expect("base64url"));
    let policy = Policy { audiences: Some(vec!["api".into()]), ..Policy::default() };
    let verified = || {
        black_box(verify(token.as_bytes(), keys, &policy, NOW).expect("a good token"));
    };
    let signed = || {
        black_box(sign(CLAIMS, key, &issue, NOW).expect("a token"));
    };
    let (message_verified, message_signed) =
        (|| (bench.verify)(message, &signature), || (bench.sign)(message, &signature));
    let [raw_verify, core_verify, raw_sign, core_sign] =
        costs(patience, [&message_verified, &verified, &message_signed, &signed]);
    json!({
        "verify": { "primitive": raw_verify, "core": core_verify },
        "sign": { "primitive": raw_sign, "core": core_sign },
    })
}

/// The cost of checking a DPoP proof by ES256, whose key is new each time, against the primitive with a parsed key.
fn measure_proof(patience: Duration) -> Value {
    let pair = EcdsaKeyPair::generate(&raw::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let point = pair.public_key().as_ref();
    let parsed = ParsedPublicKey::new(&raw::ECDSA_P256_SHA256_FIXED, point).expect("its public half");
    let keyring = Keyring::from_texts(&[(Form::Key, &pem(pair.to_pkcs8v1().expect("its text").as_ref()))]);
    let current = keyring.expect("a key").current();
    let encode = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) });
    let token = "a.b.c";
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let claims =
        json!({ "htm": "GET", "htu": "https://api.example.com/api/items", "iat": NOW, "ath": encode(hash.as_ref()) });
    let options = SignOptions {
        token_type: Some("dpop+jwt".into()),
        header: Map::from_iter([("jwk".to_owned(), jwk)]),
        token_id: true,
        ..SignOptions::default()
    };
    let proof = sign(claims.to_string().as_bytes(), current.signing().expect("signs"), &options, NOW).expect("a proof");
    let (message, signature) = proof.rsplit_once('.').expect("three parts");
    let signature = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature);
    let (message, signature) = (message.as_bytes(), signature.expect("base64url"));
    let policy = ProofPolicy::from_json(br#"{"origins":"https://api.example.com"}"#).expect("a policy");
    let request = Request { method: b"GET", target: b"/api/items?page=1", token: Some(token.as_bytes()), key: None };
    let checked = || {
        black_box(check(proof.as_bytes(), &request, &policy, None, NOW).expect("a good proof"));
    };
    let raw_verified = || parsed.verify_sig(message, &signature).expect("a good signature");
    let parsed_and_verified = || {
        let key = ParsedPublicKey::new(&raw::ECDSA_P256_SHA256_FIXED, point).expect("its public half");
        key.verify_sig(message, &signature).expect("a good signature");
    };
    let [primitive, with_key, core] = costs(patience, [&raw_verified, &parsed_and_verified, &checked]);
    json!({ "primitive": primitive, "primitive_with_key": with_key, "core": core, "of": core / primitive })
}

fn main() {
    let milliseconds = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200);
    let patience = Duration::from_millis(milliseconds);
    if env::args().any(|argument| argument == "proof") {
        println!("{}", measure_proof(patience));
        return;
    }
    // Ed25519 is EdDSA under another name.
    let all = Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Ed25519);
    let costs: Map<_, _> = all.map(|algorithm| (algorithm.name().to_owned(), measure(algorithm, patience))).collect();
    println!("{}", Value::from(costs));
}
