//! HTTP over the streams of a client: one HTTP connection a stream, kept for the next request.
//!
//! A stream is a connection to the target behind the client, so keeping it spares the target's accept, the client's
//! dial and the stream's opening. Targets close idle connections when they like; a request that meets a closed one
//! is sent again on a fresh stream, if it is one that may be repeated.

use super::body::RequestBody;
use crate::{
    mux::{Dialect, OpenError},
    tunnel::{
        link::Link,
        stream::{Broken, MuxStream},
    },
};
use hyper::client::conn::http1::{SendRequest, handshake};
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

/// The idle connections of one client.
#[derive(Clone)]
pub(super) struct Pool {
    link: Link,
    idle: Arc<Mutex<Vec<(Connection, Instant)>>>,
}

impl Pool {
    pub fn new(link: Link) -> Self {
        Self { link, idle: Arc::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection that is idle, if there is one.
    pub fn take(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.lock();
        while let Some((connection, since)) = idle.pop() {
            if connection.is_ready() && now.duration_since(since) < IDLE_TIME {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response has been read to its end.
    pub fn put(&self, connection: Connection) {
        if connection.is_closed() || !self.link.is_live() {
            return;
        }
        let mut idle = self.lock();
        if idle.len() < MAX_IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    /// Drops what has been idle for too long, and the memory of a table that was once full.
    pub fn sweep(&self, now: Instant) {
        let mut idle = self.lock();
        idle.retain(|(connection, since)| !connection.is_closed() && now.duration_since(*since) < IDLE_TIME);
        if idle.is_empty() {
            *idle = Vec::new();
        }
    }

    /// Drops all of them.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Opens a fresh stream and speaks HTTP on it.
    pub async fn connect(&self, timeout: Duration) -> Result<Connection, ConnectError> {
        let stream = open(&self.link, timeout).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // What went wrong is told to whoever waits for the response; nobody else is concerned.
            _ = connection.with_upgrades().await;
        });
        Ok(sender)
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
