//! Recognises key material that others may know: a shared secret is never such a text. Whoever signs HS256 with the
//! text of a published key would otherwise be believed (CVE-2015-9235, CVE-2016-5431 and their many successors).
//!
//! What is recognised, anywhere in the text:
//! - PEM of any kind, an RFC 4716 block, an RSA key in XML, what `openssl pkey -text` prints;
//! - a JWK that is not `oct`, and with it every JWK Set, list or object that holds one; an empty JWK Set. The members
//!   are found in the text itself, so that it does not matter which reader would accept the JSON around them;
//! - DER: SPKI, and with it certificates, requests and PKCS#7; PKCS#8, PKCS#1 and SEC 1;
//! - the blob of an OpenSSH public key, as its line, its certificate and a PuTTY file have it;
//! - the packet of an OpenPGP key, a COSE_Key, and what the CryptoAPI and CNG of Windows export;
//! - the whole text or one of its words: an uncompressed point, with or without its first byte, of P-256, P-384, P-521
//!   or secp256k1.
//!
//! Private keys and certificates are included: such a text is a secret by mistake only.
//!
//! Each is recognised in these wrappings, up to [`MAX_DEPTH`] in one another: base64 or base64url, with whatever
//! between its letters; hexadecimal likewise; lists of decimal bytes; the lines of a dump, in hexadecimal or octal;
//! UTF-16 and UTF-32; percent-encoding; the entities of HTML and XML; the escapes of a string in JSON or another
//! language.
//!
//! What cannot be told from a random secret stays one: an RSA modulus alone, the 32 bytes of an Ed25519 or X25519 key,
//! a compressed point. So does an `oct` JWK as a text, which is secret itself, and a part of a key, such as the letters
//! that all keys begin with. Base32, base58 and base85 are not tried, and compressed or encrypted wrappings not opened.
//!
//! Time and memory are linear in the text's length.

use zeroize::Zeroizing;

use super::curve::keys_on_curves;
use crate::error::ConfigError;

/// How many wrappings around the material are taken off.
const MAX_DEPTH: usize = 3;
/// How often escapes are taken off: a text in a JSON string in a form has two layers.
const MAX_ESCAPES: usize = 3;
/// The shortest public key, a COSE_Key of X25519 or Ed25519. A wrapping that could hold no more is not taken off.
const SHORTEST: usize = 40;
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
    depth > 0
        && has_text(text)
        && (holds_word(text)
            || holds_base64(text, depth)
            || holds_hex(text, depth)
            || holds_decimals(text, depth)
            || holds_dump(text, depth))
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
            0x06 | 0x07 => is_capi_blob(here),
            b'E' | b'R' => is_cng_blob(here).is_some(),
            // A map in CBOR; its tag may also be the head of a packet, whose high bit is set.
            0x80..=0xff => is_openpgp(here).is_some() || is_cose(here).is_some(),
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

/// A PUBLICKEYBLOB or PRIVATEKEYBLOB of an RSA key for key exchange or signatures.
fn is_capi_blob(blob: &[u8]) -> bool {
    matches!(blob, [6 | 7, 2, 0, 0, 0, 0xa4 | 0x24, 0, 0, b'R', b'S', b'A', b'1' | b'2', ..])
}

/// A BCRYPT_RSAKEY_BLOB or a BCRYPT_ECCKEY_BLOB: its magic, its sizes, and what they are the sizes of.
fn is_cng_blob(blob: &[u8]) -> Option<()> {
    let (magic, rest) = blob.split_first_chunk::<4>()?;
    let (size, rest) = little_endian(rest)?;
    let (is_known, needed) = match magic {
        [b'R', b'S', b'A', b'1'..=b'3'] => {
            let (exponent, rest) = little_endian(rest)?;
            let (modulus, _) = little_endian(rest)?;
            ((1..=8).contains(&exponent) && modulus >= 64 && modulus == size.div_ceil(8), modulus)
        }
        [b'E', b'C', b'S' | b'K', b'1'..=b'6'] => (matches!(size, 32 | 48 | 66), 2 * size),
        _ => return None,
    };
    (is_known && needed <= rest.len()).then_some(())
}

fn little_endian(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}

/// The packet of an OpenPGP key or subkey, in the old or the new format (RFC 9580 §4.2, §5.5.2): version 4, and a
/// modulus and an exponent that fill a public one, or the identifier of a curve.
fn is_openpgp(packet: &[u8]) -> Option<()> {
    const TAGS: [u8; 4] = [5, 6, 7, 14];
    const CURVES: [&[u8]; 3] = [
        b"\x2a\x86\x48\xce\x3d\x03\x01\x07", // P-256
        b"\x2b\x81\x04\x00",                 // P-384, P-521, secp256k1
        b"\x2b\x06\x01\x04\x01",             // Ed25519, Curve25519
    ];
    let (tag, length, rest) = match packet {
        [head @ 0xc0..=0xff, length @ ..=191, rest @ ..] => (head & 0x3f, usize::from(*length), rest),
        [head @ 0xc0..=0xff, high @ 192..=223, low, rest @ ..] => {
            (head & 0x3f, (usize::from(high - 192) << 8) + usize::from(*low) + 192, rest)
        }
        [head @ ..=0xbf, length, rest @ ..] if head & 3 == 0 => (head >> 2 & 0xf, usize::from(*length), rest),
        [head @ ..=0xbf, high, low, rest @ ..] if head & 3 == 1 => {
            (head >> 2 & 0xf, usize::from(*high) << 8 | usize::from(*low), rest)
        }
        _ => return None,
    };
    let [4, _, _, _, _, algorithm, key @ ..] = rest.get(..length)? else {
        return None;
    };
    let is_key = match algorithm {
        1..=3 => {
            let (modulus, key) = openpgp_integer(key)?;
            let (exponent, after) = openpgp_integer(key)?;
            let is_public = matches!(tag, 6 | 14);
            modulus.len() >= 64 && exponent.len() <= 8 && (after.is_empty() || !is_public)
        }
        18 | 19 | 22 => {
            let (size, key) = key.split_first()?;
            let curve = key.get(..usize::from(*size))?;
            CURVES.iter().any(|known| curve.starts_with(known))
        }
        _ => false,
    };
    (TAGS.contains(&tag) && is_key).then_some(())
}

/// Reads a number behind its length in bits, whose highest bit is set.
fn openpgp_integer(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = bytes.split_first_chunk::<2>()?;
    let bits = u32::from(u16::from_be_bytes(*bits));
    let (number, rest) = rest.split_at_checked(bits.div_ceil(8) as usize)?;
    (8 * number.len() as u32 - number.first()?.leading_zeros() == bits).then_some((number, rest))
}

/// A COSE_Key (RFC 9052 §7, RFC 9053 §7, RFC 8230 §4): a map that names its kind, and has what that kind must have.
fn is_cose(map: &[u8]) -> Option<()> {
    let (first, mut rest) = map.split_first()?;
    let (mut kind, mut sizes) = (0, [0; 2]);
    for _ in 0..first.checked_sub(0xa0).filter(|pairs| (3..=16).contains(pairs))? {
        let (name, after) = cbor(rest)?;
        let (value, after) = cbor(after)?;
        match (name, value) {
            (Cbor::Number(1), Cbor::Number(kty)) => kind = kty,
            (Cbor::Number(-1), Cbor::Bytes(size)) => sizes[0] = size,
            (Cbor::Number(-2), Cbor::Bytes(size)) => sizes[1] = size,
            _ => {}
        }
        rest = after;
    }
    let is_key = match kind {
        1 => matches!(sizes[1], 32 | 56 | 57),
        2 => matches!(sizes[1], 32 | 48 | 66),
        3 => sizes[0] >= 64 && (1..=8).contains(&sizes[1]),
        _ => false,
    };
    is_key.then_some(())
}

/// What a COSE_Key's names and values may be.
enum Cbor {
    Number(i32),
    Bytes(usize),
    Other,
}

/// Reads one item that is no map, and no list of more than short numbers. Returns it and what follows.
fn cbor(bytes: &[u8]) -> Option<(Cbor, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (value, rest) = match (first & 0x1f, rest) {
        (short @ ..=23, rest) => (i32::from(short), rest),
        (24, [value, rest @ ..]) => (i32::from(*value), rest),
        (25, [high, low, rest @ ..]) => (i32::from(*high) << 8 | i32::from(*low), rest),
        _ => return None,
    };
    let size = value as usize; // not negative
    match first >> 5 {
        0 => Some((Cbor::Number(value), rest)),
        1 => Some((Cbor::Number(-1 - value), rest)),
        2 => rest.get(size..).map(|rest| (Cbor::Bytes(size), rest)),
        // `key_ops` is a list of numbers below 24.
        3 | 4 => rest.get(size..).map(|rest| (Cbor::Other, rest)),
        7 => Some((Cbor::Other, rest)),
        _ => None,
    }
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

/// Takes off one layer of escapes: percent-encoding, entities, those of strings, and the zero bytes of UTF-16 and
/// UTF-32. `None` when there are none.
fn unescaped(text: &[u8]) -> Option<Text> {
    if text.contains(&0) {
        return Some(digits(text, |byte| Some(byte).filter(|byte| *byte != 0)));
    }
    // Before the others: a plus sign may be written as an entity.
    let plain = without_entities(text);
    if plain.is_some() || !text.iter().any(|byte| matches!(byte, b'%' | b'\\')) {
        return plain;
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
                    Some(b'0'..=b'3') => (octal(rest), 3),
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
    (*out != text).then_some(out)
}

/// The entities that encoders of HTML and XML write by name for characters below 128.
const ENTITIES: [(&[u8], u8); 18] = [
    (b"amp;", b'&'),
    (b"quot;", b'"'),
    (b"apos;", b'\''),
    (b"lt;", b'<'),
    (b"gt;", b'>'),
    (b"nbsp;", b' '),
    (b"Tab;", b'\t'),
    (b"NewLine;", b'\n'),
    (b"plus;", b'+'),
    (b"sol;", b'/'),
    (b"equals;", b'='),
    (b"colon;", b':'),
    (b"comma;", b','),
    (b"lowbar;", b'_'),
    (b"lbrace;", b'{'),
    (b"lcub;", b'{'),
    (b"lbrack;", b'['),
    (b"lsqb;", b'['),
];

fn without_entities(text: &[u8]) -> Option<Text> {
    if !text.contains(&b'&') {
        return None;
    }
    let mut parts = text.split(|byte| *byte == b'&');
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    out.extend(parts.next()?);
    let mut is_any = false;
    for part in parts {
        let found = entity(part);
        is_any |= found.is_some();
        let (byte, after) = found.unwrap_or((b'&', part));
        out.push(byte);
        out.extend(after);
    }
    is_any.then_some(out)
}

/// Reads an entity behind its ampersand. Returns its character, `?` for one that is no byte, and what follows.
fn entity(text: &[u8]) -> Option<(u8, &[u8])> {
    let (radix, number) = match text {
        [b'#', b'x' | b'X', number @ ..] => (16, number),
        [b'#', number @ ..] => (10, number),
        _ => return ENTITIES.iter().find_map(|(name, byte)| Some((*byte, text.strip_prefix(*name)?))),
    };
    let end = number.iter().position(|digit| !char::from(*digit).is_digit(radix)).unwrap_or(number.len());
    let (digits, rest) = number.split_at(end);
    let add =
        |code: u32, digit: &u8| char::from(*digit).to_digit(radix).map(|digit| (code * radix + digit).min(0xffff));
    let code = digits.iter().try_fold(0, add).filter(|_| end > 0)?;
    Some((u8::try_from(code).unwrap_or(b'?'), rest.strip_prefix(b";").unwrap_or(rest)))
}

/// The byte of three octal digits.
fn octal(text: &[u8]) -> Option<u8> {
    let digits = text.get(..3)?;
    let value = digits.iter().try_fold(0, |value, digit| Some(value << 3 | char::from(*digit).to_digit(8)?))?;
    u8::try_from(value).ok()
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

/// The same for the numbers of one byte in a list or in columns, signed or not.
fn holds_decimals(text: &[u8], depth: usize) -> bool {
    if text.len() < 2 * SHORTEST {
        return false;
    }
    let mut found = Zeroizing::new(Vec::with_capacity(text.len() / 2 + 1));
    found.extend(text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-').filter_map(|word| {
        let (digits, is_negative) = word.strip_prefix(b"-").map_or((word, false), |digits| (digits, true));
        let number = std::str::from_utf8(digits).ok().filter(|_| digits.len() <= 3)?;
        let value = number.parse::<u8>().ok()?;
        Some(if is_negative { value.wrapping_neg() } else { value })
    }));
    SHORTEST <= found.len() && is_material(&found, depth - 1)
}

/// The same for the words of a dump in hexadecimal or octal, whose lines may begin with an address and end with the
/// characters. In some a word of several bytes begins with its last one.
fn holds_dump(text: &[u8], depth: usize) -> bool {
    text.len() >= 2 * SHORTEST
        && [(4, false), (4, true), (3, true)].iter().any(|(bits, is_reversed)| {
            let found = dumped(text, *bits, *is_reversed);
            // The last word is filled up with a zero, and a point is not looked for among other bytes.
            let is_filled_point = || *is_reversed && found.strip_suffix(&[0]).is_some_and(is_point);
            SHORTEST <= found.len() && (is_material(&found, depth - 1) || is_filled_point())
        })
}

/// Takes the words of dumped lines, of digits of `bits` bits, for bytes.
fn dumped(text: &[u8], bits: u32, is_reversed: bool) -> Text {
    let is_word = |word: &[u8]| match bits {
        4 => !word.is_empty() && word.len().is_multiple_of(2) && word.iter().all(u8::is_ascii_hexdigit),
        _ => matches!(word.len(), 3 | 6) && word.iter().all(|digit| matches!(digit, b'0'..=b'7')),
    };
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let mut width = 0;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let words = behind_address(line, is_word);
        let (mut taken, mut blanks) = (0, 0);
        for word in words.split(is_between_words) {
            if word.is_empty() {
                blanks += 1;
                continue;
            }
            if taken == 0 && (width == 0 || words.len() < line.len()) {
                width = word.len();
            }
            // The characters stand behind more than one blank. So do the ninth of bytes that stand alone, and the last
            // bytes of all when they stand where they would in a whole word.
            let is_last = is_reversed && blanks + word.len() == width;
            let is_ninth = (blanks, width, taken) == (1, 2, 8);
            let is_next = bits == 3 || taken == 0 || blanks == 0 || is_ninth || is_last;
            if !is_next || !is_word(word) || word.len() > width || (taken == 0 && word.len() < width) {
                break;
            }
            push_word(&mut out, word, bits, is_reversed);
            (taken, blanks) = (taken + 1, 0);
        }
    }
    out
}

fn is_between_words(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'-')
}

/// What follows the address of a dumped line. An address has a colon behind it, or another length than the word that
/// follows it.
fn behind_address(line: &[u8], is_word: impl Fn(&[u8]) -> bool) -> &[u8] {
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !is_between_words(byte)).unwrap_or(rest.len());
        let here = &rest[start..];
        let (first, after) = here.split_at(here.iter().position(is_between_words).unwrap_or(here.len()));
        if first.is_empty() || is_word(first) {
            let second = after.split(is_between_words).find(|word| !word.is_empty()).unwrap_or_default();
            return if is_word(second) && second.len() != first.len() { after } else { rest };
        }
        rest = after;
        let address = first.strip_suffix(b":").unwrap_or_default();
        if address.last_chunk::<4>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return rest;
        }
    }
}

fn push_word(out: &mut Vec<u8>, word: &[u8], bits: u32, is_reversed: bool) {
    let start = out.len();
    if bits == 4 {
        out.extend(word.chunks_exact(2).filter_map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)));
        if is_reversed {
            out[start..].reverse();
        }
    } else {
        let value = word.iter().fold(0_u32, |value, digit| value << 3 | u32::from(digit - b'0'));
        out.extend(&value.to_le_bytes()[..word.len() / 3]);
    }
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
