//! The pool of HTTP connections to a target, one on each stream of its client.
//!
//! The reuse of a connection saves opening a stream and connecting the client to the target. A target may close an idle
//! connection at any time. A repeatable request on such a connection is sent again on a new stream.

use super::{headers, request_body::RequestBody};
use crate::{
    mux::{Dialect, OpenError},
    tunnel::{
        link::Link,
        stream::{Broken, MuxStream},
    },
};
use hyper::{
    Response, StatusCode, Version,
    body::Body,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The number of idle connections per client.
const MAX_IDLE: usize = 64;
/// The idle timeout. It is shorter than the one of common servers (5 s for Node), so that this side usually closes
/// first.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// An HTTP connection over a stream.
pub(super) type Connection = SendRequest<RequestBody>;

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
    draining: Vec<(Connection, Instant)>,
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
            if connection.is_ready() && now.duration_since(since) < IDLE_TIME {
                return Some(connection);
            }
        }
        None
    }

    /// Adds a connection to the pool if it can be reused.
    pub fn put(&self, connection: Connection, exchange: &Exchange) {
        if !may_be_reused(exchange) || connection.is_closed() || !self.link.is_live() {
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

    /// Keeps a connection that cannot be reused until [`IDLE_TIME`] is over.
    fn drain(&self, connection: Connection) {
        let draining = &mut self.lock().draining;
        if draining.len() >= MAX_IDLE {
            draining.remove(0);
        }
        draining.push((connection, Instant::now()));
    }

    /// Drops closed and expired connections, and frees the memory of empty lists.
    pub fn sweep(&self, now: Instant) {
        let Connections { idle, draining } = &mut *self.lock();
        for list in [idle, draining] {
            list.retain(|(connection, since)| !connection.is_closed() && now.duration_since(*since) < IDLE_TIME);
            if list.is_empty() {
                *list = Vec::new();
            }
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
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // The task that waits for the response gets the error.
            _ = connection.with_upgrades().await;
        });
        Ok(sender)
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
