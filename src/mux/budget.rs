//! How streams share the memory of their session. Credit is a promise to keep what comes, so credit is what is bounded.
//!
//! Half of [`Limits::session_bytes`] is each stream's for good, in equal parts: its initial window, which both sides
//! know from the handshake. The other half is lent to streams that are read. One stream gets an eighth of what
//! the others have left at most, so there is always something left for the next one. A stream that holds more than
//! that, because others came after it, gets no credit until it has been read down to its part.
//!
//! A client of the original names its own first credit, up to the whole window a stream, and nothing can take that
//! back. It counts from when it is used ([`Stream::gift`]), so there the promises may exceed the bound; what is received
//! does not, because the driver stops reading while [`super::Session::is_full`].

use super::{frame::Dialect, limits::Limits, session::Config, state::State, stream::Stream};
use std::time::Duration;

/// The part of what is left that one stream may have.
const PART: usize = 8;
/// A stream that uses its whole window in so many round trips gets one that is larger by this factor.
const ROUND_TRIPS: f64 = 1.5;
const GROWTH: u32 = 4;
/// What a stream may hold before it has shown what it needs, as a multiple of the initial window.
const FIRST: u32 = 8;

#[derive(Debug)]
pub(super) struct Budget {
    initial: u32,
    /// The peer takes credit for a stream that it has not accepted yet.
    extended: bool,
    /// What there is to lend.
    pool: usize,
    /// What is lent.
    lent: usize,
    /// The time, since the session was first told it.
    pub now: Duration,
    /// How long the peer takes to answer; as long as that is not known, no time is too long.
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
            extended,
            pool: limits.session_bytes.saturating_sub(kept),
            lent: 0,
            now: Duration::ZERO,
            round_trip: Duration::MAX,
        }
    }

    /// The window that both sides know from the handshake.
    pub fn initial(&self) -> u32 {
        self.initial
    }

    /// The window that a stream starts with, as far as the session has it.
    pub fn first_window(limits: &Limits) -> u32 {
        limits.initial_window().saturating_mul(FIRST).min(limits.window)
    }

    /// What a stream may have received and unread, and credit for, together.
    fn target(&self, stream: &Stream) -> u32 {
        if stream.state == State::Discarding {
            // Enough for a writer that waits for credit to find out that nobody wants its bytes.
            return self.initial;
        }
        let left = self.pool.saturating_sub(self.lent - stream.lent);
        let part = u32::try_from(left / PART).unwrap_or(u32::MAX);
        self.initial + stream.window.saturating_sub(self.initial).min(part)
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

    /// Grants what is due. The window grows when it is used and read so fast that all of it would take no more than two
    /// round trips. A sender that always has to wait for credit uses all of it in one; whoever takes longer has no use
    /// for more.
    pub fn grant(&mut self, stream: &mut Stream, most: u32) -> u32 {
        let credit = self.target(stream).saturating_sub(stream.promised());
        if let Some(since) = stream.credited_at.replace(self.now) {
            let used = self.round_trip.as_secs_f64() * ROUND_TRIPS * f64::from(credit);
            if self.now.saturating_sub(since).as_secs_f64() * f64::from(stream.window) <= used {
                stream.window = stream.window.saturating_mul(GROWTH).min(most);
            }
        }
        let credit = self.target(stream).saturating_sub(stream.promised());
        stream.recv_credit += credit;
        self.recount(stream);
        credit
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
