//! What operators see of a process: counters, histograms, and the state of keys and key files.
//!
//! ```text
//! Lua, the modules beside ─► counters, key_use, files (this process) ─► a dictionary of all workers ─► text
//! ```
//!
//! A request only adds to a number of a fixed array. Once a second each of nginx's workers takes what has changed, and
//! adds it to a dictionary that all of them share, so that no number falls when a worker ends. [`families`] has the
//! names, types and labels, and bounds the labels' values.

pub mod counters;
pub mod families;
pub mod files;
pub mod key_use;
pub mod text;

/// Returns one line for the dictionary, as [`text::write`] reads it.
fn line(value: impl std::fmt::Display, key: &str) -> String {
    format!("{value} {key}\n")
}
