//! The client: keeps a tunnel up, and hands out the streams that come through it.

mod config;
mod dial;
pub mod forward;
mod proxy;
mod reconnector;
mod token;

pub use config::{BadConfig, Config, Retry, ServerWindow};
pub use proxy::ProxyRules;
pub use token::Tokens;

use super::stream::MuxStream;
use std::{fmt, sync::Arc};
use tokio::sync::{mpsc, watch};

/// Streams that wait to be taken, besides those that wait in the session.
const WAITING_STREAMS: usize = 16;

/// What a client goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Registered; viewers reach it at this URL.
    Connected {
        /// The URL.
        url: String,
    },
    /// A new session has taken over from one that still ran.
    Moved {
        /// The URL.
        url: String,
    },
    /// The server asked for a move, or the token was replaced: a new session is made before the old one ends.
    Moving {
        /// Why.
        reason: String,
    },
    /// The session ended; another is made.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// An attempt failed; the next one comes after a wait.
    Retrying {
        /// What went wrong.
        error: String,
        /// The wait, in milliseconds.
        wait_ms: u64,
    },
    /// Nothing can be done before there is another token.
    WaitingForToken,
    /// A bound has cut a stream.
    Cut {
        /// Its number on the session.
        stream: u32,
        /// Which bound.
        reason: String,
    },
}

/// Why a client ended for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server refused the token, and there is no other.
    #[error("authentication failed: {0}")]
    Auth(String),
    /// The server refused the registration, or the configuration cannot work.
    #[error("connecting failed: {0}")]
    Failed(String),
    /// No attempt succeeded in the time that was given.
    #[error("gave up: {0}")]
    GaveUp(String),
    /// Another client registered with the same ID.
    #[error("another client has registered with this ID")]
    Replaced,
    /// There will be no token.
    #[error("there is no token, and none will come")]
    NoToken,
    /// [`Client::close`] was called.
    #[error("closed")]
    Closed,
}

/// Called at every [`Event`]; must not block.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// A tunnel that is kept up: it registers again when its session ends, and moves to a new session before the old one
/// ends when it can.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use route_native::tunnel::{Client, client::{Config, Tokens}};
///
/// let config = Config::new("https://tunnel.example", "worker-1", Tokens::fixed("<token>"))?;
/// let mut client = Client::connect(config, None).await?;
/// println!("viewers use {}", client.url());
/// while let Ok(stream) = client.accept().await {
///     // `stream` is what one viewer's connection carries: HTTP/1.1, read and written as bytes.
///     drop(stream);
/// }
/// # Ok(()) }
/// ```
pub struct Client {
    streams: mpsc::Receiver<MuxStream>,
    url: watch::Receiver<String>,
    ended: watch::Receiver<Option<ClientError>>,
    close: watch::Sender<bool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").field("url", &*self.url.borrow()).finish()
    }
}

impl Client {
    /// Registers, trying as often as the configuration allows.
    pub async fn connect(config: Config, observer: Option<Observer>) -> Result<Self, ClientError> {
        let (stream_sender, streams) = mpsc::channel(WAITING_STREAMS);
        let (url_sender, mut url) = watch::channel(String::new());
        let (end_sender, mut ended) = watch::channel(None);
        let (close, closing) = watch::channel(false);
        let reconnector = reconnector::Reconnector::new(config, observer, stream_sender, url_sender, closing);
        tokio::spawn(async move {
            let end = reconnector.run().await;
            _ = end_sender.send(Some(end));
        });
        tokio::select! {
            _ = async { _ = url.wait_for(|url| !url.is_empty()).await.is_ok() } => {}
            _ = async { _ = ended.wait_for(Option::is_some).await.is_ok() } => {}
        }
        let end = ended.borrow().clone();
        match end {
            Some(error) => Err(error),
            None => Ok(Self { streams, url, ended, close }),
        }
    }

    /// The next stream; an error once the client has ended for good.
    pub async fn accept(&mut self) -> Result<MuxStream, ClientError> {
        let ended = async { self.ended.wait_for(Option::is_some).await.map_or(None, |end| end.clone()) };
        tokio::select! {
            biased;
            Some(stream) = self.streams.recv() => Ok(stream),
            end = ended => Err(end.unwrap_or(ClientError::Closed)),
        }
    }

    /// Leaves the server and waits until its last session has ended. What still comes is turned away; streams that
    /// were accepted before go on.
    pub async fn finish(mut self) {
        self.close();
        while self.streams.recv().await.is_some() {}
    }

    /// Where viewers reach the client now.
    pub fn url(&self) -> String {
        self.url.borrow().clone()
    }

    /// Takes no more streams and leaves the server; streams that run may end.
    pub fn close(&self) {
        _ = self.close.send(true);
    }
}
