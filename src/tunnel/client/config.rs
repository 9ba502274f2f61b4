//! The client's configuration.

use super::{proxy::ProxyRules, token::Tokens};
use crate::{mux::Limits, tunnel::wire};
use hyper::Uri;
use std::time::Duration;
use tokio_rustls::rustls;

/// The initial window per stream of a server that does not announce it, as the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerWindow {
    /// Determined for each connection from the server's responses to `/__version__` and `/__heartbeat__`.
    Auto,
    /// A number of bytes.
    Fixed(u32),
}

/// The retry policy.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The wait before the second attempt. Default 0.5 s.
    pub initial: Duration,
    /// The longest wait. Default 60 s.
    pub max: Duration,
    /// The factor between two waits. Default 1.5.
    pub multiplier: f64,
    /// The random part of a wait: 0.5 means between half and one and a half of it. Default 0.5.
    pub jitter: f64,
    /// The time limit for all attempts, or `None` for no limit. Default 3 minutes.
    pub give_up: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            max: Duration::from_secs(60),
            multiplier: 1.5,
            jitter: 0.5,
            give_up: Some(Duration::from_secs(180)),
        }
    }
}

/// The configuration of a client.
pub struct Config {
    pub(super) server: Server,
    pub(super) id: String,
    pub(super) tokens: Tokens,
    /// The retry policy.
    pub retry: Retry,
    /// The time limit for one attempt. Default 45 s.
    pub handshake_timeout: Duration,
    /// The time limit for the streams of an old session to end. Default 60 s.
    pub grace: Duration,
    /// The server's window, if the server does not announce it. Default: [`ServerWindow::Auto`].
    pub server_window: ServerWindow,
    /// The proxies to use. Default: from the environment.
    pub proxy: ProxyRules,
    /// The trusted certificates. Default: the system's.
    pub roots: Option<rustls::RootCertStore>,
    /// True to use the original dialect with every server, for tests and debugging. Default: false.
    pub plain_dialect: bool,
    /// The limits of each session.
    pub limits: Limits,
}

/// The server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// The value of `Host`, from the URL.
    pub authority: String,
    pub path: String,
}

/// An error of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(pub String);

impl Config {
    /// Returns the configuration of a client with the ID `id` for the server at `url` (`http`, `https`, `ws` or `wss`).
    pub fn new(url: &str, id: &str, tokens: Tokens) -> Result<Self, BadConfig> {
        if !wire::is_valid_id(id) {
            return Err(BadConfig(format!("{id:?} is not an ID: letters, digits and _ ~ . % - only, at most 255")));
        }
        Ok(Self {
            server: Server::parse(url)?,
            id: id.to_owned(),
            tokens,
            retry: Retry::default(),
            handshake_timeout: Duration::from_secs(45),
            grace: Duration::from_secs(60),
            server_window: ServerWindow::Auto,
            proxy: ProxyRules::from_env(|name| std::env::var(name).ok()),
            roots: None,
            plain_dialect: false,
            limits: Limits::default(),
        })
    }
}

impl Server {
    fn parse(url: &str) -> Result<Self, BadConfig> {
        let bad = |why: &str| BadConfig(format!("{url:?} is not a server's URL: {why}"));
        let uri: Uri = url.parse().map_err(|_| bad("it cannot be read"))?;
        let tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(bad("it has to start with http://, https://, ws:// or wss://")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it holds credentials"));
        }
        Ok(Self {
            tls,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_url_has_one_of_four_schemes_a_host_and_no_credentials() {
        let server = Server::parse("wss://[::1]:8443/x").unwrap();
        assert_eq!((server.tls, server.host.as_str(), server.port, server.path.as_str()), (true, "::1", 8443, "/x"));
        assert_eq!(Server::parse("http://h").unwrap().port, 80);
        assert_eq!(Server::parse("https://h").unwrap().port, 443);
        for url in ["h", "ftp://h", "http://", "http://u:p@h", "http://h h", ""] {
            assert!(Server::parse(url).is_err(), "{url}");
        }
    }
}
