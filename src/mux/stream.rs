//! What a session keeps for one stream.

use super::{
    buffer::Inbox,
    frame::ResetReason,
    limits::Limits,
    state::{Event, State},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The longest that a reader may need for what it holds. One that takes less in an interval than would get it there is
/// taken for one that does not read.
const SLOWEST: Duration = Duration::from_secs(20 * 60);

#[derive(Debug)]
pub(super) struct Stream {
    pub state: State,
    pub inbox: Inbox,
    /// Bytes that the peer may still send before we credit more.
    pub recv_credit: u32,
    /// What the stream may grow to hold, as far as the session has it: see `budget`.
    pub window: u32,
    /// Unused credit that a peer of the original kind took for itself.
    pub gift: u32,
    /// What the session has lent it.
    pub lent: usize,
    /// How much of its window has been read since when, as the budget's clock has it.
    pub used: u32,
    pub used_since: Duration,
    /// What the reader has taken in this keepalive interval.
    pub taken: u32,
    /// Keepalive intervals since the reader took enough of what is there.
    pub quiet: u8,
    /// Bytes that we may send.
    pub send_credit: u32,
    /// Bytes sent so far while opening, which the first ACK has to be reduced by.
    pub sent_early: u32,
    pub outbox: VecDeque<Bytes>,
    pub outbox_len: usize,
    pub open_due: bool,
    pub accept_due: bool,
    pub fin_due: bool,
    /// Listed in the session's queue of streams that have something to send.
    pub queued: bool,
    /// Our user still holds the stream.
    pub held: bool,
    /// When its linger ends, once it is abandoned.
    pub lingers_until: Option<Instant>,
    /// Why reads and writes fail, once they do.
    pub failure: Option<ResetReason>,
}

impl Stream {
    pub fn new(state: State, limits: &Limits, send_credit: u32) -> Self {
        Self {
            state,
            inbox: Inbox::default(),
            recv_credit: limits.initial_window(),
            window: limits.first_window(),
            gift: 0,
            lent: 0,
            used: 0,
            used_since: Duration::ZERO,
            taken: 0,
            quiet: 0,
            send_credit,
            sent_early: 0,
            outbox: VecDeque::new(),
            outbox_len: 0,
            open_due: false,
            accept_due: false,
            fin_due: false,
            queued: false,
            held: true,
            lingers_until: None,
            failure: None,
        }
    }

    pub fn apply(&mut self, event: Event) {
        self.state = self.state.after(event);
    }

    /// What is here unread, and what may still come.
    pub fn promised(&self) -> u32 {
        self.recv_credit.saturating_add(self.inbox.len() as u32)
    }

    /// Notes that the peer has used some of its credit.
    pub fn spend(&mut self, len: u32) {
        self.recv_credit = self.recv_credit.saturating_sub(len);
        self.gift = self.gift.saturating_sub(len);
    }

    /// Whether the reader has taken so little in this interval that it would need longer than [`SLOWEST`] for what is left.
    pub fn lags(&self, interval: Duration) -> bool {
        u128::from(self.taken) * SLOWEST.as_millis() < self.inbox.len() as u128 * interval.as_millis()
    }

    /// Whether a writer has to wait: what the peer gives no credit for is not collected here, beyond one frame.
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.outbox_len >= limits.send_queue.min(limits.data_bytes.max(self.send_credit as usize))
    }

    /// Whether there is data that credit allows to send.
    pub fn data_due(&self) -> bool {
        !self.outbox.is_empty() && self.send_credit > 0
    }

    /// Whether a FIN is due. Never before the peer's answer: the original loses one that comes earlier.
    pub fn finish_due(&self) -> bool {
        self.fin_due && self.outbox.is_empty() && self.state != State::Opening
    }

    /// Whether the transmitter has a reason to visit, besides credit.
    pub fn has_work(&self) -> bool {
        self.open_due || self.accept_due || self.data_due() || self.finish_due()
    }

    /// Drops what was to be sent.
    pub fn clear_outbox(&mut self) {
        self.outbox = VecDeque::new();
        self.outbox_len = 0;
    }

    /// Nothing is left to do for it, here or on the wire.
    pub fn is_finished(&self) -> bool {
        let silent = self.failure.is_some() || (self.outbox.is_empty() && !self.fin_due && !self.accept_due);
        !self.held && self.state == State::Closed && silent
    }
}
