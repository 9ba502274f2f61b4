//! Measures the tunnel against no tunnel, the original and rathole, on loopback, and prints the samples as JSON.
//! `bench/tunnel/run.sh` runs it, holds the samples against each other and says which targets are met.
//!
//! `PEER_WEBSOCKTUNNEL` and `PEER_WST_CLIENT` name the original's server and client (several versions, separated by
//! commas, in the same order), `PEER_RATHOLE` names rathole. `BENCH_SECONDS` (0.5) and `BENCH_ROUNDS` (3) set the
//! length of a measurement and how many there are of each. The servers, the clients and the target are processes of
//! their own, restarted for each measurement; this one makes the load.

mod load;
mod memory;
mod stack;
mod target;

use serde_json::{Map, Value, json};
use stack::{Door, Stack};
use std::time::Duration;

/// What is measured, in the order of the table.
const FIGURES: [&str; 8] = [
    "requests/s at 1",
    "requests/s at 16",
    "requests/s at 64",
    "low load p50 ms",
    "download MB/s",
    "8 downloads MB/s",
    "upload MB/s",
    "64 KiB ws round trip ms",
];
/// A measurement that takes longer has failed: a peer may hang.
const PATIENCE: Duration = Duration::from_secs(30);
const IDLE_TUNNELS: [usize; 2] = [1000, 10_000];

fn number(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

async fn measure(figure: &str, door: Door, time: Duration) -> f64 {
    match figure {
        "requests/s at 1" => load::requests(door, 1, time).await,
        "requests/s at 16" => load::requests(door, 16, time).await,
        "requests/s at 64" => load::requests(door, 64, time).await,
        "low load p50 ms" => load::low_load(door, 2 * time).await,
        "download MB/s" => load::download(door, 1, time).await,
        "8 downloads MB/s" => load::download(door, 8, time).await,
        "upload MB/s" => load::upload(door, time).await,
        _ => load::websocket(door, time).await,
    }
}

/// One measurement on processes that were started for it. None when a peer fails; where we fail ourselves, the run ends.
async fn sample(stack: &Stack, figure: &'static str, time: Duration, resident: &mut Map<String, Value>) -> Value {
    let running = stack.start().await;
    let work = tokio::spawn(measure(figure, running.door, time));
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    for (role, process) in &running.processes {
        let name = format!("{}, {role}", stack.name);
        let megabytes = process.resident() as f64 / 1e6;
        let most = resident.get(&name).and_then(Value::as_f64).unwrap_or(0.0);
        resident.insert(name, json!(megabytes.max(most)));
    }
    match outcome {
        Ok(Ok(value)) => {
            eprintln!("bench: tunnel: {figure:<24} {:<28} {value:>10.2}", stack.name);
            json!(value)
        }
        failed => {
            assert!(!stack.is_ours(), "{}, {figure}: {failed:?}", stack.name);
            Value::Null
        }
    }
}

// One thread makes the load and one is the target, so that most of the machine is left for what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_some_and(|role| role == "target") {
        let port = arguments.next().and_then(|port| port.parse().ok()).expect("target PORT");
        return target::serve(port).await;
    }
    let time = Duration::from_secs_f64(number("BENCH_SECONDS", 0.5));
    let rounds = number("BENCH_ROUNDS", 3.0) as usize;
    let stacks = stack::all();
    let (mut figures, mut resident) = (Map::new(), Map::new());
    for figure in FIGURES {
        let mut samples = vec![Vec::new(); stacks.len()];
        for round in 0..rounds {
            // Neighbours in time are held against each other, each round in another order.
            for n in 0..stacks.len() {
                let n = (n + round) % stacks.len();
                samples[n].push(sample(&stacks[n], figure, time, &mut resident).await);
            }
        }
        let named = stacks.iter().zip(samples).map(|(stack, samples)| (stack.name.clone(), json!(samples)));
        figures.insert(figure.to_owned(), Value::Object(named.collect()));
    }
    let mut idle = Map::new();
    for tunnels in IDLE_TUNNELS {
        match memory::idle(tunnels).await {
            Ok(bytes) => _ = idle.insert(tunnels.to_string(), json!(bytes)),
            Err(why) => eprintln!("bench: tunnel: {tunnels} idle tunnels: {why}"),
        }
    }
    println!("{}", json!({"figures": figures, "resident_mb": resident, "idle_bytes": idle}));
}
