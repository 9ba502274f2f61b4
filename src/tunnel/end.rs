//! Why a session ended, and what its peer is told.

use crate::mux::{GoAwayReason, Violation};
use std::fmt;

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The peer sent a close frame.
    Closed {
        /// Its code; 1005 when it gave none.
        code: u16,
        /// Its text, at most 123 bytes.
        reason: String,
    },
    /// The connection broke.
    Lost(String),
    /// The peer broke a rule.
    Violation(Violation),
    /// We ended it, for the reason that the peer was told.
    Ours(CloseReason),
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { code, reason } => write!(out, "closed by the peer ({code} {reason:?})"),
            Self::Lost(why) => write!(out, "connection lost ({why})"),
            Self::Violation(violation) => write!(out, "protocol violation: {violation}"),
            Self::Ours(reason) => write!(out, "{reason}"),
        }
    }
}

/// Why we end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// This process stops.
    Stopping,
    /// A newer registration of the same ID.
    Replaced,
    /// The registration token has run out.
    Expired,
    /// Nothing went through it for the configured time.
    Idle,
    /// The client side is done with it.
    Done,
}

impl CloseReason {
    /// The code and the text of the close frame.
    pub fn close_frame(self) -> (u16, &'static str) {
        match self {
            Self::Stopping => (1001, "server is stopping"),
            Self::Replaced => (4001, "replaced by a newer registration"),
            Self::Expired => (4002, "token expired"),
            Self::Idle => (4003, "idle"),
            Self::Done => (1000, "done"),
        }
    }

    pub(super) fn go_away_reason(self) -> GoAwayReason {
        match self {
            Self::Replaced => GoAwayReason::Replaced,
            Self::Expired => GoAwayReason::Expired,
            _ => GoAwayReason::Draining,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.close_frame().1)
    }
}
