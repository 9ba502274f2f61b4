//! Which strings may become the address of a desktop.
//!
//! A target ends up in `proxy_pass http://$target:$port`, so anything that nginx could read as more than a
//! host is refused: ports, paths, spaces, control characters, and the loose spellings of IPv4 (`127.1`,
//! `0x7f000001`) that resolvers understand and filters do not.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest host name that DNS carries (RFC 1035, in text form).
pub const MAX_HOST_BYTES: usize = 253;

/// Checks `host` and returns it in lower case: a host name (RFC 1123), an IPv4 address in four decimal parts,
/// or an IPv6 address in brackets. `None` is a refusal.
pub fn normalise(host: &str) -> Option<String> {
    is_host(host).then(|| host.to_ascii_lowercase())
}

/// Whether `host` is what [`normalise`] would return: for targets that come from a cache.
pub fn is_normalised(host: &str) -> bool {
    is_host(host) && !host.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| Ipv6Addr::from_str(address).is_ok()),
        None => is_host_name(host) && (!ends_in_number(host) || Ipv4Addr::from_str(host).is_ok()),
    }
}

/// Whether a normalised host is an address rather than a name: it needs no resolver.
pub fn is_address(host: &str) -> bool {
    // Names that end in a number are refused above, so what consists of digits and dots is IPv4.
    host.starts_with('[') || host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// A suffix that targets must have, such as `desktop.abcdesktop.svc.cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffix(String);

impl Suffix {
    /// Reads a setting; a leading dot is allowed and means the same. `None` when it is no host name.
    pub fn parse(setting: &str) -> Option<Suffix> {
        let name = setting.strip_prefix('.').unwrap_or(setting);
        (is_host_name(name) && !ends_in_number(name)).then(|| Suffix(format!(".{}", name.to_ascii_lowercase())))
    }

    /// Whether a normalised host lies below the suffix. Addresses never do.
    pub fn allows(&self, host: &str) -> bool {
        host.ends_with(&self.0)
    }

    /// The suffix with its leading dot.
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

/// Whether resolvers may take the name for an IPv4 address: its last label is a decimal or `0x` number.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    hex || last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_hosts_and_addresses_and_nothing_else() {
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
    fn an_address_needs_no_resolver() {
        for host in ["127.0.0.1", "[::1]"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["desktop", "1a", "10.0.0.1.example", "host1", "1.2.3.a4"] {
            assert!(normalise(host).is_some() && !is_address(host), "{host}");
        }
    }

    #[test]
    fn a_suffix_ends_at_a_label() {
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
