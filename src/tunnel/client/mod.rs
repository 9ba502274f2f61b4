//! The client: keeps a tunnel connected and returns the streams that viewers open.

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

/// The capacity of the queue of accepted streams.
const WAITING_STREAMS: usize = 16;

/// A change of a client's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client has registered.
    Connected {
        /// The URL that viewers use.
        url: String,
    },
    /// A new session has replaced a session that still ran.
    Moved {
        /// The URL that viewers use.
        url: String,
    },
    /// The server sent GOAWAY, or the token was replaced. The client opens a new session before the old one ends.
    Moving {
        /// The reason.
        reason: String,
    },
    /// The session ended. The client opens another.
    Disconnected {
        /// The reason.
        reason: String,
    },
    /// An attempt failed. The next one follows after a wait.
    Retrying {
        /// The error of the attempt.
        error: String,
        /// The wait, in milliseconds.
        wait_ms: u64,
    },
    /// The client waits for another token.
    WaitingForToken,
    /// A limit ended a stream.
    Cut {
        /// The stream's number.
        stream: u32,
        /// The limit.
        reason: String,
    },
}

/// The reason for which a client ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server refused the token, and no other token will follow.
    #[error("authentication failed: {0}")]
    Auth(String),
    /// The server refused the registration, or the configuration cannot work.
    #[error("connecting failed: {0}")]
    Failed(String),
    /// No attempt succeeded within the time limit.
    #[error("gave up: {0}")]
    GaveUp(String),
    /// Another client registered with the same ID.
    #[error("another client has registered with this ID")]
    Replaced,
    /// No token was provided.
    #[error("there is no token, and none will come")]
    NoToken,
    /// [`Client::close`] was called.
    #[error("closed")]
    Closed,
}

/// A callback for each [`Event`]. It must not block.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// A client that keeps its tunnel connected. It registers again when its session ends. If the server announces the end,
/// the client opens a new session first.
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
    /// Registers, with the retries of the configuration.
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

    /// Returns the next stream, or an error after the client has ended.
    pub async fn accept(&mut self) -> Result<MuxStream, ClientError> {
        let ended = async { self.ended.wait_for(Option::is_some).await.map_or(None, |end| end.clone()) };
        tokio::select! {
            biased;
            Some(stream) = self.streams.recv() => Ok(stream),
            end = ended => Err(end.unwrap_or(ClientError::Closed)),
        }
    }

    /// Closes the client and waits until its last session has ended. Refuses new streams. Accepted streams continue.
    pub async fn finish(mut self) {
        self.close();
        while self.streams.recv().await.is_some() {}
    }

    /// Returns the current URL for viewers.
    pub fn url(&self) -> String {
        self.url.borrow().clone()
    }

    /// Starts to close the client: it accepts no more streams, and open streams may end.
    pub fn close(&self) {
        _ = self.close.send(true);
    }
}
