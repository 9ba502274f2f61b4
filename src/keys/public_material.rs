//! Recognises key material that others may know: a shared secret is never such a text. Whoever signs HS256 with the
//! text of a published key would otherwise be believed (CVE-2015-9235, CVE-2016-5431 and their many successors).
//!
//! What is recognised, anywhere in the text:
//! - PEM of any kind, an RFC 4716 block, an RSA key in XML, what `openssl pkey -text` prints;
//! - a JWK that is not `oct`, and with it every JWK Set, list or object that holds one; an empty JWK Set. The members
//!   are found in the text itself, so that it does not matter which reader would accept the JSON around them;
//! - DER: SPKI, and with it certificates, requests and PKCS#7; PKCS#8, PKCS#1 and SEC 1;
//! - the blob of an OpenSSH public key, as its line, its certificate and a PuTTY file have it;
//! - the whole text or one of its words: an uncompressed point, with or without its first byte, of P-256, P-384, P-521
//!   or secp256k1.
//!
//! Private keys and certificates are included: such a text is a secret by mistake only.
//!
//! Each is recognised in these wrappings, up to [`MAX_DEPTH`] in one another: base64 or base64url, with whatever
//! between its letters; hexadecimal likewise; UTF-16 and UTF-32; percent-encoding; the escapes of a string in JSON or
//! another language.
//!
//! What cannot be told from a random secret stays one: an RSA modulus alone, the 32 bytes of an Ed25519 or X25519 key,
//! a compressed point. So does an `oct` JWK as a text, which is secret itself, and a part of a key, such as the letters
//! that all keys begin with. Compressed or encrypted wrappings are not opened.
//!
//! Time and memory are linear in the text's length.

use zeroize::Zeroizing;

use super::curve::keys_on_curves;
use crate::error::ConfigError;

/// How many wrappings around the material are taken off.
const MAX_DEPTH: usize = 3;
/// How often escapes are taken off: a text in a JSON string in a form has two layers.
const MAX_ESCAPES: usize = 3;
/// The shortest public key in DER, of X25519 or Ed25519. A wrapping that could hold no more is not taken off.
const SHORTEST: usize = 44;
/// A shorter stretch of text is no wrapping. Random bytes hardly ever hold one that long: they are not decoded at all.
const SHORTEST_TEXT: usize = 24;

/// A decoded copy of what may be a secret.
type Text = Zeroizing<Vec<u8>>;

/// Refuses a shared secret that is key material. The sentence does not tell which.
pub(super) fn refuse_public_material(secret: &[u8]) -> Result<(), ConfigError> {
    if is_public_material(secret) {
        return Err(ConfigError::unsupported_key(
            "is a public key, a private key or a certificate used as an HMAC secret",
        ));
    }
    Ok(())
}

/// Returns whether the text is public key material, in whatever wrapping.
pub(crate) fn is_public_material(text: &[u8]) -> bool {
    pem::parse(text).is_ok() || is_material(text, MAX_DEPTH)
}

/// Looks at the bytes as they stand and after each layer of escapes: what looks like an escape may be none.
fn is_material(bytes: &[u8], depth: usize) -> bool {
    let is_found = |bytes: &[u8]| shows_key(bytes) || is_point(bytes) || holds_wrapped(bytes, depth);
    if is_found(bytes) {
        return true;
    }
    let mut layer = unescaped(bytes);
    for _ in 1..MAX_ESCAPES {
        match &layer {
            Some(text) if is_found(text) => return true,
            Some(text) => layer = unescaped(text),
            None => return false,
        }
    }
    layer.is_some_and(|text| is_found(&text))
}

fn holds_wrapped(text: &[u8], depth: usize) -> bool {
    depth > 0 && has_text(text) && (holds_word(text) || holds_base64(text, depth) || holds_hex(text, depth))
}

/// Returns whether the bytes show a key without decoding. Each pattern is long enough that random bytes do not have it.
fn shows_key(bytes: &[u8]) -> bool {
    let mut kinds = [false; JWK_KINDS.len()];
    let found = bytes.iter().enumerate().any(|(at, byte)| {
        let here = &bytes[at..];
        match byte {
            b'-' => here.starts_with(b"-----BEGIN ") || here.starts_with(b"---- BEGIN SSH2 "),
            b'k' | b'K' => {
                (0..kinds.len()).for_each(|kind| kinds[kind] |= is_kty(here, JWK_KINDS[kind].0));
                is_empty_set(&bytes[at.saturating_sub(1)..])
            }
            // With or without a namespace's prefix.
            b'<' | b':' => here[1..].starts_with(b"Modulus>"),
            b'P' => is_openssl_text(here),
            0x30 => is_kind_and_key(here).is_some() || is_rsa(here).is_some() || is_sec1(here).is_some(),
            0x00 => is_openssh(here).is_some(),
            _ => false,
        }
    });
    found || (0..kinds.len()).any(|kind| kinds[kind] && has_member(bytes, JWK_KINDS[kind].1))
}

/// The heading of a key in `openssl … -text`: its size follows, or where the kind has one size only, its bytes.
fn is_openssl_text(text: &[u8]) -> bool {
    let Some(after) = text.strip_prefix(b"Public-Key:") else {
        return false;
    };
    let is_size = after.strip_prefix(b" (").is_some_and(|size| size.first().is_some_and(u8::is_ascii_digit));
    is_size || after.trim_ascii_start().starts_with(b"pub:")
}

/// The kinds of asymmetric JWKs (RFC 7518 §6, RFC 8037 §2, and AKP for ML-DSA), each with a member that it must have.
const JWK_KINDS: [(&[u8], &[u8]); 4] = [(b"RSA", b"n"), (b"EC", b"x"), (b"OKP", b"x"), (b"AKP", b"pub")];

/// The object identifiers of kinds of keys, or the parts that several have in common.
const KEY_KINDS: [&[u8]; 9] = [
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01",     // PKCS#1: rsaEncryption, RSASSA-PSS
    b"\x2a\x86\x48\xce\x3d\x02\x01",         // id-ecPublicKey
    b"\x2a\x86\x48\xce\x38\x04\x01",         // DSA
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01", // Diffie-Hellman
    b"\x2b\x65",                             // X25519, X448, Ed25519, Ed448
    b"\x2b\x81\x04\x01",                     // id-ecDH, id-ecMQV
    b"\x60\x86\x48\x01\x65\x03\x04\x03",     // ML-DSA, SLH-DSA
    b"\x60\x86\x48\x01\x65\x03\x04\x04",     // ML-KEM
    b"\x2a\x85\x03",                         // GOST
];

/// A SubjectPublicKeyInfo, or PKCS#8 with its version before. Certificates, requests and PKCS#7 hold the former.
fn is_kind_and_key(der: &[u8]) -> Option<()> {
    let (content, _) = element(der, 0x30)?;
    let is_private = matches!(content, [0x02, 0x01, 0 | 1, ..]);
    let (kind, key) = element(if is_private { &content[3..] } else { content }, 0x30)?;
    let (kind, _) = element(kind, 0x06)?;
    let (key, after) = element(key, if is_private { 0x04 } else { 0x03 })?;
    let is_known = KEY_KINDS.iter().any(|known| kind.starts_with(known));
    (is_known && key.len() > 32 && (is_private || (after.is_empty() && key[0] == 0))).then_some(())
}

/// Reads one element in DER. Returns its content and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der {
        [found, _, ..] if *found != tag => return None,
        [_, length @ ..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [_, 0x81, length @ 0x80..=0xff, rest @ ..] => (usize::from(*length), rest),
        [_, 0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A PKCS#1 key: a public one is a modulus and an exponent, a private one has a version before and more numbers after.
fn is_rsa(der: &[u8]) -> Option<()> {
    let (content, _) = element(der, 0x30)?;
    let (first, after) = element(content, 0x02)?;
    let is_private = matches!(first, [0 | 1]);
    let (modulus, after) = if is_private { element(after, 0x02)? } else { (first, after) };
    let (exponent, after) = element(after, 0x02)?;
    let is_modulus = modulus.len() > 64 && modulus[0] == 0 && modulus[1] >= 0x80;
    // A DSA key in the older form has its subprime here.
    let is_exponent = (1..=if is_private { 33 } else { 8 }).contains(&exponent.len());
    (is_modulus && is_exponent && (is_private || after.is_empty())).then_some(())
}

/// A SEC 1 private key: version 1 and a number of its curve's size. Its curve may be left out.
fn is_sec1(der: &[u8]) -> Option<()> {
    let (content, _) = element(der, 0x30)?;
    let (private, _) = element(content.strip_prefix(b"\x02\x01\x01")?, 0x04)?;
    matches!(private.len(), 28 | 32 | 48 | 66).then_some(())
}

/// The blob of an OpenSSH key or certificate: fields behind their lengths, of which the first names the kind.
fn is_openssh(blob: &[u8]) -> Option<()> {
    const KINDS: [&[u8]; 4] = [b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"];
    let (kind, rest) = field(blob)?;
    let (first, rest) = field(rest)?;
    // Every kind but Ed25519 has a second field, which may be cut off.
    let is_whole = first.len() >= 32 || rest.len() >= 32;
    (KINDS.iter().any(|known| kind.starts_with(known)) && is_whole).then_some(())
}

fn field(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// What JSON, YAML, a form or a language's table writes between a name and its value. Returns what follows.
fn after_name(text: &[u8]) -> Option<&[u8]> {
    let is_between = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`\\:=>+".contains(byte);
    let end = text.iter().position(|byte| !is_between(byte))?;
    let (between, value) = text.split_at(end);
    between.iter().any(|byte| b":=".contains(byte)).then_some(value)
}

fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        && !text.get(word.len()).is_some_and(u8::is_ascii_alphanumeric)
}

/// A member `kty` that names this kind.
fn is_kty(text: &[u8], kind: &[u8]) -> bool {
    starts_with_word(text, b"kty") && after_name(&text[3..]).is_some_and(|value| starts_with_word(value, kind))
}

/// Returns whether the text has a member of that name with a value of letters.
fn has_member(text: &[u8], name: &[u8]) -> bool {
    (0..text.len()).any(|at| {
        (at == 0 || !text[at - 1].is_ascii_alphanumeric())
            && starts_with_word(&text[at..], name)
            && after_name(&text[at + name.len()..]).is_some_and(|value| sextet(value[0]).is_some())
    })
}

/// A member `"keys"` that is an empty list, or an empty object, as which cjson writes an empty list.
fn is_empty_set(text: &[u8]) -> bool {
    if !text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"\"keys\"")) {
        return false;
    }
    let mut signs = text[6..].iter().filter(|byte| !byte.is_ascii_whitespace());
    signs.next() == Some(&b':')
        && matches!((signs.next(), signs.next()), (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')))
}

/// The sizes of a point's two coordinates together.
const POINT_BYTES: [usize; 3] = [64, 96, 132];

/// Returns whether the bytes are a point that lies on its curve. Random bytes of that size never do.
fn is_point(bytes: &[u8]) -> bool {
    match bytes {
        [4, coordinates @ ..] if POINT_BYTES.contains(&coordinates.len()) => keys_on_curves(bytes).next().is_some(),
        bytes if POINT_BYTES.contains(&bytes.len()) => {
            keys_on_curves(&Zeroizing::new([&[4], bytes].concat())).next().is_some()
        }
        _ => false,
    }
}

/// Takes off one layer of escapes: percent-encoding, those of strings, and the zero bytes of UTF-16 and UTF-32. `None`
/// when there are none.
fn unescaped(text: &[u8]) -> Option<Text> {
    if text.contains(&0) {
        return Some(digits(text, |byte| Some(byte).filter(|byte| *byte != 0)));
    }
    if !text.iter().any(|byte| matches!(byte, b'%' | b'\\')) {
        return None;
    }
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    // A plus sign stands for a blank, unless signs like it are not encoded: a slash is one.
    let is_form = text.contains(&b'%') && !text.contains(&b'/');
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'%' => match code(rest, 2) {
                Some(byte) => {
                    out.push(byte);
                    rest = &rest[2..];
                }
                None => out.push(b'%'),
            },
            b'+' if is_form => out.push(b' '),
            b'\\' => {
                // A string in a string has two of them, or four.
                let end = rest.iter().position(|byte| *byte != b'\\').unwrap_or(rest.len());
                rest = &rest[end..];
                let (digits, skip) = match rest.first() {
                    Some(b'n' | b'r' | b't') => (None, 1),
                    Some(b'u') => (code(&rest[1..], 4), 5),
                    Some(b'x') => (code(&rest[1..], 2), 3),
                    _ => continue,
                };
                match (skip, digits) {
                    (1, _) => out.push(b'\n'),
                    (_, Some(byte)) => out.push(byte),
                    _ => continue,
                }
                rest = &rest[skip..];
            }
            byte => out.push(*byte),
        }
    }
    Some(out)
}

/// The character of a code in two or four hexadecimal digits; `?` stands for one that is no byte.
fn code(text: &[u8], digits: usize) -> Option<u8> {
    let code = text.get(..digits)?.iter().try_fold(0, |code, digit| Some(code << 4 | u16::from(nibble(*digit)?)))?;
    Some(u8::try_from(code).unwrap_or(b'?'))
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8) // below 16
}

fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Returns whether a stretch of the bytes is text.
fn has_text(bytes: &[u8]) -> bool {
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    bytes.split(|byte| !is_text(byte)).any(|stretch| stretch.len() >= SHORTEST_TEXT)
}

/// Returns whether one word of the text is a point in hexadecimal or base64.
fn holds_word(text: &[u8]) -> bool {
    let is_size = |size: usize| POINT_BYTES.contains(&size) || POINT_BYTES.contains(&(size - 1));
    text.split(|letter| sextet(*letter).is_none()).filter(|word| word.len() > SHORTEST).any(|word| {
        let word = word.strip_prefix(b"0x").or(word.strip_prefix(b"0X")).unwrap_or(word);
        (is_size(word.len() / 2)
            && word.iter().all(u8::is_ascii_hexdigit)
            && is_point(&packed(&digits(word, nibble), 4)))
            || (is_size(word.len() * 3 / 4) && is_point(&packed(&digits(word, sextet), 6)))
    })
}

/// Returns whether the letters of base64 in the text, whatever stands between them, hold material. Other letters may
/// stand before it, so that each of the four ways to begin is tried.
fn holds_base64(text: &[u8], depth: usize) -> bool {
    let letters = digits(text, sextet);
    4 * SHORTEST <= 3 * letters.len() && (0..4).any(|skip| is_material(&packed(&letters[skip..], 6), depth - 1))
}

/// The same for the digits of hexadecimal. `0x` is no digit.
fn holds_hex(text: &[u8], depth: usize) -> bool {
    let is_prefix = |pair: &[u8]| matches!(pair, [b'0', b'x' | b'X']);
    let mut found = Zeroizing::new(Vec::with_capacity(text.len()));
    for at in 0..text.len() {
        found.extend(nibble(text[at]).filter(|_| !is_prefix(&text[at..text.len().min(at + 2)])));
    }
    2 * SHORTEST <= found.len() && (0..2).any(|skip| is_material(&packed(&found[skip..], 4), depth - 1))
}

/// The values of those characters of the text that have one.
fn digits(text: &[u8], value: fn(u8) -> Option<u8>) -> Text {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    out.extend(text.iter().filter_map(|character| value(*character)));
    out
}

/// Packs digits of `bits` bits into bytes. What does not fill one is left out.
fn packed(digits: &[u8], bits: u32) -> Text {
    let mut out = Zeroizing::new(Vec::with_capacity(digits.len()));
    let (mut held, mut held_bits) = (0_u16, 0);
    for digit in digits {
        held = held << bits | u16::from(*digit);
        held_bits += bits;
        if held_bits >= 8 {
            held_bits -= 8;
            out.push((held >> held_bits) as u8); // the rest stays in `held`
        }
    }
    out
}
