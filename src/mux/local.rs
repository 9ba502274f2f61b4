//! What our side does with streams: open, accept, read, write, finish, let go.

use super::{
    frame::{Dialect, Frame, GoAwayReason, ResetReason, StreamId},
    session::Session,
    state::{Event, State},
    stream::Stream,
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Why no stream can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session has ended, or its peer asked for no more streams.
    #[error("the session takes no more streams")]
    Closed,
    /// [`super::Limits::streams`] are in use.
    #[error("too many streams")]
    TooMany,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Bytes, never none.
    Data(Bytes),
    /// Nothing yet: a [`super::Notice::Readable`] follows.
    Pending,
    /// The peer finished cleanly and everything was read.
    End,
    /// The stream broke: what was read is not all there was.
    Failed(ResetReason),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// All of it is queued.
    Taken,
    /// The queue is full: a [`super::Notice::Writable`] follows.
    Pending,
    /// Nobody will ever receive it.
    Failed(ResetReason),
}

impl Session {
    /// Opens a stream. Its bytes can be written at once; they leave when the peer allows.
    pub fn open(&mut self) -> Result<StreamId, OpenError> {
        if self.closed || self.peer_go_away.is_some() {
            return Err(OpenError::Closed);
        }
        if self.streams.len() >= self.config.limits.streams {
            return Err(OpenError::TooMany);
        }
        // Numbers that still linger are stepped over; the limit on streams keeps this short.
        while self.streams.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(2);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(2);
        // Only an extended peer has promised to keep what comes before its answer.
        let early = match self.config.dialect {
            Dialect::Extended => self.config.peer_window.unwrap_or(0),
            Dialect::Original => 0,
        };
        let mut stream = Stream::new(State::Opening, &self.config.limits, early);
        stream.open_due = true;
        self.streams.insert(id, stream);
        self.enqueue(id);
        Ok(id)
    }

    /// Accepts a stream of the peer. False when it is no longer there to accept.
    pub fn accept(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        if !matches!(stream.state, State::Offered | State::RemoteClosedBeforeAccept) {
            return false;
        }
        self.offered -= 1;
        stream.apply(Event::Accept);
        stream.accept_due = true;
        self.enqueue(id);
        true
    }

    /// Reads at most `max` bytes.
    pub fn read(&mut self, id: StreamId, max: usize) -> ReadOutcome {
        let Some(stream) = self.streams.get_mut(&id) else {
            return ReadOutcome::Failed(ResetReason::Abandoned);
        };
        if let Some(data) = stream.inbox.pop(max) {
            self.buffered -= data.len();
            stream.taken = stream.taken.saturating_add(data.len() as u32);
            if stream.quiet > 0 && !stream.lags(self.config.limits.keepalive) {
                stream.quiet = 0;
            }
            stream.used = stream.used.saturating_add(data.len() as u32);
            self.budget.recount(stream);
            if self.budget.credit_due(stream) {
                self.enqueue(id);
            }
            return ReadOutcome::Data(data);
        }
        match stream.failure {
            Some(reason) => ReadOutcome::Failed(reason),
            None if stream.state.remote_done() => ReadOutcome::End,
            None => ReadOutcome::Pending,
        }
    }

    /// Writes all of `data` or nothing.
    pub fn write(&mut self, id: StreamId, data: Bytes) -> WriteOutcome {
        let Some(stream) = self.streams.get_mut(&id) else {
            return WriteOutcome::Failed(ResetReason::Abandoned);
        };
        if let Some(reason) = stream.failure {
            return WriteOutcome::Failed(reason);
        }
        if !stream.state.may_write() || stream.fin_due {
            return WriteOutcome::Failed(ResetReason::Abandoned);
        }
        if stream.is_full(&self.config.limits) {
            return WriteOutcome::Pending;
        }
        if !data.is_empty() {
            stream.outbox_len += data.len();
            stream.outbox.push_back(data);
            self.enqueue(id);
        }
        WriteOutcome::Taken
    }

    /// Whether a write would be taken or fail, rather than wait.
    pub fn is_writable(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_none_or(|stream| {
            stream.failure.is_some() || !stream.state.may_write() || !stream.is_full(&self.config.limits)
        })
    }

    /// Whether everything written on a stream has been handed to the transport, or never will be.
    pub fn is_flushed(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_none_or(|stream| stream.outbox.is_empty())
    }

    /// Why the stream failed, if it did.
    pub fn failure(&self, id: StreamId) -> Option<ResetReason> {
        self.streams.get(&id).map_or(Some(ResetReason::Abandoned), |stream| stream.failure)
    }

    /// Where a stream stands; closed when it is not in the table.
    pub fn state(&self, id: StreamId) -> State {
        self.streams.get(&id).map_or(State::Closed, |stream| stream.state)
    }

    /// Finishes our direction, after what is queued. The other direction goes on.
    pub fn finish(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.state.may_write() && !stream.fin_due {
            stream.fin_due = true;
            stream.apply(Event::LocalFin);
            self.enqueue(id);
        }
    }

    /// Lets go of a stream for good; every stream that was opened or offered is let go of once. A stream that was
    /// not finished in both directions is broken off.
    pub fn release(&mut self, id: StreamId, reason: ResetReason, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.held = false;
        self.buffered -= stream.inbox.clear();
        self.budget.recount(stream);
        match stream.state {
            State::Closed => self.reap(id),
            State::AbandonedOpening | State::Discarding => self.start_linger(id, now),
            State::Offered | State::RemoteClosedBeforeAccept => self.refuse(id, reason),
            _ if self.config.dialect == Dialect::Extended => self.break_off(id, reason),
            _ => self.abandon(id, now),
        }
    }

    fn refuse(&mut self, id: StreamId, reason: ResetReason) {
        self.offered -= 1;
        self.forget(id);
        self.refuse_unknown(id, reason);
    }

    /// Between extended peers: RST, unless the peer was never told of the stream.
    fn break_off(&mut self, id: StreamId, reason: ResetReason) {
        let unheard = self.streams.get(&id).is_some_and(|stream| stream.open_due);
        self.end_stream(id, reason);
        self.reap(id);
        if !unheard && !self.closed {
            self.replies.push_back(Frame::Reset(id, reason));
        }
    }

    /// With a peer of the original kind: FIN, then discard what still comes.
    fn abandon(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.open_due {
            // The SYN has not left yet: the peer never hears of the stream.
            stream.apply(Event::Reset);
            stream.open_due = false;
            stream.clear_outbox();
            stream.fin_due = false;
            self.reap(id);
            return;
        }
        let half_closed = stream.state == State::LocalClosed;
        if !half_closed {
            // What was written and not finished is cut off; what was finished is still delivered.
            stream.clear_outbox();
            stream.fin_due = stream.state != State::Opening;
        }
        stream.apply(Event::Abandon);
        self.budget.recount(stream);
        self.enqueue(id);
        self.start_linger(id, now);
        self.reap(id);
    }

    fn start_linger(&mut self, id: StreamId, now: Instant) {
        let until = now + self.config.limits.linger;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.lingers_until = Some(until);
        // Most streams end long before their time here: without this, the list would grow with the rate of requests.
        if self.lingering.len() > 2 * self.streams.len() + 64 {
            let streams = &self.streams;
            self.lingering
                .retain(|(until, id)| streams.get(id).is_some_and(|stream| stream.lingers_until == Some(*until)));
        }
        self.lingering.push_back((until, id));
    }

    /// Tells an extended peer to open no more streams here. True when the dialect can say it.
    pub fn go_away(&mut self, reason: GoAwayReason) -> bool {
        let can_say = self.config.dialect == Dialect::Extended && !self.closed;
        if can_say {
            self.replies.push_back(Frame::GoAway(reason));
        }
        can_say
    }

    /// Tells how long the peer took to answer a ping.
    pub fn on_round_trip(&mut self, time: Duration) {
        self.budget.round_trip = time;
    }

    /// Tells the time, and ends the linger of abandoned streams whose time is over.
    pub fn on_time(&mut self, now: Instant) {
        self.budget.now = now.saturating_duration_since(*self.start.get_or_insert(now));
        while let Some(&(deadline, id)) = self.lingering.front() {
            if deadline > now {
                break;
            }
            self.lingering.pop_front();
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            // The number may have been taken by another stream since.
            if stream.lingers_until == Some(deadline)
                && matches!(stream.state, State::AbandonedOpening | State::Discarding)
            {
                if stream.state == State::AbandonedOpening || stream.fin_due {
                    self.replies.push_back(Frame::Fin(id));
                }
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.apply(Event::Reset);
                    stream.fin_due = false;
                    stream.clear_outbox();
                }
                self.reap(id);
            }
        }
    }

    /// When [`Session::on_time`] next has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.lingering.front().map(|(deadline, _)| *deadline)
    }
}
