//! When to ping, and when to give a silent peer up. The clock is the caller's.
//!
//! Any sign of life counts, not only the pong: a peer that is busy sending is alive. The ping timer runs whether or
//! not frames flow, so a peer whose own rule is "a pong per interval" is served by our answers to its pings.

use std::time::{Duration, Instant};

/// What the moment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing yet.
    Wait,
    /// Send a ping.
    Ping,
    /// The last ping went unanswered for a whole interval.
    Dead,
}

/// The timer of one session.
#[derive(Debug)]
pub struct Keepalive {
    interval: Duration,
    next: Instant,
    heard_since_ping: bool,
}

impl Keepalive {
    /// A timer whose first ping is due at once, as the original's.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, next: now, heard_since_ping: true }
    }

    /// The peer sent something.
    pub fn heard(&mut self) {
        self.heard_since_ping = true;
    }

    /// The time between pings.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// When [`Keepalive::beat`] next has something to say.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Asks for what is due at `now`.
    pub fn beat(&mut self, now: Instant) -> Beat {
        if now < self.next {
            return Beat::Wait;
        }
        if !self.heard_since_ping {
            return Beat::Dead;
        }
        self.heard_since_ping = false;
        self.next = now + self.interval;
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    #[test]
    fn the_first_ping_is_at_once_and_the_next_an_interval_later() {
        let start = Instant::now();
        let mut timer = Keepalive::new(INTERVAL, start);
        assert_eq!(timer.beat(start), Beat::Ping);
        assert_eq!(timer.beat(start + INTERVAL / 2), Beat::Wait);
        timer.heard();
        assert_eq!(timer.beat(start + INTERVAL), Beat::Ping);
    }

    #[test]
    fn a_silent_peer_is_dead_one_interval_after_the_ping_and_not_before() {
        let start = Instant::now();
        let mut timer = Keepalive::new(INTERVAL, start);
        assert_eq!(timer.beat(start), Beat::Ping);
        assert_eq!(timer.beat(start + INTERVAL - Duration::from_millis(1)), Beat::Wait);
        assert_eq!(timer.beat(start + INTERVAL), Beat::Dead);
    }
}
