//! The memory budget of a session: how its streams share [`Limits::session_bytes`].
//!
//! Credit is a promise to store what the peer sends. The budget therefore limits credit, not only received bytes.
//!
//! Half of the memory is divided equally. Each stream owns its initial window, which both sides know from the
//! handshake. The other half is a pool from which streams borrow. A stream with a new or slow reader borrows a small
//! part of what is left, and a stream with a fast reader a larger part. The pool is therefore never empty for the next
//! stream. A stream that has more than its part, because others came later, gets no credit until its reader has caught
//! up.
//!
//! A client of the original dialect sets its own first credit, up to a whole window per stream, which cannot be
//! revoked. The budget charges that credit when it is used ([`Stream::self_granted`]). Promises may then exceed the
//! limit, but received bytes do not: the driver stops reading while [`super::Session::is_full`].
//!
//! [`Limits::session_bytes`]: super::Limits::session_bytes

use super::{config::Config, frame::Dialect, state::State, stream::Stream};
use std::time::Duration;

/// The divisor of the free pool that limits a stream whose window has not grown yet.
const FIRST_PART: usize = 256;
/// The divisor of the free pool that limits a stream whose window has grown.
const PART: usize = 8;
/// The growth factor of a window that is consumed within [`FAST`] round trips.
const GROWTH: u32 = 4;
/// The number of round trips within which a window that is too small is consumed.
const FAST: u32 = 2;
/// The number of round trips after which a window that is not consumed is too large.
const SLOW: u32 = 16;
/// The minimum of a round trip. The first ping measures an idle session, and load adds to that.
const LOAD: Duration = Duration::from_millis(10);

/// The memory budget of one session.
#[derive(Debug)]
pub(super) struct Budget {
    initial: u32,
    first: u32,
    /// True if the peer accepts credit for a stream that it has not accepted yet.
    extended: bool,
    /// The size of the pool, in bytes.
    pool: usize,
    /// The bytes that streams have borrowed from the pool.
    borrowed: usize,
    /// The time since the first call of [`super::Session::on_time`].
    pub now: Duration,
    /// The last measured round trip of a ping.
    pub round_trip: Duration,
}

impl Budget {
    /// Returns the budget of a session without streams.
    pub fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let initial = limits.initial_window();
        let reserved = limits.streams.saturating_mul(initial as usize);
        let extended = config.dialect == Dialect::Extended;
        Self {
            initial,
            first: limits.first_window(),
            extended,
            pool: limits.session_bytes.saturating_sub(reserved),
            borrowed: 0,
            now: Duration::ZERO,
            round_trip: Duration::ZERO,
        }
    }

    /// Returns the window that both sides know from the handshake.
    pub fn initial(&self) -> u32 {
        self.initial
    }

    /// Returns the limit of a stream's unread bytes and credit together.
    fn target(&self, stream: &Stream) -> u32 {
        if stream.state == State::Discarding {
            // The peer's writer may wait for credit. It has to write on to learn that its bytes are discarded.
            return self.initial;
        }
        let left = self.pool.saturating_sub(self.borrowed - stream.borrowed);
        let part = left / if stream.window > self.first { PART } else { FIRST_PART };
        self.initial + stream.window.saturating_sub(self.initial).min(u32::try_from(part).unwrap_or(u32::MAX))
    }

    /// Returns true if a credit frame is due. Credit accumulates to a quarter of the window, to save frames. That is
    /// still often enough for the smallest peer (1,024 bytes).
    pub fn credit_due(&self, stream: &Stream) -> bool {
        let target = self.target(stream);
        let usable = match stream.state {
            State::Opening => self.extended,
            state => matches!(state, State::Open | State::LocalClosed | State::Discarding),
        };
        usable && target.saturating_sub(stream.promised()) >= (target / 4).max(1)
    }

    /// Adapts the window to the reader, grants the credit that is due, and returns it.
    pub fn grant(&mut self, stream: &mut Stream, max_window: u32) -> u32 {
        if stream.consumed >= self.target(stream) {
            self.resize_window(stream, max_window);
        }
        let credit = self.target(stream).saturating_sub(stream.promised());
        stream.recv_credit += credit;
        self.update(stream);
        credit
    }

    /// Adapts the window to the time in which it was consumed. A sender that always waits for credit takes one round
    /// trip and needs a larger window. A sender that takes much longer does not need the window that it has.
    fn resize_window(&mut self, stream: &mut Stream, max_window: u32) {
        let took = self.now.saturating_sub(stream.consumed_since);
        let round_trip = self.round_trip.max(LOAD);
        if took <= FAST * round_trip {
            stream.window = stream.window.saturating_mul(GROWTH).min(max_window);
        } else if took > SLOW * round_trip {
            stream.window = stream.window.min(self.first);
        }
        stream.consumed = 0;
        stream.consumed_since = self.now;
    }

    /// Updates what a stream borrows, after any change of its unread bytes, credit or state.
    pub fn update(&mut self, stream: &mut Stream) {
        let promised = if stream.state.keeps_input() { stream.promised() } else { stream.inbox.len() as u32 };
        let borrowed = promised.saturating_sub(self.initial.saturating_add(stream.self_granted)) as usize;
        self.borrowed = self.borrowed - stream.borrowed + borrowed;
        stream.borrowed = borrowed;
    }

    /// Returns the bytes that streams have borrowed.
    #[cfg(test)]
    pub fn borrowed(&self) -> usize {
        self.borrowed
    }

    /// Returns what a removed stream borrowed to the pool.
    pub fn remove(&mut self, stream: &Stream) {
        self.borrowed -= stream.borrowed;
    }
}
