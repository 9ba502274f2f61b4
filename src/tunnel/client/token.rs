//! The client's token, which may be replaced while it runs.

use std::fmt;
use tokio::sync::watch;

/// Where tokens come from. Clones see the same ones.
#[derive(Clone)]
pub struct Tokens {
    current: watch::Receiver<Option<String>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tokens(…)")
    }
}

/// There will be no other token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMore;

impl Tokens {
    /// One token for good.
    pub fn fixed(token: impl Into<String>) -> Self {
        Self { current: watch::channel(Some(token.into())).1 }
    }

    /// Tokens that are replaced by whoever has the sender: each value takes the place of the one before. Nothing is
    /// connected before the first; once the sender is dropped, the last one stays.
    pub fn replaceable() -> (watch::Sender<Option<String>>, Self) {
        let (sender, current) = watch::channel(None);
        (sender, Self { current })
    }

    /// The newest token, as soon as there is one.
    pub(super) async fn newest(&mut self) -> Result<String, NoMore> {
        match self.current.wait_for(Option::is_some).await {
            Ok(token) => token.clone().ok_or(NoMore),
            Err(_) => Err(NoMore),
        }
    }

    /// Waits for a token other than `used`.
    pub(super) async fn other_than(&mut self, used: &str) -> Result<(), NoMore> {
        let other = |token: &Option<String>| token.as_deref().is_some_and(|token| token != used);
        self.current.wait_for(other).await.map(|_| ()).map_err(|_| NoMore)
    }
}
