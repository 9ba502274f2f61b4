//! The examples of RFCs 7515 (JWS), 7516 (JWE), 7519 (JWT), 7520 (cookbook), 7797 and 8037 (Ed25519). The tests of
//! src/jwt/content.rs and src/keys/encryption.rs contain those of parts of an encrypted token, such as RFC 7518
//! appendices B and C. spec/vectors_spec.lua runs all tokens from Lua.
//!
//! tests/data/rfc_examples.json contains their keys and tokens as published. Examples in the JSON serialization are
//! converted to the compact one where possible.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use route_native::error::Reason;
use route_native::jwt::{Compact, Parts, Policy, check_signature, jwe, sign_parts, verify};
use route_native::keys::{EncryptionKeys, Form, Keyring};
use serde_json::Value;

fn examples(kind: &str) -> Vec<Value> {
    let path = format!("{}/tests/data/rfc_examples.json", env!("CARGO_MANIFEST_DIR"));
    let all: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    all[kind].as_array().unwrap().clone()
}

fn text<'a>(example: &'a Value, name: &str) -> &'a str {
    example[name].as_str().unwrap()
}

fn keyring(example: &Value) -> Keyring {
    let key = example["key"].to_string();
    Keyring::from_texts(&[(Form::Key, key.as_bytes())]).unwrap_or_else(|error| panic!("{}: {error}", example["source"]))
}

fn signature_of(token: &str, keys: &Keyring) -> Result<(), Reason> {
    let current = keys.current();
    check_signature(&Compact::parse(token.as_bytes())?, &current.verifying, &Policy::default()).map(|_| ())
}

#[test]
fn published_signatures_are_valid_and_changed_ones_are_not() {
    let examples = examples("signed");
    assert_eq!(examples.len(), 13);
    for example in &examples {
        let (source, token) = (text(example, "source"), text(example, "token"));
        let keys = keyring(example);
        assert_eq!(signature_of(token, &keys), Ok(()), "{source}");
        let algorithm = Compact::parse(token.as_bytes()).unwrap().header.algorithm.unwrap();
        assert_eq!(algorithm.name(), text(example, "algorithm"), "{source}");

        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            bytes[at] ^= 1;
            let touched = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(signature_of(&touched, &keys), Err(Reason::SignatureInvalid), "{source} {at}");
            bytes[at] ^= 1;
        }
        let shorter = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&bytes[1..]));
        assert_eq!(signature_of(&shorter, &keys), Err(Reason::SignatureInvalid), "{source}");
    }
}

/// HMAC, PKCS#1 v1.5 and Ed25519 signatures are deterministic. The others must be valid.
#[test]
fn the_published_keys_give_the_published_signatures() {
    let (mut signed, mut repeated) = (0, 0);
    for example in &examples("signed") {
        let (source, token) = (text(example, "source"), text(example, "token"));
        let keys = keyring(example);
        let current = keys.current();
        let Some(key) = &current.signing else { continue };
        let (header, payload) = Parts::split(token.as_bytes()).and_then(|parts| parts.unverified()).unwrap();
        let again = sign_parts(&header, &payload, key).unwrap();
        assert_eq!(signature_of(&again, &keys), Ok(()), "{source}");
        signed += 1;
        if !["PS256", "PS384", "ES256", "ES512"].contains(&text(example, "algorithm")) {
            assert_eq!(again, token, "{source}");
            repeated += 1;
        }
    }
    assert_eq!((signed, repeated), (12, 7));
}

/// The claims of RFC 7519 §3.1, within their lifetime and after it.
#[test]
fn the_published_claims_are_read() {
    let example = &examples("signed")[0];
    let keys = keyring(example);
    let current = keys.current();
    let (token, set) = (text(example, "token").as_bytes(), &current.verifying);
    let claims = verify(token, set, &Policy::default(), 1_300_819_380).unwrap();
    assert_eq!(claims.string("iss"), Ok(Some("joe")));
    assert_eq!(verify(token, set, &Policy::default(), 1_300_819_385), Err(Reason::TokenExpired));
}

#[test]
fn published_encrypted_tokens_are_decrypted_with_their_key_only() {
    let examples = examples("encrypted");
    assert_eq!(examples.len(), 9);
    for example in &examples {
        let (source, token) = (text(example, "source"), text(example, "token"));
        let keys = encryption_keys(&example["key"]);
        let (header, plaintext) = jwe::decrypt(token.as_bytes(), &keys).unwrap();
        assert_eq!(String::from_utf8(plaintext).unwrap(), text(example, "plaintext"), "{source}");
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!((&header["alg"], &header["enc"]), (&example["algorithm"], &example["encryption"]), "{source}");

        let parts: Vec<_> = token.split('.').collect();
        for touched in 1..5 {
            let mut bytes = URL_SAFE_NO_PAD.decode(parts[touched]).unwrap();
            let Some(byte) = bytes.last_mut() else { continue };
            *byte ^= 1;
            let (touched_part, mut copy) = (URL_SAFE_NO_PAD.encode(&bytes), parts.clone());
            copy[touched] = &touched_part;
            let refused = jwe::decrypt(copy.join(".").as_bytes(), &keys);
            assert_eq!(refused, Err(Reason::DecryptionFailed), "{source} {touched}");
        }
        for other in examples.iter().filter(|other| other["key"]["kty"] != example["key"]["kty"]) {
            let other = encryption_keys(&without_id(&other["key"]));
            assert_eq!(jwe::decrypt(token.as_bytes(), &other), Err(Reason::AlgorithmNotAllowed), "{source}");
        }
    }
}

/// RFC 7520 §6: a signed token inside of an encrypted one.
#[test]
fn the_published_nested_token_is_decrypted_and_then_verified() {
    let nested = examples("encrypted").into_iter().find(|example| text(example, "source") == "RFC 7520 6").unwrap();
    let (_, inner) = jwe::decrypt(text(&nested, "token").as_bytes(), &encryption_keys(&nested["key"])).unwrap();
    let signed = examples("signed");
    let signer = signed.iter().find(|example| text(example, "source") == "RFC 7520 6").unwrap();
    assert_eq!(signature_of(std::str::from_utf8(&inner).unwrap(), &keyring(signer)), Ok(()));
}

fn encryption_keys(key: &Value) -> EncryptionKeys {
    EncryptionKeys::parse(key.to_string().as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", key["kid"]))
}

fn without_id(key: &Value) -> Value {
    let mut key = key.clone();
    key.as_object_mut().unwrap().remove("kid");
    key
}

/// Unsecured, detached, unprotected and JSON forms: a token is none of these.
#[test]
fn published_forms_that_are_no_tokens_are_refused() {
    let examples = examples("refused");
    assert_eq!(examples.len(), 5);
    // The key of the signed examples (RFC 7520 §3.5).
    let cookbook = self::examples("signed").into_iter().find(|example| text(example, "source") == "RFC 7520 4.4, 4.5");
    let keys = keyring(&cookbook.unwrap());
    let current = keys.current();
    let set = &current.verifying;
    for example in &examples {
        let refused = verify(text(example, "token").as_bytes(), set, &Policy::default(), 1_300_819_379).unwrap_err();
        assert_eq!(refused.name(), text(example, "reason"), "{}", example["source"]);
    }
}

/// Tokens with unsupported key management are neither decrypted nor accepted as signed.
#[test]
fn published_encrypted_tokens_with_unsupported_algorithms_are_refused() {
    let examples = examples("refused_encrypted");
    assert_eq!(examples.len(), 5);
    for example in &examples {
        let token = text(example, "token").as_bytes();
        let refused = jwe::decrypt(token, &EncryptionKeys::from_secret(&[7; 32]).unwrap()).unwrap_err();
        assert_eq!(refused.name(), text(example, "reason"), "{}", example["source"]);
        assert_eq!(Compact::parse(token).err(), Some(Reason::TokenMalformed), "{}", example["source"]);
    }
}
