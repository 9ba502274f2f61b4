//! The reasons for which sessions end, and their close frames.

use crate::mux::{GoAwayReason, Violation};
use std::fmt;

/// The reason for which a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The peer sent a close frame.
    Closed {
        /// The code, or 1005 if the frame has none.
        code: u16,
        /// The text, at most 123 bytes.
        reason: String,
    },
    /// The connection broke.
    Lost(String),
    /// The peer violated the protocol.
    Violation(Violation),
    /// We ended the session, and told the peer this reason.
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

/// The reason for which we end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The process is stopping.
    Stopping,
    /// A newer registration of the same ID replaced this one.
    Replaced,
    /// The registration token has expired.
    Expired,
    /// The registration token, or something that it names, was revoked.
    Revoked,
    /// The session had no stream for the configured time.
    Idle,
    /// The client no longer needs the session.
    Done,
}

impl CloseReason {
    /// Returns the code and the text of the close frame.
    pub fn close_frame(self) -> (u16, &'static str) {
        match self {
            Self::Stopping => (1001, "server is stopping"),
            Self::Replaced => (4001, "replaced by a newer registration"),
            Self::Expired => (4002, "token expired"),
            Self::Idle => (4003, "idle"),
            Self::Revoked => (4004, "token revoked"),
            Self::Done => (1000, "done"),
        }
    }

    pub(super) fn go_away_reason(self) -> GoAwayReason {
        match self {
            Self::Replaced => GoAwayReason::Replaced,
            // The client needs another token.
            Self::Expired | Self::Revoked => GoAwayReason::Expired,
            _ => GoAwayReason::Draining,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.close_frame().1)
    }
}
