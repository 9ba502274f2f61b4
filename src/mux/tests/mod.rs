//! Tests of two sessions with each other, and of one session with a hostile peer.
//!
//! | file | content |
//! |---|---|
//! | `pair` | two honest ends, the wires between them, and the operations of their users |
//! | `interleavings` | random orders of these operations |
//! | `hostile` | peers that violate the protocol |
//! | `credit` | credit and the order of frames |
//! | `memory` | the memory of a session with slow readers |
//! | `endings` | the ends of streams and sessions |

mod credit;
mod endings;
mod hostile;
mod interleavings;
mod memory;
mod pair;

use super::*;
use pair::{Pair, Step};

/// The largest window, the initial window, and the first window of the first stream, in bytes.
const WINDOW: u32 = 600;
const INITIAL: u32 = 64;
const FIRST: u32 = INITIAL + (3000 - 12 * INITIAL) / 256;

/// Returns limits with less memory than the windows of all streams need together.
fn small_limits() -> Limits {
    Limits {
        streams: 12,
        queued_opens: 12,
        window: WINDOW,
        session_bytes: 3000,
        send_queue: 500,
        data_bytes: 128,
        ..Limits::default()
    }
}

fn session(role: Role, dialect: Dialect) -> Session {
    Session::new(Config { role, dialect, peer_window: Some(INITIAL), limits: small_limits() })
}

/// Returns the limits of a client whose streams start with a whole window, as in the original and in our 0.1.
fn whole_windows() -> Limits {
    let limits = small_limits();
    Limits { window: 512, session_bytes: 2 * 512 * limits.streams, ..limits }
}

/// Returns a pair with one open stream, and its number.
fn connected(dialect: Dialect) -> (Pair, StreamId) {
    let mut pair = Pair::new(dialect);
    pair.step(&Step::Open);
    pair.settle_wires();
    let id = pair.open[0];
    (pair, id)
}
