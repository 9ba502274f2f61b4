//! Measures what viewers that are slower than their streams cost, and what fast ones beside them keep.
//!
//! ```text
//! cargo bench --features tunnel --bench slow -- [KIND [COUNT]]
//! ```
//!
//! Each line is one run on fresh programs: so many slow viewers of one kind (64 KiB/s each, or nothing at all), started
//! together; after a while a fast viewer downloads, uploads and asks for small things. `PEER_WEBSOCKTUNNEL` and
//! `PEER_WST_CLIENT` name other programs to measure in the same run, as for `bench/tunnel`.

#[path = "../tunnel/load.rs"]
#[allow(dead_code, reason = "the bench's part")]
mod load;
mod slow;
#[path = "../tunnel/stack.rs"]
#[allow(dead_code, reason = "the bench's part")]
mod stack;
#[path = "../tunnel/target.rs"]
#[allow(dead_code, reason = "the bench's part")]
mod target;

use slow::{Kind, Slow};
use stack::{Running, Stack};
use std::time::Duration;

const COUNTS: [usize; 4] = [0, 16, 40, 200];
/// How long the slow ones have for filling what there is to fill, and how long a fast figure is measured.
const SETTLE: Duration = Duration::from_secs(6);
const MEASURE: Duration = Duration::from_millis(1500);

async fn resident(running: &Running, role: &str) -> f64 {
    let process = running.processes.iter().find(|(known, _)| *known == role);
    process.map_or(0.0, |(_, process)| process.resident() as f64 / 1e6)
}

async fn run(stack: &Stack, kind: Kind, count: usize) {
    let running = stack.start().await;
    let slow = Slow::start(running.door, kind, count);
    tokio::time::sleep(SETTLE).await;
    let (server, client) = (resident(&running, "server").await, resident(&running, "client").await);
    let download = load::download(running.door, 1, MEASURE).await;
    let upload = load::upload(running.door, MEASURE).await;
    let requests = load::requests(running.door, 16, MEASURE).await;
    let cut = slow.count_cut().await;
    println!(
        "| {} | {kind} | {count} | {cut} | {server:.0} | {client:.0} | {download:.0} | {upload:.0} | {requests:.0} |",
        stack.name
    );
}

// The load has threads of its own: two hundred slow viewers must not be what slows the fast one down.
#[tokio::main]
async fn main() {
    // cargo bench adds its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|role| role == "target") {
        let port = arguments.get(1).and_then(|port| port.parse().ok()).expect("target PORT");
        return target::serve(port).await;
    }
    let kinds = Kind::ALL.into_iter().filter(|kind| arguments.first().is_none_or(|name| *name == kind.to_string()));
    let counts = match arguments.get(1) {
        Some(count) => vec![count.parse().expect("COUNT is a number")],
        None => COUNTS.to_vec(),
    };
    println!(
        "| programs | slow viewers | how many | cut | server MB | client MB | download MB/s | upload MB/s | requests/s at 16 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let stacks: Vec<Stack> =
        stack::all().into_iter().filter(|stack| stack.name != "direct" && stack.name != "rathole").collect();
    for kind in kinds {
        for count in &counts {
            for stack in &stacks {
                run(stack, kind, *count).await;
            }
        }
    }
}
