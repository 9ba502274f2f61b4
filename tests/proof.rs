//! DPoP proofs (src/bound): the published examples, and every way in which a proof must be refused. The proofs are
//! signed by jsonwebtoken and the `rsa` crate, which share no code with the library's verification.

mod support;

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::sign;
use route_native::bound::{MAX_PROOF_BYTES, NonceSecret, Proof, ProofPolicy, Request, bind, check};
use route_native::error::Reason;
use route_native::json::parse_object;
use route_native::keys::thumbprint;
use serde_json::{Value, json};
use support::{CurveKey, NOW, ed25519, merged, p256, p384, raw_token, signer};

/// RFC 9449 §4.1 (figure 2) and §7.1 (figure 13): one proof for a token endpoint, one for a resource.
const FIGURE_2: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
const FIGURE_13: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
/// The token of figure 13, and the thumbprint of the key (figure 8).
const PUBLISHED_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const PUBLISHED_KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

const TOKEN: &str = "a.b.c";
const TARGET: &str = "/api?x=1";

fn policy(more: Value) -> ProofPolicy {
    let settings = merged(json!({ "origins": ["https://api.example"] }), more);
    ProofPolicy::from_json(settings.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn request() -> Request<'static> {
    Request { method: b"GET", target: TARGET.as_bytes(), token: Some(TOKEN.as_bytes()), key: None }
}

fn public_jwk(key: &CurveKey) -> Value {
    let (encode, point) = (|bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes), &key.point);
    match point.len() {
        32 => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(point) }),
        65 => json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) }),
        _ => json!({ "kty": "EC", "crv": "P-384", "x": encode(&point[1..49]), "y": encode(&point[49..]) }),
    }
}

fn header(algorithm: &str, jwk: Value) -> Value {
    json!({ "typ": "dpop+jwt", "alg": algorithm, "jwk": jwk })
}

fn claims() -> Value {
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, TOKEN.as_bytes()));
    json!({ "jti": "one", "htm": "GET", "htu": "https://api.example/api", "iat": NOW, "ath": hash })
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

fn signed(key: &CurveKey, algorithm: &str, header: &Value, claims: &Value) -> String {
    let name = serde_json::from_value(json!(algorithm)).unwrap();
    raw_token(&header.to_string(), &claims.to_string(), |message| {
        URL_SAFE_NO_PAD.decode(sign(message, &key.encoding, name).unwrap()).unwrap()
    })
}

/// Returns a proof by a P-256 key.
fn proof(key: &CurveKey, claims: &Value) -> String {
    signed(key, "ES256", &header("ES256", public_jwk(key)), claims)
}

fn verdict(proof: &str, request: &Request, policy: &ProofPolicy) -> Result<Proof, Reason> {
    check(proof.as_bytes(), request, policy, None, NOW)
}

fn refusal(proof: &str) -> Option<Reason> {
    verdict(proof, &request(), &policy(json!({}))).err()
}

#[test]
fn the_published_proofs_are_valid_for_their_requests_and_for_no_others() {
    let bare = ProofPolicy { origins: Vec::new(), ..policy(json!({})) };
    let of = |origin: &str| ProofPolicy { origins: policy(json!({ "origins": origin })).origins, ..bare.clone() };
    let server = of("https://server.example.com");
    let at_server = Request { method: b"POST", target: b"/token", token: None, key: None };
    let found = check(FIGURE_2.as_bytes(), &at_server, &server, None, 1_562_262_616).unwrap();
    assert_eq!(std::str::from_utf8(&found.thumbprint), Ok(PUBLISHED_KEY));

    let resource = of("https://resource.example.org");
    let at_resource = Request {
        method: b"GET",
        target: b"/protectedresource",
        token: Some(PUBLISHED_TOKEN.as_bytes()),
        key: Some(PUBLISHED_KEY.as_bytes()),
    };
    let at = |request: &Request, now| check(FIGURE_13.as_bytes(), request, &resource, None, now);
    assert!(at(&at_resource, 1_562_262_618).is_ok());
    assert_eq!(at(&at_resource, 1_562_262_618 + 66), Err(Reason::ProofExpired));
    assert_eq!(at(&at_server, 1_562_262_618), Err(Reason::ProofRequestMismatch));
    let other = Request { token: Some(b"other"), ..at_resource };
    assert_eq!(at(&other, 1_562_262_618), Err(Reason::ProofTokenMismatch));
    let other = Request { key: Some(&[b'A'; 43]), ..at_resource };
    assert_eq!(at(&other, 1_562_262_618), Err(Reason::HolderKeyMismatch));
}

/// RFC 7638 §3.1.
#[test]
fn the_published_key_has_the_published_thumbprint() {
    let jwk = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    let found = thumbprint(&parse_object(jwk.as_bytes()).unwrap()).unwrap();
    assert_eq!(std::str::from_utf8(&found), Ok("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
}

#[test]
fn proofs_of_every_kind_of_key_are_valid() {
    for (algorithm, key) in [("ES256", p256()), ("ES384", p384()), ("EdDSA", ed25519())] {
        let proof = signed(&key, algorithm, &header(algorithm, public_jwk(&key)), &claims());
        assert_eq!(refusal(&proof), None, "{algorithm}");
    }
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let header = header(algorithm, signer().jwk(json!({ "kid": "any", "use": "sig" })));
        let proof = raw_token(&header.to_string(), &claims().to_string(), |text| signer().sign(algorithm, text));
        assert_eq!(refusal(&proof), None, "{algorithm}");
    }
}

#[test]
fn a_header_that_is_not_that_of_a_proof_is_refused() {
    let (key, other) = (p256(), p256());
    let jwk = public_jwk(&key);
    let of = |header: Value| refusal(&signed(&key, "ES256", &header, &claims()));
    let good = header("ES256", jwk.clone());
    assert_eq!(of(good.clone()), None);
    assert_eq!(of(merged(good.clone(), json!({ "kid": "unknown", "jku": "https://evil.example" }))), None);
    for typ in [json!("JWT"), json!("dpop"), json!("at+jwt"), json!(null), json!(["dpop+jwt"])] {
        assert_eq!(of(merged(good.clone(), json!({ "typ": typ }))), Some(Reason::ProofMalformed), "{typ}");
    }
    assert_eq!(of(without(good.clone(), "typ")), Some(Reason::ProofMalformed));
    assert_eq!(of(merged(good.clone(), json!({ "crit": ["exp"] }))), Some(Reason::ProofMalformed));
    assert_eq!(of(without(good.clone(), "jwk")), Some(Reason::ProofKeyRefused));
    for bad in [
        json!(null),
        json!("key"),
        json!([]),
        json!({}),
        json!({ "kty": "oct", "k": "AAAA" }),
        merged(jwk.clone(), json!({ "d": "AAAA" })),
        merged(jwk.clone(), json!({ "d": null })),
        merged(jwk.clone(), json!({ "k": "AAAA" })),
        merged(jwk.clone(), json!({ "use": "enc" })),
        merged(jwk.clone(), json!({ "alg": "ES384" })),
        merged(jwk.clone(), json!({ "crv": "P-384" })),
        merged(jwk.clone(), json!({ "x": "AAAA" })),
        without(jwk.clone(), "y"),
        json!({ "kty": "EC", "x5c": ["MIIB"] }),
    ] {
        assert_eq!(of(merged(good.clone(), json!({ "jwk": bad }))), Some(Reason::ProofKeyRefused), "{bad}");
    }
    for algorithm in ["none", "HS256", "ES256K", "RS256", "ES384", "EdDSA", "x"] {
        let refused = of(merged(good.clone(), json!({ "alg": algorithm })));
        assert_eq!(refused, Some(Reason::ProofKeyRefused), "{algorithm}");
    }
    assert_eq!(of(header("ES256", public_jwk(&other))), Some(Reason::ProofSignatureInvalid));
    let refused = verdict(&proof(&key, &claims()), &request(), &policy(json!({ "algorithms": ["PS256", "EdDSA"] })));
    assert_eq!(refused, Err(Reason::ProofKeyRefused));
}

#[test]
fn a_text_that_is_no_token_is_refused() {
    let good = proof(&p256(), &claims());
    let long = format!("{good}{}", "A".repeat(MAX_PROOF_BYTES));
    for bad in ["a", "..", "a.b.c.d", &good[1..], &format!("{good}="), &format!("{good},{good}"), &long] {
        assert_eq!(refusal(bad), Some(Reason::ProofMalformed), "{bad:.100}");
    }
    assert_eq!(refusal(""), Some(Reason::ProofMissing));
    let mut touched = good.into_bytes();
    let last = touched.len() - 3;
    touched[last] = if touched[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(refusal(std::str::from_utf8(&touched).unwrap()), Some(Reason::ProofSignatureInvalid));
}

#[test]
fn each_claim_is_needed_and_has_its_type() {
    let key = p256();
    let of = |claims: &Value| refusal(&proof(&key, claims));
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        assert_eq!(of(&without(claims(), name)), Some(Reason::ProofMalformed), "{name}");
        for bad in [json!(null), json!(""), json!(["GET"]), json!({}), json!(true)] {
            let claims = merged(claims(), json!({ name: bad }));
            assert_eq!(of(&claims), Some(Reason::ProofMalformed), "{name} {bad}");
        }
    }
    for (name, bad, reason) in [
        ("jti", json!(7), Reason::ProofMalformed),
        ("jti", json!("a".repeat(257)), Reason::ProofMalformed),
        ("htm", json!("get"), Reason::ProofRequestMismatch),
        ("htm", json!("POST"), Reason::ProofRequestMismatch),
        ("htu", json!("http://api.example/api"), Reason::ProofRequestMismatch),
        ("htu", json!("https://api.example/api/"), Reason::ProofRequestMismatch),
        ("htu", json!("/api"), Reason::ProofRequestMismatch),
        ("ath", json!("a".repeat(43)), Reason::ProofTokenMismatch),
        ("exp", json!(NOW - 6), Reason::ProofExpired),
        ("nbf", json!(NOW + 6), Reason::ProofExpired),
        ("exp", json!("never"), Reason::ProofMalformed),
    ] {
        assert_eq!(of(&merged(claims(), json!({ name: bad }))), Some(reason), "{name} {bad}");
    }
    assert_eq!(of(&merged(claims(), json!({ "htu": "HTTPS://API.example:443/%61pi?y#z" }))), None);
    let twice = r#"{"jti":"a","jti":"b"}"#;
    let two = raw_token(&header("ES256", public_jwk(&key)).to_string(), twice, |message| {
        let algorithm = jsonwebtoken::Algorithm::ES256;
        URL_SAFE_NO_PAD.decode(sign(message, &key.encoding, algorithm).unwrap()).unwrap()
    });
    assert_eq!(refusal(&two), Some(Reason::ProofMalformed));
}

#[test]
fn a_proof_is_valid_for_its_time_to_the_second() {
    let key = p256();
    let of = |iat: Value, more: Value| {
        let claims = merged(claims(), json!({ "iat": iat }));
        verdict(&proof(&key, &claims), &request(), &policy(more))
    };
    for (iat, valid) in [
        (json!(NOW + 5), true),
        (json!(NOW + 6), false),
        (json!(NOW - 65), true),
        (json!(NOW - 66), false),
        (json!(NOW as f64 - 64.5), true),
        (json!(0), false),
    ] {
        assert_eq!(of(iat.clone(), json!({})).is_ok(), valid, "{iat}");
    }
    assert!(of(json!(NOW - 11), json!({ "max_age": 10, "leeway": 0 })).is_err());
    assert_eq!(of(json!(NOW), json!({ "max_age": 10, "leeway": 0 })).unwrap().ends_at, NOW + 11);
    for bad in [json!(-1), json!("now"), json!(1e300)] {
        assert_eq!(of(bad.clone(), json!({})), Err(Reason::ProofMalformed), "{bad}");
    }
}

#[test]
fn the_identity_of_a_proof_is_its_key_and_its_jti() {
    let (key, other) = (p256(), p256());
    let id = |key: &CurveKey, jti: &str| {
        let claims = merged(claims(), json!({ "jti": jti }));
        verdict(&proof(key, &claims), &request(), &policy(json!({}))).unwrap().id
    };
    // ECDSA signatures are random: the same proof again has another text.
    assert_eq!(id(&key, "one"), id(&key, "one"));
    let all = BTreeSet::from([id(&key, "one"), id(&key, "two"), id(&other, "one")]);
    assert_eq!(all.len(), 3);
}

#[test]
fn a_policy_with_nonces_needs_a_current_one() {
    let key = p256();
    let (policy, secret) = (policy(json!({ "nonce_seconds": 100 })), NonceSecret::new(&[7; 32]).unwrap());
    let of = |nonce: Value| {
        let proof = proof(&key, &merged(claims(), json!({ "nonce": nonce })));
        check(proof.as_bytes(), &request(), &policy, Some(&secret), NOW)
    };
    let at = |now| json!(String::from_utf8(secret.current(now, 100).to_vec()).unwrap());
    assert_eq!(of(at(NOW)).map(|proof| proof.needs_nonce), Ok(false));
    assert_eq!(of(at(NOW - 100)).map(|proof| proof.needs_nonce), Ok(true));
    for old in [at(NOW - 200), at(NOW + 100), json!("x"), json!("")] {
        assert_eq!(of(old.clone()), Err(Reason::ProofNonceInvalid), "{old}");
    }
    assert_eq!(of(json!(7)), Err(Reason::ProofMalformed));
    let bare = proof(&key, &claims());
    assert_eq!(check(bare.as_bytes(), &request(), &policy, Some(&secret), NOW), Err(Reason::ProofNonceInvalid));
    assert_eq!(check(bare.as_bytes(), &request(), &policy, None, NOW), Err(Reason::InvalidArgument));
}

#[test]
fn a_mistake_in_a_policy_is_one_sentence() {
    for (settings, part) in [
        (json!({}), "origins"),
        (json!({ "origins": [] }), "origins"),
        (json!({ "origins": "https://a/b" }), "without a path"),
        (json!({ "origins": "https://a", "algorithms": ["HS256"] }), "cannot use HS256"),
        (json!({ "origins": "https://a", "algorithms": ["none"] }), "is no algorithm"),
        (json!({ "origins": "https://a", "max_age": 0 }), "max_age"),
        (json!({ "origins": "https://a", "maxage": 1 }), "maxage"),
    ] {
        let error = ProofPolicy::from_json(settings.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.reason, Reason::SettingInvalid);
        assert!(error.message.contains(part), "{settings}: {error}");
    }
    let names = policy(json!({})).algorithm_names();
    assert_eq!(names, "ES256 EdDSA PS256 ES384 ES512 PS384 PS512 RS256 RS384 RS512");
}

#[test]
fn claims_are_bound_to_one_key_and_keep_their_digits() {
    let of = |claims: &str| bind(claims.as_bytes(), PUBLISHED_KEY).map(|text| String::from_utf8(text).unwrap());
    let bound: Value = serde_json::from_str(&of(r#"{"id":9007199254740993}"#).unwrap()).unwrap();
    assert_eq!(bound, json!({ "id": 9_007_199_254_740_993_u64, "cnf": { "jkt": PUBLISHED_KEY } }));
    for bad in [r#"{"cnf":{}}"#, r#"{"cnf":null}"#, r#"{"id":36893488147419103233}"#, "[]", "", r#"{"a":1,"a":2}"#] {
        assert_eq!(of(bad), Err(Reason::ClaimMalformed), "{bad}");
    }
}
