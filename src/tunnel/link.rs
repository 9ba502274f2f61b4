//! The handle to a session that runs.

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

/// A handle to a running session. Clones share it; the session outlives them until it is told to end.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

impl Link {
    /// Starts a session on `io`, on which the WebSocket handshake is done; `early` was read past it.
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

    /// Waits for the peer to open a stream and accepts it; none when the session has ended.
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

    /// Waits until bounds have cut streams: which, and which bound. Forever, once the session has ended.
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

    /// Ends the session: the peer is asked to move, streams that run may end within `grace`, then it is closed. A peer
    /// that understands the request and stays is served for `move_time` longer, so that it can register elsewhere first.
    pub fn drain(&self, reason: CloseReason, grace: Duration, move_time: Duration) {
        let mut inner = self.shared.lock();
        let now = Instant::now();
        let deadline = now + grace;
        let sooner = inner.plan.drain.is_none_or(|(_, planned)| deadline < planned);
        if sooner {
            inner.plan.drain = Some((reason, deadline));
            let told = std::mem::replace(&mut inner.plan.told, true);
            let understood = !told && inner.session.go_away(reason.go_away_reason());
            inner.plan.move_until = understood.then(|| now + move_time.min(grace));
        }
        drop(inner);
        self.shared.driver.wake();
    }

    /// Waits for the end of the session.
    pub async fn ended(&self) -> SessionEnd {
        let mut watch = self.shared.ended.subscribe();
        match watch.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(SessionEnd::Lost("driver stopped".into())),
            Err(_) => SessionEnd::Lost("driver stopped".into()),
        }
    }

    /// Waits until the peer asks for no more streams.
    pub async fn peer_go_away(&self) -> GoAwayReason {
        let mut watch = self.shared.peer_go_away.subscribe();
        if let Ok(reason) = watch.wait_for(Option::is_some).await
            && let Some(reason) = *reason
        {
            return reason;
        }
        // The session ended without such a wish: there is nothing more to wait for.
        std::future::pending().await
    }

    /// Whether the session still takes streams.
    pub fn is_live(&self) -> bool {
        self.shared.lock().takes_streams()
    }

    /// Which frames were agreed on.
    pub fn dialect(&self) -> Dialect {
        self.shared.lock().session.dialect()
    }

    /// Streams in use, and received bytes that nobody has read yet.
    pub fn load(&self) -> (usize, usize) {
        let inner = self.shared.lock();
        (inner.session.held_count(), inner.session.buffered_bytes())
    }
}
