//! User names and field names that backends treat as equal.
//!
//! Backends normalize a name before they look a user up: case, surrounding and repeated whitespace (LDAP),
//! compatibility characters (`ｄｅｍｏ`), accents and strokes (MySQL's collations), invisible characters. A limit on failed
//! attempts needs all of these normalizations, or each spelling would get its own limit. Two users may then share a
//! limit, which does less harm. A rule of one language's collation, such as ä and ae, is not applied.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::digest::sha256;
use crate::error::Reason;

/// The size of a digest, in bytes.
pub const DIGEST_BYTES: usize = 32;
/// The longest user name, in bytes. An email address has at most 254.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest folded name, in characters. Folding may turn one character into 18 (U+FDFA).
const MAX_FOLDED_CHARS: usize = 512;
/// The bytes of a field's name that are compared, beyond four for each character of the expected name.
const MARGIN_BYTES: usize = 64;

/// Returns the folded characters of a name.
fn folded(name: &[u8]) -> impl Iterator<Item = char> {
    let is_visible = |char: &char| !is_combining_mark(*char) && !is_invisible(*char);
    let lossy = name.utf8_chunks().flat_map(|chunk| {
        chunk.valid().chars().chain((!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER))
    });
    // Drops invisible characters first, because the next steps cost more and a name may consist of them.
    let lower = lossy.filter(is_visible).nfkd().filter(is_visible).flat_map(char::to_lowercase);
    // Only upper case makes ß and ss equal, or ς and σ. ẞ has no other upper case, so that it becomes ß before.
    lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkd().filter(is_visible).flat_map(|char| {
        let base = base_of(char);
        base.unwrap_or_default().chars().chain(base.is_none().then_some(char))
    })
}

/// Returns the replacement, in accent-insensitive collations, of a letter that Unicode does not decompose.
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

/// Returns whether a character is a control or format character, such as a soft hyphen, a zero-width space, a direction
/// mark or a tag. Collations ignore them, or `NFKC_Casefold` drops them (`Default_Ignorable_Code_Point`, which includes
/// the Hangul fillers).
fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns the digest of a name, which is that of all names that backends treat as equal.
///
/// Errors: `InvalidArgument` for a name longer than [`MAX_NAME_BYTES`], or than 512 characters after folding.
pub fn digest_of(name: &[u8]) -> Result<[u8; DIGEST_BYTES], Reason> {
    if name.len() > MAX_NAME_BYTES {
        return Err(Reason::InvalidArgument);
    }
    let (mut text, mut chars) = (String::with_capacity(MAX_NAME_BYTES), folded(name));
    text.extend(chars.by_ref().take(MAX_FOLDED_CHARS));
    if chars.next().is_some() {
        return Err(Reason::InvalidArgument);
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(sha256(&[text.as_bytes()]))
}

/// Returns whether a backend may read a form's field, or a JSON object's member, as the field named `expected`. Returns
/// `None` for a name too long to tell.
///
/// PHP drops spaces before a name, ends it at a NUL, makes a list of `name[]`, and replaces a dot, a space and an
/// unclosed bracket by `_`. Rack drops brackets before a name, Spring reads `!name`, and ASP.NET reads `model.name` and
/// `model[name]` when an action's parameter is named `model`.
pub fn may_be_field(field: &[u8], expected: &[u8]) -> Option<bool> {
    let whole = may_be_whole_field(field, expected);
    let end = field.iter().rposition(|byte| !b"[]".contains(byte)).map_or(0, |last| last + 1);
    match field[..end].iter().rposition(|byte| b".[".contains(byte)) {
        Some(separator) if whole == Some(false) => may_be_whole_field(&field[separator + 1..end], expected),
        _ => whole,
    }
}

/// Compares the beginning of a name, which bounds the cost. Returns `None` when the remainder would decide.
fn may_be_whole_field(field: &[u8], expected: &[u8]) -> Option<bool> {
    let underscored = |char: char| if char.is_whitespace() { '_' } else { char };
    let expected = folded(&shortened(expected, true).0).collect::<String>();
    let expected: Vec<char> = expected.trim().chars().map(underscored).collect();
    let field = field.trim_ascii_start();
    let prefix = head(field, 4 * expected.len() + MARGIN_BYTES);
    let is_truncated = prefix.len() < field.len();
    let readings = if prefix.contains(&b'[') { 2 } else { 1 };
    for bracket_ends in [true, false].into_iter().take(readings) {
        let (name, has_ended) = shortened(prefix, bracket_ends);
        let mut found = folded(&name).skip_while(|char| char.is_whitespace());
        let mut rest = expected.iter();
        let differs = loop {
            match (found.next(), rest.next()) {
                (None, None) => break false,
                (None, Some(_)) if is_truncated && !has_ended => return None,
                (Some(char), Some(other)) if underscored(char) == *other => {}
                (Some(char), None) if char.is_whitespace() => break !found.all(char::is_whitespace),
                _ => break true,
            }
        };
        if !differs {
            return if is_truncated && !has_ended { None } else { Some(true) };
        }
    }
    Some(false)
}

/// Returns the first `limit` bytes of a name, and the remaining bytes of their last UTF-8 character.
fn head(name: &[u8], limit: usize) -> &[u8] {
    let Some(rest) = name.get(limit..) else { return name };
    let continuation = rest.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
    &name[..limit + continuation]
}

/// Returns a field's name as backends shorten it, and whether they end it before its last byte.
fn shortened(name: &[u8], bracket_ends: bool) -> (Vec<u8>, bool) {
    let start = name.iter().position(|byte| !b"[]! ".contains(byte)).unwrap_or(name.len());
    let ends = |byte: &u8| *byte == 0 || (bracket_ends && b"[]".contains(byte));
    let end = name[start..].iter().position(ends).map_or(name.len(), |end| start + end);
    let plain = |byte: &u8| if b".[".contains(byte) { b'_' } else { *byte };
    (name[start..end].iter().map(plain).collect(), end < name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &[u8]) -> String {
        folded(name).collect::<String>().trim().to_owned()
    }

    #[test]
    fn names_that_backends_treat_as_equal_have_one_digest() {
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
            assert_eq!(text(spelling.as_bytes()), "admin", "{spelling:?}");
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
            assert_eq!(text(one.as_bytes()), text(other.as_bytes()));
        }
        for spelling in ["ada byron", "Ada  Byron", " ada\u{a0}\t byron ", "ada \u{200b} byron", "ada\u{3000}byron"] {
            assert_eq!(digest_of(spelling.as_bytes()), digest_of(b"ada byron"), "{spelling:?}");
        }
        for invisible in
            ['\u{fff9}', '\u{fffb}', '\u{3164}', '\u{ffa0}', '\u{115f}', '\u{1d173}', '\u{1bca0}', '\u{70f}']
        {
            assert_eq!(digest_of(format!("ad{invisible}min").as_bytes()), digest_of(b"admin"), "{invisible:?}");
        }
        assert_ne!(digest_of(b"adabyron"), digest_of(b"ada byron"));
        assert_eq!(text("uſer\u{212a}".as_bytes()), "userk");
        assert_eq!(text(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(digest_of(b"Admin"), digest_of(b"admin"));
        assert_ne!(digest_of(b"admin"), digest_of(b"admins"));
        assert_ne!(digest_of("\u{430}dmin".as_bytes()), digest_of(b"admin")); // a Cyrillic a is another letter
    }

    #[test]
    fn a_name_that_is_too_long_before_or_after_folding_is_refused() {
        assert!(digest_of("x".repeat(MAX_NAME_BYTES).as_bytes()).is_ok());
        assert!(digest_of("\u{1100}".repeat(MAX_NAME_BYTES / 3).as_bytes()).is_ok());
        assert!(digest_of("한".repeat(MAX_NAME_BYTES / 3).as_bytes()).is_ok());
        assert_eq!(text("\u{fdfa}".as_bytes()).chars().count(), 18);
        for name in ["x".repeat(MAX_NAME_BYTES + 1), "\u{fdfa}".repeat(29), "\u{fdfa}".repeat(20_000)] {
            assert_eq!(digest_of(name.as_bytes()), Err(Reason::InvalidArgument), "{} bytes", name.len());
        }
    }

    #[test]
    fn fields_that_backends_may_read_as_the_expected_one_are_found() {
        for field in [
            "username",
            "Username",
            " username",
            "  username ",
            "username[]",
            "username[0]",
            "username]",
            "[username]",
            "username\0x",
            "user\u{ad}name",
            "\u{a0}username\u{2003}",
            "\tusername",
            "u\u{17f}ername",
            "]username",
            "[]username",
            "][username",
            "!username",
            "model.Username",
            "model[username]",
            "a.b[0].username[]",
        ] {
            assert_eq!(may_be_field(field.as_bytes(), b"username"), Some(true), "{field:?}");
        }
        for field in ["user name", "user.name", "user_name", "user[name", " user.name", "User Name[]", "user.name\0"] {
            assert_eq!(may_be_field(field.as_bytes(), b"user_name"), Some(true), "{field:?}");
            assert_eq!(may_be_field(field.as_bytes(), b"user.name"), Some(true), "{field:?}");
        }
        for field in [
            "",
            "user",
            "username2",
            "usernam",
            "_username",
            "user[name]",
            "user[name",
            "xusername",
            "{\"username",
            "username.x",
            "model.xusername",
            ".",
            "[]",
            "]",
        ] {
            assert_eq!(may_be_field(field.as_bytes(), b"username"), Some(false), "{field:?}");
        }
        assert_eq!(may_be_field(b"user[name]", b"user_name"), Some(false));
        let long = |start: &str, filling: &str, end: &str| format!("{start}{}{end}", filling.repeat(1000));
        for (start, filling, end) in
            [("", "\u{301}", "x"), ("", "\u{a0}", "x"), ("[", "[", "x"), ("username", " ", "x")]
        {
            let field = long(start, filling, end);
            assert_eq!(may_be_field(field.as_bytes(), b"username"), None, "{start:?} {filling:?}");
        }
        for (start, filling) in
            [("user[", "x"), ("", " "), ("\n", "\t "), ("user\0", " "), ("usernames", " "), ("x", " "), ("", "a")]
        {
            let field = long(start, filling, "");
            assert_eq!(may_be_field(field.as_bytes(), b"username"), Some(false), "{start:?} {filling:?}");
        }
    }

    proptest::proptest! {
        /// Truncation and invisible characters never hide a field that a backend would read.
        #[test]
        fn a_field_that_folds_to_the_name_is_found(
            before in "[ \u{301}\u{200b}\u{a0}\u{2003}\u{a8}]{0,80}",
            after in "[ \u{301}\u{200b}\u{a0}\u{2003}\u{a8}]{0,80}",
            name in "(user|USER|ｕｓｅｒ|u\u{301}ſer)",
        ) {
            let field = format!("{before}{name}{after}");
            proptest::prop_assert_ne!(may_be_field(field.as_bytes(), b"user"), Some(false), "{:?}", field);
            let other = format!("{before}{name}{after}s");
            proptest::prop_assert_ne!(may_be_field(other.as_bytes(), b"user"), Some(true), "{:?}", other);
        }

        #[test]
        fn arbitrary_bytes_never_panic(field: Vec<u8>, expected: Vec<u8>) {
            may_be_field(&field, &expected);
            let _ = digest_of(&field);
        }
    }
}
