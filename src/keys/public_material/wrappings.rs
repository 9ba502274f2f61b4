//! Wrappings: base64, hexadecimal, decimal numbers and dumps, whose contents are bytes.

use zeroize::Zeroizing;

use super::Text;
use super::digits::{digits, nibble, packed, sextet};
use super::formats::{POINT_BYTES, is_point};

/// The shortest public key, a COSE_Key of X25519 or Ed25519. A wrapping that could hold no more is not taken off.
const SHORTEST: usize = 40;
/// A shorter stretch of text is no wrapping. Random bytes hardly ever hold one that long: they are not decoded at all.
const SHORTEST_TEXT: usize = 24;

/// Returns whether unwrapped bytes are material.
type IsMaterial<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// Returns whether the text holds material in any wrapping.
pub(super) fn any(text: &[u8], is_material: &IsMaterial) -> bool {
    has_text(text)
        && (holds_word(text)
            || holds_base64(text, is_material)
            || holds_hex(text, is_material)
            || holds_decimals(text, is_material)
            || holds_dump(text, is_material))
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
fn holds_base64(text: &[u8], is_material: &IsMaterial) -> bool {
    let letters = digits(text, sextet);
    4 * SHORTEST <= 3 * letters.len() && (0..4).any(|skip| is_material(&packed(&letters[skip..], 6)))
}

/// The same for the digits of hexadecimal. `0x` is no digit.
fn holds_hex(text: &[u8], is_material: &IsMaterial) -> bool {
    let is_prefix = |pair: &[u8]| matches!(pair, [b'0', b'x' | b'X']);
    let mut found = Zeroizing::new(Vec::with_capacity(text.len()));
    for at in 0..text.len() {
        found.extend(nibble(text[at]).filter(|_| !is_prefix(&text[at..text.len().min(at + 2)])));
    }
    2 * SHORTEST <= found.len() && (0..2).any(|skip| is_material(&packed(&found[skip..], 4)))
}

/// The same for the numbers of one byte in a list or in columns, signed or not.
fn holds_decimals(text: &[u8], is_material: &IsMaterial) -> bool {
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
    SHORTEST <= found.len() && is_material(&found)
}

/// The same for the words of a dump in hexadecimal or octal, whose lines may begin with an address and end with the
/// characters. In some a word of several bytes begins with its last one.
fn holds_dump(text: &[u8], is_material: &IsMaterial) -> bool {
    text.len() >= 2 * SHORTEST
        && [(4, false), (4, true), (3, true)].iter().any(|(bits, is_reversed)| {
            let found = dumped(text, *bits, *is_reversed);
            // The last word is filled up with a zero, and a point is not looked for among other bytes.
            let is_filled_point = || *is_reversed && found.strip_suffix(&[0]).is_some_and(is_point);
            SHORTEST <= found.len() && (is_material(&found) || is_filled_point())
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
