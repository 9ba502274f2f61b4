//! What a client is told.

use super::{proxy::ProxyRules, token::Tokens};
use crate::{mux::Limits, tunnel::wire};
use hyper::Uri;
use std::time::Duration;
use tokio_rustls::rustls;

/// How many bytes a server takes per stream before it credits more. Servers of ours say so; the original does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerWindow {
    /// Found out once per connection from what the server answers to `/__version__` and `/__heartbeat__`.
    Auto,
    /// So many, for a server that does not say.
    Fixed(u32),
}

/// When to try again, and when not any more.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Before the second attempt. Default 0.5 s.
    pub initial: Duration,
    /// At most. Default 60 s.
    pub max: Duration,
    /// Each wait is that many times the one before. Default 1.5.
    pub multiplier: f64,
    /// Each wait is spread by that part of itself, up or down. Default 0.5.
    pub jitter: f64,
    /// When to give up. Default 3 minutes; none is never.
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

/// Everything that a client is started with.
pub struct Config {
    pub(super) server: Server,
    pub(super) id: String,
    pub(super) tokens: Tokens,
    /// See [`Retry`].
    pub retry: Retry,
    /// How long an attempt may take. Default 45 s.
    pub handshake_timeout: Duration,
    /// How long the streams of an old session may take to end. Default 60 s.
    pub grace: Duration,
    /// See [`ServerWindow`]. Default: found out.
    pub server_window: ServerWindow,
    /// Which proxy to use. Default: what the environment says.
    pub proxy: ProxyRules,
    /// Certificates to trust instead of the system's.
    pub roots: Option<rustls::RootCertStore>,
    /// Speak to every server as the original does. For tests and for finding faults. Default: false.
    pub plain_dialect: bool,
    /// Bounds of each session.
    pub limits: Limits,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// `Host`, as the URL has it.
    pub authority: String,
    pub path: String,
}

/// Something in the configuration that no attempt could mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(pub String);

impl Config {
    /// A client named `id` of the server at `url` (`http`, `https`, `ws` or `wss`).
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
    fn servers_are_urls_of_four_schemes() {
        let server = Server::parse("wss://[::1]:8443/x").unwrap();
        assert_eq!((server.tls, server.host.as_str(), server.port, server.path.as_str()), (true, "::1", 8443, "/x"));
        assert_eq!(Server::parse("http://h").unwrap().port, 80);
        assert_eq!(Server::parse("https://h").unwrap().port, 443);
        for url in ["h", "ftp://h", "http://", "http://u:p@h", "http://h h", ""] {
            assert!(Server::parse(url).is_err(), "{url}");
        }
    }
}
