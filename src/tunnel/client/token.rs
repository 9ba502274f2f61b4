//! The client's token, which may be replaced while the client runs.

use std::fmt;
use tokio::sync::watch;

/// A source of tokens. Clones share it.
#[derive(Clone)]
pub struct Tokens {
    current: watch::Receiver<Option<String>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tokens(…)")
    }
}

/// The error that no other token will follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMoreTokens;

impl Tokens {
    /// Returns a source of one token that is never replaced.
    pub fn fixed(token: impl Into<String>) -> Self {
        Self { current: watch::channel(Some(token.into())).1 }
    }

    /// Returns a source and its sender. Each sent token replaces the previous one. The client waits for the first
    /// token, and keeps the last one after the sender is dropped.
    pub fn replaceable() -> (watch::Sender<Option<String>>, Self) {
        let (sender, current) = watch::channel(None);
        (sender, Self { current })
    }

    /// Waits for the first token if there is none yet, and returns the newest.
    pub(super) async fn newest(&mut self) -> Result<String, NoMoreTokens> {
        match self.current.wait_for(Option::is_some).await {
            Ok(token) => token.clone().ok_or(NoMoreTokens),
            Err(_) => Err(NoMoreTokens),
        }
    }

    /// Waits for a token other than `used`.
    pub(super) async fn wait_for_other(&mut self, used: &str) -> Result<(), NoMoreTokens> {
        let other = |token: &Option<String>| token.as_deref().is_some_and(|token| token != used);
        self.current.wait_for(other).await.map(|_| ()).map_err(|_| NoMoreTokens)
    }
}
