//! Checks of redirect targets after login and logout: only a path on the same origin is safe.

use percent_encoding::percent_decode;
use std::borrow::Cow;

/// The longest accepted path, in bytes.
pub const MAX_PATH_BYTES: usize = 2048;

/// The layers of percent-encoding that are decoded. A path with more is refused.
const MAX_LAYERS: usize = 4;

/// Returns whether `path`, a value for `Location` with or without a query, leads to the same origin.
///
/// Browsers read `\` as `/` and drop control characters before they parse a URL, and servers behind the border decode
/// paths. A path must therefore begin with one `/`, and must not contain `//`, `\` or a control character at any layer
/// of percent-encoding. Its query may contain them encoded.
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
    fn paths_of_the_same_origin_are_accepted() {
        for path in ["/", "/b/", "/b/c.d?e=f&g=%2F%0a", "/b?next=//x", "/%C3%A9", "/b/%20c", "/100%", "/b#//c"] {
            assert!(is_local_path(path.as_bytes()), "{path}");
        }
        assert!(is_local_path(format!("/{}", "a".repeat(MAX_PATH_BYTES - 1)).as_bytes()));
    }

    #[test]
    fn paths_that_may_lead_to_another_origin_are_refused() {
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
        /// Applies the relevant steps of the WHATWG URL parser: the result never names another authority.
        #[test]
        fn no_accepted_path_names_an_authority(path in "[/\\\\a%0259fFcC.?#\t\n ]{0,24}") {
            if is_local_path(path.as_bytes()) {
                let read = path.replace(|c: char| c.is_ascii_control(), "").replace('\\', "/");
                proptest::prop_assert!(read.starts_with('/') && !read.starts_with("//"));
            }
        }
    }
}
