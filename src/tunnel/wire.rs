//! The names that both ends of a registration use.

/// Carries the tunnel's ID in a registration.
pub const ID_HEADER: &str = "x-websocktunnel-id";
/// Tells the client the URL that viewers use.
pub const URL_HEADER: &str = "x-websocktunnel-client-url";
/// Both sides: how many bytes per stream the sender of the header takes unacknowledged. The original ignores it.
pub const WINDOW_HEADER: &str = "x-websocktunnel-window";
/// Both sides: the extended frames are understood. In force once both have said so. The original ignores it.
pub const DIALECT_HEADER: &str = "x-websocktunnel-dialect";
/// The only value of [`DIALECT_HEADER`] so far.
pub const DIALECT_VALUE: &str = "route-native-1";
/// Tells the target the path that the viewer asked for, before the ID was taken off.
pub const ORIGINAL_PATH_HEADER: &str = "x-websocktunnel-original-path";
/// What a proxy in front of several servers can do with a request that this one no longer serves, because it stops.
/// `ask`: look elsewhere, if the answer is [`ELSEWHERE_STATUS`]. `looking`: it does so already, and goes on with the next
/// server after a 404. Without the header the answer is 503.
pub const ELSEWHERE_HEADER: &str = "x-websocktunnel-elsewhere";
/// Between a server and such a proxy, and nobody else's: the proxy cannot tell a service's word from the server's, and
/// would have the service do twice what it was asked. So a service's own becomes a 502. The last status that nginx acts
/// on, and one without a meaning.
pub const ELSEWHERE_STATUS: u16 = 599;

/// Whether `id` may name a tunnel: `^[a-zA-Z0-9_~.%-]+$`, and no longer than a DNS name or a path segment needs.
pub fn is_valid_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 255 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_~.%-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::is_valid_id;

    #[test]
    fn ids_are_what_the_reference_allows() {
        for id in ["a", "worker-1.us_east~2", "a%2Fb", "...", &"x".repeat(255)] {
            assert!(is_valid_id(id), "{id}");
        }
        for id in ["", "a/b", "a b", "a?b", "é", "a\r\nb", "a:b", &"x".repeat(256)] {
            assert!(!is_valid_id(id), "{id}");
        }
    }
}
