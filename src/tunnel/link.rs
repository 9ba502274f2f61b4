//! The handle of a running session.

use super::{
    driver,
    end::{CloseReason, SessionEnd},
    shared::{Shared, StreamWakers, Transport},
    stream::MuxStream,
};
use crate::mux::{Config, Cut, Dialect, GoAwayReason, OpenError, ResetReason, StreamId};
use bytes::Bytes;
use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// A handle of a running session. Clones share the session, which runs until it is ended, even without handles.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

impl Link {
    /// Starts a session on `io` after the WebSocket handshake. `early` holds the bytes read after the handshake.
    pub fn start(io: Box<dyn Transport>, early: Bytes, config: Config) -> Self {
        let shared = Arc::new(Shared::new(config));
        tokio::spawn(driver::run(io, early, shared.clone()));
        Self { shared }
    }

    /// Opens a stream.
    pub fn open(&self) -> Result<MuxStream, OpenError> {
        let mut inner = self.shared.lock();
        if !inner.takes_streams() {
            return Err(OpenError::Closed);
        }
        let id = inner.session.open()?;
        inner.wakers.insert(id, StreamWakers::default());
        drop(inner);
        self.shared.driver.wake();
        Ok(MuxStream::new(self.shared.clone(), id))
    }

    /// Waits until the peer opens a stream and accepts it. Returns `None` if the session has ended.
    pub async fn accept(&self) -> Option<MuxStream> {
        let id = poll_fn(|cx| {
            let mut inner = self.shared.lock();
            while let Some(id) = inner.incoming.pop_front() {
                if inner.session.accept(id) {
                    inner.wakers.insert(id, StreamWakers::default());
                    return Poll::Ready(Some(id));
                }
                inner.session.release(id, ResetReason::Abandoned, Instant::now());
            }
            if inner.end.is_some() {
                return Poll::Ready(None);
            }
            inner.accept_waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await?;
        self.shared.driver.wake();
        Some(MuxStream::new(self.shared.clone(), id))
    }

    /// Waits until limits cut streams, and returns them with their limits. Waits forever if the session has ended.
    pub async fn cuts(&self) -> Vec<(StreamId, Cut)> {
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            let cuts = std::mem::take(&mut inner.cuts);
            if !cuts.is_empty() {
                return Poll::Ready(cuts);
            }
            inner.cut_waker = inner.end.is_none().then(|| cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Ends the session: sends GOAWAY, lets open streams end within `grace`, and closes the connection. Streams to an
    /// extended peer can still be opened for `move_time`, so that it can register elsewhere first.
    pub fn drain(&self, reason: CloseReason, grace: Duration, move_time: Duration) {
        let mut inner = self.shared.lock();
        let now = Instant::now();
        let deadline = now + grace;
        let sooner = inner.plan.drain.is_none_or(|(_, planned)| deadline < planned);
        if sooner {
            inner.plan.drain = Some((reason, deadline));
            let already_sent = std::mem::replace(&mut inner.plan.go_away_sent, true);
            let understood = !already_sent && inner.session.go_away(reason.go_away_reason());
            inner.plan.move_until = understood.then(|| now + move_time.min(grace));
        }
        drop(inner);
        self.shared.driver.wake();
    }

    /// Waits until the session has ended, and returns the reason.
    pub async fn ended(&self) -> SessionEnd {
        let mut watch = self.shared.ended.subscribe();
        match watch.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(SessionEnd::Lost("driver stopped".into())),
            Err(_) => SessionEnd::Lost("driver stopped".into()),
        }
    }

    /// Waits until the peer sends GOAWAY, and returns its reason.
    pub async fn peer_go_away(&self) -> GoAwayReason {
        let mut watch = self.shared.peer_go_away.subscribe();
        if let Ok(reason) = watch.wait_for(Option::is_some).await
            && let Some(reason) = *reason
        {
            return reason;
        }
        // The session ended without a GOAWAY.
        std::future::pending().await
    }

    /// Returns true if streams can be opened.
    pub fn is_live(&self) -> bool {
        self.shared.lock().takes_streams()
    }

    /// Returns the agreed dialect.
    pub fn dialect(&self) -> Dialect {
        self.shared.lock().session.dialect()
    }

    /// Returns the number of streams in use and of unread bytes.
    pub fn load(&self) -> (usize, usize) {
        let inner = self.shared.lock();
        (inner.session.held_count(), inner.session.buffered_bytes())
    }
}
