//! Where a client may be sent after login and logout: a path on the same origin, and nothing else.

use percent_encoding::percent_decode;
use std::borrow::Cow;

/// The longest path that is kept or redirected to.
pub const MAX_PATH_BYTES: usize = 2048;

/// More layers of percent-encoding than this are not looked through, and refused.
const MAX_LAYERS: usize = 4;

/// Whether `path` (a path with or without a query, as it would stand in `Location`) leads to the same origin.
///
/// Browsers take `\` for `/` and drop control characters before they read a URL, and servers behind the border decode
/// what they are sent. So the path must begin with one `/`, and at no layer of percent-encoding may it hold `//`, `\`
/// or a control character; its query may hold them encoded.
pub fn is_local_path(path: &[u8]) -> bool {
    if path.len() > MAX_PATH_BYTES || path.first() != Some(&b'/') || !path.iter().all(u8::is_ascii_graphic) {
        return false;
    }
    if path.contains(&b'\\') {
        return false;
    }
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    let mut layer = Cow::from(&path[..end]);
    for _ in 0..MAX_LAYERS {
        if layer.windows(2).any(|pair| pair == b"//")
            || layer.iter().any(|byte| *byte == b'\\' || byte.is_ascii_control())
        {
            return false;
        }
        layer = match Cow::from(percent_decode(&layer)) {
            Cow::Borrowed(_) => return true, // nothing was encoded
            Cow::Owned(decoded) => decoded.into(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_origin_pass() {
        for path in ["/", "/b/", "/b/c.d?e=f&g=%2F%0a", "/b?next=//x", "/%C3%A9", "/b/%20c", "/100%", "/b#//c"] {
            assert!(is_local_path(path.as_bytes()), "{path}");
        }
        assert!(is_local_path(format!("/{}", "a".repeat(MAX_PATH_BYTES - 1)).as_bytes()));
    }

    #[test]
    fn what_may_lead_elsewhere_is_refused() {
        for path in [
            "",
            "b",
            "//evil",
            "/\\evil",
            "\\\\evil",
            "http://evil",
            "javascript:x",
            "/%09/evil",
            "/\t/evil",
            "/%0a/evil",
            "%0a//evil",
            "/%0d%0aLocation:x",
            "/%2fevil",
            "/%2F%2fevil",
            "/%5cevil",
            "/%5Cevil",
            "/%252fevil",
            "/%25252fevil",
            "/%25255cevil",
            "/b//c",
            "/.//evil",
            "/b/..//evil",
            "/ /evil",
            "/b\u{e9}",
            "/b\0",
            "/%00",
            "/b\\c",
            "/b?\\",
            "/b?\n",
            "/%2525252525252fevil",
        ] {
            assert!(!is_local_path(path.as_bytes()), "{path:?}");
        }
        assert!(!is_local_path(format!("/{}", "a".repeat(MAX_PATH_BYTES)).as_bytes()));
    }

    proptest::proptest! {
        /// The WHATWG rules, in the few steps that matter here: what is left after them never names another authority.
        #[test]
        fn no_accepted_path_names_an_authority(path in "[/\\\\a%0259fFcC.?#\t\n ]{0,24}") {
            if is_local_path(path.as_bytes()) {
                let read: String = path.chars().filter(|c| !c.is_ascii_control()).map(|c| if c == '\\' { '/' } else { c }).collect();
                proptest::prop_assert!(read.starts_with('/') && !read.starts_with("//"));
            }
        }
    }
}
