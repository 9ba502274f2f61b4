//! The state that a session's driver and handles share: the multiplexer behind a lock, and the wakers.

use super::end::{CloseReason, SessionEnd};
use crate::mux::{Config, Cut, Dialect, GoAwayReason, Notice, Role, Session, StreamId, StreamTable};
use futures_util::task::AtomicWaker;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Instant,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte transport below the WebSocket: TCP or TLS, directly or through a proxy.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// The planned end of a session.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The reason and the deadline of a drain. Open streams may end until then.
    pub drain: Option<(CloseReason, Instant)>,
    /// True if GOAWAY was sent.
    pub go_away_sent: bool,
    /// The deadline until which an extended peer may register elsewhere while streams can still be opened.
    pub move_until: Option<Instant>,
}

/// The wakers of one stream.
#[derive(Default)]
pub(super) struct StreamWakers {
    pub read: Option<Waker>,
    pub write: Option<Waker>,
}

/// The state behind the lock.
pub(super) struct Inner {
    pub session: Session,
    pub wakers: StreamTable<StreamWakers>,
    pub incoming: VecDeque<StreamId>,
    pub accept_waker: Option<Waker>,
    pub cuts: Vec<(StreamId, Cut)>,
    pub cut_waker: Option<Waker>,
    pub plan: Plan,
    pub end: Option<SessionEnd>,
}

/// The shared state of one session.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    pub driver: AtomicWaker,
    pub ended: tokio::sync::watch::Sender<Option<SessionEnd>>,
    pub peer_go_away: tokio::sync::watch::Sender<Option<GoAwayReason>>,
}

impl Shared {
    /// Returns a session that no driver runs yet.
    pub fn new(config: Config) -> Self {
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
        Self {
            inner: Mutex::new(inner),
            driver: AtomicWaker::new(),
            ended: tokio::sync::watch::Sender::new(None),
            peer_go_away: tokio::sync::watch::Sender::new(None),
        }
    }

    /// Locks the state. The session stays consistent if a thread panics while it holds the lock.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns the reason to end the session now, or `None` if it must not end yet. A draining session ends when no
    /// stream is open. Only the server opens streams and knows that none is in flight, so an extended client lets the
    /// server close.
    pub fn drained(&self) -> Option<CloseReason> {
        let (reason, _) = self.plan.drain?;
        let decides = self.session.role() == Role::Server || self.session.dialect() == Dialect::Original;
        let idle = self.session.held_count() == 0 && !self.session.has_output();
        (decides && idle && !self.may_move()).then_some(reason)
    }

    /// Returns true if the peer was asked to move, has not moved, and still has time to do so.
    pub fn may_move(&self) -> bool {
        self.session.peer_go_away().is_none() && self.plan.move_until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns true if streams can be opened.
    pub fn takes_streams(&self) -> bool {
        self.end.is_none() && self.session.peer_go_away().is_none() && (self.plan.drain.is_none() || self.may_move())
    }

    /// Takes the wakers of tasks that wait for the session.
    pub fn take_session_wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.accept_waker.take().into_iter().chain(self.cut_waker.take())
    }

    /// Processes notices and collects the wakers of their tasks. The caller wakes them after it has released the lock.
    pub fn take_wakeups(&mut self, go_away: &mut Option<GoAwayReason>, wake: &mut Vec<Waker>) {
        while let Some(notice) = self.session.poll_notice() {
            match notice {
                Notice::Readable(id) => wake.extend(self.wakers.get_mut(&id).and_then(|stream| stream.read.take())),
                Notice::Writable(id) => wake.extend(self.wakers.get_mut(&id).and_then(|stream| stream.write.take())),
                Notice::Incoming(id) => {
                    self.incoming.push_back(id);
                    wake.extend(self.accept_waker.take());
                }
                Notice::GoAway(reason) => *go_away = Some(reason),
                Notice::Cut(id, cut) => {
                    self.cuts.push((id, cut));
                    wake.extend(self.cut_waker.take());
                }
            }
        }
    }
}
