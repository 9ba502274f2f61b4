//! HTTP proxies, from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::Uri;
use std::{fmt, io, net::IpAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The size limit of the response to CONNECT, in bytes.
const MAX_RESPONSE: usize = 8 << 10;

/// The rules that select a proxy for a server.
#[derive(Clone, Debug, Default)]
pub struct ProxyRules {
    http: Option<String>,
    https: Option<String>,
    no_proxy: Vec<String>,
}

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub host: String,
    pub port: u16,
    credentials: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

impl ProxyRules {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, or their lower-case names.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| get(name).or_else(|| get(&name.to_lowercase())).filter(|value| !value.is_empty());
        let list = either("NO_PROXY").unwrap_or_default();
        Self {
            http: either("HTTP_PROXY"),
            https: either("HTTPS_PROXY"),
            no_proxy: list.split(',').map(|rule| rule.trim().to_lowercase()).filter(|rule| !rule.is_empty()).collect(),
        }
    }

    /// Returns rules without a proxy.
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns the proxy for a server, `None` for a direct connection, or an error of the setting.
    pub(super) fn proxy_for(&self, tls: bool, host: &str, port: u16) -> Result<Option<Proxy>, String> {
        let setting = if tls { &self.https } else { &self.http };
        let Some(setting) = setting else { return Ok(None) };
        let loopback = host.parse::<IpAddr>().map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback());
        if loopback || self.no_proxy.iter().any(|rule| exempts(rule, host, port)) {
            return Ok(None);
        }
        parse_proxy(setting).map(Some)
    }
}

/// Returns true if a rule of `NO_PROXY` matches a server.
fn exempts(rule: &str, host: &str, port: u16) -> bool {
    let host = host.to_lowercase();
    let rule = match rule.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => match digits.parse::<u16>() {
            Ok(number) if number == port => name,
            _ => return false,
        },
        _ => rule,
    };
    if let (Some((network, bits)), Ok(ip)) = (rule.split_once('/'), host.parse::<IpAddr>()) {
        return in_network(network, bits, ip);
    }
    let name = rule.trim_start_matches('.');
    rule == "*"
        || host == name && !rule.starts_with('.')
        || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

fn in_network(network: &str, bits: &str, ip: IpAddr) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

fn parse_proxy(setting: &str) -> Result<Proxy, String> {
    let with_scheme = if setting.contains("://") { setting.to_owned() } else { format!("http://{setting}") };
    // The setting may contain a password, so errors must not contain it.
    let uri: Uri = with_scheme.parse().map_err(|_| "the proxy's URL cannot be read".to_owned())?;
    if uri.scheme_str() != Some("http") {
        return Err("only proxies with http:// URLs are supported".into());
    }
    let authority = uri.authority().ok_or("the proxy's URL names no host")?;
    let credentials = authority.as_str().rsplit_once('@').map(|(credentials, _)| STANDARD.encode(credentials));
    Ok(Proxy {
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        port: authority.port_u16().unwrap_or(80),
        credentials,
    })
}

impl Proxy {
    /// Sends CONNECT to the proxy and reads its response.
    pub async fn connect(&self, socket: &mut TcpStream, authority: &str) -> io::Result<()> {
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(credentials) = &self.credentials {
            request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
        }
        request.push_str("\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // Reads byte by byte, because the bytes after the response belong to the server.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= MAX_RESPONSE {
                return Err(io::Error::other("the proxy's answer is too long"));
            }
            answer.push(socket.read_u8().await?);
        }
        let status = answer.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        match status.first() {
            Some(b'2') if status.len() == 3 => Ok(()),
            _ => {
                Err(io::Error::other(format!("the proxy answered {}", String::from_utf8_lossy(status).escape_debug())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(settings: &'static [(&'static str, &'static str)]) -> ProxyRules {
        ProxyRules::from_env(|name| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
    }

    #[test]
    fn the_scheme_of_the_server_selects_the_proxy() {
        let rules = rules(&[("HTTP_PROXY", "http://p:3128"), ("https_proxy", "u:secret@q")]);
        assert_eq!(rules.proxy_for(false, "h", 80).unwrap().unwrap().port, 3128);
        let proxy = rules.proxy_for(true, "h", 443).unwrap().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port, proxy.credentials.is_some()), ("q", 80, true));
        assert!(!format!("{proxy:?}").contains("secret"));
        assert_eq!(rules.proxy_for(false, "127.0.0.9", 80), Ok(None));
        assert_eq!(rules.proxy_for(false, "LocalHost", 80), Ok(None));
        assert!(self::rules(&[("HTTP_PROXY", "socks5://p")]).proxy_for(false, "h", 80).is_err());
    }

    #[test]
    fn no_proxy_matches_names_suffixes_addresses_networks_and_ports() {
        for (rule, host, port, exempt) in [
            ("*", "any", 1, true),
            ("example.com", "example.com", 1, true),
            ("example.com", "a.Example.com", 1, true),
            ("example.com", "badexample.com", 1, false),
            (".example.com", "example.com", 1, false),
            (".example.com", "a.example.com", 1, true),
            ("h:8080", "h", 8080, true),
            ("h:8080", "h", 80, false),
            ("10.0.0.0/8", "10.9.9.9", 1, true),
            ("10.0.0.0/8", "11.0.0.1", 1, false),
            ("0.0.0.0/0", "11.0.0.1", 1, true),
            ("fd00::/8", "fd12::1", 1, true),
            ("10.0.0.0/99", "10.0.0.0", 1, false),
        ] {
            assert_eq!(exempts(rule, host, port), exempt, "{rule} {host}:{port}");
        }
    }
}
