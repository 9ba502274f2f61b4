//! How streams share the memory of their session. Credit is a promise to keep what comes, so credit is what is bounded.
//!
//! Half of [`Limits::session_bytes`] is each stream's for good, in equal parts: its initial window, which both sides
//! know from the handshake. The other half is lent: a small part of what is left to a stream whose reader is new or
//! slow, a larger one to a stream that is read as fast as it comes. So there is always something left for the next one.
//! A stream that holds more than its part, because others came after it, gets no credit until it has been read down.
//!
//! A client of the original names its own first credit, up to the whole window a stream, and nothing can take that
//! back. It counts from when it is used ([`Stream::gift`]), so there the promises may exceed the bound; what is received
//! does not, because the driver stops reading while [`super::Session::is_full`].

use super::{config::Config, frame::Dialect, state::State, stream::Stream};
use std::time::Duration;

/// The part of what is left that one stream may have: before its reader has shown that it needs more, and after.
const FIRST_PART: usize = 256;
const PART: usize = 8;
/// The factor by which a window grows that is used up in a round trip.
const GROWTH: u32 = 4;
/// Round trips in which a window is used up that is too small, and in which one is that is too large.
const FAST: u32 = 2;
const SLOW: u32 = 16;
/// What load adds to a round trip: the ping is measured when the session is new.
const LOAD: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Budget {
    initial: u32,
    first: u32,
    /// The peer takes credit for a stream that it has not accepted yet.
    extended: bool,
    /// What there is to lend.
    pool: usize,
    /// What is lent.
    lent: usize,
    /// The time, since the session was first told it.
    pub now: Duration,
    /// How long the peer took to answer a ping.
    pub round_trip: Duration,
}

impl Budget {
    pub fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let initial = limits.initial_window();
        let kept = limits.streams.saturating_mul(initial as usize);
        let extended = config.dialect == Dialect::Extended;
        Self {
            initial,
            first: limits.first_window(),
            extended,
            pool: limits.session_bytes.saturating_sub(kept),
            lent: 0,
            now: Duration::ZERO,
            round_trip: Duration::ZERO,
        }
    }

    /// The window that both sides know from the handshake.
    pub fn initial(&self) -> u32 {
        self.initial
    }

    /// What a stream may have received and unread, and credit for, together.
    fn target(&self, stream: &Stream) -> u32 {
        if stream.state == State::Discarding {
            // Enough for a writer that waits for credit to find out that nobody wants its bytes.
            return self.initial;
        }
        let left = self.pool.saturating_sub(self.lent - stream.lent);
        let part = left / if stream.window > self.first { PART } else { FIRST_PART };
        self.initial + stream.window.saturating_sub(self.initial).min(u32::try_from(part).unwrap_or(u32::MAX))
    }

    /// Whether credit is due. Held back to a quarter of the window: often enough for the smallest peer (1,024 bytes),
    /// seldom enough to be no traffic of its own.
    pub fn credit_due(&self, stream: &Stream) -> bool {
        let target = self.target(stream);
        let usable = match stream.state {
            State::Opening => self.extended,
            state => matches!(state, State::Open | State::LocalClosed | State::Discarding),
        };
        usable && target.saturating_sub(stream.promised()) >= (target / 4).max(1)
    }

    /// Grants what is due, after the window has been fitted to the reader.
    pub fn grant(&mut self, stream: &mut Stream, most: u32) -> u32 {
        if stream.used >= self.target(stream) {
            self.fit(stream, most);
        }
        let credit = self.target(stream).saturating_sub(stream.promised());
        stream.recv_credit += credit;
        self.recount(stream);
        credit
    }

    /// Fits the window to the time in which the stream has used it up. A sender that always has to wait for credit takes
    /// one round trip for that: it needs more. Whoever takes much longer has no use for it.
    fn fit(&mut self, stream: &mut Stream, most: u32) {
        let took = self.now.saturating_sub(stream.used_since);
        let round_trip = self.round_trip.max(LOAD);
        if took <= FAST * round_trip {
            stream.window = stream.window.saturating_mul(GROWTH).min(most);
        } else if took > SLOW * round_trip {
            stream.window = stream.window.min(self.first);
        }
        stream.used = 0;
        stream.used_since = self.now;
    }

    /// Counts a stream again, after any change of what it holds or may receive.
    pub fn recount(&mut self, stream: &mut Stream) {
        let promised = if stream.state.keeps_input() { stream.promised() } else { stream.inbox.len() as u32 };
        let lent = promised.saturating_sub(self.initial.saturating_add(stream.gift)) as usize;
        self.lent = self.lent - stream.lent + lent;
        stream.lent = lent;
    }

    #[cfg(test)]
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Takes a stream off the books, which leaves the table.
    pub fn forget(&mut self, stream: &Stream) {
        self.lent -= stream.lent;
    }
}
