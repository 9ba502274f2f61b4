//! Checks of a target: only a host may become the address of a desktop.
//!
//! A target is inserted into `proxy_pass http://$target:$port`. Whatever nginx could read as more than a host is
//! refused: ports, paths, spaces, control characters, and loose spellings of IPv4 (`127.1`, `0x7f000001`), which
//! resolvers accept and filters overlook.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest host name in text form, in bytes (RFC 1035 §2.3.4).
pub const MAX_HOST_BYTES: usize = 253;

/// Checks `host` and returns it in lower case: a host name (RFC 1123 §2.1), an IPv4 address in four decimal parts, or
/// an IPv6 address in brackets. Returns `None` for anything else.
pub fn normalise(host: &str) -> Option<String> {
    is_host(host).then(|| host.to_ascii_lowercase())
}

/// Returns whether `host` is a result of [`normalise`]. Targets from a cache must be.
pub fn is_normalised(host: &str) -> bool {
    is_host(host) && !host.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| Ipv6Addr::from_str(address).is_ok()),
        None => is_host_name(host) && (!ends_in_number(host) || Ipv4Addr::from_str(host).is_ok()),
    }
}

/// Returns whether a normalised host is an address, which needs no resolver.
pub fn is_address(host: &str) -> bool {
    // A host name never ends in a number, so that digits and dots alone are IPv4.
    host.starts_with('[') || host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// A domain suffix that targets must have, such as `desktop.abcdesktop.svc.cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffix(String);

impl Suffix {
    /// Parses a setting, with or without a leading dot. Returns `None` for anything but a host name.
    pub fn parse(setting: &str) -> Option<Suffix> {
        let name = setting.strip_prefix('.').unwrap_or(setting);
        (is_host_name(name) && !ends_in_number(name)).then(|| Suffix(format!(".{}", name.to_ascii_lowercase())))
    }

    /// Returns whether a normalised host is a subdomain of the suffix. An address never is.
    pub fn allows(&self, host: &str) -> bool {
        host.ends_with(&self.0)
    }

    /// Returns the suffix with a leading dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_host_name(name: &str) -> bool {
    name.len() <= MAX_HOST_BYTES && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

/// Returns whether a resolver may read the name as an IPv4 address: its last label is a decimal or `0x` number.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    hex || last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_names_and_addresses_are_accepted() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        for host in
            ["desktop", "a.b-c.example", "3com.example", "127.0.0.1", "[::1]", "[2001:db8::7]", longest.as_str()]
        {
            assert_eq!(normalise(host).as_deref(), Some(host), "{host}");
            assert!(is_normalised(host), "{host}");
        }
        assert_eq!(normalise("Pod-7.Example").as_deref(), Some("pod-7.example"));
        assert!(!is_normalised("Pod-7.Example") && !is_normalised("pod:22"));

        let too_long = format!("{longest}a");
        let refused = [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "a b",
            " a",
            "a\n",
            "a\r\nHost: x",
            "a\0b",
            "127.0.0.1:22",
            "host:80",
            "a/../b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "user@host",
            "http://a",
            "%61",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0X7F.0x1",
            "127.0.0.01",
            "256.0.0.1",
            "1.2.3.4.5",
            "::1",
            "[::1",
            "::1]",
            "[127.0.0.1]",
            "[fe80::1%eth0]",
            "[::1]:80",
            "[]",
            "é.example",
            &too_long,
        ];
        for host in refused {
            assert_eq!(normalise(host), None, "{host:?}");
        }
        assert_eq!(normalise(&"a".repeat(300)), None);
        assert_eq!(normalise(&"a".repeat(64)), None);
    }

    #[test]
    fn addresses_are_told_from_host_names() {
        for host in ["127.0.0.1", "[::1]"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["desktop", "1a", "10.0.0.1.example", "host1", "1.2.3.a4"] {
            assert!(normalise(host).is_some() && !is_address(host), "{host}");
        }
    }

    #[test]
    fn a_suffix_allows_its_subdomains_only() {
        let suffix = Suffix::parse("desktop.svc").expect("a valid suffix");
        assert_eq!(Suffix::parse(".Desktop.SVC"), Some(suffix.clone()));
        assert!(suffix.allows("pod.desktop.svc"));
        for host in ["desktop.svc", "evildesktop.svc", "pod.desktop.svc.evil", "127.0.0.1", "[::1]"] {
            assert!(!suffix.allows(host), "{host}");
        }
        for setting in ["", ".", "a b", "..a", "10"] {
            assert_eq!(Suffix::parse(setting), None, "{setting:?}");
        }
    }
}
