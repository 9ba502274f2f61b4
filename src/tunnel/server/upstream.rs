//! The pool of HTTP connections to a target, one on each stream of its client.
//!
//! The reuse of a connection saves opening a stream and connecting the client to the target. A target may close an idle
//! connection at any time. A repeatable request on such a connection is sent again on a new stream.

use super::{
    headers::{self, MAX_FIELDS},
    request_body::RequestBody,
};
use crate::{
    mux::{Dialect, OpenError},
    tunnel::{
        link::Link,
        stream::{Broken, MuxStream},
    },
};
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    client::conn::http1::{Builder, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The number of idle connections per client.
const MAX_IDLE: usize = 64;
/// The idle timeout. It is shorter than the one of common servers (5 s for Node), so that this side usually closes
/// first.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// How long the rest of a request is sent without any progress, after the response.
const STALL_TIME: Duration = Duration::from_secs(60);
/// The interval at which a stream that ends is checked for progress.
const LINGER_POLL: Duration = Duration::from_secs(1);

/// An HTTP connection over a stream.
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    flow: Arc<Flow>,
}

/// The state of a connection's stream.
#[derive(Default)]
struct Flow {
    /// The number of bytes that hyper has written.
    written: AtomicU64,
    /// True if hyper has no buffered bytes.
    flushed: AtomicBool,
    /// True if the stream must send its queued bytes after hyper has dropped it.
    lingers: AtomicBool,
}

impl Connection {
    /// Sends a request.
    pub fn send_request(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.sender.send_request(request)
    }
}

/// The stream of a connection.
pub(super) struct UpstreamStream {
    stream: Option<MuxStream>,
    flow: Arc<Flow>,
}

impl UpstreamStream {
    /// Returns the stream.
    pub fn into_inner(mut self) -> Option<MuxStream> {
        self.stream.take()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut MuxStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, out)
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.flow.flushed.store(false, Relaxed);
        let n = ready!(self.stream()?.poll_write(cx, data))?;
        self.flow.written.fetch_add(n as u64, Relaxed);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes only when its own buffer is empty.
        self.flow.flushed.store(true, Relaxed);
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

impl Drop for UpstreamStream {
    fn drop(&mut self) {
        if self.flow.lingers.load(Relaxed)
            && let Some(stream) = self.stream.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(linger(stream));
        }
    }
}

/// Finishes a stream, and keeps it until the target has read all bytes and ends it, or makes no progress for
/// [`STALL_TIME`]. A stream that is dropped earlier is reset, and the target loses the bytes that it has not read.
async fn linger(mut stream: MuxStream) {
    stream.finish();
    let (mut progress, mut since) = (stream.send_progress(), Instant::now());
    while since.elapsed() < STALL_TIME {
        match tokio::time::timeout(LINGER_POLL, stream.recv()).await {
            Ok(Ok(Some(_))) => {}
            Ok(_) => return,
            Err(_) if stream.send_progress() == progress => {}
            Err(_) => (progress, since) = (stream.send_progress(), Instant::now()),
        }
    }
}

/// The reason for which a connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Refused(#[from] Broken),
    #[error("the client did not accept the stream in time")]
    Timeout,
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

/// The state of a request and its response that decides whether the connection can be reused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// The request upgrades the connection, or the request or the response authenticates it.
    pub connection_bound: bool,
    /// The request's body was sent to its end, or there is none.
    pub request_ended: bool,
    /// The response's head allows another request ([`allows_keep_alive`]).
    pub keep_alive: bool,
    /// The response's body was read to its end, or there is none.
    pub answer_ended: bool,
}

/// Returns true if a connection may carry the request of another viewer.
///
/// Both messages must have ended. The rest of a request would be read as the next request, and the rest of a response
/// as the response to it. Both sides must agree on the ends, so a response that is ambiguous or has `Connection: close`
/// ends the connection. An upgrade ends it too, because the service may use any protocol afterwards. So does
/// authentication of the connection, because it would also apply to the next viewer. hyper closes a connection on
/// unsolicited bytes after a response. [`Pool::put`] therefore drops closed connections, and [`Pool::take`] returns
/// only those that are ready.
pub(super) fn may_be_reused(exchange: &Exchange) -> bool {
    !exchange.connection_bound && exchange.request_ended && exchange.keep_alive && exchange.answer_ended
}

/// Returns true if the head of a response allows another request: HTTP/1.1, no `close`, and an unambiguous end of the
/// body. A head that announces a body that does not follow, as for a HEAD, is ambiguous: a service may send the body
/// anyway.
pub(super) fn allows_keep_alive<B: Body>(answer: &Response<B>) -> bool {
    let fields = answer.headers();
    let announces = fields.contains_key(header::TRANSFER_ENCODING)
        || fields.get_all(header::CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0");
    let is_misleading = announces && answer.body().is_end_stream();
    answer.version() == Version::HTTP_11
        && answer.status() != StatusCode::SWITCHING_PROTOCOLS
        && !is_misleading
        && !headers::has_token(fields, &header::CONNECTION, "close")
        && !(fields.contains_key(header::CONTENT_LENGTH) && fields.contains_key(header::TRANSFER_ENCODING))
}

/// The idle connections of one client.
#[derive(Clone)]
pub(super) struct Pool {
    link: Link,
    connections: Arc<Mutex<Connections>>,
}

#[derive(Default)]
struct Connections {
    /// The connections that can be reused, each with the start of its idle time.
    idle: Vec<(Connection, Instant)>,
    /// The connections that cannot be reused and whose last bytes are still being sent.
    draining: Vec<Drain>,
}

/// A connection whose last bytes are still being sent.
struct Drain {
    connection: Connection,
    /// The number of bytes that were written when it last made progress, and the time.
    written: u64,
    since: Instant,
}

impl Drain {
    fn new(connection: Connection) -> Self {
        // Takes effect when hyper drops the stream.
        connection.flow.lingers.store(true, Relaxed);
        Self { written: connection.flow.written.load(Relaxed), connection, since: Instant::now() }
    }

    /// Returns true if hyper has sent all bytes, or if the target does not read them.
    fn is_over(&mut self, now: Instant) -> bool {
        let flow = &self.connection.flow;
        let written = flow.written.load(Relaxed);
        if written != self.written {
            (self.written, self.since) = (written, now);
        }
        let limit = if flow.flushed.load(Relaxed) { IDLE_TIME } else { STALL_TIME };
        self.connection.sender.is_closed() || now.saturating_duration_since(self.since) >= limit
    }
}

impl Pool {
    /// Returns an empty pool.
    pub fn new(link: Link) -> Self {
        Self { link, connections: Arc::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes an idle connection from the pool and returns it. Returns `None` if there is none.
    pub fn take(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut connections = self.lock();
        while let Some((connection, since)) = connections.idle.pop() {
            if connection.sender.is_ready() && now.duration_since(since) < IDLE_TIME {
                return Some(connection);
            }
        }
        None
    }

    /// Adds a connection to the pool if it can be reused.
    pub fn put(&self, connection: Connection, exchange: &Exchange) {
        if !may_be_reused(exchange) || connection.sender.is_closed() || !self.link.is_live() {
            return;
        }
        let idle = &mut self.lock().idle;
        if idle.len() < MAX_IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    fn drop_oldest(&self) {
        let idle = &mut self.lock().idle;
        if !idle.is_empty() {
            idle.remove(0);
        }
    }

    /// Keeps a connection that cannot be reused until its last bytes are sent.
    fn drain(&self, connection: Connection) {
        let draining = &mut self.lock().draining;
        if draining.len() >= MAX_IDLE {
            draining.remove(0);
        }
        draining.push(Drain::new(connection));
    }

    /// Drops closed and expired connections, and frees the memory of empty lists.
    pub fn sweep(&self, now: Instant) {
        let Connections { idle, draining } = &mut *self.lock();
        idle.retain(|(connection, since)| !connection.sender.is_closed() && now.duration_since(*since) < IDLE_TIME);
        if idle.is_empty() {
            *idle = Vec::new();
        }
        draining.retain_mut(|drain| !drain.is_over(now));
        if draining.is_empty() {
            *draining = Vec::new();
        }
    }

    /// Drops all connections.
    pub fn clear(&self) {
        *self.lock() = Connections::default();
    }

    /// Opens a stream and starts HTTP on it. Drops the oldest idle connection, because its stream still borrows memory
    /// of the session.
    pub async fn connect(&self, timeout: Duration) -> Result<Connection, ConnectError> {
        self.drop_oldest();
        let stream = open(&self.link, timeout).await?;
        let flow = Arc::<Flow>::default();
        let stream = UpstreamStream { stream: Some(stream), flow: flow.clone() };
        let (sender, connection) = Builder::new().max_headers(MAX_FIELDS).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // The task that waits for the response gets the error.
            _ = connection.with_upgrades().await;
        });
        Ok(Connection { sender, flow })
    }
}

/// A connection that still sends a request's body after the response. At the end of the body its last bytes are not
/// sent yet, and dropping the connection would reset it. Dropping this type therefore keeps the connection in the
/// pool's list.
pub(super) struct Draining(Option<Connection>, Pool);

impl Draining {
    pub fn new(connection: Connection, pool: Pool) -> Self {
        Self(Some(connection), pool)
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            self.1.drain(connection);
        }
    }
}

/// Opens a stream. Waits until an original peer has accepted it. An extended peer stores bytes before that.
async fn open(link: &Link, timeout: Duration) -> Result<MuxStream, ConnectError> {
    let stream = link.open()?;
    if stream.dialect() == Dialect::Original {
        tokio::time::timeout(timeout, stream.accepted()).await.map_err(|_| ConnectError::Timeout)??;
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;

    #[test]
    fn a_connection_is_reused_only_after_request_and_response_have_ended() {
        for bits in 0..16u8 {
            let exchange = Exchange {
                connection_bound: bits & 1 != 0,
                request_ended: bits & 2 != 0,
                keep_alive: bits & 4 != 0,
                answer_ended: bits & 8 != 0,
            };
            assert_eq!(may_be_reused(&exchange), bits == 0b1110, "{exchange:?}");
        }
    }

    #[test]
    fn an_unambiguous_http_1_1_response_without_close_allows_keep_alive() {
        const LENGTH: (&str, &str) = ("content-length", "2");
        const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
        for (version, status, fields, keep_alive) in [
            (Version::HTTP_11, 200, &[LENGTH][..], true),
            (Version::HTTP_11, 200, &[CHUNKED], true),
            (Version::HTTP_11, 204, &[], true),
            (Version::HTTP_11, 304, &[], true),
            (Version::HTTP_11, 403, &[LENGTH, ("connection", "keep-alive, x-close")], true),
            (Version::HTTP_11, 200, &[LENGTH, ("connection", "x"), ("connection", "y, Close")], false),
            (Version::HTTP_11, 200, &[LENGTH, CHUNKED], false),
            (Version::HTTP_11, 101, &[], false),
            (Version::HTTP_10, 200, &[LENGTH], false),
            (Version::HTTP_10, 200, &[LENGTH, ("connection", "keep-alive")], false),
        ] {
            let mut answer = Response::builder().version(version).status(status);
            for (name, value) in fields {
                answer = answer.header(*name, *value);
            }
            let body = if status == 204 || status == 304 { "" } else { "ab" };
            let answer = answer.body(Full::new(Bytes::from(body))).unwrap();
            assert_eq!(allows_keep_alive(&answer), keep_alive, "{version:?} {status} {fields:?}");
        }
        // Responses without a body, as to a HEAD or with 304.
        for (fields, keep_alive) in
            [(&[LENGTH][..], false), (&[CHUNKED], false), (&[("content-length", "0")], true), (&[], true)]
        {
            let mut answer = Response::builder();
            for (name, value) in fields {
                answer = answer.header(*name, *value);
            }
            let answer = answer.body(Full::new(Bytes::new())).unwrap();
            assert_eq!(allows_keep_alive(&answer), keep_alive, "{fields:?}");
        }
    }
}
