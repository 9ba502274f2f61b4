//! Measures the tunnel against no tunnel, the original and rathole, on loopback, in one run.
//!
//! ```text
//! cargo run --release --features tunnel --example tunnel_bench [-- OUT.json]
//! ```
//!
//! `PEER_WEBSOCKTUNNEL` and `PEER_WST_CLIENT` name the original's server and client (several versions, separated by
//! colons, in the same order), `PEER_RATHOLE` names rathole. `BENCH_SECONDS` (2) and `BENCH_ROUNDS` (3) set the
//! length of a measurement and how many the median is of. The servers, the clients and the target are processes of
//! their own; this one makes the load.

mod load;
mod memory;
mod report;
mod stack;
mod target;

use report::{Figures, Report};
use stack::Stack;
use std::time::Duration;

/// What a run is told by the environment.
struct Plan {
    seconds: Duration,
    rounds: usize,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Plan {
    /// The median of a few measurements, none of which follows the one before at once.
    async fn measure(&self, mut work: impl AsyncFnMut() -> f64) -> f64 {
        let mut values = Vec::new();
        for _ in 0..self.rounds {
            values.push(work().await);
        }
        median(values)
    }

    async fn figures(&self, stack: &Stack) -> Figures {
        let mut figures = Figures::new(stack.name());
        let mut add = |name: &str, value: f64| {
            eprintln!("{:>24} {name:<24} {value:>12.2}", stack.name());
            figures.add(name, value);
        };
        for connections in [1, 16, 64] {
            let name = format!("requests/s at {connections}");
            add(&name, self.measure(async || load::requests(stack, connections, self.seconds).await).await);
        }
        add("low load p50 ms", self.measure(async || load::low_load(stack, self.seconds).await).await);
        add("download MB/s", self.measure(async || load::download(stack, 1).await).await);
        add("8 downloads MB/s", self.measure(async || load::download(stack, 8).await).await);
        add("upload MB/s", self.measure(async || load::upload(stack).await).await);
        add("64 KiB ws round trip ms", self.measure(async || load::websocket(stack, self.seconds).await).await);
        figures
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let out = match arguments.next() {
        Some(role) if role == "target" => {
            let port = arguments.next().and_then(|port| port.parse().ok()).expect("target PORT");
            return target::serve(port).await;
        }
        out => out,
    };
    let plan =
        Plan { seconds: Duration::from_secs(number("BENCH_SECONDS", 2)), rounds: number("BENCH_ROUNDS", 3) as usize };
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let mut report = Report::default();
    for stack in stack::all(&only) {
        let running = stack.start().await;
        report.add(plan.figures(&running).await);
        report.memory(&running);
    }
    if only.is_empty() || only.contains("memory") {
        for tunnels in [1000, 10_000] {
            match memory::idle(tunnels).await {
                Ok(bytes) => report.idle(tunnels, bytes),
                Err(why) => eprintln!("{tunnels} idle tunnels: {why}"),
            }
        }
    }
    print!("{}", report.table());
    if let Some(path) = out {
        std::fs::write(&path, report.json()).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}
