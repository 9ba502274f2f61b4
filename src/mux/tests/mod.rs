//! Two sessions against each other, and one against a peer that keeps no rule.
//!
//! | file | what |
//! |---|---|
//! | `pair` | two honest ends with wires between them, and what their users may do |
//! | `interleavings` | any order of that delivers everything |
//! | `hostile` | peers that break rules, and what it costs them |
//! | `credit` | what may be sent when |
//! | `endings` | how streams and sessions end |

mod credit;
mod endings;
mod hostile;
mod interleavings;
mod pair;

use super::*;
use pair::{Pair, Step};

const WINDOW: u32 = 600;

fn small_limits() -> Limits {
    Limits {
        streams: 12,
        queued_opens: 12,
        window: WINDOW,
        session_bytes: 12 * WINDOW as usize,
        send_queue: 500,
        data_bytes: 128,
        ..Limits::default()
    }
}

fn session(role: Role, dialect: Dialect) -> Session {
    Session::new(Config { role, dialect, peer_window: Some(WINDOW), limits: small_limits() })
}

/// A pair with one stream that is open on both ends.
fn connected(dialect: Dialect) -> (Pair, StreamId) {
    let mut pair = Pair::new(dialect);
    pair.step(&Step::Open);
    pair.settle_wires();
    let id = pair.open[0];
    (pair, id)
}
