//! The multiplexer: many byte streams over one message transport, with no socket in it.
//!
//! A [`Session`] is fed the messages that arrive ([`Session::receive`]) and asked for the frames to send
//! ([`Session::poll_transmit`]); streams are driven by number. It neither sleeps, nor wakes, nor reads a clock:
//! [`crate::tunnel`] does that around it. Whatever a peer sends ends in a frame that is obeyed, a stream that fails,
//! or a [`Violation`] that costs the peer its session; nothing panics and everything that a peer can make grow has
//! its bound in [`Limits`].
//!
//! | file | what |
//! |---|---|
//! | `frame` | the wire format |
//! | `state` | the life of one stream, drawn and tabled |
//! | `buffer`, `stream` | what one stream holds |
//! | `budget` | how much each stream may hold |
//! | `table` | streams by number |
//! | `session`, `local`, `transmit` | the session: what the peer does, what we do, what is sent next |
//! | `config`, `limits` | what both sides know at the start, what things may cost |
//! | `keepalive`, `violation` | when to ping, which rules there are |

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
