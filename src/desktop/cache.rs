//! The worker's cache of targets: bounded, and keyed by digest so that no token stays in memory.
//!
//! An entry lives at most [`crate::desktop::resolve::MAX_TTL`] seconds, so that the oldest is nearly always the next to
//! expire. A queue in order of insertion bounds the map and removes expired entries in amortized constant time.

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::credential::Fingerprint;

/// The key of a token in the cache: a secret, uniformly distributed digest. See [`crate::desktop::gateway`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u128);

/// A hasher that returns half of the tag, which is uniformly distributed already.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write_u128(&mut self, tag: u128) {
        self.0 = tag as u64;
    }

    /// Not called for [`Tag`]. Keeps another key type from hashing to zero.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map from tags to targets for one process. Threads may share it.
pub struct Cache {
    entries: DashMap<Tag, Entry, BuildHasherDefault<TagHasher>>,
    /// Every insertion, oldest first, with its expiry.
    insertions: Mutex<VecDeque<(Tag, i64)>>,
    capacity: usize,
}

struct Entry {
    target: Box<str>,
    expires_at: i64,
    fingerprint: Fingerprint,
}

impl Cache {
    /// Returns a cache of at most `capacity` entries of some 150 bytes each. A capacity of 0 disables it.
    pub fn new(capacity: usize) -> Cache {
        Cache { entries: DashMap::default(), insertions: Mutex::new(VecDeque::new()), capacity }
    }

    /// Passes the target and the fingerprint of a live entry to `read`, and returns its result. `now` is in seconds
    /// since the epoch.
    pub fn get<R>(&self, tag: &Tag, now: i64, read: impl FnOnce(&str, &Fingerprint) -> R) -> Option<R> {
        let entry = self.entries.get(tag)?;
        (now < entry.expires_at).then(|| read(&entry.target, &entry.fingerprint))
    }

    /// Inserts a target until `now + ttl`, in seconds. Removes expired entries, then the oldest, to make room.
    pub fn insert(&self, tag: Tag, target: &str, fingerprint: Fingerprint, now: i64, ttl: u32) {
        if self.capacity == 0 || ttl == 0 {
            return;
        }
        let expires_at = now.saturating_add(ttl.into());
        // The queue is consistent even in a poisoned lock: nothing below can panic halfway.
        let mut insertions = self.insertions.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((oldest, expiry)) = insertions.front().copied() {
            if expiry > now && insertions.len() < self.capacity {
                break;
            }
            insertions.pop_front();
            // A tag that was inserted again belongs to its later insertion.
            self.entries.remove_if(&oldest, |_, entry| entry.expires_at == expiry);
        }
        insertions.push_back((tag, expires_at));
        self.entries.insert(tag, Entry { target: target.into(), expires_at, fingerprint });
    }

    /// Returns the number of entries, including expired ones.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the cache has no entry.
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
    fn an_entry_expires_after_its_ttl() {
        let cache = Cache::new(10);
        insert(&cache, 1, "a", 100, 2);
        assert_eq!(get(&cache, 1, 101).as_deref(), Some("a"));
        assert_eq!(get(&cache, 1, 102), None);
        assert_eq!(get(&cache, 2, 100), None);
    }

    #[test]
    fn a_full_cache_evicts_the_oldest_entry() {
        let cache = Cache::new(3);
        for n in 0..1000 {
            insert(&cache, n, "x", 100, 600);
            assert!(cache.len() <= 3);
        }
        assert_eq!(get(&cache, 996, 100), None);
        assert_eq!(get(&cache, 997, 100).as_deref(), Some("x"));
    }

    #[test]
    fn expired_entries_are_removed_and_renewed_ones_stay() {
        let cache = Cache::new(100);
        insert(&cache, 1, "old", 100, 10);
        insert(&cache, 1, "new", 105, 10);
        insert(&cache, 2, "x", 112, 10);
        assert_eq!(get(&cache, 1, 112).as_deref(), Some("new"));
        insert(&cache, 3, "x", 120, 10);
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn a_capacity_or_ttl_of_0_stores_nothing() {
        let cache = Cache::new(0);
        insert(&cache, 1, "a", 100, 600);
        let other = Cache::new(5);
        insert(&other, 1, "a", 100, 0);
        assert!(cache.is_empty() && other.is_empty());
    }
}
