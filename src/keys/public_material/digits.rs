//! Digits of hexadecimal and base64.

use zeroize::Zeroizing;

use super::Text;

/// Returns the value of a hexadecimal digit.
pub(super) fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8) // below 16
}

/// Returns the value of a letter of base64 or base64url.
pub(super) fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// The values of those characters of the text that have one.
pub(super) fn digits(text: &[u8], value: fn(u8) -> Option<u8>) -> Text {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    out.extend(text.iter().filter_map(|character| value(*character)));
    out
}

/// Packs digits of `bits` bits into bytes. What does not fill one is left out.
pub(super) fn packed(digits: &[u8], bits: u32) -> Text {
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
