//! The data of one stream of a session.

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

/// The longest time that a reader may need for its unread bytes. A reader whose rate is lower than that has stalled.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(20 * 60);

/// The data of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub state: State,
    pub inbox: Inbox,
    /// The bytes that the peer may still send.
    pub recv_credit: u32,
    /// The target of unread bytes and credit together, which the budget may reduce.
    pub window: u32,
    /// The unused part of the credit that a peer of the original dialect set itself.
    pub self_granted: u32,
    /// The bytes that the stream has borrowed from the session's pool.
    pub borrowed: usize,
    /// The bytes read since `consumed_since`.
    pub consumed: u32,
    /// A time of the budget's clock.
    pub consumed_since: Duration,
    /// The bytes read in this keepalive interval.
    pub read_in_interval: u32,
    /// The number of consecutive keepalive intervals in which the reader has stalled.
    pub stalled_intervals: u8,
    /// The bytes that we may send.
    pub send_credit: u32,
    /// The bytes sent while opening, which the first ACK includes.
    pub sent_early: u32,
    pub outbox: VecDeque<Bytes>,
    pub outbox_len: usize,
    pub open_due: bool,
    pub accept_due: bool,
    pub fin_due: bool,
    /// True if the stream is in the session's send queue.
    pub queued: bool,
    /// True until our user releases the stream.
    pub held: bool,
    /// The end of the linger time of an abandoned stream.
    pub lingers_until: Option<Instant>,
    /// The failure that reads and writes return.
    pub failure: Option<ResetReason>,
}

impl Stream {
    /// Returns a stream without data.
    pub fn new(state: State, limits: &Limits, send_credit: u32) -> Self {
        Self {
            state,
            inbox: Inbox::default(),
            recv_credit: limits.initial_window(),
            window: limits.first_window(),
            self_granted: 0,
            borrowed: 0,
            consumed: 0,
            consumed_since: Duration::ZERO,
            read_in_interval: 0,
            stalled_intervals: 0,
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

    /// Changes the state by an event.
    pub fn apply(&mut self, event: Event) {
        self.state = self.state.after(event);
    }

    /// Returns the unread bytes and the credit together.
    pub fn promised(&self) -> u32 {
        self.recv_credit.saturating_add(self.inbox.len() as u32)
    }

    /// Subtracts received bytes from the peer's credit.
    pub fn spend(&mut self, len: u32) {
        self.recv_credit = self.recv_credit.saturating_sub(len);
        self.self_granted = self.self_granted.saturating_sub(len);
    }

    /// Returns true if the reader, at its rate in this interval, would need longer than [`MAX_DRAIN_TIME`] for the
    /// unread bytes.
    pub fn is_stalled(&self, interval: Duration) -> bool {
        u128::from(self.read_in_interval) * MAX_DRAIN_TIME.as_millis() < self.inbox.len() as u128 * interval.as_millis()
    }

    /// Returns true if a writer has to wait. Without credit of the peer, the queue holds at most one frame.
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.outbox_len >= limits.send_queue.min(limits.data_bytes.max(self.send_credit as usize))
    }

    /// Returns true if there is data to send and credit for it.
    pub fn data_due(&self) -> bool {
        !self.outbox.is_empty() && self.send_credit > 0
    }

    /// Returns true if a FIN is due. It waits for the peer's first ACK, because the original loses an earlier FIN.
    pub fn finish_due(&self) -> bool {
        self.fin_due && self.outbox.is_empty() && self.state != State::Opening
    }

    /// Returns true if a frame other than credit is due.
    pub fn has_work(&self) -> bool {
        self.open_due || self.accept_due || self.data_due() || self.finish_due()
    }

    /// Removes all queued bytes.
    pub fn clear_outbox(&mut self) {
        self.outbox = VecDeque::new();
        self.outbox_len = 0;
    }

    /// Returns true if the stream is released and closed, and no frame is due.
    pub fn is_finished(&self) -> bool {
        let silent = self.failure.is_some() || (self.outbox.is_empty() && !self.fin_due && !self.accept_due);
        !self.held && self.state == State::Closed && silent
    }
}
