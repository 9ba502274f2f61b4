//! The formats of keys, as they stand in a text or in binary data.

use zeroize::Zeroizing;

use super::digits::sextet;
use crate::keys::curve::keys_on_curves;

/// Returns whether the bytes show a key without decoding. Each pattern is long enough that random bytes do not have it.
pub(super) fn shows_key(bytes: &[u8]) -> bool {
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
pub(super) const POINT_BYTES: [usize; 3] = [64, 96, 132];

/// Returns whether the bytes are a point that lies on its curve. Random bytes of that size never do.
pub(super) fn is_point(bytes: &[u8]) -> bool {
    match bytes {
        [4, coordinates @ ..] if POINT_BYTES.contains(&coordinates.len()) => keys_on_curves(bytes).next().is_some(),
        bytes if POINT_BYTES.contains(&bytes.len()) => {
            keys_on_curves(&Zeroizing::new([&[4], bytes].concat())).next().is_some()
        }
        _ => false,
    }
}
