//! Escapes: percent-encoding, entities, and those of strings.

use zeroize::Zeroizing;

use super::Text;
use super::digits::{digits, nibble};

/// Takes off one layer of escapes: percent-encoding, entities, those of strings, and the zero bytes of UTF-16 and
/// UTF-32. `None` when there are none.
pub(super) fn unescaped(text: &[u8]) -> Option<Text> {
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
