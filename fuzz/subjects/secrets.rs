//! Shared secrets: no text of a public key is one (src/keys/public_material.rs).

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use route_native::error::Reason;
use route_native::keys::{Form, Key, KeySet, Keyring, SigningKey};

use super::Input;
use super::material::{Encoded, KINDS, WRAPPINGS, encodings, is_out_of_scope, pair};

/// The encodings of one key of each kind.
static MATERIAL: [LazyLock<Vec<(String, Encoded)>>; KINDS.len()] = [
    LazyLock::new(|| encodings(&pair(KINDS[0]))),
    LazyLock::new(|| encodings(&pair(KINDS[1]))),
    LazyLock::new(|| encodings(&pair(KINDS[2]))),
    LazyLock::new(|| encodings(&pair(KINDS[3]))),
    LazyLock::new(|| encodings(&pair(KINDS[4]))),
    LazyLock::new(|| encodings(&pair(KINDS[5]))),
    LazyLock::new(|| encodings(&pair(KINDS[6]))),
];

/// What may stand around a key in a file, on lines of its own.
const AROUND: &[&str] = &["# keys of the issuer", "issuer: ada", "-- ", "0123456789", "key =", "x", "\"", "{", "=="];

/// Checks that a key in any encoding, in up to two wrappings and among other lines is refused, and that any text is
/// read without a panic.
pub fn secrets(input: &[u8]) {
    let mut input = Input(input);
    if input.below(4) == 0 {
        let _ = refusals(input.rest());
        return;
    }
    let all = &MATERIAL[input.below(KINDS.len())];
    let (mut name, mut text) = all[input.below(all.len())].clone();
    for _ in 0..input.below(3) {
        let (wrapping, wrap) = WRAPPINGS[input.below(WRAPPINGS.len())];
        if let Some(wrapped) = wrap(&text).filter(|_| !is_out_of_scope(&name, wrapping)) {
            text = wrapped;
            name = format!("{name}, {wrapping}");
        }
    }
    let mut text = text.bytes().to_vec();
    // A bare point is a whole text or one of its words, and lines in UTF-16 are not those of the rest.
    if !name.contains(": point") && !text.contains(&0) && std::str::from_utf8(&text).is_ok() {
        let (before, after) = (input.pick(AROUND), input.pick(AROUND));
        text = match input.below(4) {
            1 => [before.as_bytes(), b"\n", &text].concat(),
            2 => [&text, &b"\n"[..], after.as_bytes()].concat(),
            3 => [before.as_bytes(), b"\n", &text, b"\n", after.as_bytes()].concat(),
            _ => text,
        };
        name = format!("{name}, between {before} and {after}");
    }
    for reason in refusals(&text) {
        assert_eq!(reason, Some(Reason::KeyUnsupported), "{name} is an HMAC secret");
    }
}

/// Returns why each interface refuses a secret.
fn refusals(text: &[u8]) -> [Option<Reason>; 4] {
    let jwk = format!(r#"{{"kty":"oct","k":"{}"}}"#, URL_SAFE_NO_PAD.encode(text));
    [
        Key::from_short_secret(text).err(),
        SigningKey::from_short_secret(text).err(),
        Keyring::from_texts(&[(Form::Secrets, text)]).err(),
        KeySet::parse(jwk.as_bytes()).err(),
    ]
    .map(|error| error.map(|error| error.reason))
}
