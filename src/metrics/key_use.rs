//! When each key last verified a token, by its `kid`.
//!
//! The ids are those of configured keys, never a client's text. An operator who rotates keys sees here which ones are
//! still needed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{LazyLock, PoisonError, RwLock};

use super::families::{SEPARATOR, key};
use super::line;

/// The most ids. A new one replaces the one that was not used for the longest time.
const MAX_KEYS: usize = 256;

/// The `kid` of keys without one: those in PEM, and secrets.
const NONE: &str = "none";

static LAST_USES: LazyLock<RwLock<HashMap<String, AtomicI64>>> = LazyLock::new(RwLock::default);

/// Notes that a key may verify tokens, though it has verified none yet.
pub fn declare(kid: Option<&str>) {
    let kid = kid.unwrap_or(NONE);
    if !LAST_USES.read().unwrap_or_else(PoisonError::into_inner).contains_key(kid) {
        insert(kid, 0);
    }
}

/// Notes that a key has verified a token at `now`, in seconds since the epoch.
pub fn note(kid: Option<&str>, now: i64) {
    let kid = kid.unwrap_or(NONE);
    if let Some(last) = LAST_USES.read().unwrap_or_else(PoisonError::into_inner).get(kid) {
        return last.store(now, Relaxed);
    }
    insert(kid, now);
}

/// Forgets all keys.
pub fn forget() {
    LAST_USES.write().unwrap_or_else(PoisonError::into_inner).clear();
}

fn insert(kid: &str, now: i64) {
    let mut all = LAST_USES.write().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MAX_KEYS {
        let oldest = all.iter().min_by_key(|(_, last)| last.load(Relaxed)).map(|(kid, _)| kid.clone());
        oldest.map(|kid| all.remove(&kid));
    }
    all.insert(kid.to_owned(), AtomicI64::new(now));
}

/// Returns the last use of each key, one `SECONDS KEY` a line; 0 for none.
pub fn lines() -> String {
    let all = LAST_USES.read().unwrap_or_else(PoisonError::into_inner);
    let of = |(kid, last): (&String, &AtomicI64)| {
        let kid = kid.replace(|letter: char| letter.is_control() || letter == SEPARATOR, "_");
        line(last.load(Relaxed), &key("key_last_used_timestamp_seconds", &[kid]))
    };
    all.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_last_use_and_the_number_of_keys_is_bounded() {
        declare(Some("one"));
        assert!(lines().contains("0 key_last_used_timestamp_seconds\x1fone\n"));
        note(Some("one"), i64::MAX - 1);
        declare(Some("one"));
        note(None, i64::MAX - 2);
        (0..1000).for_each(|n| note(Some(&format!("a\nkey {n}")), n));
        let lines = lines();
        assert!(lines.contains(&format!("{} key_last_used_timestamp_seconds\x1fone\n", i64::MAX - 1)));
        assert!(lines.contains(&format!("{} key_last_used_timestamp_seconds\x1fnone\n", i64::MAX - 2)));
        assert_eq!(lines.lines().count(), MAX_KEYS);
        assert!(lines.contains("999 key_last_used_timestamp_seconds\x1fa_key 999\n"));
    }
}
