//! The server: registers clients, and forwards the requests of viewers to them.

pub mod auth;
pub mod config;
mod conversation;
mod exchange;
mod headers;
mod listen;
pub mod metrics;
mod register;
mod registry;
mod request_body;
mod response_body;
pub mod revocations;
mod setting;
mod tls;
mod upstream;
mod viewer;
mod websocket;

pub use config::Config;
pub use setting::BadSetting;
pub use tls::TlsSource;

use crate::tunnel::{end::CloseReason, log::Level, wire};
use auth::Authority;
use conversation::Conversation;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{self, HeaderValue},
};
use metrics::{Metrics, count};
use registry::{Registry, Tunnel};
use response_body::ResponseBody;
use revocations::Revocations;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tls::Certificate;
use tokio::net::TcpListener;

/// How long a draining server still serves a client that looks for another server.
const MOVE_TIME: Duration = Duration::from_secs(5);

const NO_CLIENT: &str = "No client is connected with that id\n";

/// What the sender of a request can do if a draining server no longer has the client ([`wire::ELSEWHERE_HEADER`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainResponse {
    /// Retry later.
    RetryLater,
    /// Retry with another server, on request.
    CanRetryElsewhere,
    /// The sender is already trying the other servers.
    RetryingElsewhere,
}

impl DrainResponse {
    /// Reads the header field of a request. A proxy cannot repeat a request with a body.
    fn for_request<B: Body>(request: &Request<B>) -> Self {
        match request.headers().get(wire::ELSEWHERE_HEADER).map(HeaderValue::as_bytes) {
            Some(b"looking") => Self::RetryingElsewhere,
            Some(b"ask") if request.body().is_end_stream() => Self::CanRetryElsewhere,
            _ => Self::RetryLater,
        }
    }

    /// Returns the response that suits the sender.
    fn answer(self) -> Response<ResponseBody> {
        const STOPPING: &str = "The server is stopping\n";
        match self {
            Self::RetryingElsewhere => answer(StatusCode::NOT_FOUND, NO_CLIENT),
            Self::CanRetryElsewhere => {
                let status = StatusCode::from_u16(wire::ELSEWHERE_STATUS);
                answer(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), STOPPING)
            }
            Self::RetryLater => retry_later(STOPPING),
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    tls: bool,
}

/// A server. [`Server::bind`] opens its listeners, and [`Bound::run`] serves.
pub struct Server {
    config: Config,
    authority: Authority,
    registry: Registry,
    /// The number of running sessions, including those that are no longer in the registry.
    sessions: AtomicUsize,
    metrics: Arc<Metrics>,
    certificate: Option<Arc<Certificate>>,
    revocations: Option<Arc<Revocations>>,
    draining: AtomicBool,
}

/// The error of a server's start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is unusable.
    #[error("{0}")]
    Setting(#[from] BadSetting),
    /// A listener cannot be opened.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
}

/// A server whose listeners are open and that does not serve yet.
pub struct Bound {
    server: Arc<Server>,
    listeners: Vec<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Server {
    /// Checks the settings and opens the listeners.
    pub async fn bind(config: Config) -> Result<Bound, StartError> {
        let [a, b] = &config.secrets;
        // The error message does not contain the secrets.
        let authority = Authority::new(a, b, config.audience.clone())
            .map_err(|error| BadSetting { name: "TASKCLUSTER_PROXY_SECRET_A or _B", problem: error.to_string() })?;
        let certificate = config.tls.clone().map(Certificate::load).transpose()?;
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.push(listen::bind(*address).await?);
        }
        let metrics = match config.metrics {
            Some(address) => Some(listen::bind(address).await?),
            None => None,
        };
        let server = Self {
            authority,
            certificate,
            registry: Registry::default(),
            sessions: AtomicUsize::new(0),
            metrics: Arc::default(),
            revocations: config.revocations.is_some().then(Revocations::new),
            draining: AtomicBool::new(false),
            config,
        };
        Ok(Bound { server: Arc::new(server), listeners, metrics })
    }

    /// Returns the time in seconds since the epoch.
    fn now(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Handles a request.
    async fn handle(
        self: Arc<Self>,
        peer: Peer,
        conversation: Conversation,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        if !headers::has_valid_host(&request) {
            return Ok(answer(StatusCode::BAD_REQUEST, "The request needs one valid Host header\n"));
        }
        Ok(match request.uri().path() {
            "/__lbheartbeat__" if self.is_draining() => answer(StatusCode::SERVICE_UNAVAILABLE, ""),
            "/__lbheartbeat__" | "/__heartbeat__" => answer(StatusCode::OK, ""),
            "/__version__" => self.version().await,
            "*" => answer(StatusCode::OK, ""),
            _ if headers::is_registration(&request) => register::serve(&self, peer, request),
            _ => viewer::serve(&self, peer, &conversation, request).await,
        })
    }

    async fn version(&self) -> Response<ResponseBody> {
        match tokio::fs::read(&self.config.version_file).await {
            Ok(text) => {
                let mut response = Response::new(ResponseBody::text(text));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Err(_) => answer(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    /// Returns the response for an ID without a client. The clients of a draining server have moved to other servers.
    fn no_such_client(&self, id: &str, drain_response: DrainResponse) -> Response<ResponseBody> {
        count(&self.metrics.viewer_unknown_total);
        self.config.logger.event(Level::Debug, "no such client", &[("tunnel-id", &id)]);
        if self.is_draining() {
            return drain_response.answer();
        }
        answer(StatusCode::NOT_FOUND, NO_CLIENT)
    }

    /// Returns the response for a request that failed.
    fn error_response(&self, status: StatusCode) -> Response<ResponseBody> {
        if status == StatusCode::BAD_REQUEST {
            answer(status, "The request's body is malformed or incomplete\n")
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            count(&self.metrics.viewer_refused_total);
            retry_later("The client has too many requests\n")
        } else if status == StatusCode::GATEWAY_TIMEOUT {
            count(&self.metrics.viewer_timeout_total);
            answer(status, "The client did not answer in time\n")
        } else {
            count(&self.metrics.viewer_bad_gateway_total);
            answer(status, "The client could not answer\n")
        }
    }

    /// Runs every second: ends sessions with expired tokens, closes idle connections, updates gauges, reloads
    /// certificates.
    fn tick(&self) {
        let (now, instant) = (self.now(), Instant::now());
        let (mut clients, mut streams, mut buffered) = (0, 0, 0);
        self.registry.for_each(|_, tunnel| {
            tunnel.pool.sweep(instant);
            let (held, bytes) = tunnel.link.load();
            (clients, streams, buffered) = (clients + 1, streams + held as u64, buffered + bytes as u64);
            if now >= tunnel.expires && !self.config.outlive_token {
                // An expired token gets no grace time.
                tunnel.end(CloseReason::Expired, Duration::ZERO);
            }
        });
        self.metrics.clients.store(clients, Relaxed);
        self.metrics.streams.store(streams, Relaxed);
        self.metrics.buffered_bytes.store(buffered, Relaxed);
        if let Some(revocations) = &self.revocations {
            let (count, age) = revocations.status();
            self.metrics.revocations.store(count, Relaxed);
            self.metrics.revocations_age_seconds.store(age, Relaxed);
        }
        match self.certificate.as_ref().and_then(|certificate| certificate.reload()) {
            Some(Ok(())) => self.config.logger.event(Level::Info, "certificate reloaded", &[]),
            Some(Err(error)) => self.config.logger.event(Level::Error, "certificate kept", &[("error", &error)]),
            None => {}
        }
    }
}

impl Tunnel {
    /// Ends the session. Open streams may end within `grace`.
    fn end(&self, reason: CloseReason, grace: Duration) {
        self.link.drain(reason, grace, Duration::ZERO);
        self.pool.clear();
    }

    /// Ends the session because the server stops. Streams can still be opened until the client has moved.
    fn move_away(&self, grace: Duration) {
        self.link.drain(CloseReason::Stopping, grace, MOVE_TIME);
    }
}

/// Returns a response with a short text.
fn answer(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Returns a 503 that asks the sender to retry in a second.
fn retry_later(text: &'static str) -> Response<ResponseBody> {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
