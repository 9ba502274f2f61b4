//! Key files: JWKs, JWK Sets and PEM (src/keys).

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use route_native::error::{ConfigError, Reason};
use route_native::jwt::{Policy, SignOptions, sign, verify};
use route_native::keys::{Form, Key, KeySet, Keyring, SigningKey};
use serde_json::{Value, json};

use super::{Input, NOW, edited, material};

/// The shared secret of the pool.
pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A key pair, or the secret, in the texts of key files.
pub struct Member {
    pub jwk: Value,
    pub signer: SigningKey,
    /// Blocks of PEM: the public key, a certificate of it, the private key.
    blocks: Vec<String>,
}

/// The keys that the checks use: two of one curve, and the secret at the end.
pub static POOL: LazyLock<Vec<Member>> = LazyLock::new(|| {
    let pairs = ["P-256", "P-256", "Ed25519", "RSA-2048", "P-521"].into_iter().map(|kind| {
        let pair = material::pair(kind);
        let block = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
        let private = block("PRIVATE KEY", &pair.pkcs8);
        Member {
            signer: SigningKey::from_pem(private.as_bytes()).expect("a key").expect("a private key"),
            blocks: vec![
                block("PUBLIC KEY", &pair.spki),
                block("CERTIFICATE", &material::certificate(&pair.spki)),
                private,
            ],
            jwk: pair.jwk,
        }
    });
    let secret = Member {
        jwk: json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET) }),
        signer: SigningKey::from_secret(SECRET).expect("a key"),
        blocks: Vec::new(),
    };
    pairs.chain([secret]).collect()
});

/// Reads a text in every form. Checks that a text with a public key is no secret, and that no error quotes a key.
fn check_text(text: &[u8]) {
    let forms = [Form::Key, Form::Published, Form::Secret, Form::ShortSecret, Form::Secrets];
    let errors = forms.map(|form| Keyring::from_texts(&[(form, text)]).err());
    let [_, published, secret, short, secrets] = &errors;
    let set = KeySet::parse(text);
    let is_public = set.as_ref().is_ok_and(|set| {
        set.keys().iter().flat_map(Key::algorithms).any(|algorithm| !algorithm.name().starts_with("HS"))
    });
    if is_public || published.is_none() {
        for refused in [secret, short, secrets] {
            let reason = refused.as_ref().map(|error| error.reason);
            let shown = String::from_utf8_lossy(text);
            assert_eq!(reason, Some(Reason::KeyUnsupported), "a text with a public key is an HMAC secret: {shown}");
        }
    }
    let notes = set.as_ref().map(|set| set.notes(0)).unwrap_or_default();
    let sentences = errors.iter().flatten().map(|error: &ConfigError| error.message.as_str());
    for sentence in
        sentences.chain(notes.iter().map(String::as_str)).chain(set.as_ref().err().map(|e| e.message.as_str()))
    {
        check_sentence(sentence);
    }
}

/// Checks that a sentence quotes no part of a key of the pool, apart from a `kid`, which is public.
fn check_sentence(sentence: &str) {
    let rest = match (sentence.find("(kid \""), sentence.rfind("\") of the set")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &sentence[..from], &sentence[to..]),
        _ => sentence.to_owned(),
    };
    for member in POOL.iter() {
        let values = member.jwk.as_object().expect("an object").values().filter_map(Value::as_str);
        let lines = member.blocks.iter().flat_map(|block| block.lines());
        for quoted in values.chain(lines).filter(|text| text.len() >= 32) {
            assert!(!rest.contains(&quoted[..16]), "an error quotes a key: {sentence}");
        }
    }
}

/// Checks JWKs and JWK Sets: any text, changed ones, and sets in two orders.
pub fn jwk(input: &[u8]) {
    let mut input = Input(input);
    match input.below(3) {
        0 => check_text(input.rest()),
        1 => {
            let members: Vec<_> = (0..input.below(3) + 1).map(|_| member(&mut input).1).collect();
            let text = match (&members[..], input.byte() & 1) {
                ([one], 1) => one.to_string(),
                _ => json!({ "keys": members }).to_string(),
            };
            check_text(&edited(text.as_bytes(), &mut input));
        }
        _ => check_order(&mut input),
    }
}

/// Returns a key's place in the pool and its JWK, with members that select or exclude it.
fn member(input: &mut Input) -> (usize, Value) {
    const MORE: &[&str] = &[
        r#"{}"#,
        r#"{"kid":"a"}"#,
        r#"{"kid":"b"}"#,
        r#"{"kid":7}"#,
        r#"{"kid":""}"#,
        r#"{"kid":"a","alg":"ES256"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"use":"enc"}"#,
        r#"{"key_ops":["verify"]}"#,
        r#"{"key_ops":["encrypt"],"kid":"a"}"#,
        r#"{"kty":"unknown","kid":"b"}"#,
        r#"{"alg":null,"use":null}"#,
        r#"{"alg":"RS256","kid":"b"}"#,
        r#"{"x":"AAAA"}"#,
    ];
    let place = input.below(POOL.len());
    let mut jwk = POOL[place].jwk.clone();
    let more: Value = serde_json::from_str(input.pick::<&str>(MORE)).expect("JSON");
    jwk.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    (place, jwk)
}

/// Checks that a verdict depends neither on the order of keys nor on a key that is there twice.
fn check_order(input: &mut Input) {
    let mut members: Vec<_> = (0..input.below(4) + 1).map(|_| member(input)).collect();
    let token = token(input, &members.iter().map(|(place, _)| *place).collect::<Vec<_>>());
    let verdicts = |members: &[(usize, Value)]| {
        let jwks: Vec<_> = members.iter().map(|(_, jwk)| jwk.clone()).collect();
        let set = verdict(&json!({ "keys": jwks }).to_string(), &token);
        let texts: Vec<_> = jwks.iter().map(Value::to_string).collect();
        let texts: Vec<_> = texts.iter().map(|text| (Form::Key, text.as_bytes())).collect();
        let ring = Keyring::from_texts(&texts).ok().map(|ring| {
            let current = ring.current();
            verify(token.as_bytes(), &current.verifying, &policy(), NOW).map(|claims| claims.json)
        });
        (set, ring)
    };
    let first = verdicts(&members);
    let turn = input.below(members.len());
    members.rotate_left(turn);
    assert_eq!(first, verdicts(&members), "the verdict depends on the order");
    members.reverse();
    assert_eq!(first, verdicts(&members), "the verdict depends on the order");
    members.push(members[turn].clone());
    assert_eq!(first, verdicts(&members), "the verdict depends on a key that is there twice");
}

fn policy() -> Policy {
    Policy { require_exp: false, ..Policy::default() }
}

/// Returns what a text of keys says of a token, or `None` if it is refused. Which of several faults is named first does
/// not matter.
fn verdict(text: &str, token: &str) -> Option<Result<Vec<u8>, Reason>> {
    let set = KeySet::parse(text.as_bytes()).ok()?;
    Some(verify(token.as_bytes(), &set, &policy(), NOW).map(|claims| claims.json))
}

/// Signs a token, mostly with a key of those places.
fn token(input: &mut Input, places: &[usize]) -> String {
    const KIDS: &[Option<&str>] = &[None, Some("a"), Some("b"), Some("7"), Some("c")];
    let signer = match (input.below(8), places) {
        (0, _) | (_, []) => &POOL[input.below(POOL.len())].signer,
        _ => &POOL[places[input.below(places.len())]].signer,
    };
    let options = SignOptions { key_id: input.pick(KIDS).map(str::to_owned), ..SignOptions::default() };
    sign(br#"{"sub":"ada"}"#, signer, &options, NOW).expect("a token")
}

/// Checks PEM: any text, changed ones, and blocks in two orders.
pub fn pem(input: &[u8]) {
    let mut input = Input(input);
    let kind = input.below(3);
    if kind == 0 {
        return check_text(input.rest());
    }
    let blocks: Vec<_> = (0..input.below(4) + 1)
        .map(|_| {
            let place = input.below(POOL.len() - 1);
            // Mostly public ones, because a private key ends the rest of the check.
            let block = [0, 0, 1, 0, 1, 2][input.below(6)];
            (place, POOL[place].blocks[block].as_str())
        })
        .collect();
    let text = |blocks: &[(usize, &str)]| blocks.iter().map(|(_, block)| *block).collect::<String>();
    if kind == 1 {
        return check_text(&edited(text(&blocks).as_bytes(), &mut input));
    }
    let token = token(&mut input, &blocks.iter().map(|(place, _)| *place).collect::<Vec<_>>());
    let mut turned = blocks.clone();
    turned.reverse();
    let first = verdict(&text(&blocks), &token);
    assert_eq!(first, verdict(&text(&turned), &token), "the verdict depends on the order");
    turned.push(turned[0]);
    // A certificate beside its copy is not alone any more.
    if !turned[0].1.contains("CERTIFICATE") {
        assert_eq!(first, verdict(&text(&turned), &token), "the verdict depends on a key that is there twice");
    }
}
