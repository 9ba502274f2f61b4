//! The server: clients register, viewers reach them.

pub mod auth;
pub mod config;
mod exchange;
mod headers;
mod listen;
pub mod metrics;
mod register;
mod registry;
mod request_body;
mod response_body;
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
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{self, HeaderValue},
};
use metrics::{Metrics, count};
use registry::{Registry, Tunnel};
use response_body::ResponseBody;
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

/// How long a client that was asked to move may look for another server while this one still serves it.
const MOVE_TIME: Duration = Duration::from_secs(5);

const NO_CLIENT: &str = "No client is connected with that id\n";

/// What whoever asks can do with a request that a server which stops no longer serves ([`wire::ELSEWHERE_HEADER`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainResponse {
    /// Ask again later.
    Later,
    /// Look at another server, when told to.
    CanLook,
    /// It is being looked for.
    Looking,
}

impl DrainResponse {
    /// A request with a body cannot be sent again: its bytes have left the proxy.
    fn of<B: Body>(request: &Request<B>) -> Self {
        match request.headers().get(wire::ELSEWHERE_HEADER).map(HeaderValue::as_bytes) {
            Some(b"looking") => Self::Looking,
            Some(b"ask") if request.body().is_end_stream() => Self::CanLook,
            _ => Self::Later,
        }
    }

    fn answer(self) -> Response<ResponseBody> {
        const STOPPING: &str = "The server is stopping\n";
        match self {
            Self::Looking => answer(StatusCode::NOT_FOUND, NO_CLIENT),
            Self::CanLook => {
                let status = StatusCode::from_u16(wire::ELSEWHERE_STATUS);
                answer(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), STOPPING)
            }
            Self::Later => {
                let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, STOPPING);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    tls: bool,
}

/// A server. [`Server::bind`] makes one that listens, [`Bound::run`] serves.
pub struct Server {
    config: Config,
    authority: Authority,
    registry: Registry,
    /// Sessions that run, also those that have lost their place in the registry.
    sessions: AtomicUsize,
    metrics: Arc<Metrics>,
    certificate: Option<Arc<Certificate>>,
    draining: AtomicBool,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is unusable.
    #[error("{0}")]
    Setting(#[from] BadSetting),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, std::io::Error),
}

/// A server that listens and does not serve yet.
pub struct Bound {
    server: Arc<Server>,
    listeners: Vec<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Server {
    /// Checks the settings and opens the listeners.
    pub async fn bind(config: Config) -> Result<Bound, StartError> {
        let [a, b] = &config.secrets;
        // The secrets themselves are no part of the sentence.
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
            draining: AtomicBool::new(false),
            config,
        };
        Ok(Bound { server: Arc::new(server), listeners, metrics })
    }

    /// Seconds of the epoch.
    fn now(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Answers any request.
    async fn handle(
        self: Arc<Self>,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        Ok(match request.uri().path() {
            "/__lbheartbeat__" if self.is_draining() => answer(StatusCode::SERVICE_UNAVAILABLE, ""),
            "/__lbheartbeat__" | "/__heartbeat__" => answer(StatusCode::OK, ""),
            "/__version__" => self.version().await,
            "*" => answer(StatusCode::OK, ""),
            _ if register::is_registration(&request) => register::serve(&self, peer, request),
            _ => viewer::serve(&self, peer, request).await,
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

    /// No such client. A server that drains has sent its clients elsewhere, and says so.
    fn unknown(&self, id: &str, elsewhere: DrainResponse) -> Response<ResponseBody> {
        count(&self.metrics.viewer_unknown_total);
        self.config.logger.event(Level::Debug, "no such client", &[("tunnel-id", &id)]);
        if self.is_draining() {
            return elsewhere.answer();
        }
        answer(StatusCode::NOT_FOUND, NO_CLIENT)
    }

    /// Answers a viewer whose request has no answer of the target's.
    fn failed(&self, status: StatusCode) -> Response<ResponseBody> {
        if status == StatusCode::BAD_REQUEST {
            answer(status, "The request's body is malformed or incomplete\n")
        } else if status == StatusCode::GATEWAY_TIMEOUT {
            count(&self.metrics.viewer_timeout_total);
            answer(status, "The client did not answer in time\n")
        } else {
            count(&self.metrics.viewer_bad_gateway_total);
            answer(status, "The client could not answer\n")
        }
    }

    /// What is due every second: tokens that expired, connections that idled, certificates that changed.
    fn tick(&self) {
        let (now, instant) = (self.now(), Instant::now());
        let (mut clients, mut streams, mut buffered) = (0, 0, 0);
        self.registry.for_each(|_, tunnel| {
            tunnel.pool.sweep(instant);
            let (held, bytes) = tunnel.link.load();
            (clients, streams, buffered) = (clients + 1, streams + held as u64, buffered + bytes as u64);
            if now >= tunnel.expires && !self.config.outlive_token {
                // No grace: what the token allowed is over.
                tunnel.end(CloseReason::Expired, Duration::ZERO);
            }
        });
        self.metrics.clients.store(clients, Relaxed);
        self.metrics.streams.store(streams, Relaxed);
        self.metrics.buffered_bytes.store(buffered, Relaxed);
        match self.certificate.as_ref().and_then(|certificate| certificate.reload()) {
            Some(Ok(())) => self.config.logger.event(Level::Info, "certificate reloaded", &[]),
            Some(Err(error)) => self.config.logger.event(Level::Error, "certificate kept", &[("error", &error)]),
            None => {}
        }
    }
}

impl Tunnel {
    /// Ends the session; streams that run may end within `grace`.
    fn end(&self, reason: CloseReason, grace: Duration) {
        self.link.drain(reason, grace, Duration::ZERO);
        self.pool.clear();
    }

    /// Ends the session because the server stops: new streams are still served until the client has moved.
    fn move_away(&self, grace: Duration) {
        self.link.drain(CloseReason::Stopping, grace, MOVE_TIME);
    }
}

/// A short answer of our own.
fn answer(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
