//! One registration attempt: the connection, the handshake and the server's window.

use super::config::{Config, Server, ServerWindow};
use crate::{
    mux::{self, Dialect, Role},
    tls_client,
    tunnel::{driver::limit_unsent, link::Link, shared::Transport, wire},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{HeaderMap, Request, StatusCode, client::conn::http1, header, upgrade};
use hyper_util::rt::TokioIo;
use std::{io, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{self, pki_types::ServerName},
};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// The window of the original's releases since late 2025, and the smallest window of older ones.
const ORIGINAL_WINDOWS: [u32; 2] = [4 << 20, 4096];
/// The major version of the first release with the wide window.
const WIDE_WINDOW_SINCE: u64 = 94;

/// The error of an attempt.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The server refused the token.
    #[error("the server refused the token (401)")]
    Unauthorized,
    /// The server refused the registration. A retry would fail too.
    #[error("the server answered {0}")]
    Refused(StatusCode),
    /// A temporary error. A retry may succeed.
    #[error("{0}")]
    Temporary(String),
    /// A permanent error. A retry would fail too.
    #[error("{0}")]
    Permanent(String),
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(_)) => Self::Permanent(format!("the server's certificate: {error}")),
            _ => Self::Temporary(error.to_string()),
        }
    }
}

impl From<hyper::Error> for DialError {
    fn from(error: hyper::Error) -> Self {
        Self::Temporary(error.to_string())
    }
}

/// A successful registration.
pub(super) struct Registered {
    pub link: Link,
    pub url: String,
}

/// Connects to the server and registers.
pub(super) async fn register(config: &Config, token: &str) -> Result<Registered, DialError> {
    let io = transport(config).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection.with_upgrades());
    let nonce = generate_key();
    let request = registration(config, token, &nonce)?;
    let mut response = sender.send_request(request).await?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {}
        StatusCode::UNAUTHORIZED => return Err(DialError::Unauthorized),
        status if status.is_client_error() || status.is_success() => return Err(DialError::Refused(status)),
        status => return Err(DialError::Temporary(format!("the server answered {status}"))),
    }
    let headers = response.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::SEC_WEBSOCKET_ACCEPT.as_str()) != Some(derive_accept_key(nonce.as_bytes()).as_str()) {
        return Err(DialError::Permanent("the server's WebSocket handshake is wrong".into()));
    }
    let url = text(wire::URL_HEADER).filter(|url| !url.is_empty()).map(str::to_owned);
    let url = url.ok_or_else(|| DialError::Permanent("the server does not say where viewers go: is it one?".into()))?;
    let session = session(config, headers).await;
    let parts = upgrade::on(&mut response).await?.downcast::<TokioIo<Box<dyn Transport>>>();
    let parts = parts.map_err(|_| DialError::Permanent("the connection cannot be taken over".into()))?;
    Ok(Registered { link: Link::start(parts.io.into_inner(), parts.read_buf, session), url })
}

/// Returns the request that registers.
fn registration(config: &Config, token: &str, nonce: &str) -> Result<Request<Empty<Bytes>>, DialError> {
    let mut request = Request::get(config.server.path.as_str())
        .header(header::HOST, &config.server.authority)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, nonce)
        .header(wire::ID_HEADER, &config.id);
    if !config.plain_dialect {
        request = request
            .header(wire::DIALECT_HEADER, wire::DIALECT_VALUE)
            .header(wire::WINDOW_HEADER, config.limits.initial_window());
    }
    // Only the token can be invalid here. The error must not contain it.
    request.body(Empty::new()).map_err(|_| DialError::Permanent("the token holds characters that no token has".into()))
}

/// Returns the session's configuration from the server's response.
async fn session(config: &Config, headers: &HeaderMap) -> mux::Config {
    let extended = headers.get(wire::DIALECT_HEADER).is_some_and(|value| value == wire::DIALECT_VALUE);
    let announced = headers.get(wire::WINDOW_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    let window = match (announced, config.server_window) {
        // A server that regards us as an original client assumes that our first credit equals our own window.
        (Some(_), _) if config.plain_dialect => config.limits.initial_window(),
        (Some(window), _) => window,
        (None, ServerWindow::Fixed(window)) => window,
        (None, ServerWindow::Auto) => find_window(config).await,
    };
    mux::Config {
        role: Role::Client,
        dialect: if extended && !config.plain_dialect { Dialect::Extended } else { Dialect::Original },
        peer_window: Some(window),
        limits: config.limits.clone(),
    }
}

/// Determines the window of an original server. More bytes than its window would break every longer response, so the
/// narrow window is assumed unless the server is known to have the wide one.
async fn find_window(config: &Config) -> u32 {
    let [wide, narrow] = ORIGINAL_WINDOWS;
    match get(config, "/__version__").await {
        Ok((StatusCode::OK, body)) => {
            let version: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
            let text = version.as_ref().and_then(|version| version.get("version")?.as_str()).unwrap_or_default();
            let major = text.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u64>().ok());
            if major.is_some_and(|major| major >= WIDE_WINDOW_SINCE) { wide } else { narrow }
        }
        // A server without a version file is built from source. /__heartbeat__ exists since 2020, the wide window since
        // 2025.
        Ok(_) => match get(config, "/__heartbeat__").await {
            Ok((StatusCode::OK, _)) => wide,
            _ => narrow,
        },
        Err(_) => narrow,
    }
}

/// Sends a GET on a connection of its own. Returns the status and at most 64 KiB of the body.
async fn get(config: &Config, path: &str) -> Result<(StatusCode, Bytes), DialError> {
    let io = transport(config).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, &config.server.authority).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| DialError::Permanent(error.to_string()))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), 64 << 10).collect().await;
    let body = body.map_err(|error| DialError::Temporary(error.to_string()))?;
    Ok((status, body.to_bytes()))
}

/// Connects to the server, through the proxy if one is configured, and with TLS if the URL requires it.
async fn transport(config: &Config) -> Result<Box<dyn Transport>, DialError> {
    let Server { tls, host, port, .. } = &config.server;
    let proxy = config.proxy.proxy_for(*tls, host, *port).map_err(DialError::Permanent)?;
    let mut socket = match &proxy {
        Some(proxy) => TcpStream::connect((proxy.host.as_str(), proxy.port)).await?,
        None => TcpStream::connect((host.as_str(), *port)).await?,
    };
    socket.set_nodelay(true)?;
    limit_unsent(&socket);
    if let Some(proxy) = &proxy {
        let bracketed = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        proxy.connect(&mut socket, &bracketed).await?;
    }
    if !tls {
        return Ok(Box::new(socket));
    }
    let name = ServerName::try_from(host.clone());
    let name = name.map_err(|_| DialError::Permanent("the server's name cannot be in a certificate".into()))?;
    let builder = tls_client::builder(config.roots.clone()).map_err(DialError::Permanent)?;
    let connector = TlsConnector::from(Arc::new(builder.with_no_client_auth()));
    Ok(Box::new(connector.connect(name, socket).await?))
}
