//! Names that a login may take for one another.
//!
//! Programs fold names in their own ways before they look a user up: case, blanks around, compatible characters (`ｄｅｍｏ`),
//! accents (MySQL's collations), characters that cannot be seen. Who counts failed attempts by name folds them all at once,
//! or each spelling would be another allowance. That two users share one is the smaller evil.

use aws_lc_rs::digest::{SHA256, digest};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The size of [`digest_of`].
pub const DIGEST_BYTES: usize = 32;

/// The name without what programs overlook.
fn folded(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let seen = text.nfkd().filter(|char| !is_combining_mark(*char) && !is_invisible(*char));
    let lower: String = seen.flat_map(char::to_lowercase).collect();
    lower.trim().to_owned()
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
        assert_eq!(folded("uſer\u{212a}".as_bytes()), "userk");
        assert_eq!(folded(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(digest_of(b"Admin"), digest_of(b"admin"));
        assert_ne!(digest_of(b"admin"), digest_of(b"admins"));
        assert_ne!(digest_of("\u{430}dmin".as_bytes()), digest_of(b"admin")); // a Cyrillic a is another letter
    }
}
