//! The operations of our side on streams: open, accept, read, write, finish and release.

use super::{
    frame::{Dialect, Frame, GoAwayReason, ResetReason, StreamId},
    session::Session,
    state::{Event, State},
    stream::Stream,
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// The error of [`Session::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session has ended, or the peer sent GOAWAY.
    #[error("the session takes no more streams")]
    Closed,
    /// [`super::Limits::streams`] is reached.
    #[error("too many streams")]
    TooMany,
}

/// The result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// At least one byte.
    Data(Bytes),
    /// No bytes yet. A [`super::Notice::Readable`] follows.
    Pending,
    /// The peer finished, and all bytes were read.
    End,
    /// The stream failed. The bytes that were read are incomplete.
    Failed(ResetReason),
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// All bytes are queued.
    Taken,
    /// The queue is full. A [`super::Notice::Writable`] follows.
    Pending,
    /// The stream failed or is finished.
    Failed(ResetReason),
}

impl Session {
    /// Opens a stream. It can be written at once. Its bytes are sent when the peer gives credit.
    pub fn open(&mut self) -> Result<StreamId, OpenError> {
        if self.closed || self.peer_go_away.is_some() {
            return Err(OpenError::Closed);
        }
        if self.streams.len() >= self.config.limits.streams {
            return Err(OpenError::TooMany);
        }
        // Skips the numbers of streams that linger. The limit on streams bounds this loop.
        while self.streams.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(2);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(2);
        // Only an extended peer stores bytes that arrive before it has accepted the stream.
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

    /// Accepts a stream of the peer. Returns false if the stream no longer exists.
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
            stream.read_in_interval = stream.read_in_interval.saturating_add(data.len() as u32);
            if stream.stalled_intervals > 0 && !stream.is_stalled(self.config.limits.keepalive) {
                stream.stalled_intervals = 0;
            }
            stream.consumed = stream.consumed.saturating_add(data.len() as u32);
            self.budget.update(stream);
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

    /// Queues all of `data` or nothing.
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

    /// Returns true if a write would not return [`WriteOutcome::Pending`].
    pub fn is_writable(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_none_or(|stream| {
            stream.failure.is_some() || !stream.state.may_write() || !stream.is_full(&self.config.limits)
        })
    }

    /// Returns the number of bytes that a stream has not sent, and the credit that it has.
    pub fn send_progress(&self, id: StreamId) -> (usize, u32) {
        self.streams.get(&id).map_or((0, 0), |stream| (stream.outbox_len, stream.send_credit))
    }

    /// Returns why the stream failed, or `None` if it did not.
    pub fn failure(&self, id: StreamId) -> Option<ResetReason> {
        self.streams.get(&id).map_or(Some(ResetReason::Abandoned), |stream| stream.failure)
    }

    /// Returns the state of a stream, which is closed if the stream is not in the table.
    pub fn state(&self, id: StreamId) -> State {
        self.streams.get(&id).map_or(State::Closed, |stream| stream.state)
    }

    /// Finishes our direction after the queued bytes. The other direction stays open.
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

    /// Releases a stream. The user calls it once for every stream that was opened or offered. A stream that is not
    /// finished in both directions is reset with `reason`.
    pub fn release(&mut self, id: StreamId, reason: ResetReason, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.held = false;
        self.buffered -= stream.inbox.clear();
        self.budget.update(stream);
        match stream.state {
            State::Closed => self.reap(id),
            State::AbandonedOpening | State::Discarding => self.start_linger(id, now),
            State::Offered | State::RemoteClosedBeforeAccept => self.refuse(id, reason),
            _ if self.config.dialect == Dialect::Extended => self.reset(id, reason),
            _ => self.abandon(id, now),
        }
    }

    /// Refuses a stream that is offered.
    fn refuse(&mut self, id: StreamId, reason: ResetReason) {
        self.offered -= 1;
        self.remove(id);
        self.refuse_unknown(id, reason);
    }

    /// Resets a stream of the extended dialect. Sends no RST if the SYN has not been sent.
    fn reset(&mut self, id: StreamId, reason: ResetReason) {
        let unannounced = self.streams.get(&id).is_some_and(|stream| stream.open_due);
        self.end_stream(id, reason);
        self.reap(id);
        if !unannounced && !self.closed {
            self.replies.push_back(Frame::Reset(id, reason));
        }
    }

    /// Abandons a stream of the original dialect: sends FIN and discards what still arrives.
    fn abandon(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.open_due {
            // The SYN was not sent, so the peer does not know the stream.
            stream.apply(Event::Reset);
            stream.open_due = false;
            stream.clear_outbox();
            stream.fin_due = false;
            self.reap(id);
            return;
        }
        let half_closed = stream.state == State::LocalClosed;
        if !half_closed {
            // Queued bytes are sent only if the stream was finished.
            stream.clear_outbox();
            stream.fin_due = stream.state != State::Opening;
        }
        stream.apply(Event::Abandon);
        self.budget.update(stream);
        self.enqueue(id);
        self.start_linger(id, now);
        self.reap(id);
    }

    /// Keeps an abandoned stream in the table for [`super::Limits::linger`].
    fn start_linger(&mut self, id: StreamId, now: Instant) {
        let until = now + self.config.limits.linger;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.lingers_until = Some(until);
        // Removes entries of streams that have ended. Without this, the list would grow with the rate of requests.
        if self.lingering.len() > 2 * self.streams.len() + 64 {
            let streams = &self.streams;
            self.lingering
                .retain(|(until, id)| streams.get(id).is_some_and(|stream| stream.lingers_until == Some(*until)));
        }
        self.lingering.push_back((until, id));
    }

    /// Queues a GOAWAY for an extended peer. Returns false if the dialect has no such frame.
    pub fn go_away(&mut self, reason: GoAwayReason) -> bool {
        let can_send = self.config.dialect == Dialect::Extended && !self.closed;
        if can_send {
            self.replies.push_back(Frame::GoAway(reason));
        }
        can_send
    }

    /// Records the round trip of a ping.
    pub fn on_round_trip(&mut self, time: Duration) {
        self.budget.round_trip = time;
    }

    /// Sets the time, and removes abandoned streams whose linger time is over.
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
            // Another stream may have reused the number.
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

    /// Returns when [`Session::on_time`] is next due.
    pub fn deadline(&self) -> Option<Instant> {
        self.lingering.front().map(|(deadline, _)| *deadline)
    }
}
