//! A session that runs: the multiplexer behind a lock, its driver, and the handles that others hold.

use super::{driver, stream::MuxStream};
use crate::mux::{
    Config, Cut, Dialect, GoneReason, Notice, OpenError, ResetReason, Role, Session, StreamId, StreamTable, Violation,
};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte transport below the WebSocket: TCP, TLS, or what a proxy made of either.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer sent a close frame.
    Closed {
        /// Its code; 1005 when it gave none.
        code: u16,
        /// Its text, at most 123 bytes.
        reason: String,
    },
    /// The connection broke.
    Lost(String),
    /// The peer broke a rule.
    Violation(Violation),
    /// We ended it, for the reason that the peer was told.
    Ours(Farewell),
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { code, reason } => write!(out, "closed by the peer ({code} {reason:?})"),
            Self::Lost(why) => write!(out, "connection lost ({why})"),
            Self::Violation(violation) => write!(out, "protocol violation: {violation}"),
            Self::Ours(farewell) => write!(out, "{farewell}"),
        }
    }
}

/// Why we end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Farewell {
    /// This process stops.
    Stopping,
    /// A newer registration of the same ID.
    Replaced,
    /// The registration token has run out.
    Expired,
    /// Nothing went through it for the configured time.
    Idle,
    /// The client side is done with it.
    Done,
}

impl Farewell {
    /// The code and the text of the close frame.
    pub fn close_frame(self) -> (u16, &'static str) {
        match self {
            Self::Stopping => (1001, "server is stopping"),
            Self::Replaced => (4001, "replaced by a newer registration"),
            Self::Expired => (4002, "token expired"),
            Self::Idle => (4003, "idle"),
            Self::Done => (1000, "done"),
        }
    }

    fn gone_reason(self) -> GoneReason {
        match self {
            Self::Replaced => GoneReason::Replaced,
            Self::Expired => GoneReason::Expired,
            _ => GoneReason::Draining,
        }
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.close_frame().1)
    }
}

/// What is to happen to the session as a whole.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Asked to end: why, and when at the latest. Streams that run may end until then.
    pub drain: Option<(Farewell, Instant)>,
    /// Whether the peer has been asked to move.
    pub told: bool,
    /// Until then a peer that understands the request may take its time to register elsewhere, and is served.
    pub move_until: Option<Instant>,
}

#[derive(Default)]
pub(super) struct StreamWakers {
    pub read: Option<Waker>,
    pub write: Option<Waker>,
}

pub(super) struct Inner {
    pub session: Session,
    pub wakers: StreamTable<StreamWakers>,
    incoming: VecDeque<StreamId>,
    accept_waker: Option<Waker>,
    cuts: Vec<(StreamId, Cut)>,
    cut_waker: Option<Waker>,
    pub plan: Plan,
    pub end: Option<End>,
}

pub(super) struct Shared {
    inner: Mutex<Inner>,
    pub driver: AtomicWaker,
    pub ended: tokio::sync::watch::Sender<Option<End>>,
    pub gone: tokio::sync::watch::Sender<Option<GoneReason>>,
}

impl Shared {
    /// The session. A panic elsewhere while it was locked leaves a table that is still sound to use.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Why the session can end now: it was asked to, and nothing runs any more. Only the side that opens streams knows
    /// that none is on its way; a client leaves that to a server of ours, which closes.
    pub fn drained(&self) -> Option<Farewell> {
        let (farewell, _) = self.plan.drain?;
        let knows = self.session.role() == Role::Server || self.session.dialect() == Dialect::Original;
        let quiet = self.session.held_count() == 0 && !self.session.has_output();
        (knows && quiet && !self.may_move()).then_some(farewell)
    }

    /// Whether the peer has been asked to move and has neither done so nor used up its time.
    pub fn may_move(&self) -> bool {
        self.session.peer_gone().is_none() && self.plan.move_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether streams may be opened.
    fn takes_streams(&self) -> bool {
        self.end.is_none() && self.session.peer_gone().is_none() && (self.plan.drain.is_none() || self.may_move())
    }

    /// Those who wait for something of the session as a whole.
    pub fn take_session_wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.accept_waker.take().into_iter().chain(self.cut_waker.take())
    }

    /// Turns notices into wake-ups. The wakers are called by the caller, after the lock is gone.
    pub fn take_wakeups(&mut self, gone: &mut Option<GoneReason>, wake: &mut Vec<Waker>) {
        while let Some(notice) = self.session.poll_notice() {
            match notice {
                Notice::Readable(id) => wake.extend(self.wakers.get_mut(&id).and_then(|stream| stream.read.take())),
                Notice::Writable(id) => wake.extend(self.wakers.get_mut(&id).and_then(|stream| stream.write.take())),
                Notice::Incoming(id) => {
                    self.incoming.push_back(id);
                    wake.extend(self.accept_waker.take());
                }
                Notice::Gone(reason) => *gone = Some(reason),
                Notice::Cut(id, cut) => {
                    self.cuts.push((id, cut));
                    wake.extend(self.cut_waker.take());
                }
            }
        }
    }
}

/// A handle to a running session. Clones share it; the session outlives them until it is told to end.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

impl Link {
    /// Starts a session on `io`, on which the WebSocket handshake is done; `early` was read past it.
    pub fn start(io: Box<dyn Transport>, early: Bytes, config: Config) -> Self {
        let inner = Inner {
            session: Session::new(config),
            wakers: StreamTable::default(),
            incoming: VecDeque::new(),
            accept_waker: None,
            cuts: Vec::new(),
            cut_waker: None,
            plan: Plan::default(),
            end: None,
        };
        let shared = Arc::new(Shared {
            inner: Mutex::new(inner),
            driver: AtomicWaker::new(),
            ended: tokio::sync::watch::Sender::new(None),
            gone: tokio::sync::watch::Sender::new(None),
        });
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
    pub fn drain(&self, farewell: Farewell, grace: Duration, move_time: Duration) {
        let mut inner = self.shared.lock();
        let now = Instant::now();
        let deadline = now + grace;
        let sooner = inner.plan.drain.is_none_or(|(_, planned)| deadline < planned);
        if sooner {
            inner.plan.drain = Some((farewell, deadline));
            let told = std::mem::replace(&mut inner.plan.told, true);
            let understood = !told && inner.session.go_away(farewell.gone_reason());
            inner.plan.move_until = understood.then(|| now + move_time.min(grace));
        }
        drop(inner);
        self.shared.driver.wake();
    }

    /// Waits for the end of the session.
    pub async fn ended(&self) -> End {
        let mut watch = self.shared.ended.subscribe();
        match watch.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(End::Lost("driver stopped".into())),
            Err(_) => End::Lost("driver stopped".into()),
        }
    }

    /// Waits until the peer asks for no more streams.
    pub async fn gone(&self) -> GoneReason {
        let mut watch = self.shared.gone.subscribe();
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
