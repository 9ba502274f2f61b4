//! Compact tokens, and the headers that hold them: src/jwt and src/credential.rs.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use route_native::credential::{bearer, from_headers};
use route_native::json::parse_object;
use route_native::jwt::{Compact, Policy, SignOptions, sign, sign_parts, verify};
use route_native::keys::{KeySet, SigningKey};
use serde_json::{Value, json};

use super::json::{Json, members};
use super::{Input, NOW, edited, keys};

struct Tokens {
    signer: SigningKey,
    /// The keys that verify, in one order and in the other.
    sets: [KeySet; 2],
    /// Every token that is genuine.
    genuine: Vec<String>,
}

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let signer = SigningKey::from_secret(keys::SECRET).expect("a key");
    // The secret, P-256 and Ed25519.
    let members = [keys::POOL.len() - 1, 0, 2].map(|place| &keys::POOL[place]);
    let set = |jwks: Vec<&Value>| KeySet::parse(json!({ "keys": jwks }).to_string().as_bytes()).expect("a set");
    let jwks = || members.iter().map(|member| &member.jwk);
    let options = SignOptions::default();
    let claims = br#"{"sub":"ada","exp":1800000000}"#;
    let by = |member: &keys::Member| sign(claims, &member.signer, &options, NOW).expect("a token");
    let genuine = members.map(by).to_vec();
    Tokens { signer, sets: [set(jwks().collect()), set(jwks().rev().collect())], genuine }
});

/// Checks that no text but a genuine token verifies, that a token has one text, and that claims keep their bytes and
/// their digits.
pub fn tokens(input: &[u8]) {
    let mut input = Input(input);
    match input.below(5) {
        0 => check_text(input.rest()),
        1 => {
            let genuine = &TOKENS.genuine[input.below(TOKENS.genuine.len())];
            check_text(&edited(genuine.as_bytes(), &mut input));
        }
        2 => check_signed(&mut input),
        3 => check_digits(&mut input),
        _ => check_headers(&mut input),
    }
}

fn check_text(token: &[u8]) {
    if let Ok(compact) = Compact::parse(token) {
        let header = URL_SAFE_NO_PAD.encode(&compact.header.json);
        let signature = URL_SAFE_NO_PAD.encode(&compact.signature);
        assert_eq!([compact.signing_input, b".", signature.as_bytes()].concat(), token, "a second text of the token");
        assert!(token.starts_with(header.as_bytes()), "a second text of the header");
    }
    let policy = Policy { require_exp: false, ..Policy::default() };
    let [one, other] = TOKENS.sets.each_ref().map(|keys| verify(token, keys, &policy, NOW));
    assert_eq!(one, other, "the verdict depends on the order of the keys");
    if one.is_ok() {
        let signed = |token: &[u8]| token.iter().rposition(|byte| *byte == b'.').map(|at| token[..at].to_vec());
        let is_genuine = TOKENS.genuine.iter().any(|genuine| signed(genuine.as_bytes()) == signed(token));
        assert!(is_genuine, "a forged token verifies");
    }
}

/// Signs any header and payload, then verifies the token and one with another bit.
fn check_signed(input: &mut Input) {
    const HEADERS: &[&str] = &[
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"a"}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256","kid":7,"typ":null}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
    ];
    let (header, place, bit) = (*input.pick(HEADERS), input.below(1 << 16), input.below(8));
    let payload = input.rest();
    let Ok(token) = sign_parts(header.as_bytes(), payload, &TOKENS.signer) else { return };
    let policy = Policy { require_exp: false, ..Policy::default() };
    let verified = verify(token.as_bytes(), &TOKENS.sets[0], &policy, NOW);
    if let Ok(claims) = &verified {
        assert_eq!(claims.json, payload, "the payload has changed");
        assert_eq!(Some(&claims.members), parse_object(payload).as_ref());
    }
    let mut forged = token.into_bytes();
    let place = place % forged.len();
    forged[place] ^= 1 << bit;
    assert!(verify(&forged, &TOKENS.sets[0], &policy, NOW).is_err(), "a token with another bit verifies");
}

fn check_digits(input: &mut Input) {
    let claims = Json::Object(members(input, 4));
    let text = claims.write(false);
    let signed = sign(text.as_bytes(), &TOKENS.signer, &SignOptions::default(), NOW);
    assert!(signed.is_ok() || !claims.is_short(), "{text} is not signed: {signed:?}");
    let Ok(token) = signed else { return };
    let compact = Compact::parse(token.as_bytes()).expect("a token");
    let payload = compact.unverified_claims().expect("claims").json;
    let payload = String::from_utf8(payload).expect("JSON");
    assert!(claims.is_kept_in(&Json::parse(&payload), false), "{text} became {payload}");
}

/// Checks that the order of a request's headers does not matter, and that equal ones are refused as different ones are.
fn check_headers(input: &mut Input) {
    const NAMES: &[&str] = &["Authorization", "AbcAuthorization", "authorization", "X-Token", "ABCAUTHORIZATION"];
    const PIECES: &[&str] = &["Bearer ", "bearer", " ", "\t", "a.b.c", "Basic ", ",", "=", "T", "AbcAuth"];
    let headers: Vec<(&str, Vec<u8>)> = (0..input.below(4) + 1)
        .map(|_| {
            let (name, length) = (*input.pick(NAMES), input.below(6));
            (name, input.text(PIECES, length))
        })
        .collect();
    let each = || headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
    assert_eq!(from_headers(each()), from_headers(each().rev()), "the verdict depends on the order");
    assert_eq!(bearer(each()), bearer(each().rev()), "the verdict depends on the order");
    if let Ok(token) = bearer(each()) {
        assert!(!token.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b','));
    }
}
