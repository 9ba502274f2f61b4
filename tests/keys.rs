//! Keys: accepted files, the algorithms of each key, and the selection of a token's key from a set.

mod support;

use std::fs;
use std::process::Command;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header, encode};
use route_native::error::Reason;
use route_native::jwt::{Policy, verify};
use route_native::keys::{Algorithm, Form, Key, KeySet, Keyring};
use serde_json::{Value, json};
use support::*;

fn keys(text: impl AsRef<[u8]>) -> KeySet {
    KeySet::parse(text.as_ref()).unwrap_or_else(|error| panic!("{error}"))
}

fn jwks(keys: &[Value]) -> KeySet {
    self::keys(json!({ "keys": keys }).to_string())
}

fn refusal(token: &str, keys: &KeySet) -> Option<Reason> {
    verify(token.as_bytes(), keys, &Policy::default(), NOW).err()
}

/// Returns the error of a key file.
fn key_refusal(text: impl AsRef<[u8]>) -> (Reason, String) {
    let error = KeySet::parse(text.as_ref()).err().expect("the key is refused");
    (error.reason, error.message)
}

fn algorithms(keys: &KeySet) -> Vec<&'static str> {
    keys.keys().iter().flat_map(Key::algorithms).map(Algorithm::name).collect()
}

fn coordinates(point: &[u8]) -> (String, String) {
    let half = (point.len() - 1) / 2;
    (URL_SAFE_NO_PAD.encode(&point[1..=half]), URL_SAFE_NO_PAD.encode(&point[half + 1..]))
}

fn ec_jwk(curve: &str, point: &[u8], more: Value) -> Value {
    let (x, y) = coordinates(point);
    merged(json!({ "kty": "EC", "crv": curve, "x": x, "y": y }), more)
}

fn okp_jwk(curve: &str, point: &[u8]) -> Value {
    json!({ "kty": "OKP", "crv": curve, "x": URL_SAFE_NO_PAD.encode(point) })
}

fn oct_jwk(secret: &[u8]) -> Value {
    json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) })
}

fn with_kid(kid: &str, signer: &RsaKey) -> String {
    token(&json!({ "alg": "RS256", "kid": kid }), &claims(), |message| signer.sign("RS256", message))
}

#[test]
fn the_type_of_a_key_fixes_its_algorithms() {
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    assert_eq!(algorithms(&keys(&signer().public_pem)), rsa);
    assert_eq!(algorithms(&keys(&signer().public_pkcs1_pem)), rsa);
    assert_eq!(algorithms(&keys(signer().jwk(json!({})).to_string())), rsa);
    assert_eq!(algorithms(&keys(p256().public_pem)), ["ES256"]);
    assert_eq!(algorithms(&keys(p384().public_pem)), ["ES384"]);
    assert_eq!(algorithms(&keys(ed25519().public_pem)), ["EdDSA"]);
    assert_eq!(algorithms(&keys(oct_jwk(&[7; 64]).to_string())), ["HS256", "HS384", "HS512"]);
    assert_eq!(algorithms(&keys(oct_jwk(&[7; 48]).to_string())), ["HS256", "HS384"]);
    assert_eq!(algorithms(&keys(oct_jwk(&[7; 32]).to_string())), ["HS256"]);
}

#[test]
fn a_certificate_is_read_as_its_key() {
    for (name, algorithm) in [("rsa", "RS256"), ("ec", "ES256")] {
        let read = |extension| {
            let path = format!("{}/tests/data/certificate_{name}.{extension}", env!("CARGO_MANIFEST_DIR"));
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let keys = keys(read("pem"));
        assert!(algorithms(&keys).contains(&algorithm), "{name}");
        let token = read("jwt");
        assert_eq!(refusal(token.trim_end(), &keys), None, "{name}");
        let claims = token.split('.').nth(1).expect("three parts");
        let forged = token.replace(claims, &URL_SAFE_NO_PAD.encode(r#"{"sub":"eve","exp":253402300799}"#));
        assert_eq!(refusal(forged.trim_end(), &keys), Some(Reason::SignatureInvalid), "{name}");
    }
}

#[test]
fn each_type_of_jwk_verifies_signatures_of_its_key() {
    let (p256, p384, ed25519) = (p256(), p384(), ed25519());
    let secret = EncodingKey::from_secret(&[7; 32]);
    for (algorithm, jwk, key) in [
        ("ES256", ec_jwk("P-256", &p256.point, json!({})), &p256.encoding),
        ("ES384", ec_jwk("P-384", &p384.point, json!({ "alg": "ES384", "use": "sig" })), &p384.encoding),
        ("EdDSA", okp_jwk("Ed25519", &ed25519.point), &ed25519.encoding),
        ("HS256", oct_jwk(&[7; 32]), &secret),
    ] {
        let header = Header::new(algorithm.parse().expect("a registered name"));
        let token = encode(&header, &claims(), key).expect("jsonwebtoken signs");
        assert_eq!(refusal(&token, &keys(jwk.to_string())), None, "{algorithm}");
    }
    assert_eq!(refusal(&signer().token("PS384", &claims()), &keys(signer().jwk(json!({})).to_string())), None);
}

/// Some libraries, such as PyJWT 2.6, omit the leading zero bytes of a coordinate.
#[test]
fn a_coordinate_without_its_leading_zeros_or_with_one_more_is_accepted() {
    let is_short = |point: &[u8]| point[1] == 0 || point[33] == 0;
    let key = std::iter::repeat_with(p256).find(|key| is_short(&key.point)).expect("one of some hundred");
    let (x, y) = coordinates(&key.point);
    let short = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        URL_SAFE_NO_PAD.encode(&bytes[zeros..])
    };
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": short(&x), "y": short(&y) });
    let token = encode(&Header::new(jsonwebtoken::Algorithm::ES256), &claims(), &key.encoding).expect("a token");
    assert_eq!(refusal(&token, &keys(jwk.to_string())), None);
    let longer =
        |text: &str| URL_SAFE_NO_PAD.encode([&[0], &URL_SAFE_NO_PAD.decode(text).expect("base64url")[..]].concat());
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": longer(&x), "y": longer(&y) });
    assert_eq!(refusal(&token, &keys(jwk.to_string())), None);
}

#[test]
fn the_alg_of_a_jwk_restricts_its_key_to_one_algorithm() {
    let keys = keys(signer().jwk(json!({ "alg": "PS256" })).to_string());
    assert_eq!(refusal(&signer().token("PS256", &claims()), &keys), None);
    for algorithm in ["RS256", "PS384", "PS512"] {
        let verdict = refusal(&signer().token(algorithm, &claims()), &keys);
        assert_eq!(verdict, Some(Reason::AlgorithmNotAllowed), "{algorithm}");
    }
}

#[test]
fn a_jwk_that_cannot_verify_a_signature_is_refused() {
    let point = p256().point;
    for jwk in [
        signer().jwk(json!({ "use": "enc" })),
        signer().jwk(json!({ "alg": "HS256" })),
        signer().jwk(json!({ "alg": "RSA-OAEP" })),
        ec_jwk("P-256", &point, json!({ "alg": "ES384" })),
        okp_jwk("X25519", &ed25519().point),
        okp_jwk("Ed448", &[7; 57]),
        json!({ "kty": "RSA", "n": "AQAB" }),
        json!({ "kty": "unheard of" }),
        json!({}),
    ] {
        assert_eq!(key_refusal(jwk.to_string()).0, Reason::KeyUnsupported, "{jwk}");
    }
}

/// A point that is not on the curve allows invalid curve attacks.
#[test]
fn a_point_that_is_not_on_its_curve_is_refused() {
    let mut point = p256().point;
    point[64] ^= 1;
    assert_eq!(key_refusal(ec_jwk("P-256", &point, json!({})).to_string()).0, Reason::KeyTooWeak);
}

#[test]
fn weak_keys_are_refused() {
    let weak = RsaKey::generate(1024);
    for text in [weak.public_pem.clone(), weak.public_pkcs1_pem.clone(), weak.jwk(json!({})).to_string()] {
        assert_eq!(key_refusal(text).0, Reason::KeyTooWeak);
    }
    let mut exponent_one = signer().jwk(json!({ "e": "AQ" }));
    assert_eq!(key_refusal(exponent_one.to_string()).0, Reason::KeyTooWeak);
    exponent_one["e"] = json!("Ag");
    assert_eq!(key_refusal(exponent_one.to_string()).0, Reason::KeyTooWeak);
    for length in [0, 1, 31] {
        assert_eq!(key_refusal(oct_jwk(&vec![7; length]).to_string()).0, Reason::KeyTooWeak, "{length}");
    }
}

#[test]
fn a_private_key_is_refused_as_a_verification_key_with_its_own_message() {
    for pem in [
        signer().private_pem.clone(),
        signer().private_pkcs1_pem.clone(),
        p256().private_pem,
        pem("EC PRIVATE KEY", b"x"),
        pem("ENCRYPTED PRIVATE KEY", b"x"),
    ] {
        let (reason, message) = key_refusal(pem);
        assert_eq!(reason, Reason::KeyUnsupported);
        assert_eq!(message, "holds a private key where a public key or certificate belongs");
    }
}

#[test]
fn a_file_that_is_no_key_is_refused() {
    for text in [
        String::new(),
        "{".into(),
        "[]".into(),
        "secret".into(),
        "\0".into(),
        r#"{"keys":[]}"#.into(),
        pem("CERTIFICATE REQUEST", b"x"),
        pem("PUBLIC KEY", b"x"),
        pem("PUBLIC KEY", b""),
        pem("CERTIFICATE", b"\x30\x00"),
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n".into(),
        signer().public_pem.replace("-----END", "----END"),
    ] {
        assert_eq!(key_refusal(&text).0, Reason::KeyUnsupported, "{text}");
    }
}

#[test]
fn a_kid_selects_its_key_from_a_set() {
    let set = jwks(&[signer().jwk(json!({ "kid": "old" })), stranger().jwk(json!({ "kid": "new" }))]);
    assert_eq!(refusal(&with_kid("old", signer()), &set), None);
    assert_eq!(refusal(&with_kid("new", stranger()), &set), None);
    assert_eq!(refusal(&with_kid("new", signer()), &set), Some(Reason::SignatureInvalid));
    let numbered = jwks(&[signer().jwk(json!({ "kid": 7 })), stranger().jwk(json!({ "kid": 8 }))]);
    assert_eq!(refusal(&with_kid("7", signer()), &numbered), None);
    assert_eq!(refusal(&with_kid("8", signer()), &numbered), Some(Reason::SignatureInvalid));
    assert_eq!(refusal(&with_kid("NEW", stranger()), &set), Some(Reason::KeyNotFound));
    // Without a kid, every key is tried. An empty one is none.
    assert_eq!(refusal(&with_kid("", stranger()), &set), None);
    assert_eq!(refusal(&stranger().token("RS256", &claims()), &set), None);
    assert_eq!(refusal(&RsaKey::generate(2048).token("RS256", &claims()), &set), Some(Reason::SignatureInvalid));
}

#[test]
fn a_kid_selects_nothing_when_no_key_has_one() {
    assert_eq!(refusal(&with_kid("any", signer()), &keys(&signer().public_pem)), None);
    let set = jwks(&[stranger().jwk(json!({})), signer().jwk(json!({}))]);
    assert_eq!(refusal(&with_kid("any", signer()), &set), None);
}

#[test]
fn a_kid_does_not_allow_a_key_another_algorithm() {
    let set = jwks(&[signer().jwk(json!({ "kid": "a", "alg": "PS256" })), stranger().jwk(json!({ "kid": "b" }))]);
    assert_eq!(refusal(&with_kid("a", signer()), &set), Some(Reason::AlgorithmNotAllowed));
}

#[test]
fn keys_of_unknown_types_in_a_set_are_ignored() {
    let others = [
        json!({ "kty": "unheard of", "kid": "x" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
        okp_jwk("X25519", &ed25519().point),
        signer().jwk(json!({ "use": "enc", "kid": "enc" })),
        signer().jwk(json!({ "kid": "enc2", "alg": "RSA-OAEP-256" })),
        ec_jwk("secp256k1", &p256().point, json!({})),
    ];
    for other in &others {
        let set = jwks(&[other.clone(), signer().jwk(json!({ "kid": "a" }))]);
        assert_eq!(set.keys().len(), 1, "{other}");
        assert_eq!(refusal(&with_kid("a", signer()), &set), None, "{other}");
    }
    assert_eq!(key_refusal(json!({ "keys": others }).to_string()).0, Reason::KeyUnsupported);
}

#[test]
fn a_set_with_too_many_keys_is_refused() {
    let key = |at: usize| signer().jwk(json!({ "kid": at.to_string() }));
    assert_eq!(jwks(&(0..64).map(key).collect::<Vec<_>>()).keys().len(), 64);
    let too_many = json!({ "keys": (0..65).map(key).collect::<Vec<_>>() });
    assert_eq!(key_refusal(too_many.to_string()), (Reason::KeyUnsupported, "holds more than 64 keys".into()));
}

/// The identity is part of cache keys. A result under one key must not be found under another.
#[test]
fn sets_of_other_keys_have_other_identities() {
    let ed25519 = ed25519();
    let sets = [
        keys(&signer().public_pem),
        keys(&stranger().public_pem),
        keys(signer().jwk(json!({ "alg": "PS256" })).to_string()),
        jwks(&[signer().jwk(json!({})), stranger().jwk(json!({}))]),
        jwks(&[stranger().jwk(json!({})), signer().jwk(json!({}))]),
        keys(&ed25519.public_pem),
        keys(oct_jwk(&ed25519.point).to_string()),
    ];
    for (at, one) in sets.iter().enumerate() {
        for other in &sets[at + 1..] {
            assert_ne!(one.identity(), other.identity(), "set {at}");
        }
    }
    assert_eq!(keys(&signer().public_pem).identity(), keys(&signer().public_pem).identity());
}

/// The same key with another `alg` allows other tokens, and the same keys under other ids find other tokens.
#[test]
fn the_alg_and_kid_of_a_jwk_are_part_of_the_sets_identity() {
    let of = |more| keys(signer().jwk(more).to_string()).identity();
    assert_ne!(of(json!({})), of(json!({ "alg": "PS256" })));
    assert_ne!(of(json!({ "alg": "RS256" })), of(json!({ "alg": "PS256" })));
    assert_ne!(of(json!({ "kid": "a" })), of(json!({ "kid": "b" })));
    assert_ne!(of(json!({})), of(json!({ "kid": "a" })));
}

/// RFC 9864 adds the name Ed25519 for EdDSA with that curve. Both names are equal in a token, a policy and a JWK.
#[test]
fn ed25519_has_two_names() {
    let key = ed25519();
    let signed = |name: &str| {
        let sign = |message: &[u8]| {
            let text = jsonwebtoken::crypto::sign(message, &key.encoding, jsonwebtoken::Algorithm::EdDSA);
            URL_SAFE_NO_PAD.decode(text.expect("jsonwebtoken signs")).expect("base64url")
        };
        token(&json!({ "alg": name }), &claims(), sign)
    };
    let jwk = |alg| keys(merged(okp_jwk("Ed25519", &key.point), json!({ "alg": alg })).to_string());
    let policy = |name| Policy { algorithms: Some(vec![name]), ..Policy::default() };
    for name in ["EdDSA", "Ed25519"] {
        let token = signed(name);
        for keys in [keys(&key.public_pem), jwk("EdDSA"), jwk("Ed25519")] {
            for policy in [Policy::default(), policy(Algorithm::EdDSA), policy(Algorithm::Ed25519)] {
                assert!(verify(token.as_bytes(), &keys, &policy, NOW).is_ok(), "{name}");
            }
            let other = verify(token.as_bytes(), &keys, &policy(Algorithm::ES256), NOW).err();
            // The policy fits no key, which is not the token's fault.
            assert_eq!(other, Some(Reason::KeyUnsupported), "{name}");
        }
        assert_eq!(refusal(&token, &keys(p256().public_pem)), Some(Reason::AlgorithmNotAllowed), "{name}");
    }
    assert_eq!(refusal(&signed("Ed448"), &keys(key.public_pem)), Some(Reason::AlgorithmNotAllowed));
}

/// What writers of JWKs do beyond the RFC, and what it allows.
#[test]
fn a_jwk_is_read_as_its_writer_meant_it() {
    let rsa = signer().jwk(json!({}));
    let n = rsa["n"].as_str().expect("a number");
    let secret = STANDARD.encode([251; 33]);
    assert!(secret.contains('+') || secret.contains('/'));
    let certificate = fs::read("tests/data/certificate_ec.pem").expect("a certificate");
    let x5c = STANDARD.encode(pem::parse(certificate).expect("PEM").contents());
    let point = p256().point;
    for (what, jwk, algorithm) in [
        ("padded", merged(rsa.clone(), json!({ "n": format!("{n}==") })), "RS256"),
        ("standard base64", json!({ "kty": "oct", "k": secret }), "HS256"),
        ("null", merged(rsa.clone(), json!({ "use": null, "alg": null, "key_ops": null })), "RS256"),
        ("verify", ec_jwk("P-256", &point, json!({ "key_ops": ["verify"] })), "ES256"),
        ("x5c alone", json!({ "kty": "EC", "crv": "P-256", "x5c": [x5c.clone()] }), "ES256"),
    ] {
        assert!(algorithms(&keys(jwk.to_string())).contains(&algorithm), "{what}");
    }
    let other = json!({ "kty": "OKP", "crv": "Ed25519", "x5c": [x5c] });
    assert_eq!(key_refusal(other.to_string()).1, "is a JWK whose x5c holds a key of another kind");
    let marked = format!("\u{feff}{rsa}");
    assert!(algorithms(&keys(marked)).contains(&"RS256"));
}

#[test]
fn key_ops_decide_as_use_does() {
    for operations in [json!(["encrypt"]), json!([]), json!("verify"), json!(["sign"])] {
        let jwk = signer().jwk(json!({ "key_ops": operations }));
        let refused = (Reason::KeyUnsupported, "is a JWK whose key_ops do not name verify".to_owned());
        assert_eq!(key_refusal(jwk.to_string()), refused, "{operations}");
    }
    let ring = |operations: Value| {
        let jwk = merged(oct_jwk(&[7; 32]), json!({ "key_ops": operations })).to_string();
        let keyring = Keyring::from_texts(&[(Form::Key, jwk.as_bytes())]).unwrap_or_else(|error| panic!("{error}"));
        let current = keyring.current();
        (current.verifying.keys().len(), current.signing.is_some())
    };
    assert_eq!(ring(json!(["verify"])), (1, false));
    assert_eq!(ring(json!(["sign"])), (1, true));
    assert_eq!(ring(json!(["sign", "verify"])), (1, true));
}

#[test]
fn every_key_of_a_pem_file_counts_but_those_of_its_authorities() {
    let (old, new) = (signer(), stranger());
    let both = keys([&*old.public_pem, &new.public_pem].concat());
    for key in [old, new] {
        assert_eq!(refusal(&key.token("RS256", &claims()), &both), None);
    }
    // The same key twice is one.
    assert_eq!(keys([&*old.public_pem, &old.public_pkcs1_pem, &old.public_pem].concat()).keys().len(), 1);
    let directory = tempfile::tempdir().expect("a directory");
    let script = "echo basicConstraints=CA:TRUE > v3; echo basicConstraints=CA:FALSE > end
        for n in root intermediate leaf other; do openssl ecparam -name prime256v1 -genkey -noout -out $n.key; done
        openssl req -x509 -key root.key -subj /CN=root -out root.pem 2>/dev/null
        openssl req -x509 -key other.key -subj /CN=root -out other.pem 2>/dev/null
        openssl req -new -key intermediate.key -subj /CN=intermediate | openssl x509 -req -extfile v3 -CA root.pem -CAkey root.key -out intermediate.pem
        openssl req -new -key leaf.key -subj /CN=leaf | openssl x509 -req -extfile end -CA intermediate.pem -CAkey intermediate.key -out leaf.pem
        openssl req -new -key leaf.key -subj /CN=root | openssl x509 -req -extfile end -CA root.pem -CAkey root.key -out same.pem
        openssl req -new -key other.key -subj /CN=next | openssl x509 -req -extfile end -CA leaf.pem -CAkey leaf.key -out next.pem
        openssl req -new -key other.key -subj /CN=old | openssl x509 -req -signkey other.key -out old.pem";
    let made = Command::new("sh").args(["-ec", script]).current_dir(&directory).output().expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = |names: &[&str]| {
        let read = |name: &&str| fs::read(directory.path().join(format!("{name}.pem"))).expect("a certificate");
        names.iter().flat_map(read).collect::<Vec<u8>>()
    };
    let certificates = |names: &[&str]| keys(text(names)).keys().len();
    assert_eq!(certificates(&["leaf", "intermediate", "root"]), 1);
    assert_eq!(certificates(&["root"]), 1);
    // Without the intermediate, and with the authority's own name.
    assert_eq!(certificates(&["leaf", "root"]), 1);
    assert_eq!(certificates(&["root", "same"]), 1);
    assert_eq!(certificates(&["intermediate", "root"]), 1);
    // The old key signed the new one's certificate, and is no authority.
    assert_eq!(certificates(&["leaf", "next"]), 2);
    let now = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs().cast_signed());
    let set = keys(text(&["leaf", "intermediate", "root"]));
    let left_out = [2, 3].map(|n| format!("certificate {n} is left out: its key is that of an authority"));
    assert_eq!(set.notes(now), left_out);
    // The certificate is valid for 30 days from now on.
    for (time, fault) in [(0, "is not valid before 20"), (now + 60 * 86_400, "expired on 20")] {
        let notes = set.notes(time);
        assert_eq!((notes.len(), &notes[..2]), (3, &left_out[..]));
        assert!(notes[2].starts_with(&format!("the certificate of key 1 {fault}")), "{}", notes[2]);
        assert!(notes[2].ends_with("; tokens are still verified with it"), "{}", notes[2]);
    }
    // Two self-signed certificates with one name, during a rotation.
    assert_eq!(certificates(&["root", "other"]), 2);
    // Of version 1: its issuer cannot be read.
    assert!(key_refusal(text(&["leaf", "old"])).1.starts_with("holds several certificates, and one whose issuer"));
}

#[test]
fn a_pem_file_that_is_cut_off_is_refused() {
    let (old, new) = (&*signer().public_pem, &*stranger().public_pem);
    let end = new.rfind("-----END").expect("an end");
    let message = "holds a PEM block that is cut off or malformed";
    for text in [
        [old, &new[..end]].concat(),
        [old, &new[..end / 2]].concat(),
        [old, &new[..new.len() - 3]].concat(),
        [old, "-----BEGIN "].concat(),
        // Six dashes.
        ["-", new, old].concat(),
        [old, "# -", new].concat(),
    ] {
        assert_eq!(key_refusal(text.clone()).1, message, "{text}");
    }
    assert_eq!(keys([old.trim_end(), new.trim_end()].concat()).keys().len(), 2);
    assert_eq!(keys(["# old\n", old, "\n# new -----\n", new, "# END -----"].concat()).keys().len(), 2);
}

#[test]
fn keys_without_an_id_are_tried_beside_those_with_one() {
    let mixed = jwks(&[signer().jwk(json!({ "kid": "a" })), stranger().jwk(json!({}))]);
    assert_eq!(refusal(&with_kid("a", signer()), &mixed), None);
    assert_eq!(refusal(&with_kid("b", stranger()), &mixed), None);
    assert_eq!(refusal(&with_kid("a", stranger()), &mixed), None);
    // A newer set may have it.
    assert_eq!(refusal(&with_kid("b", signer()), &mixed), Some(Reason::KeyNotFound));
    assert_eq!(refusal(&with_kid("a", &RsaKey::generate(2048)), &mixed), Some(Reason::SignatureInvalid));
}

#[test]
fn a_key_that_is_refused_or_skipped_is_told_why() {
    let rsa = signer().jwk(json!({ "kid": "good" }));
    let lacking = json!({ "kty": "RSA", "kid": "d only", "n": rsa["n"], "e": "AQAB", "d": "AQAB" });
    let set = |key: Value| json!({ "keys": [rsa, key] }).to_string();
    let notes = |text: &str| {
        Keyring::from_texts(&[(Form::Key, text.as_bytes())])
            .unwrap_or_else(|error| panic!("{error}"))
            .current()
            .verifying
            .notes(0)
    };
    for (key, expected) in [
        (
            lacking,
            r#"key 2 (kid "d only") of the set is skipped: it is a private RSA JWK that lacks p, q, dp, dq or qi"#,
        ),
        (json!({ "kty": "new" }), "key 2 of the set is skipped: it is a JWK of an unknown kind"),
        (json!(7), "key 2 of the set is skipped: it is a JWK of an unknown kind"),
        (
            json!({ "kty": "oct", "k": "AQAB" }),
            "key 2 of the set is skipped: it is an HMAC secret of fewer than 32 bytes",
        ),
        (
            json!({ "kty": "RSA", "kid": "a\nb", "use": "enc" }),
            r#"key 2 (kid "a\nb") of the set is skipped: it is a JWK whose use is not sig"#,
        ),
    ] {
        assert_eq!(notes(&set(key)), [expected]);
    }
    let only = json!({ "keys": [{ "kty": "new" }] }).to_string();
    assert_eq!(
        key_refusal(only).1,
        "holds no key that can verify a signature: key 1 of the set is skipped: it is a JWK of an unknown kind"
    );
    let twice = format!(r#"{{"keys":[{rsa},{{"kty":"RSA","kty":"EC"}}]}}"#);
    assert!(key_refusal(twice).1.contains("an object names a member twice"));
    let pss = "openssl genpkey -algorithm rsa-pss 2>/dev/null | openssl pkey -pubout";
    let pss = Command::new("sh").args(["-ec", pss]).output().expect("a shell").stdout;
    assert!(key_refusal(pss).1.starts_with("is a key for RSA-PSS alone"));
    assert!(key_refusal(pem::parse(&signer().public_pem).expect("PEM").contents()).1.starts_with("is DER;"));
    assert!(key_refusal("ssh-ed25519 AAAA me").1.starts_with("is an OpenSSH key;"));
}

#[test]
fn what_is_odd_about_a_secret_is_said() {
    let notes = |text: &[u8]| {
        let keyring = Keyring::from_texts(&[(Form::Secrets, text)]).unwrap_or_else(|error| panic!("{error}"));
        keyring.current().verifying.notes(0)
    };
    let secret = "a secret of at least 32 bytes, and some";
    assert!(notes(format!("{secret}\n{secret}2\r\n").as_bytes()).is_empty());
    let marked = notes(format!("\u{feff}{secret}\n").as_bytes());
    assert_eq!(marked, ["the secret on line 1 begins with a byte order mark, which is part of it"]);
    let blank = notes(format!("{secret}\n{secret} \n").as_bytes());
    assert_eq!(blank, ["the secret on line 2 begins or ends with a blank, which is part of it"]);
    let binary =
        Keyring::from_texts(&[(Form::Secrets, b"0123456789abcde\n0123456789abcdef")]).err().expect("too short");
    assert!(binary.message.contains("on line 1; a secret is one line"), "{}", binary.message);
}
