//! Names that a login may take for one another.
//!
//! Programs fold names in their own ways before they look a user up: case, blanks around, compatible characters (`ｄｅｍｏ`),
//! accents and strokes (MySQL's collations), characters that cannot be seen. Who counts failed attempts by name folds them
//! all at once, or each spelling would be another allowance. That two users share one is the smaller evil. What one
//! language's collation alone folds, such as ä and ae, is not folded here.

use aws_lc_rs::digest::{SHA256, digest};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The size of [`digest_of`].
pub const DIGEST_BYTES: usize = 32;

/// The name without what programs overlook.
fn folded(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let seen = |char: &char| !is_combining_mark(*char) && !is_invisible(*char);
    // Lower case alone is not enough: ß, ẞ and ss, or ς and σ, meet in upper case. ẞ is its own upper case, so it is ß first.
    let lower = text.nfkd().filter(seen).flat_map(char::to_lowercase);
    let folded: String = lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkd().filter(seen).collect();
    let mut plain = String::with_capacity(folded.len());
    for char in folded.trim().chars() {
        match base_of(char) {
            Some(base) => plain.push_str(base),
            None => plain.push(char),
        }
    }
    plain
}

/// The letters that collations without accents put in place of one that Unicode does not decompose.
fn base_of(char: char) -> Option<&'static str> {
    Some(match char {
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'ħ' => "h",
        'ŧ' => "t",
        'ƀ' => "b",
        'ǥ' => "g",
        'ɨ' => "i",
        'ʉ' => "u",
        'ƶ' => "z",
        'þ' => "th",
        _ => return None,
    })
}

/// Control and format characters: soft hyphens, zero-width blanks, marks of direction, tags and the like.
fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Stands for a name and for all that may be taken for it.
pub fn digest_of(name: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut out = [0; DIGEST_BYTES];
    out.copy_from_slice(digest(&SHA256, folded(name).as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_take_for_one_name_is_one() {
        let spellings = [
            "Admin",
            " admin\t",
            "ADMİN",
            "àdmín",
            "ａｄｍｉｎ",
            "ad\u{ad}min",
            "\u{feff}admin",
            "ad\u{301}min",
            "admin\0",
            "\u{1d41a}dmin",
            "admin\u{200b}",
        ];
        for spelling in spellings {
            assert_eq!(folded(spelling.as_bytes()), "admin", "{spelling:?}");
        }
        for (one, other) in [
            ("straße", "STRASSE"),
            ("straße", "STRAẞE"),
            ("νίκος", "ΝΙΚΟΣ"),
            ("νίκοσ", "νίκος"),
            ("ırmak", "IRMAK"),
            ("Øyvind", "oyvind"),
            ("Łukasz", "lukasz"),
            ("Đorđe", "dorde"),
            ("Ælfþryð", "aelfthryd"),
            ("ﬃ", "FFI"),
        ] {
            assert_eq!(folded(one.as_bytes()), folded(other.as_bytes()));
        }
        assert_eq!(folded("uſer\u{212a}".as_bytes()), "userk");
        assert_eq!(folded(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(digest_of(b"Admin"), digest_of(b"admin"));
        assert_ne!(digest_of(b"admin"), digest_of(b"admins"));
        assert_ne!(digest_of("\u{430}dmin".as_bytes()), digest_of(b"admin")); // a Cyrillic a is another letter
    }
}
