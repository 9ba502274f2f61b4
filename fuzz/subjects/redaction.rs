//! Tokens in a URL: src/scan.rs, which overwrites them. spec/redaction_fuzz_spec.lua does the same with a real nginx,
//! whose log has a rule of its own in conf/maps.conf.

use route_native::scan;

use super::{Input, fully_decoded, holds};

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEiLCJleHAiOjF9.c2ln_bmF0dXJl-c2lnbmF0dXJl";
/// The value of an argument that is a token by its name.
const OPAQUE: &str = "wrtzpolkmnhgvuyxsqji";
const AROUND: &[&str] = &[
    "/",
    "?",
    "&",
    "=",
    "%",
    "%25",
    "token",
    "jwt_token=",
    "[]",
    ".",
    ";",
    "#",
    " ",
    "a",
    "%2",
    "%3D",
    "*",
    "+",
    "aaaaaaaaaaaaaaaaaaaa",
    "%2E",
    "%252e",
    "token=a",
    "a.b.c",
    "HTTP/1.1",
    "token=*",
    "%26",
    "token[",
    "https://x",
];
const NAMES: &[&str] = &["token", "jwt_token", "access_token", "TOKEN", "token[]", "id_Token", "x-token[][]"];

/// Checks that nothing of a token is left after it is overwritten, wherever it stands, whatever is beside it, and however
/// it is encoded.
pub fn redaction(input: &[u8]) {
    let mut input = Input(input);
    let form = input.byte();
    let is_named = form & 1 == 1;
    let written = match is_named {
        true => {
            let name = format!("{}=", input.pick(NAMES));
            [spelled(&name, &mut input), spelled(OPAQUE, &mut input)].concat()
        }
        false => spelled(TOKEN, &mut input),
    };
    let before = input.below(24);
    let mut text = input.text(AROUND, before);
    text.extend_from_slice(&written);
    text.extend(input.text(AROUND, 24));
    let received = String::from_utf8_lossy(&text).into_owned();
    overwrite(&mut text);
    let shown = fully_decoded(&text);
    let parts = if is_named { vec![OPAQUE] } else { TOKEN.split('.').skip(1).collect() };
    for part in parts {
        assert!(!holds(&shown, part.as_bytes()), "{received} became {}", String::from_utf8_lossy(&text));
    }
}

/// Overwrites the tokens of a text, as lua/route_native/core/request.lua does.
fn overwrite(text: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = scan::token(text, from) {
        assert!(found.start >= from && found.start < found.end && found.end <= text.len());
        text[found.clone()].fill(b'*');
        from = found.end;
    }
}

/// Percent-encodes the characters that the input chooses, each up to three times, its sign alone or its digits too.
pub fn spelled(text: &str, input: &mut Input) -> Vec<u8> {
    let (which, twice) = (input.byte(), input.byte());
    let mut out = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        let is_encoded = match which % 5 {
            0 => false,
            1 => !byte.is_ascii_alphanumeric(),
            2 => true,
            3 => byte.is_ascii_lowercase(),
            _ => input.byte() & 1 == 1,
        };
        if !is_encoded {
            out.push(byte);
            continue;
        }
        let times = usize::from(twice >> (2 * (at % 4)) & 3) % 3;
        let digits = if which & 128 > 0 { format!("{byte:02X}") } else { format!("{byte:02x}") };
        let mut written = format!("%{digits}");
        for _ in 0..times {
            // Encodes the sign of the escape alone, or its digits too.
            let is_whole = which & 64 > 0;
            let again =
                |sign: char| if is_whole || sign == '%' { format!("%{:02x}", u32::from(sign)) } else { sign.into() };
            written = written.chars().map(again).collect();
        }
        out.extend(written.bytes());
    }
    out
}
