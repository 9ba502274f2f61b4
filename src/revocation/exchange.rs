//! What nodes need to exchange revocations through Redis: the ids, and the script that Redis runs.

use std::sync::LazyLock;

use crate::error::Reason;

/// The largest id. Lua writes 14 digits of a number, in JSON and elsewhere.
pub const MAX_ID: u64 = 99_999_999_999_999;

/// Returns a random id, from 1 to [`MAX_ID`]. Nodes that cannot reach each other choose different ones.
///
/// Errors: `Internal` if the system has no random numbers.
pub fn new_id() -> Result<u64, Reason> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Reason::Internal)?;
    Ok(1 + u64::from_le_bytes(bytes) % MAX_ID)
}

/// Returns the script, without its comments. `exchange.lua` explains it.
pub fn script() -> &'static str {
    static SCRIPT: LazyLock<String> = LazyLock::new(|| {
        let lines = include_str!("exchange.lua").lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with("--")).collect::<Vec<_>>().join("\n")
    });
    &SCRIPT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_and_fit_into_fourteen_digits() {
        let ids: std::collections::HashSet<u64> = (0..1000).map(|_| new_id().expect("random numbers")).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| (1..=MAX_ID).contains(id)));
        assert!(ids.iter().any(|id| *id > MAX_ID / 2));
    }
}
