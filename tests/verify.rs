//! The verification of signed tokens: accepted algorithms and keys, and the reasons of refusals.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use route_native::error::Reason;
use route_native::jwt::{Claims, MAX_TOKEN_BYTES, Policy, verify};
use route_native::keys::{Algorithm, Key, KeySet};
use serde_json::{Value, json};
use support::*;

const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

fn keys(text: impl AsRef<[u8]>) -> KeySet {
    KeySet::parse(text.as_ref()).unwrap_or_else(|error| panic!("{error}"))
}

fn secret(length: usize) -> (Vec<u8>, KeySet) {
    let secret: Vec<u8> = (0..length).map(|at| at as u8).collect();
    let key = Key::from_secret(&secret).unwrap_or_else(|error| panic!("{error}"));
    (secret, key.into())
}

fn check(token: &str, keys: &KeySet) -> Result<Claims, Reason> {
    verify(token.as_bytes(), keys, &Policy::default(), NOW)
}

fn refusal(token: &str, keys: &KeySet) -> Option<Reason> {
    check(token, keys).err()
}

/// Returns the error of a key file.
fn key_refusal(text: impl AsRef<[u8]>) -> (Reason, String) {
    let error = KeySet::parse(text.as_ref()).err().expect("the key is refused");
    (error.reason, error.message)
}

fn jsonwebtoken(algorithm: &str, key: &EncodingKey) -> String {
    let header = Header::new(algorithm.parse().expect("a registered name"));
    encode(&header, &claims(), key).unwrap_or_else(|error| panic!("{algorithm}: {error}"))
}

fn hmac(algorithm: &str, secret: &[u8]) -> String {
    jsonwebtoken(algorithm, &EncodingKey::from_secret(secret))
}

#[test]
fn every_rsa_algorithm_is_accepted_from_two_independent_signers() {
    let keys = keys(&signer().public_pem);
    let encoding = EncodingKey::from_rsa_pem(signer().private_pem.as_bytes()).expect("a private key");
    for algorithm in RSA {
        for token in [signer().token(algorithm, &claims()), jsonwebtoken(algorithm, &encoding)] {
            let verified = check(&token, &keys).unwrap_or_else(|reason| panic!("{algorithm}: {reason}"));
            assert_eq!(Value::Object(verified.members), claims(), "{algorithm}");
        }
    }
}

#[test]
fn every_curve_and_hmac_algorithm_is_accepted() {
    for (algorithm, key) in [("ES256", p256()), ("ES384", p384()), ("EdDSA", ed25519())] {
        assert_eq!(refusal(&jsonwebtoken(algorithm, &key.encoding), &keys(&key.public_pem)), None, "{algorithm}");
    }
    let (secret, keys) = secret(64);
    for algorithm in ["HS256", "HS384", "HS512"] {
        assert_eq!(refusal(&hmac(algorithm, &secret), &keys), None, "{algorithm}");
    }
}

#[test]
fn the_claims_are_returned_as_they_were_signed() {
    let text = format!(r#"{{ "exp" :{}.5, "z":1, "a" : "\u00e9" }}"#, NOW + 9);
    let token = raw_token(r#"{"alg":"RS256"}"#, &text, |message| signer().sign("RS256", message));
    let verified = check(&token, &keys(&signer().public_pem)).expect("the token holds");
    assert_eq!(verified.json, text.as_bytes());
}

/// CVE-2016-5431 and its successors: anybody can sign if the gateway uses the public key as an HMAC secret.
#[test]
fn a_public_key_is_never_an_hmac_secret() {
    for pem in [&signer().public_pem, &p256().public_pem, &ed25519().public_pem] {
        let keys = keys(pem);
        let der = pem::parse(pem).expect("PEM").into_contents();
        let trimmed = pem.trim_end().as_bytes();
        for secret in [pem.as_bytes(), trimmed, &der] {
            for algorithm in ["HS256", "HS384", "HS512"] {
                assert_eq!(refusal(&hmac(algorithm, secret), &keys), Some(Reason::AlgorithmNotAllowed));
            }
        }
        for secret in [pem.clone(), pem.replace('\n', "\r\n"), format!("x {pem}")] {
            let error = Key::from_secret(secret.as_bytes()).err().expect("a PEM secret is refused");
            assert_eq!(error.reason, Reason::KeyUnsupported);
            let jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(&secret) });
            assert_eq!(key_refusal(jwk.to_string()).0, Reason::KeyUnsupported);
        }
    }
}

#[test]
fn a_token_whose_algorithm_is_of_another_family_than_the_key_is_refused() {
    let (secret, secret_keys) = secret(64);
    let curves = [("ES256", p256()), ("ES384", p384()), ("EdDSA", ed25519())];
    let mut all: Vec<(Vec<&str>, String, KeySet)> = vec![
        (RSA.to_vec(), signer().token("RS256", &claims()), keys(&signer().public_pem)),
        (vec!["HS256", "HS384", "HS512"], hmac("HS256", &secret), secret_keys),
    ];
    for (algorithm, key) in &curves {
        all.push((vec![algorithm], jsonwebtoken(algorithm, &key.encoding), keys(&key.public_pem)));
    }
    for (signed_with, token, _) in &all {
        for (_, _, keys) in all.iter().filter(|(algorithms, _, _)| algorithms != signed_with) {
            assert_eq!(refusal(token, keys), Some(Reason::AlgorithmNotAllowed), "{signed_with:?}");
        }
    }
}

#[test]
fn a_signature_under_one_algorithm_does_not_hold_under_another_of_the_same_key() {
    let keys = keys(&signer().public_pem);
    for signed in RSA {
        for claimed in RSA.into_iter().filter(|claimed| *claimed != signed) {
            let token = token(&json!({ "alg": claimed }), &claims(), |message| signer().sign(signed, message));
            assert_eq!(refusal(&token, &keys), Some(Reason::SignatureInvalid), "{signed} as {claimed}");
        }
    }
}

#[test]
fn no_spelling_of_none_and_no_unknown_algorithm_is_accepted() {
    let keys = keys(&signer().public_pem);
    for name in ["none", "None", "NONE", "nOnE", "", " ", "rs256", "RS256 ", "RS1", "ES512", "ES256K", "RSA-OAEP"] {
        for signature in [vec![], signer().sign("RS256", b"x")] {
            let token = token(&json!({ "alg": name }), &claims(), |_| signature);
            assert_eq!(refusal(&token, &keys), Some(Reason::AlgorithmNotAllowed), "{name:?}");
        }
    }
}

/// Anybody can create a JWE with the public key, so it is no signed token (CVE-2024-33531 and others).
#[test]
fn an_encrypted_token_is_not_accepted_as_a_signed_one() {
    let keys = keys(&signer().public_pem);
    let jwe = json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128CBC-HS256", "p2c": 1, "p2s": "AA" });
    let three = token(&jwe, &claims(), |_| vec![1; 32]);
    assert_eq!(refusal(&three, &keys), Some(Reason::HeaderUnsupported));
    assert_eq!(refusal(&format!("{three}.AA.AA"), &keys), Some(Reason::TokenMalformed));
}

#[test]
fn the_policy_restricts_the_algorithms_of_the_key() {
    let keys = keys(&signer().public_pem);
    let policy = Policy { algorithms: Some(vec![Algorithm::PS256]), ..Policy::default() };
    let verdict = |algorithm| verify(signer().token(algorithm, &claims()).as_bytes(), &keys, &policy, NOW).err();
    assert_eq!(verdict("PS256"), None);
    assert_eq!(verdict("RS256"), Some(Reason::AlgorithmNotAllowed));
}

/// No token could pass: the configuration is at fault, and not the token.
#[test]
fn a_policy_that_allows_no_algorithm_of_the_keys_is_the_fault_of_the_configuration() {
    let (bytes, secret) = secret(32);
    let hmac = jsonwebtoken("HS256", &EncodingKey::from_secret(&bytes));
    let (rsa, public) = (signer().token("RS256", &claims()), keys(&signer().public_pem));
    for (allowed, keys, offered) in [
        (&[Algorithm::RS256, Algorithm::ES256][..], &secret, "HS256"),
        (&[Algorithm::HS512], &secret, "HS256"),
        (&[Algorithm::HS256], &public, "RS256, RS384, RS512, PS256, PS384, PS512"),
    ] {
        let policy = Policy { algorithms: Some(allowed.to_vec()), ..Policy::default() };
        for token in [&hmac, &rsa] {
            assert_eq!(verify(token.as_bytes(), keys, &policy, NOW).err(), Some(Reason::KeyUnsupported), "{allowed:?}");
        }
        let error = policy.check_keys(keys).expect_err("no token could pass");
        let names: Vec<_> = allowed.iter().map(|name| name.name()).collect();
        let expected =
            format!("the policy field \"algorithms\" allows {}, and the keys verify only {offered}", names.join(", "));
        assert_eq!((error.reason, error.message), (Reason::SettingInvalid, expected));
    }
    let policy = Policy { algorithms: Some(vec![Algorithm::HS256, Algorithm::RS256]), ..Policy::default() };
    assert!(policy.check_keys(&secret).is_ok() && policy.check_keys(&public).is_ok());
    assert!(Policy::default().check_keys(&secret).is_ok());
    assert_eq!(verify(rsa.as_bytes(), &secret, &policy, NOW).err(), Some(Reason::AlgorithmNotAllowed));
}

#[test]
fn a_key_within_the_token_is_ignored() {
    let jwk = stranger().jwk(json!({}));
    let url = "https://attacker.example/keys";
    for header in [
        json!({ "alg": "RS256", "jwk": jwk }),
        json!({ "alg": "RS256", "jku": url, "x5u": url }),
        json!({ "alg": "RS256", "kid": "../../dev/null", "x5c": ["MIIB"] }),
    ] {
        let token = token(&header, &claims(), |message| stranger().sign("RS256", message));
        assert_eq!(refusal(&token, &keys(&signer().public_pem)), Some(Reason::SignatureInvalid), "{header}");
    }
}

/// A signature of 32 bytes keeps the token short enough to try every change of one byte.
#[test]
fn no_token_with_one_byte_changed_verifies() {
    let (secret, keys) = secret(32);
    let token = hmac("HS256", &secret).into_bytes();
    assert!(verify(&token, &keys, &Policy::default(), NOW).is_ok());
    for at in 0..token.len() {
        for value in 0..=255 {
            let mut changed = token.clone();
            changed[at] = value;
            let verdict = verify(&changed, &keys, &Policy::default(), NOW);
            assert!(verdict.is_err() || changed == token, "byte {at} changed to {value} is accepted");
        }
    }
}

#[test]
fn an_rsa_signature_with_one_bit_changed_is_refused() {
    let keys = keys(&signer().public_pem);
    let good = signer().token("RS256", &claims());
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    for bit in 0..signature.len() * 8 {
        let mut changed = signature.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(refusal(&token, &keys), Some(Reason::SignatureInvalid), "bit {bit}");
    }
}

#[test]
fn a_signature_of_another_length_is_refused() {
    for (algorithm, good, keys) in [
        ("RS256", signer().token("RS256", &claims()), keys(&signer().public_pem)),
        ("HS256", hmac("HS256", &secret(32).0), secret(32).1),
    ] {
        let (message, signature) = good.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let (longer, shifted) = ([&signature[..], b"\0"].concat(), [b"\0", &signature[..]].concat());
        for changed in [&[][..], &signature[..16], &signature[1..], &longer, &shifted] {
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(refusal(&token, &keys), Some(Reason::SignatureInvalid), "{algorithm}, {}", changed.len());
        }
    }
}

/// An ECDSA signature in a token is r followed by s (RFC 7518 §3.4). Zero values are the psychic signatures of
/// CVE-2022-21449, and DER is another encoding of a signature.
#[test]
fn an_ecdsa_signature_has_one_encoding_and_is_not_zero() {
    let key = p256();
    let keys = keys(&key.public_pem);
    let good = jsonwebtoken("ES256", &key.encoding);
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let integer = |bytes: &[u8]| [&[2, bytes.len() as u8 + 1, 0], bytes].concat();
    let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
    let der = [&[0x30, body.len() as u8], &body[..]].concat();
    for bad in [der, vec![0; 64], vec![]] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bad));
        assert_eq!(refusal(&token, &keys), Some(Reason::SignatureInvalid));
    }
}

#[test]
fn every_malformed_token_has_its_reason() {
    let keys = keys(&signer().public_pem);
    let good = signer().token("RS256", &claims());
    let (header, rest) = good.split_once('.').expect("three parts");
    let (payload, signature) = rest.split_once('.').expect("three parts");
    let signed = |header: &str, claims: &str| raw_token(header, claims, |message| signer().sign("RS256", message));
    let claimed = |claims: &str| signed(r#"{"alg":"RS256"}"#, claims);
    let corpus = [
        (String::new(), Reason::TokenMissing),
        ("a".repeat(MAX_TOKEN_BYTES + 1), Reason::TokenTooLarge),
        ("a".repeat(1 << 20), Reason::TokenTooLarge),
        ("a".repeat(MAX_TOKEN_BYTES), Reason::TokenMalformed),
        (".".into(), Reason::TokenMalformed),
        ("..".into(), Reason::TokenMalformed),
        (".".repeat(MAX_TOKEN_BYTES), Reason::TokenMalformed),
        (header.into(), Reason::TokenMalformed),
        (format!("{header}.{payload}"), Reason::TokenMalformed),
        (format!("{good}."), Reason::TokenMalformed),
        (format!("{good}.{signature}"), Reason::TokenMalformed),
        (format!("{good}.{signature}.{signature}"), Reason::TokenMalformed),
        (format!("{good}="), Reason::TokenMalformed),
        (format!("{good}=="), Reason::TokenMalformed),
        (format!(" {good}"), Reason::TokenMalformed),
        (format!("{good}\n"), Reason::TokenMalformed),
        (format!("{good}\0"), Reason::TokenMalformed),
        (format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")), Reason::TokenMalformed),
        (format!("{header}.{payload}."), Reason::SignatureInvalid),
        (signed("{}", "{}"), Reason::TokenMalformed),
        (signed("[]", "{}"), Reason::TokenMalformed),
        (signed("", "{}"), Reason::TokenMalformed),
        (signed(r#"{"alg":null}"#, "{}"), Reason::TokenMalformed),
        (signed(r#"{"alg":["RS256"]}"#, "{}"), Reason::TokenMalformed),
        (signed(r#"{"alg":"RS256","alg":"RS256"}"#, "{}"), Reason::TokenMalformed),
        (signed(r#"{"alg":"RS256","kid":[]}"#, "{}"), Reason::TokenMalformed),
        (signed(r#"{"alg":"RS256","crit":["exp"]}"#, "{}"), Reason::HeaderUnsupported),
        (signed(r#"{"alg":"RS256","crit":[]}"#, "{}"), Reason::HeaderUnsupported),
        (signed(r#"{"alg":"RS256","b64":false}"#, "{}"), Reason::HeaderUnsupported),
        (signed(r#"{"alg":"RS256","zip":"DEF"}"#, "{}"), Reason::HeaderUnsupported),
        (signed(r#"{"alg":"RS256","enc":"A128GCM"}"#, "{}"), Reason::HeaderUnsupported),
        (claimed(""), Reason::TokenMalformed),
        (claimed("[]"), Reason::TokenMalformed),
        (claimed("null"), Reason::TokenMalformed),
        (claimed(r#"{"exp":1e400}"#), Reason::TokenMalformed),
        (claimed(r#"{"exp":9999999999,"exp":1}"#), Reason::TokenMalformed),
        (claimed(r#"{"exp":9999999999}x"#), Reason::TokenMalformed),
        (claimed("{}"), Reason::ClaimMissing),
        (claimed(r#"{"exp":"never"}"#), Reason::ClaimMalformed),
        (claimed(r#"{"exp":null}"#), Reason::ClaimMalformed),
        (claimed(r#"{"exp":-1}"#), Reason::ClaimMalformed),
        (claimed(r#"{"exp":1e300}"#), Reason::ClaimMalformed),
        (claimed(r#"{"exp":9999999999,"nbf":"now"}"#), Reason::ClaimMalformed),
        (claimed(r#"{"exp":9999999999,"iat":[]}"#), Reason::ClaimMalformed),
        (claimed(r#"{"exp":1}"#), Reason::TokenExpired),
        (claimed(r#"{"exp":9999999999,"nbf":9999999998}"#), Reason::TokenNotYetValid),
    ];
    for (at, (token, reason)) in corpus.iter().enumerate() {
        assert_eq!(refusal(token, &keys), Some(*reason), "number {at}: {token:.100}");
    }
}

/// The error for an unauthenticated sender must not depend on unsigned claims.
#[test]
fn the_signature_is_checked_before_the_claims() {
    let keys = keys(&signer().public_pem);
    for claims in ["{}", r#"{"exp":1}"#, r#"{"exp":"never"}"#, "not JSON", r#"{"a":1,"a":1}"#] {
        let forged = raw_token(r#"{"alg":"RS256"}"#, claims, |message| stranger().sign("RS256", message));
        assert_eq!(refusal(&forged, &keys), Some(Reason::SignatureInvalid), "{claims}");
    }
}
