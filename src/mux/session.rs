//! A session: the table of its streams, and the handling of the peer's frames.

use super::{
    budget::Budget,
    config::{Config, Role},
    frame::{Dialect, Frame, GoAwayReason, ResetReason, StreamId},
    limits::Limits,
    state::{Event, State},
    stream::Stream,
    table::StreamTable,
    violation::Violation,
};
use bytes::Bytes;
use std::{collections::VecDeque, time::Instant};

/// An event for the user of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The peer opened a stream. The user accepts or releases it.
    Incoming(StreamId),
    /// A read of the stream returns data, the end, or a failure.
    Readable(StreamId),
    /// A write to the stream succeeds or fails.
    Writable(StreamId),
    /// The peer accepts no more streams on this session.
    GoAway(GoAwayReason),
    /// A limit ended a stream, which has failed for its user.
    Cut(StreamId, Cut),
}

/// The limit that ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Cut {
    /// [`Limits::session_bytes`] is reached, and the stream's reader has stalled.
    #[error("the session's memory is full and nobody reads this stream")]
    Unread,
    /// A peer of the original dialect sent more than it had credit for.
    #[error("the peer sent more than the window")]
    Overrun,
    /// [`Limits::streams`] or [`Limits::queued_opens`] is reached.
    #[error("too many streams")]
    TooMany,
    /// A limit of the peer is reached.
    #[error("a limit of the peer")]
    ByPeer,
}

/// The number of stalled keepalive intervals after which a stream may be cut. Bytes may arrive at the end of an
/// interval, so one is too few.
const UNREAD_INTERVALS: u8 = 2;

/// One session. [`crate::mux`] describes its use.
#[derive(Debug)]
pub struct Session {
    pub(super) config: Config,
    pub(super) streams: StreamTable<Stream>,
    pub(super) next_id: StreamId,
    /// The number of the peer's streams that are not accepted yet.
    pub(super) offered: usize,
    /// The unread bytes of all streams.
    pub(super) buffered: usize,
    pub(super) budget: Budget,
    /// The time of the first call of [`Session::on_time`].
    pub(super) start: Option<Instant>,
    /// Queued frames that belong to no stream in the table.
    pub(super) replies: VecDeque<Frame>,
    /// The streams that have frames to send, each once, in their order.
    pub(super) ready: VecDeque<StreamId>,
    pub(super) notices: VecDeque<Notice>,
    /// The deadlines of abandoned streams, in ascending order, because all linger equally long.
    pub(super) lingering: VecDeque<(Instant, StreamId)>,
    /// The number of streams refused in this keepalive interval.
    refused: u32,
    pub(super) peer_go_away: Option<GoAwayReason>,
    pub(super) closed: bool,
}

impl Session {
    /// Returns a session without streams.
    pub fn new(config: Config) -> Self {
        let next_id = if config.role == Role::Server { 0 } else { 1 };
        Self {
            budget: Budget::new(&config),
            start: None,
            config,
            streams: StreamTable::default(),
            next_id,
            offered: 0,
            buffered: 0,
            replies: VecDeque::new(),
            ready: VecDeque::new(),
            notices: VecDeque::new(),
            lingering: VecDeque::new(),
            refused: 0,
            peer_go_away: None,
            closed: false,
        }
    }

    /// Returns the agreed dialect.
    pub fn dialect(&self) -> Dialect {
        self.config.dialect
    }

    /// Returns the role of this end.
    pub fn role(&self) -> Role {
        self.config.role
    }

    /// Returns the limits of the session.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Returns the number of streams in the table, including those that linger.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Returns the number of streams that the user has not released.
    pub fn held_count(&self) -> usize {
        self.streams.values().filter(|stream| stream.held).count()
    }

    /// Returns the number of unread bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// Returns the unread bytes and the credit of all streams that store input.
    pub fn promised_bytes(&self) -> usize {
        let promised = |stream: &Stream| match stream.state.keeps_input() {
            true => stream.promised() as usize,
            false => stream.inbox.len(),
        };
        self.streams.values().map(promised).sum()
    }

    /// Returns true if the caller must not pass messages until a stream is read. Only a peer of the original dialect,
    /// which sets its own first credit, can cause this. The session then exceeds its limit by at most one message.
    pub fn is_full(&self) -> bool {
        self.buffered > self.config.limits.session_bytes
    }

    /// Returns the reason of the peer's GOAWAY, or `None` if it sent none.
    pub fn peer_go_away(&self) -> Option<GoAwayReason> {
        self.peer_go_away
    }

    /// Returns the next notice, or `None` if there is none.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Processes one message of the peer.
    pub fn receive(&mut self, message: Bytes) -> Result<(), Violation> {
        if message.len() > self.config.limits.message_bytes {
            return Err(Violation::MessageTooBig);
        }
        match Frame::decode(message, self.config.dialect)? {
            Frame::Data(id, data) => self.on_data(id, data)?,
            Frame::Open(id) => self.on_open(id)?,
            Frame::Credit(id, n) => self.on_credit(id, n),
            Frame::Fin(id) => self.on_fin(id),
            Frame::Reset(id, reason) => self.on_reset(id, reason),
            Frame::GoAway(reason) => {
                self.peer_go_away = Some(reason);
                self.notices.push_back(Notice::GoAway(reason));
            }
        }
        // Each stream may have one queued end of our own, in addition to the replies that the peer causes.
        if self.replies.len() > self.config.limits.replies.saturating_add(self.config.limits.streams) {
            return Err(Violation::ReplyQueueFull);
        }
        Ok(())
    }

    /// Starts a new keepalive interval: resets the count of refused streams, and updates which readers have stalled.
    pub fn on_interval(&mut self) {
        self.refused = 0;
        let interval = self.config.limits.keepalive;
        for stream in self.streams.values_mut() {
            stream.stalled_intervals =
                if stream.is_stalled(interval) { stream.stalled_intervals.saturating_add(1) } else { 0 };
            stream.read_in_interval = 0;
        }
        self.make_room();
    }

    /// Cuts streams with stalled readers while the session is full, the one with the most unread bytes first. Streams
    /// with slow readers stay, and their peer waits.
    fn make_room(&mut self) {
        while self.is_full() {
            let unread = self.streams.iter().filter(|(_, stream)| stream.stalled_intervals >= UNREAD_INTERVALS);
            let Some((&id, stream)) = unread.max_by_key(|(_, stream)| stream.inbox.len()) else {
                return;
            };
            if stream.inbox.len() == 0 {
                // The stalled streams are cut already. The remaining bytes belong to slow readers.
                return;
            }
            self.cut(id, Cut::Unread);
        }
    }

    /// Ends a stream because of a limit.
    fn cut(&mut self, id: StreamId, why: Cut) {
        self.notices.push_back(Notice::Cut(id, why));
        self.fail_local(id, ResetReason::Limit);
    }

    fn on_open(&mut self, id: StreamId) -> Result<(), Violation> {
        if self.streams.contains_key(&id) {
            return Ok(());
        }
        let limits = &self.config.limits;
        if self.config.role == Role::Server {
            self.refused += 1;
            if self.refused > limits.refused_opens {
                return Err(Violation::TooManyOpens);
            }
            self.replies.push_back(match self.config.dialect {
                Dialect::Original => Frame::Fin(id),
                Dialect::Extended => Frame::Reset(id, ResetReason::Limit),
            });
            return Ok(());
        }
        if self.offered >= limits.queued_opens || self.streams.len() >= limits.streams {
            self.notices.push_back(Notice::Cut(id, Cut::TooMany));
            self.refuse_unknown(id, ResetReason::Limit);
            return Ok(());
        }
        let stream = Stream::new(State::Offered, limits, self.config.peer_window.unwrap_or(limits.window));
        self.streams.insert(id, stream);
        self.offered += 1;
        self.notices.push_back(Notice::Incoming(id));
        Ok(())
    }

    /// Refuses a stream that is not in the table. A server of the original dialect ignores a FIN before the ACK and
    /// would wait for 30 seconds, so it gets both.
    pub(super) fn refuse_unknown(&mut self, id: StreamId, reason: ResetReason) {
        match self.config.dialect {
            Dialect::Extended => self.replies.push_back(Frame::Reset(id, reason)),
            Dialect::Original => {
                self.replies.push_back(Frame::Credit(id, self.config.limits.window));
                self.replies.push_back(Frame::Fin(id));
            }
        }
    }

    fn on_credit(&mut self, id: StreamId, n: u32) {
        let extended = self.config.dialect == Dialect::Extended;
        let max_window = self.config.limits.window;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match stream.state {
            State::Opening | State::AbandonedOpening => {
                // The first ACK is the peer's whole window. Early data has used a part of it.
                stream.send_credit = n.saturating_sub(stream.sent_early);
                if !extended {
                    // A peer of the original dialect assumes that our window equals the one that it announces. That may
                    // be as small as 1 KiB, and it then gets more credit at once, or as large as 4 MiB.
                    let initial = self.config.limits.initial_window();
                    stream.recv_credit = n.min(max_window);
                    stream.self_granted = stream.recv_credit.saturating_sub(initial);
                    stream.window = stream.window.max(stream.recv_credit);
                    self.budget.update(stream);
                }
                let abandoned = stream.state == State::AbandonedOpening;
                stream.apply(Event::Accepted);
                stream.fin_due |= abandoned;
                if stream.fin_due && stream.state == State::Open {
                    stream.apply(Event::LocalFin);
                }
            }
            _ => stream.send_credit = stream.send_credit.saturating_add(n),
        }
        self.notices.push_back(Notice::Writable(id));
        self.enqueue(id);
    }

    fn on_data(&mut self, id: StreamId, data: Bytes) -> Result<(), Violation> {
        let extended = self.config.dialect == Dialect::Extended;
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let len = data.len();
        if stream.state == State::Discarding {
            stream.spend(len as u32);
            self.enqueue(id);
            return Ok(());
        }
        if !stream.state.keeps_input() || stream.failure.is_some() || len == 0 {
            return Ok(());
        }
        if len as u64 > u64::from(stream.recv_credit) {
            if extended {
                return Err(Violation::WindowOverrun);
            }
            // The original dialect cannot announce a window to every peer, so an honest peer can overrun it. The stream
            // fails, because the reader must notice the missing bytes. The session continues.
            stream.spend(len as u32);
            self.cut(id, Cut::Overrun);
            return Ok(());
        }
        stream.spend(len as u32);
        if stream.consumed == 0 {
            // The time without unread bytes does not make a reader slow.
            stream.consumed_since = self.budget.now;
        }
        let was_empty = stream.inbox.len() == 0;
        stream.inbox.push(data);
        self.buffered += len;
        self.budget.update(stream);
        if was_empty {
            self.notices.push_back(Notice::Readable(id));
        }
        self.make_room();
        Ok(())
    }

    fn on_fin(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let before = stream.state;
        stream.apply(Event::RemoteFin);
        self.budget.update(stream);
        if before == State::Opening {
            // The peer refused the stream.
            stream.failure.get_or_insert(ResetReason::Unreachable);
            stream.clear_outbox();
            stream.open_due = false;
            stream.fin_due = false;
        }
        if stream.state != before {
            self.notices.push_back(Notice::Readable(id));
            self.notices.push_back(Notice::Writable(id));
        }
        self.reap(id);
    }

    fn on_reset(&mut self, id: StreamId, reason: ResetReason) {
        if !self.streams.contains_key(&id) {
            // Both sides reset the stream at the same time. A queued RST is no longer needed.
            self.replies.retain(|reply| !matches!(reply, Frame::Reset(reset, _) if *reset == id));
            return;
        }
        if reason == ResetReason::Limit {
            self.notices.push_back(Notice::Cut(id, Cut::ByPeer));
        }
        // After the peer's FIN, all of its bytes are here. A reset then concerns only the other direction.
        let complete = self.streams.get_mut(&id).filter(|stream| stream.held && stream.state.remote_done());
        let unread = complete.map(|stream| std::mem::take(&mut stream.inbox));
        self.end_stream(id, reason);
        if let Some(unread) = unread
            && let Some(stream) = self.streams.get_mut(&id)
        {
            stream.inbox = unread;
            self.budget.update(stream);
        }
        self.reap(id);
    }

    /// Ends a stream in both directions without a frame to the peer.
    pub(super) fn end_stream(&mut self, id: StreamId, reason: ResetReason) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if matches!(stream.state, State::Offered | State::RemoteClosedBeforeAccept) {
            self.offered -= 1;
        }
        let unread = stream.inbox.clear();
        self.buffered -= unread;
        // A reader that has read all bytes and the peer's FIN gets no failure afterwards.
        if unread > 0 || !stream.state.remote_done() || stream.state.may_write() || stream.outbox_len > 0 {
            stream.failure.get_or_insert(reason);
        }
        stream.apply(Event::Reset);
        stream.fin_due = false;
        stream.clear_outbox();
        self.budget.update(stream);
        self.notices.push_back(Notice::Readable(id));
        self.notices.push_back(Notice::Writable(id));
    }

    /// Fails a stream on our side with `reason`. The peer gets the frames that its dialect has for it.
    pub(super) fn fail_local(&mut self, id: StreamId, reason: ResetReason) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if matches!(stream.state, State::Offered | State::RemoteClosedBeforeAccept) {
            self.end_stream(id, reason);
            self.refuse_unknown(id, reason);
        } else if self.config.dialect == Dialect::Extended {
            self.end_stream(id, reason);
            self.replies.push_back(Frame::Reset(id, reason));
        } else {
            stream.failure.get_or_insert(reason);
            self.buffered -= stream.inbox.clear();
            stream.clear_outbox();
            stream.fin_due |= matches!(stream.state, State::Open | State::RemoteClosed);
            stream.apply(Event::Abandon);
            self.budget.update(stream);
            self.notices.push_back(Notice::Readable(id));
            self.notices.push_back(Notice::Writable(id));
            self.enqueue(id);
        }
        self.reap(id);
    }

    /// Ends the session after the loss of the transport. Every stream fails, but received bytes stay readable.
    pub fn close(&mut self) {
        self.closed = true;
        self.replies.clear();
        self.ready.clear();
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            if let Some(stream) = self.streams.get_mut(&id) {
                if !stream.state.remote_done() || stream.state.may_write() {
                    stream.failure.get_or_insert(ResetReason::Broken);
                }
                stream.apply(Event::Reset);
                stream.fin_due = false;
                stream.accept_due = false;
                stream.open_due = false;
                stream.clear_outbox();
                self.budget.update(stream);
                self.notices.push_back(Notice::Readable(id));
                self.notices.push_back(Notice::Writable(id));
            }
            self.reap(id);
        }
        self.offered = 0;
    }

    /// Adds a stream to the send queue if it has frames to send and is not in the queue.
    pub(super) fn enqueue(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.queued
            && (stream.has_work() || self.budget.credit_due(stream))
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Removes a stream that is closed and released.
    pub(super) fn reap(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_finished) {
            self.remove(id);
        }
    }

    /// Removes a stream from the table, the budget and the send queue.
    pub(super) fn remove(&mut self, id: StreamId) {
        let Some(mut stream) = self.streams.remove(&id) else {
            return;
        };
        self.buffered -= stream.inbox.clear();
        self.budget.remove(&stream);
        if stream.queued
            && let Some(at) = self.ready.iter().position(|ready| *ready == id)
        {
            self.ready.remove(at);
        }
    }
}
