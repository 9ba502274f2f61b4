//! Two sessions against each other, and one against a peer that keeps no rule.
//!
//! | file | what |
//! |---|---|
//! | `pair` | two honest ends with wires between them, and what their users may do |
//! | `interleavings` | any order of that delivers everything |
//! | `hostile` | peers that break rules, and what it costs them |
//! | `credit` | what may be sent when |
//! | `memory` | what many slow readers cost, and whom |
//! | `endings` | how streams and sessions end |

mod credit;
mod endings;
mod hostile;
mod interleavings;
mod memory;
mod pair;

use super::*;
use pair::{Pair, Step};

/// What a stream may grow to, what it starts with for good, and what the first one gets.
const WINDOW: u32 = 600;
const INITIAL: u32 = 64;
const FIRST: u32 = INITIAL + (3000 - 12 * INITIAL) / 256;

/// Less memory than the windows of all streams together would take.
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

/// The limits of a client that takes a whole window a stream from the start: the original, or a 0.1 of ours.
fn whole_windows() -> Limits {
    let limits = small_limits();
    Limits { window: 512, session_bytes: 2 * 512 * limits.streams, ..limits }
}

/// A pair with one stream that is open on both ends.
fn connected(dialect: Dialect) -> (Pair, StreamId) {
    let mut pair = Pair::new(dialect);
    pair.step(&Step::Open);
    pair.settle_wires();
    let id = pair.open[0];
    (pair, id)
}
