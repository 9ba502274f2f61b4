//! The wire format: one frame is one binary WebSocket message.
//!
//! ```text
//! | 0    | 1 2 3 4                 | 5 ...   |
//! | kind | stream id, little endian | payload |
//! ```
//!
//! The payload ends with the message. Kinds 0 to 3 belong to the original protocol. Kinds 4 and 5 are extensions of
//! this project, which a side sends only after both have announced them (see [`Dialect`]).

use super::violation::Violation;
use bytes::{BufMut, Bytes, BytesMut};

/// The length of a frame's header, in bytes.
pub const HEADER_LEN: usize = 5;

/// The number of a stream within its session.
pub type StreamId = u32;

/// The set of frames that both sides have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// DAT, SYN, ACK and FIN, which every peer supports. FIN also signals every failure.
    Original,
    /// The original frames, RST and GOAWAY. RST signals a failure, and GOAWAY asks the peer to move.
    Extended,
}

/// The reason of a reset, a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResetReason {
    /// The sender's own reader or writer went away.
    Abandoned = 0,
    /// The target behind the client cannot be reached.
    Unreachable = 1,
    /// The connection behind the sender broke.
    Broken = 2,
    /// A limit of the sender (streams, queue, memory) was reached.
    Limit = 3,
}

impl ResetReason {
    /// Returns the reason for a number. A number that a newer peer may send becomes [`ResetReason::Broken`].
    pub fn from_wire(code: u8) -> Self {
        match code {
            0 => Self::Abandoned,
            1 => Self::Unreachable,
            3 => Self::Limit,
            _ => Self::Broken,
        }
    }
}

/// The reason of a GOAWAY, a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GoAwayReason {
    /// The process is about to stop. The client should register elsewhere.
    Draining = 0,
    /// A newer registration of the same ID replaced this one.
    Replaced = 1,
    /// The registration token has expired.
    Expired = 2,
}

impl GoAwayReason {
    /// Returns the reason for a number. A number that a newer peer may send becomes [`GoAwayReason::Draining`].
    pub fn from_wire(code: u8) -> Self {
        match code {
            1 => Self::Replaced,
            2 => Self::Expired,
            _ => Self::Draining,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// DAT (0): bytes of a stream.
    Data(StreamId, Bytes),
    /// SYN (1): opens a stream with this number.
    Open(StreamId),
    /// ACK (2): credit for more bytes. The first one accepts the stream.
    Credit(StreamId, u32),
    /// FIN (3): the sender has no more bytes for this stream.
    Fin(StreamId),
    /// RST (4, extended): the stream failed in both directions.
    Reset(StreamId, ResetReason),
    /// GOAWAY (5, extended): the peer must open no more streams, and open streams may end. Its stream number is 0.
    GoAway(GoAwayReason),
}

const DATA: u8 = 0;
const OPEN: u8 = 1;
const CREDIT: u8 = 2;
const FIN: u8 = 3;
const RESET: u8 = 4;
const GOAWAY: u8 = 5;

impl Frame {
    /// Decodes one message. Returns a frame or a violation for any input.
    pub fn decode(message: Bytes, dialect: Dialect) -> Result<Self, Violation> {
        let Some((head, payload)) = message.split_first_chunk::<HEADER_LEN>() else {
            return Err(Violation::MalformedHeader);
        };
        let id = StreamId::from_le_bytes([head[1], head[2], head[3], head[4]]);
        match (head[0], dialect) {
            (DATA, _) => Ok(Self::Data(id, message.slice(HEADER_LEN..))),
            (OPEN, _) if payload.is_empty() => Ok(Self::Open(id)),
            (FIN, _) if payload.is_empty() => Ok(Self::Fin(id)),
            (CREDIT, _) => match <[u8; 4]>::try_from(payload) {
                Ok(bytes) => Ok(Self::Credit(id, u32::from_le_bytes(bytes))),
                Err(_) => Err(Violation::MalformedPayload),
            },
            (RESET, Dialect::Extended) if payload.len() == 1 => Ok(Self::Reset(id, ResetReason::from_wire(payload[0]))),
            (GOAWAY, Dialect::Extended) if payload.len() == 1 && id == 0 => {
                Ok(Self::GoAway(GoAwayReason::from_wire(payload[0])))
            }
            (OPEN | FIN, _) | (RESET | GOAWAY, Dialect::Extended) => Err(Violation::MalformedPayload),
            _ => Err(Violation::MalformedHeader),
        }
    }

    /// Encodes the frame as one message.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN + 4);
        match self {
            Self::Data(id, data) => {
                out.reserve(HEADER_LEN + data.len());
                out.put_slice(&header(DATA, *id));
                out.put_slice(data);
            }
            Self::Open(id) => out.put_slice(&header(OPEN, *id)),
            Self::Credit(id, n) => {
                out.put_slice(&header(CREDIT, *id));
                out.put_u32_le(*n);
            }
            Self::Fin(id) => out.put_slice(&header(FIN, *id)),
            Self::Reset(id, reason) => {
                out.put_slice(&header(RESET, *id));
                out.put_u8(*reason as u8);
            }
            Self::GoAway(reason) => {
                out.put_slice(&header(GOAWAY, 0));
                out.put_u8(*reason as u8);
            }
        }
        out.freeze()
    }
}

fn header(kind: u8, id: StreamId) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = id.to_le_bytes();
    [kind, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_frame() -> impl Strategy<Value = Frame> {
        let data = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
        prop_oneof![
            (any::<u32>(), data).prop_map(|(id, data)| Frame::Data(id, data)),
            any::<u32>().prop_map(Frame::Open),
            (any::<u32>(), any::<u32>()).prop_map(|(id, n)| Frame::Credit(id, n)),
            any::<u32>().prop_map(Frame::Fin),
            (any::<u32>(), 0u8..4).prop_map(|(id, code)| Frame::Reset(id, ResetReason::from_wire(code))),
            (0u8..3).prop_map(|code| Frame::GoAway(GoAwayReason::from_wire(code))),
        ]
    }

    proptest! {
        #[test]
        fn an_encoded_frame_decodes_to_itself(frame in any_frame()) {
            prop_assert_eq!(Frame::decode(frame.encode(), Dialect::Extended), Ok(frame));
        }

        #[test]
        fn any_bytes_decode_to_a_frame_or_a_violation(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            for dialect in [Dialect::Original, Dialect::Extended] {
                if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(&bytes), dialect) {
                    let again = frame.encode();
                    // An unknown reason becomes a known one. Other frames encode to the same bytes.
                    if bytes[0] < RESET {
                        prop_assert_eq!(&again[..], &bytes[..]);
                    } else {
                        prop_assert_eq!(again.len(), bytes.len());
                    }
                }
            }
        }
    }

    #[test]
    fn every_malformed_frame_has_its_own_violation() {
        let table: [(&[u8], Violation); 10] = [
            (b"", Violation::MalformedHeader),
            (b"\x00\x01\x00\x00", Violation::MalformedHeader),
            (b"\x04\x01\x00\x00\x00\x00", Violation::MalformedHeader),
            (b"\x05\x00\x00\x00\x00\x00", Violation::MalformedHeader),
            (b"\xff\x01\x00\x00\x00", Violation::MalformedHeader),
            (b"\x01\x01\x00\x00\x00x", Violation::MalformedPayload),
            (b"\x03\x01\x00\x00\x00x", Violation::MalformedPayload),
            (b"\x02\x01\x00\x00\x00", Violation::MalformedPayload),
            (b"\x02\x01\x00\x00\x00\x01\x02", Violation::MalformedPayload),
            (b"\x02\x01\x00\x00\x00\x01\x02\x03\x04\x05", Violation::MalformedPayload),
        ];
        for (bytes, violation) in table {
            let decoded = Frame::decode(Bytes::from_static(bytes), Dialect::Original);
            assert_eq!(decoded, Err(violation), "{bytes:?}");
        }
    }

    #[test]
    fn malformed_extended_frames_are_violations() {
        for bytes in [&b"\x04\x01\x00\x00\x00"[..], b"\x05\x00\x00\x00\x00", b"\x05\x01\x00\x00\x00\x00"] {
            let decoded = Frame::decode(Bytes::copy_from_slice(bytes), Dialect::Extended);
            assert_eq!(decoded, Err(Violation::MalformedPayload), "{bytes:?}");
        }
    }

    #[test]
    fn frames_have_the_layout_of_the_original() {
        assert_eq!(&Frame::Open(2).encode()[..], b"\x01\x02\x00\x00\x00");
        assert_eq!(&Frame::Credit(0x01020304, 4096).encode()[..], b"\x02\x04\x03\x02\x01\x00\x10\x00\x00");
        assert_eq!(&Frame::Data(4, Bytes::from_static(b"hi")).encode()[..], b"\x00\x04\x00\x00\x00hi");
        assert_eq!(&Frame::Fin(6).encode()[..], b"\x03\x06\x00\x00\x00");
    }
}
