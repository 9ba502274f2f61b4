//! The violations of the protocol. Each ends the session.

/// A violation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// The message is shorter than a header, or its kind is unknown.
    #[error("malformed header")]
    MalformedHeader,
    /// The payload does not fit the frame's kind.
    #[error("malformed payload")]
    MalformedPayload,
    /// The peer sent a text message.
    #[error("unexpected non-binary websocket message")]
    NotBinary,
    /// The message is longer than [`super::Limits::message_bytes`].
    #[error("message too big")]
    MessageTooBig,
    /// The peer sent more bytes than we gave credit for.
    #[error("window overrun")]
    WindowOverrun,
    /// We refused more than [`super::Limits::refused_opens`] streams in one keepalive interval.
    #[error("too many refused streams")]
    TooManyOpens,
    /// The peer caused more replies than it reads.
    #[error("too many unanswered frames")]
    ReplyQueueFull,
    /// The peer sent nothing for a keepalive interval after a ping.
    #[error("keepalive timeout")]
    KeepaliveTimeout,
}

impl Violation {
    /// Returns the WebSocket close code of the violation.
    pub fn close_code(self) -> u16 {
        match self {
            Self::MessageTooBig => 1009,
            _ => 1008,
        }
    }

    /// Returns false for a silent peer, which would not read a close frame.
    pub fn is_worth_telling(self) -> bool {
        self != Self::KeepaliveTimeout
    }
}
