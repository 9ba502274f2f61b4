//! The transmitter: the choice of the next frame.
//!
//! Streams send one frame in turn, so a stream with a backlog delays the others by one frame. Within a stream the order
//! is SYN, ACK, DAT, FIN.

use super::{
    budget::Budget,
    frame::{Dialect, Frame, StreamId},
    session::{Notice, Session},
    state::State,
    stream::Stream,
};
use bytes::Bytes;

impl Session {
    /// Returns the next frame, or `None` if no frame is due.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        if let Some(frame) = self.replies.pop_front() {
            return Some(frame);
        }
        let half = if self.config.dialect == Dialect::Extended { 1 } else { 2 };
        let max = (self.config.limits.data_bytes / half).max(1);
        while let Some(id) = self.ready.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.queued = false;
            let was_full = stream.is_full(&self.config.limits);
            let Some(frame) = next_frame(id, stream, &mut self.budget, max, self.config.limits.window) else {
                self.reap(id);
                continue;
            };
            let emptied = stream.outbox.is_empty() && matches!(frame, Frame::Data(..));
            if (was_full && !stream.is_full(&self.config.limits)) || emptied {
                self.notices.push_back(Notice::Writable(id));
            }
            self.enqueue(id);
            self.reap(id);
            return Some(frame);
        }
        None
    }

    /// Returns true if a frame may be due.
    pub fn has_output(&self) -> bool {
        !self.replies.is_empty() || !self.ready.is_empty()
    }
}

/// Returns the next frame of a stream, or `None` if no frame is due.
fn next_frame(id: StreamId, stream: &mut Stream, budget: &mut Budget, max: usize, window: u32) -> Option<Frame> {
    if std::mem::take(&mut stream.open_due) {
        return Some(Frame::Open(id));
    }
    if std::mem::take(&mut stream.accept_due) {
        return Some(Frame::Credit(id, budget.initial()));
    }
    if budget.credit_due(stream) {
        return Some(Frame::Credit(id, budget.grant(stream, window)));
    }
    if stream.data_due() {
        let data = next_chunk(stream, max)?;
        let len = data.len() as u32;
        stream.send_credit -= len;
        if stream.state == State::Opening {
            stream.sent_early = stream.sent_early.saturating_add(len);
        }
        return Some(Frame::Data(id, data));
    }
    if stream.finish_due() {
        stream.fin_due = false;
        return Some(Frame::Fin(id));
    }
    None
}

/// Removes from the send queue what fits into one frame and the credit.
fn next_chunk(stream: &mut Stream, max: usize) -> Option<Bytes> {
    let allowed = max.min(stream.send_credit as usize);
    let front = stream.outbox.front_mut()?;
    let data = if front.len() <= allowed { stream.outbox.pop_front()? } else { front.split_to(allowed) };
    stream.outbox_len -= data.len();
    if stream.outbox.is_empty() {
        stream.outbox.shrink_to(4);
    }
    Some(data)
}
