//! DPoP proofs, the URIs in them, and client certificates: src/bound.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use route_native::bound::{Origin, ProofPolicy, Request, check, of_header, of_pem};
use route_native::jwt::sign_parts;
use serde_json::{Value, json};

use super::{Input, NOW, edited, keys};

const TARGET: &[u8] = b"/api/a";
const ORIGIN: &str = "https://api.example";

struct Proofs {
    policy: ProofPolicy,
    /// Every genuine proof, by P-256 and by Ed25519.
    genuine: Vec<String>,
}

static PROOFS: LazyLock<Proofs> = LazyLock::new(|| {
    let policy = ProofPolicy::from_json(json!({ "origins": ORIGIN }).to_string().as_bytes()).expect("a policy");
    let genuine = [0, 2].map(|place| {
        let member = &keys::POOL[place];
        let mut jwk = member.jwk.clone();
        let names = ["kty", "crv", "x", "y"];
        jwk.as_object_mut().expect("a JWK").retain(|name, _| names.contains(&name.as_str()));
        let algorithm = member.signer.algorithms()[0].name();
        let header = json!({ "typ": "dpop+jwt", "alg": algorithm, "jwk": jwk });
        let claims = json!({ "jti": "a", "htm": "GET", "htu": "https://api.example/api/a", "iat": NOW });
        sign_parts(header.to_string().as_bytes(), claims.to_string().as_bytes(), &member.signer).expect("a proof")
    });
    Proofs { policy, genuine: genuine.to_vec() }
});

/// Checks that only a genuine proof is valid, that a proof's own key says nothing about a token, that equal URIs are
/// equal from both sides, and that a text has at most one certificate.
pub fn proofs(input: &[u8]) {
    let mut input = Input(input);
    match input.below(4) {
        0 => {
            let genuine = &PROOFS.genuine[input.below(PROOFS.genuine.len())];
            check_text(&edited(genuine.as_bytes(), &mut input));
        }
        1 => check_header(&mut input),
        2 => check_uris(&mut input),
        _ => check_certificate(input.rest()),
    }
}

fn request() -> Request<'static> {
    Request { method: b"GET", target: TARGET, token: None, key: None }
}

fn check_text(proof: &[u8]) {
    if check(proof, &request(), &PROOFS.policy, None, NOW).is_ok() {
        let signed = |text: &[u8]| text.iter().rposition(|byte| *byte == b'.').map(|at| text[..at].to_vec());
        assert!(PROOFS.genuine.iter().any(|genuine| signed(genuine.as_bytes()) == signed(proof)), "a forged proof");
        let bound = Request { key: Some(&[b'A'; 43]), ..request() };
        assert!(check(proof, &bound, &PROOFS.policy, None, NOW).is_err(), "a proof for another key's token");
    }
}

/// Checks a genuine signature under a header with more members, or other ones: only the header of a proof is accepted,
/// and none with a private key.
fn check_header(input: &mut Input) {
    const NAMES: &[&str] = &["typ", "alg", "jwk", "kid", "crit", "b64", "x5c", "jku"];
    const MEMBERS: &[&str] = &["d", "k", "x", "y", "crv", "kty", "use", "alg", "p", "key_ops"];
    const VALUES: &[&str] = &["dpop+jwt", "DPoP+JWT", "ES256", "none", "HS256", "EC", "oct", "P-256", "sig", "enc", ""];
    let member = &keys::POOL[0];
    let mut jwk = member.jwk.clone();
    jwk.as_object_mut().expect("a JWK").remove("d");
    let mut header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    for _ in 0..input.below(4) {
        let value = match input.below(4) {
            0 => Value::Null,
            1 => json!([]),
            2 => json!(input.byte()),
            _ => json!(*input.pick(VALUES)),
        };
        if input.below(2) == 0 {
            header[*input.pick(NAMES)] = value;
        } else if header["jwk"].is_object() {
            header["jwk"][*input.pick(MEMBERS)] = value;
        }
    }
    let claims = json!({ "jti": "a", "htm": "GET", "htu": "https://api.example/api/a", "iat": NOW });
    let text = |value: &Value| value.to_string().into_bytes();
    let Ok(proof) = sign_parts(&text(&header), &text(&claims), &member.signer) else { return };
    if check(proof.as_bytes(), &request(), &PROOFS.policy, None, NOW).is_ok() {
        let typ = header["typ"].as_str().map(str::to_ascii_lowercase);
        assert_eq!(typ.as_deref(), Some("dpop+jwt"));
        assert_eq!(header["alg"], "ES256");
        assert!(["d", "k", "p"].iter().all(|name| header["jwk"].get(name).is_none()), "a private key: {header}");
        assert_eq!(header["jwk"]["x"], member.jwk["x"]);
    }
}

fn check_uris(input: &mut Input) {
    const PIECES: &[&str] = &["/", ".", "..", "%2e", "%2F", "%41", "A", "a", "//", "%", "?", "#", "%7e", "~", ":", "@"];
    let (first, second) = (input.below(12), input.below(12));
    let [one, other] = [first, second].map(|most| [b"/".to_vec(), input.text(PIECES, most)].concat());
    let origin = Origin::parse(ORIGIN).expect("an origin");
    let is = |uri: &[u8], target: &[u8]| origin.is_uri(&[ORIGIN.as_bytes(), uri].concat(), target);
    assert_eq!(is(&one, &other), is(&other, &one), "the order matters");
    if is(&one, &other) {
        assert!(is(&one, &one) && is(&other, &other), "a URI does not equal itself");
        assert!(!origin.is_uri(&[b"https://evil.example", &one[..]].concat(), &other));
        let is_plain = |text: &[u8]| !text.iter().any(|byte| b"%.?#".contains(byte));
        assert!(!(is_plain(&one) && is_plain(&other)) || one == other, "two plain paths are equal");
    }
}

fn check_certificate(text: &[u8]) {
    let header = format!(":{}:", base64::engine::general_purpose::STANDARD.encode(text));
    let found = of_header(header.as_bytes());
    assert_eq!(found.is_ok(), text.first() == Some(&0x30) && header.len() <= 16 * 1024 + 2);
    if let Ok(thumbprint) = found {
        assert_eq!(URL_SAFE_NO_PAD.decode(thumbprint).map(|digest| digest.len()), Ok(32));
    }
    let (_, _) = (of_header(text), of_pem(text));
}
