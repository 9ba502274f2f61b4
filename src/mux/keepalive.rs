//! The keepalive timer: when to send a ping, and when a silent peer is dead. The caller passes the time.
//!
//! Any message proves that the peer is alive, not only a pong. The timer sends pings whether or not frames flow.

use std::time::{Duration, Instant};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing is due yet.
    Wait,
    /// A ping is due.
    Ping,
    /// The peer sent nothing for a whole interval after the last ping.
    Dead,
}

/// The keepalive timer of one session.
#[derive(Debug)]
pub struct Keepalive {
    interval: Duration,
    next: Instant,
    received_since_ping: bool,
}

impl Keepalive {
    /// Returns a timer whose first ping is due at once, as in the original.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, next: now, received_since_ping: true }
    }

    /// Records that a message of the peer arrived.
    pub fn on_receive(&mut self) {
        self.received_since_ping = true;
    }

    /// Returns the time between pings.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns when [`Keepalive::beat`] is next due.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Returns what is due at `now`.
    pub fn beat(&mut self, now: Instant) -> Beat {
        if now < self.next {
            return Beat::Wait;
        }
        if !self.received_since_ping {
            return Beat::Dead;
        }
        self.received_since_ping = false;
        self.next = now + self.interval;
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    #[test]
    fn the_first_ping_is_due_at_once_and_the_next_an_interval_later() {
        let start = Instant::now();
        let mut timer = Keepalive::new(INTERVAL, start);
        assert_eq!(timer.beat(start), Beat::Ping);
        assert_eq!(timer.beat(start + INTERVAL / 2), Beat::Wait);
        timer.on_receive();
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
