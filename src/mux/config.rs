//! What both sides know of a session when it starts.

use super::{frame::Dialect, limits::Limits};

/// Which end this is: it decides the numbers of the streams that we open, and whether the peer may open any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams (even numbers) and refuses those of the peer.
    Server,
    /// Accepts streams, and opens odd ones.
    Client,
}

/// What both sides know about a session when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which end this is.
    pub role: Role,
    /// Which frames may be used.
    pub dialect: Dialect,
    /// How much the peer takes per stream before it credits more, when it has said so (or is believed to).
    /// An opener of the original kind learns it from the first ACK; an acceptor has no other source.
    pub peer_window: Option<u32>,
    /// The bounds.
    pub limits: Limits,
}
