//! The table, and the same as JSON: what was measured, what was aimed at, and whether it was met.

use crate::stack::Stack;
use serde_json::{Value, json};
use std::fmt::Write;

pub struct Figures {
    name: String,
    values: Vec<(String, f64)>,
}

impl Figures {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), values: Vec::new() }
    }

    pub fn add(&mut self, name: &str, value: f64) {
        self.values.push((name.to_owned(), value));
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

#[derive(Default)]
pub struct Report {
    stacks: Vec<Figures>,
    idle: Vec<(usize, f64)>,
    resident: Vec<String>,
}

/// Figure, factor, whether more is better; against the better original, and against rathole.
const AGAINST_ORIGINAL: [(&str, f64, bool); 8] = [
    ("requests/s at 1", 6.0, true),
    ("requests/s at 16", 6.0, true),
    ("requests/s at 64", 6.0, true),
    ("download MB/s", 2.0, true),
    ("8 downloads MB/s", 2.5, true),
    ("upload MB/s", 2.0, true),
    ("low load p50 ms", 0.2, false),
    ("64 KiB ws round trip ms", 0.4, false),
];
const AGAINST_RATHOLE: [(&str, f64, bool); 5] = [
    ("requests/s at 1", 0.5, true),
    ("requests/s at 16", 0.5, true),
    ("requests/s at 64", 0.5, true),
    ("download MB/s", 0.9, true),
    ("8 downloads MB/s", 0.8, true),
];
/// Bytes per idle tunnel.
const IDLE_TARGET: f64 = 12_000.0;

struct Verdict {
    name: String,
    value: f64,
    target: f64,
    more_is_better: bool,
}

impl Verdict {
    fn met(&self) -> bool {
        if self.more_is_better { self.value >= self.target } else { self.value <= self.target }
    }
}

impl Report {
    pub fn add(&mut self, figures: Figures) {
        self.stacks.push(figures);
    }

    pub fn memory(&mut self, stack: &Stack) {
        for (role, process) in &stack.processes {
            self.resident.push(format!(
                "{}, {role}: {:.1} MB resident after the load",
                stack.name(),
                process.resident() as f64 / 1e6
            ));
        }
    }

    pub fn idle(&mut self, tunnels: usize, bytes: f64) {
        self.idle.push((tunnels, bytes));
    }

    fn stack(&self, name: &str) -> Option<&Figures> {
        self.stacks.iter().find(|stack| stack.name == name)
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (tunnels, bytes) in &self.idle {
            let name = format!("bytes per idle tunnel at {tunnels}");
            verdicts.push(Verdict { name, value: *bytes, target: IDLE_TARGET, more_is_better: false });
        }
        let Some(ours) = self.stack("ours") else { return verdicts };
        for (figure, factor, more) in AGAINST_ORIGINAL {
            let direct = if figure.starts_with("low load") {
                self.stack("direct").and_then(|stack| stack.get(figure))
            } else {
                Some(0.0)
            };
            let originals = self.stacks.iter().filter(|stack| stack.name.starts_with("original"));
            let values = originals.filter_map(|stack| stack.get(figure));
            let best = if more { values.max_by(f64::total_cmp) } else { values.min_by(f64::total_cmp) };
            if let (Some(value), Some(best), Some(direct)) = (ours.get(figure), best, direct) {
                // At low load what counts is what the tunnel adds.
                let name = format!("{figure} against {factor} x the better original");
                verdicts.push(Verdict {
                    name,
                    value: value - direct,
                    target: factor * (best - direct),
                    more_is_better: more,
                });
            }
        }
        for (figure, factor, more_is_better) in AGAINST_RATHOLE {
            if let (Some(value), Some(other)) =
                (ours.get(figure), self.stack("rathole").and_then(|stack| stack.get(figure)))
            {
                let name = format!("{figure} against {factor} x rathole");
                verdicts.push(Verdict { name, value, target: factor * other, more_is_better });
            }
        }
        verdicts.extend(self.mixed_verdicts());
        verdicts
    }

    /// With an original on one side, never slower than the original with itself.
    fn mixed_verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for original in self.stacks.iter().filter(|stack| stack.name.starts_with("original")) {
            let mixed = format!("ours, {}", original.name);
            for stack in self.stacks.iter().filter(|stack| stack.name.starts_with(&mixed)) {
                for (figure, _, more_is_better) in AGAINST_ORIGINAL {
                    if let (Some(value), Some(target)) = (stack.get(figure), original.get(figure)) {
                        let name = format!("{figure}: {} against {}", stack.name, original.name);
                        verdicts.push(Verdict { name, value, target, more_is_better });
                    }
                }
            }
        }
        verdicts
    }

    pub fn table(&self) -> String {
        let mut out = String::new();
        let names: Vec<&String> =
            self.stacks.first().map(|first| first.values.iter().map(|(name, _)| name).collect()).unwrap_or_default();
        _ = write!(out, "\n{:<26}", "");
        for stack in &self.stacks {
            _ = write!(out, "{:>26}", stack.name);
        }
        for name in names {
            _ = write!(out, "\n{name:<26}");
            for stack in &self.stacks {
                _ = write!(out, "{:>26.2}", stack.get(name).unwrap_or(f64::NAN));
            }
        }
        _ = writeln!(out, "\n");
        for line in &self.resident {
            _ = writeln!(out, "{line}");
        }
        _ = writeln!(out, "\n{:<78}{:>12}{:>12}", "", "value", "target");
        for verdict in self.verdicts() {
            let met = if verdict.met() { "met" } else { "NOT MET" };
            _ = writeln!(out, "{:<78}{:>12.2}{:>12.2}  {met}", verdict.name, verdict.value, verdict.target);
        }
        out
    }

    pub fn json(&self) -> String {
        let measured = self.stacks.iter().flat_map(|stack| {
            let entry =
                move |(name, value): &(String, f64)| json!({"name": format!("{}: {name}", stack.name), "value": value});
            stack.values.iter().map(entry)
        });
        let judged = self.verdicts().into_iter().map(|verdict| {
            json!({"name": verdict.name, "value": verdict.value, "target": verdict.target, "met": verdict.met()})
        });
        let all: Vec<Value> = measured.chain(judged.collect::<Vec<_>>()).collect();
        serde_json::to_string_pretty(&all).unwrap_or_default()
    }
}
