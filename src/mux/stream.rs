//! What a session keeps for one stream.

use super::{
    buffer::Inbox,
    frame::ResetReason,
    state::{Event, State},
};
use bytes::Bytes;
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Stream {
    pub state: State,
    pub inbox: Inbox,
    /// Bytes that the peer may still send before we credit more.
    pub recv_credit: u32,
    /// The window that the peer believes to have; acknowledgements are held back up to a quarter of it.
    pub recv_window: u32,
    /// Bytes read here and not yet credited.
    pub unacked: u32,
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
    /// Why reads and writes fail, once they do.
    pub failure: Option<ResetReason>,
}

impl Stream {
    pub fn new(state: State, recv_window: u32, send_credit: u32) -> Self {
        Self {
            state,
            inbox: Inbox::default(),
            recv_credit: recv_window,
            recv_window,
            unacked: 0,
            send_credit,
            sent_early: 0,
            outbox: VecDeque::new(),
            outbox_len: 0,
            open_due: false,
            accept_due: false,
            fin_due: false,
            queued: false,
            held: true,
            failure: None,
        }
    }

    pub fn apply(&mut self, event: Event) {
        self.state = self.state.after(event);
    }

    /// Whether an acknowledgement is due. Held back to a quarter of the window: often enough for the smallest peer
    /// (1,024 bytes), seldom enough to be no traffic of its own.
    pub fn credit_due(&self) -> bool {
        let peer_sends = matches!(self.state, State::Open | State::LocalClosed | State::Discarding);
        peer_sends && self.unacked > 0 && self.unacked >= self.recv_window / 4
    }

    /// Whether there is data that credit allows to send.
    pub fn data_due(&self) -> bool {
        !self.outbox.is_empty() && self.send_credit > 0
    }

    /// Whether a FIN is due. Never before the peer's answer: the original loses one that comes earlier.
    pub fn finish_due(&self) -> bool {
        self.fin_due && self.outbox.is_empty() && self.state != State::Opening
    }

    /// Drops what was received and not read, and counts it as read: credit for it is owed. Returns how much it was.
    pub fn discard_input(&mut self) -> usize {
        let dropped = self.inbox.clear();
        self.unacked = self.unacked.saturating_add(dropped as u32);
        dropped
    }

    /// Whether the transmitter has a reason to visit.
    pub fn has_work(&self) -> bool {
        self.open_due || self.accept_due || self.credit_due() || self.data_due() || self.finish_due()
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
