//! The worker's own cache of answers: bounded, and keyed by digest so that no token stays in memory.
//!
//! Entries live at most [`crate::desktop::resolve::MAX_TTL`] seconds, so the oldest entry is nearly always the next to
//! expire: a queue in order of arrival bounds the map and clears expired entries in constant time per insert.

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use dashmap::DashMap;

use crate::credential::Fingerprint;

/// Names a token: a secret, uniformly distributed digest, made by [`crate::desktop::gateway::Gateway`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u128);

/// A tag is uniformly distributed already, so half of it serves as its hash.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write_u128(&mut self, tag: u128) {
        self.0 = tag as u64;
    }

    /// Not reached by [`Tag`]; here so that no other key type would silently hash to zero.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Tags to targets, for one process; safe to share between threads.
pub struct Cache {
    entries: DashMap<Tag, Entry, BuildHasherDefault<TagHasher>>,
    /// Every tag in order of arrival, with the expiry that it was inserted under.
    arrivals: Mutex<VecDeque<(Tag, i64)>>,
    capacity: usize,
}

struct Entry {
    target: Box<str>,
    expires_at: i64,
    fingerprint: Fingerprint,
}

impl Cache {
    /// A cache of at most `capacity` entries (some 150 bytes each); 0 keeps nothing.
    pub fn new(capacity: usize) -> Cache {
        Cache { entries: DashMap::default(), arrivals: Mutex::new(VecDeque::new()), capacity }
    }

    /// Hands a live entry to `read`. `now` is in seconds since the epoch.
    pub fn get<R>(&self, tag: &Tag, now: i64, read: impl FnOnce(&str, &Fingerprint) -> R) -> Option<R> {
        let entry = self.entries.get(tag)?;
        (now < entry.expires_at).then(|| read(&entry.target, &entry.fingerprint))
    }

    /// Keeps a target until `now + ttl`. Makes room by dropping expired entries, then the oldest.
    pub fn insert(&self, tag: Tag, target: &str, fingerprint: Fingerprint, now: i64, ttl: u32) {
        if self.capacity == 0 || ttl == 0 {
            return;
        }
        let expires_at = now.saturating_add(ttl.into());
        // A poisoned lock only means that a panic was caught between two consistent states.
        let mut arrivals = self.arrivals.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while let Some((oldest, expiry)) = arrivals.front().copied() {
            if expiry > now && arrivals.len() < self.capacity {
                break;
            }
            arrivals.pop_front();
            // A tag that was inserted again since belongs to its later arrival.
            self.entries.remove_if(&oldest, |_, entry| entry.expires_at == expiry);
        }
        arrivals.push_back((tag, expires_at));
        self.entries.insert(tag, Entry { target: target.into(), expires_at, fingerprint });
    }

    /// The number of entries, expired ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(cache: &Cache, n: u128, now: i64) -> Option<String> {
        cache.get(&Tag(n), now, |target, _| target.to_owned())
    }

    fn insert(cache: &Cache, n: u128, target: &str, now: i64, ttl: u32) {
        cache.insert(Tag(n), target, *b"0123456789ab", now, ttl);
    }

    #[test]
    fn an_entry_ends_with_its_second() {
        let cache = Cache::new(10);
        insert(&cache, 1, "a", 100, 2);
        assert_eq!(get(&cache, 1, 101).as_deref(), Some("a"));
        assert_eq!(get(&cache, 1, 102), None);
        assert_eq!(get(&cache, 2, 100), None);
    }

    #[test]
    fn the_number_of_entries_is_bounded_and_the_oldest_goes_first() {
        let cache = Cache::new(3);
        for n in 0..1000 {
            insert(&cache, n, "x", 100, 600);
            assert!(cache.len() <= 3);
        }
        assert_eq!(get(&cache, 996, 100), None);
        assert_eq!(get(&cache, 997, 100).as_deref(), Some("x"));
    }

    #[test]
    fn expired_entries_are_dropped_and_renewed_ones_stay() {
        let cache = Cache::new(100);
        insert(&cache, 1, "old", 100, 10);
        insert(&cache, 1, "new", 105, 10);
        insert(&cache, 2, "x", 112, 10);
        assert_eq!(get(&cache, 1, 112).as_deref(), Some("new"));
        insert(&cache, 3, "x", 120, 10);
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn nothing_is_kept_without_room_or_time() {
        let cache = Cache::new(0);
        insert(&cache, 1, "a", 100, 600);
        let other = Cache::new(5);
        insert(&other, 1, "a", 100, 0);
        assert!(cache.is_empty() && other.is_empty());
    }
}
