//! What the driver of a session and the handles to it share: the multiplexer behind a lock, and who waits for what.

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

/// A byte transport below the WebSocket: TCP, TLS, or what a proxy made of either.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// What is to happen to the session as a whole.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Asked to end: why, and when at the latest. Streams that run may end until then.
    pub drain: Option<(CloseReason, Instant)>,
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
    pub incoming: VecDeque<StreamId>,
    pub accept_waker: Option<Waker>,
    pub cuts: Vec<(StreamId, Cut)>,
    pub cut_waker: Option<Waker>,
    pub plan: Plan,
    pub end: Option<SessionEnd>,
}

pub(super) struct Shared {
    inner: Mutex<Inner>,
    pub driver: AtomicWaker,
    pub ended: tokio::sync::watch::Sender<Option<SessionEnd>>,
    pub peer_go_away: tokio::sync::watch::Sender<Option<GoAwayReason>>,
}

impl Shared {
    /// A session that nobody drives yet.
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

    /// The session. A panic elsewhere while it was locked leaves a table that is still sound to use.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Why the session can end now: it was asked to, and nothing runs any more. Only the side that opens streams knows
    /// that none is on its way; a client leaves that to a server of ours, which closes.
    pub fn drained(&self) -> Option<CloseReason> {
        let (reason, _) = self.plan.drain?;
        let knows = self.session.role() == Role::Server || self.session.dialect() == Dialect::Original;
        let quiet = self.session.held_count() == 0 && !self.session.has_output();
        (knows && quiet && !self.may_move()).then_some(reason)
    }

    /// Whether the peer has been asked to move and has neither done so nor used up its time.
    pub fn may_move(&self) -> bool {
        self.session.peer_go_away().is_none() && self.plan.move_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether streams may be opened.
    pub fn takes_streams(&self) -> bool {
        self.end.is_none() && self.session.peer_go_away().is_none() && (self.plan.drain.is_none() || self.may_move())
    }

    /// Those who wait for something of the session as a whole.
    pub fn take_session_wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.accept_waker.take().into_iter().chain(self.cut_waker.take())
    }

    /// Turns notices into wake-ups. The wakers are called by the caller, after the lock is gone.
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
