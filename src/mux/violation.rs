//! Rules of the protocol that a peer can break. Each costs it its session, and each has a name.

/// A broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// Shorter than a header, or of a kind that does not exist here.
    #[error("malformed header")]
    MalformedHeader,
    /// The payload does not fit the frame's kind.
    #[error("malformed payload")]
    MalformedPayload,
    /// A text message where only binary ones have a meaning.
    #[error("unexpected non-binary websocket message")]
    NotBinary,
    /// A message longer than [`super::Limits::message_bytes`].
    #[error("message too big")]
    MessageTooBig,
    /// More bytes than the receiver gave credit for.
    #[error("window overrun")]
    WindowOverrun,
    /// More unwanted streams than [`super::Limits::refused_opens`] in one keepalive interval.
    #[error("too many refused streams")]
    TooManyOpens,
    /// More frames that make us answer than the peer lets us send.
    #[error("too many unanswered frames")]
    ReplyQueueFull,
    /// No sign of life for a keepalive interval after a ping.
    #[error("keepalive timeout")]
    KeepaliveTimeout,
}

impl Violation {
    /// The WebSocket close code that goes with the name.
    pub fn close_code(self) -> u16 {
        match self {
            Self::MessageTooBig => 1009,
            _ => 1008,
        }
    }

    /// Whether a close frame is worth sending: a peer that is silent will not read it.
    pub fn is_worth_telling(self) -> bool {
        self != Self::KeepaliveTimeout
    }
}
