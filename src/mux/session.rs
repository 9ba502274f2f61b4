//! A session: the table of its streams, and what the peer's frames do to it.

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

/// Something that the user of a session wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The peer opened a stream: accept or refuse it.
    Incoming(StreamId),
    /// A stream can be read: data, an end, or a failure.
    Readable(StreamId),
    /// A stream can be written, or never again.
    Writable(StreamId),
    /// The peer wants no more streams on this session.
    GoAway(GoAwayReason),
    /// A bound has cost a stream its life; whoever uses it finds it failed.
    Cut(StreamId, Cut),
}

/// Which bound has cut a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Cut {
    /// [`Limits::session_bytes`] are used up, and the stream's reader has taken next to nothing for a keepalive interval.
    #[error("the session's memory is full and nobody reads this stream")]
    Unread,
    /// The peer, of the original kind, sent more than it had credit for.
    #[error("the peer sent more than the window")]
    Overrun,
    /// [`Limits::streams`] or [`Limits::queued_opens`] are used up.
    #[error("too many streams")]
    TooMany,
    /// A bound of the peer's.
    #[error("a limit of the peer")]
    ByPeer,
}

/// Keepalive intervals in which next to nothing was read, after which nobody reads a stream. The first one may have just
/// begun when its bytes came.
const UNREAD_INTERVALS: u8 = 2;

/// One session. See the module for how it is driven.
#[derive(Debug)]
pub struct Session {
    pub(super) config: Config,
    pub(super) streams: StreamTable<Stream>,
    pub(super) next_id: StreamId,
    pub(super) offered: usize,
    /// Received and unread bytes of all streams.
    pub(super) buffered: usize,
    pub(super) budget: Budget,
    /// When the clock was first told.
    pub(super) start: Option<Instant>,
    /// Frames that belong to no stream of the table.
    pub(super) replies: VecDeque<Frame>,
    /// Streams with something to send, each once, in turn.
    pub(super) ready: VecDeque<StreamId>,
    pub(super) notices: VecDeque<Notice>,
    /// When the linger of abandoned streams ends; in order, as all linger equally long.
    pub(super) lingering: VecDeque<(Instant, StreamId)>,
    refused: u32,
    pub(super) peer_go_away: Option<GoAwayReason>,
    pub(super) closed: bool,
}

impl Session {
    /// A session without streams.
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

    /// The dialect that was agreed.
    pub fn dialect(&self) -> Dialect {
        self.config.dialect
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.config.role
    }

    /// The bounds of the session.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Streams in the table, those that only linger included.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Streams that somebody here still uses.
    pub fn held_count(&self) -> usize {
        self.streams.values().filter(|stream| stream.held).count()
    }

    /// Received and unread bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// Received and unread bytes, and credit for more, of all streams whose bytes are kept.
    pub fn promised_bytes(&self) -> usize {
        let promised = |stream: &Stream| match stream.state.keeps_input() {
            true => stream.promised() as usize,
            false => stream.inbox.len(),
        };
        self.streams.values().map(promised).sum()
    }

    /// Whether the peer's messages have to wait until somebody reads. Only a peer of the original kind, which takes
    /// credit for itself, can bring it so far; one message more than the bound is held then.
    pub fn is_full(&self) -> bool {
        self.buffered > self.config.limits.session_bytes
    }

    /// Why the peer wants no more streams, if it has said so.
    pub fn peer_go_away(&self) -> Option<GoAwayReason> {
        self.peer_go_away
    }

    /// The next notice.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Obeys one message of the peer.
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
        // Beside the answers that the peer asks for, each stream may have an end of our own that waits to be sent.
        if self.replies.len() > self.config.limits.replies.saturating_add(self.config.limits.streams) {
            return Err(Violation::ReplyQueueFull);
        }
        Ok(())
    }

    /// Starts a new interval for the count of refused streams, and for readers that take next to nothing.
    pub fn on_interval(&mut self) {
        self.refused = 0;
        let interval = self.config.limits.keepalive;
        for stream in self.streams.values_mut() {
            stream.quiet = if stream.lags(interval) { stream.quiet.saturating_add(1) } else { 0 };
            stream.taken = 0;
        }
        self.make_room();
    }

    /// Ends streams that nobody reads, while the session is full, the one that holds most first. Those whose readers
    /// are merely slow are left alone: their peer waits.
    fn make_room(&mut self) {
        while self.is_full() {
            let unread = self.streams.iter().filter(|(_, stream)| stream.quiet >= UNREAD_INTERVALS);
            let Some((&id, stream)) = unread.max_by_key(|(_, stream)| stream.inbox.len()) else {
                return;
            };
            if stream.inbox.len() == 0 {
                // These have been cut before. What is left belongs to readers that are slow.
                return;
            }
            self.cut(id, Cut::Unread);
        }
    }

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

    /// Refuses a stream that is not in the table. A server of the original kind ignores a FIN before the ACK and
    /// would wait its full 30 seconds, so it gets both.
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
        let most = self.config.limits.window;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match stream.state {
            State::Opening | State::AbandonedOpening => {
                // The first ACK is the peer's whole window, of which early data has had its part.
                stream.send_credit = n.saturating_sub(stream.sent_early);
                if !extended {
                    // A peer of the original kind sends as much unacknowledged as it announces to take, which may be
                    // as little as 1 KiB, and is told at once to send more; or as much as 4 MiB, which is its own word.
                    let initial = self.config.limits.initial_window();
                    stream.recv_credit = n.min(most);
                    stream.gift = stream.recv_credit.saturating_sub(initial);
                    stream.window = stream.window.max(stream.recv_credit);
                    self.budget.recount(stream);
                }
                let orphaned = stream.state == State::AbandonedOpening;
                stream.apply(Event::Accepted);
                stream.fin_due |= orphaned;
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
            // The original has no way to tell its window to everyone, so an honest peer can get here: the stream
            // fails for good, as a gap must never go unnoticed, and the session lives.
            stream.spend(len as u32);
            self.cut(id, Cut::Overrun);
            return Ok(());
        }
        stream.spend(len as u32);
        if stream.used == 0 {
            // A reader is not slow because there was nothing to read.
            stream.used_since = self.budget.now;
        }
        let was_empty = stream.inbox.len() == 0;
        stream.inbox.push(data);
        self.buffered += len;
        self.budget.recount(stream);
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
        self.budget.recount(stream);
        if before == State::Opening {
            // A refusal. There is nobody to send to, and nothing came.
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
            // Both sides ended it at once: what still waits to tell the peer so has become pointless.
            self.replies.retain(|reply| !matches!(reply, Frame::Reset(reset, _) if *reset == id));
            return;
        }
        if reason == ResetReason::Limit {
            self.notices.push_back(Notice::Cut(id, Cut::ByPeer));
        }
        // After the peer's end all of its bytes are here: whatever it says then is about the other direction.
        let whole = self.streams.get_mut(&id).filter(|stream| stream.held && stream.state.remote_done());
        let unread = whole.map(|stream| std::mem::take(&mut stream.inbox));
        self.end_stream(id, reason);
        if let Some(unread) = unread
            && let Some(stream) = self.streams.get_mut(&id)
        {
            stream.inbox = unread;
            self.budget.recount(stream);
        }
        self.reap(id);
    }

    /// Ends a stream in both directions without telling the peer.
    pub(super) fn end_stream(&mut self, id: StreamId, reason: ResetReason) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if matches!(stream.state, State::Offered | State::RemoteClosedBeforeAccept) {
            self.offered -= 1;
        }
        let unread = stream.inbox.clear();
        self.buffered -= unread;
        // A reader that has had all bytes and the peer's clean end is not told of a failure after it.
        if unread > 0 || !stream.state.remote_done() || stream.state.may_write() || stream.outbox_len > 0 {
            stream.failure.get_or_insert(reason);
        }
        stream.apply(Event::Reset);
        stream.fin_due = false;
        stream.clear_outbox();
        self.budget.recount(stream);
        self.notices.push_back(Notice::Readable(id));
        self.notices.push_back(Notice::Writable(id));
    }

    /// Fails a stream on our side: the peer is told as its dialect allows, our user sees `reason`.
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
            self.budget.recount(stream);
            self.notices.push_back(Notice::Readable(id));
            self.notices.push_back(Notice::Writable(id));
            self.enqueue(id);
        }
        self.reap(id);
    }

    /// The transport is gone: every stream fails, and no other can be opened. What was received stays readable.
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
                self.budget.recount(stream);
                self.notices.push_back(Notice::Readable(id));
                self.notices.push_back(Notice::Writable(id));
            }
            self.reap(id);
        }
        self.offered = 0;
    }

    /// Puts a stream in the queue of the transmitter, if it has something to send and is not there.
    pub(super) fn enqueue(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.queued
            && (stream.has_work() || self.budget.credit_due(stream))
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Forgets a stream that is over on both sides and that nobody holds.
    pub(super) fn reap(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_finished) {
            self.forget(id);
        }
    }

    /// Takes a stream out of the table and off every list that would grow with those that have ended.
    pub(super) fn forget(&mut self, id: StreamId) {
        let Some(mut stream) = self.streams.remove(&id) else {
            return;
        };
        self.buffered -= stream.inbox.clear();
        self.budget.forget(&stream);
        if stream.queued
            && let Some(at) = self.ready.iter().position(|ready| *ready == id)
        {
            self.ready.remove(at);
        }
    }
}
