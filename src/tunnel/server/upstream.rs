//! HTTP over the streams of a client: one HTTP connection a stream, kept for the next request.
//!
//! A stream is a connection to the target behind the client, so keeping it spares the target's accept, the client's
//! dial and the stream's opening. Targets close idle connections when they like; a request that meets a closed one
//! is sent again on a fresh stream, if it is one that may be repeated.

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

/// Connections that are kept per client.
const MAX_IDLE: usize = 64;
/// How long one is kept. Shorter than the keep-alive of common servers (Node's is 5 s), so that it is mostly us who
/// closes.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// An HTTP connection over a stream.
pub(super) type Connection = SendRequest<RequestBody>;

/// Why there is no connection.
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

/// What is known of a request and its answer by the time that its connection could be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// The request asked for another protocol, or it or its answer authenticates the connection.
    pub claimed: bool,
    /// The request's body was read to its end and handed on, or there was none.
    pub request_ended: bool,
    /// The answer's head lets the connection go on ([`lets_continue`]).
    pub continues: bool,
    /// The answer's body came to its end, or there was none.
    pub answer_ended: bool,
}

/// Decides whether a connection may carry the request of another viewer.
///
/// Both messages must be over: what is still to come of a request would be taken from the next one, and what is still
/// to come of an answer would answer it. Both sides must agree on that, so an answer whose head speaks against it or
/// can be read in two ways ends the connection. A request for an upgrade does too, because the service may speak
/// whatever it likes after it, and so does one that authenticates the connection, because it would do so for the next
/// viewer. Bytes that come unasked after an answer close the connection inside hyper, as soon as they are seen; so
/// [`Pool::put`] keeps no closed one, and [`Pool::take`] hands out only one that waits for a request.
pub(super) fn may_be_reused(exchange: &Exchange) -> bool {
    !exchange.claimed && exchange.request_ended && exchange.continues && exchange.answer_ended
}

/// Whether the head of an answer lets its connection go on: HTTP/1.1, no `close`, and one way to find the body's end. A
/// head that announces a body which does not follow, as a HEAD's does, is one that a service may have meant otherwise.
pub(super) fn lets_continue<B: Body>(answer: &Response<B>) -> bool {
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
    /// For the next request, each with the time that it came.
    idle: Vec<(Connection, Instant)>,
    /// For no other request: what was sent last on them is still on its way.
    ending: Vec<(Connection, Instant)>,
}

impl Pool {
    pub fn new(link: Link) -> Self {
        Self { link, connections: Arc::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection that is idle, if there is one.
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

    /// Keeps a connection, if it may be used for another request.
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

    /// Keeps a connection for a while that no other request is sent on.
    fn end(&self, connection: Connection) {
        let ending = &mut self.lock().ending;
        if ending.len() >= MAX_IDLE {
            ending.remove(0);
        }
        ending.push((connection, Instant::now()));
    }

    /// Drops what has been idle for too long, and the memory of a table that was once full.
    pub fn sweep(&self, now: Instant) {
        let Connections { idle, ending } = &mut *self.lock();
        for list in [idle, ending] {
            list.retain(|(connection, since)| !connection.is_closed() && now.duration_since(*since) < IDLE_TIME);
            if list.is_empty() {
                *list = Vec::new();
            }
        }
    }

    /// Drops all of them.
    pub fn clear(&self) {
        *self.lock() = Connections::default();
    }

    /// Opens a fresh stream and speaks HTTP on it. It takes the place of the one that has been idle for longest: an idle
    /// stream holds what it was lent of the session's memory.
    pub async fn connect(&self, timeout: Duration) -> Result<Connection, ConnectError> {
        self.drop_oldest();
        let stream = open(&self.link, timeout).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // What went wrong is told to whoever waits for the response; nobody else is concerned.
            _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }
}

/// A connection that still sends the body of a request which has been answered. When the body is over its end is still on
/// its way: closed at once, the connection would be reset, so it is kept for a while.
pub(super) struct Ending(Option<Connection>, Pool);

impl Ending {
    pub fn new(connection: Connection, pool: Pool) -> Self {
        Self(Some(connection), pool)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            self.1.end(connection);
        }
    }
}

/// Opens a stream. An extended peer takes bytes before it has answered, so only others are waited for.
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
    fn a_connection_is_reused_only_when_request_and_answer_are_over() {
        for bits in 0..16u8 {
            let exchange = Exchange {
                claimed: bits & 1 != 0,
                request_ended: bits & 2 != 0,
                continues: bits & 4 != 0,
                answer_ended: bits & 8 != 0,
            };
            assert_eq!(may_be_reused(&exchange), bits == 0b1110, "{exchange:?}");
        }
    }

    #[test]
    fn the_head_of_an_answer_says_whether_its_connection_goes_on() {
        const LENGTH: (&str, &str) = ("content-length", "2");
        const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
        for (version, status, fields, continues) in [
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
            assert_eq!(lets_continue(&answer), continues, "{version:?} {status} {fields:?}");
        }
        // As for a HEAD, or for a 304 that says how long its page is.
        for (fields, continues) in
            [(&[LENGTH][..], false), (&[CHUNKED], false), (&[("content-length", "0")], true), (&[], true)]
        {
            let mut answer = Response::builder();
            for (name, value) in fields {
                answer = answer.header(*name, *value);
            }
            let answer = answer.body(Full::new(Bytes::new())).unwrap();
            assert_eq!(lets_continue(&answer), continues, "{fields:?}");
        }
    }
}
