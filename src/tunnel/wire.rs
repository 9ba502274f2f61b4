//! The header fields and IDs that both ends of a registration use.

/// The tunnel's ID, in a registration.
pub const ID_HEADER: &str = "x-websocktunnel-id";
/// The URL that viewers use, in the server's response.
pub const URL_HEADER: &str = "x-websocktunnel-client-url";
/// The sender's initial window per stream, in bytes. Both sides send it. The original ignores it.
pub const WINDOW_HEADER: &str = "x-websocktunnel-window";
/// The announcement of the extended dialect. It is in force if both sides send it. The original ignores it.
pub const DIALECT_HEADER: &str = "x-websocktunnel-dialect";
/// The only value of [`DIALECT_HEADER`].
pub const DIALECT_VALUE: &str = "route-native-1";
/// The path of the viewer's request with the ID, for the target.
pub const ORIGINAL_PATH_HEADER: &str = "x-websocktunnel-original-path";
/// What a proxy in front of several servers does if this server is stopping and no longer has the client. With `ask`,
/// the proxy tries another server if the response is [`ELSEWHERE_STATUS`]. With `looking`, it is already trying them
/// and continues after a 404. Without the header the response is 503.
pub const ELSEWHERE_HEADER: &str = "x-websocktunnel-elsewhere";
/// The status that asks such a proxy to try another server. The proxy cannot distinguish the server's status from a
/// service's, and would repeat a request that the service has already processed. A service's own 599 therefore becomes
/// a 502. 599 has no registered meaning, and is the largest status that nginx's `error_page` accepts.
pub const ELSEWHERE_STATUS: u16 = 599;

/// Returns true if `id` is a valid ID: it matches `^[a-zA-Z0-9_~.%-]+$` and has at most 255 bytes.
pub fn is_valid_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 255 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_~.%-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::is_valid_id;

    #[test]
    fn ids_have_the_originals_characters_and_at_most_255_bytes() {
        for id in ["a", "worker-1.us_east~2", "a%2Fb", "...", &"x".repeat(255)] {
            assert!(is_valid_id(id), "{id}");
        }
        for id in ["", "a/b", "a b", "a?b", "é", "a\r\nb", "a:b", &"x".repeat(256)] {
            assert!(!is_valid_id(id), "{id}");
        }
    }
}
