//! The multiplexer: many byte streams over one message transport, without sockets and clocks.
//!
//! The caller passes the messages that arrive to [`Session::receive`] and sends the frames that
//! [`Session::poll_transmit`] returns. Streams have numbers. [`crate::tunnel`] adds sockets, timers and wakers. For any
//! input of a peer, the session processes a frame, fails a stream, or returns a [`Violation`], which ends the session.
//! Nothing panics. Everything that a peer can make grow has its limit in [`Limits`].
//!
//! | file | content |
//! |---|---|
//! | `frame` | the wire format |
//! | `state` | the state machine of one stream |
//! | `buffer`, `stream` | the receive buffer and the other data of one stream |
//! | `budget` | the memory of the session and the windows of its streams |
//! | `table` | the map from numbers to streams |
//! | `session`, `local`, `transmit` | the session: frames of the peer, operations of our side, frames to send |
//! | `config`, `limits` | the configuration and the limits of a session |
//! | `keepalive`, `violation` | the ping timer, the rules that a peer can break |

mod budget;
mod buffer;
mod config;
mod frame;
mod keepalive;
mod limits;
mod local;
mod session;
mod state;
mod stream;
mod table;
mod transmit;
mod violation;

#[cfg(test)]
mod tests;

pub use config::{Config, Role};
pub use frame::{Dialect, Frame, GoAwayReason, HEADER_LEN, ResetReason, StreamId};
pub use keepalive::{Beat, Keepalive};
pub use limits::Limits;
pub use local::{OpenError, ReadOutcome, WriteOutcome};
pub use session::{Cut, Notice, Session};
pub use state::{Event, State};
pub(crate) use table::StreamTable;
pub use violation::Violation;
