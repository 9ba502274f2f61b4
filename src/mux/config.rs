//! The configuration of a session, known when it starts.

use super::{frame::Dialect, limits::Limits};

/// The role of this end. It decides the numbers of our streams, and whether the peer may open streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams with even numbers and refuses those of the peer.
    Server,
    /// Accepts streams and opens streams with odd numbers.
    Client,
}

/// The configuration of a session.
#[derive(Clone, Debug)]
pub struct Config {
    /// The role of this end.
    pub role: Role,
    /// The frames that both sides may send.
    pub dialect: Dialect,
    /// The peer's initial window per stream, in bytes, if it is known or assumed. An opener of the original dialect
    /// learns it from the first ACK. An acceptor has no other source.
    pub peer_window: Option<u32>,
    /// The limits of the session.
    pub limits: Limits,
}
