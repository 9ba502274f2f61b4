//! The worker's cache of targets: bounded, and keyed by digest so that no token stays in memory.
//!
//! An entry lives at most [`crate::desktop::resolve::MAX_TTL`] seconds, so that the oldest is nearly always the next to
//! expire. A queue in order of insertion bounds the map and removes expired entries in amortized constant time.

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::credential::Fingerprint;
use crate::error::Reason;
use crate::revocation::{Identity, Live};

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

/// What a cache keeps of a token.
pub struct Found<'a> {
    /// Where the token leads to.
    pub target: &'a str,
    /// The token's identifier in logs.
    pub fingerprint: Fingerprint,
    /// What the token can be revoked by.
    pub identity: Identity,
}

/// A target, and what its token can be revoked by.
pub struct Entry {
    target: Box<str>,
    expires_at: i64,
    fingerprint: Fingerprint,
    identity: Identity,
    /// The generation of the revocations for which the token was accepted.
    generation: AtomicU32,
}

impl Entry {
    /// Returns the target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns how long the entry may still be used, in seconds.
    pub fn ttl(&self, now: i64) -> u32 {
        self.expires_at.saturating_sub(now).clamp(0, u32::MAX.into()) as u32
    }

    /// Returns the token's fingerprint.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Returns what the token can be revoked by.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Checks the token again if the revocations have changed.
    fn check(&self, revocations: &Live, now: i64) -> Result<(), Reason> {
        let generation = revocations.generation();
        if self.generation.load(Ordering::Relaxed) == generation {
            return Ok(());
        }
        revocations.check(&self.identity, now)?;
        self.generation.store(generation, Ordering::Relaxed);
        Ok(())
    }
}

impl Cache {
    /// Returns a cache of at most `capacity` entries of some 300 bytes each. A capacity of 0 disables it.
    pub fn new(capacity: usize) -> Cache {
        Cache { entries: DashMap::default(), insertions: Mutex::new(VecDeque::new()), capacity }
    }

    /// Passes a live entry to `read`, also when its token is revoked meanwhile. `now` is in seconds since the epoch.
    ///
    /// Errors: `NotCached`; `TokenRevoked` and `RevocationsUnknown`.
    pub fn get(&self, tag: &Tag, now: i64, revocations: &Live, read: impl FnOnce(&Entry)) -> Result<(), Reason> {
        let entry = self.entries.get(tag).filter(|entry| now < entry.expires_at).ok_or(Reason::NotCached)?;
        read(&entry);
        entry.check(revocations, now)
    }

    /// Inserts the target of a token that was accepted for a generation of the revocations, until `now + ttl`, in
    /// seconds. Removes expired entries, then the oldest, to make room.
    pub fn insert(&self, tag: Tag, found: Found, generation: u32, now: i64, ttl: u32) {
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
        let Found { target, fingerprint, identity } = found;
        let generation = AtomicU32::new(generation);
        self.entries.insert(tag, Entry { target: target.into(), expires_at, fingerprint, identity, generation });
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
    use crate::revocation::Names;

    fn get(cache: &Cache, n: u128, now: i64) -> Option<String> {
        let mut target = None;
        let result = cache.get(&Tag(n), now, &Live::default(), |entry| target = Some(entry.target().to_owned()));
        result.ok().and(target)
    }

    fn insert(cache: &Cache, n: u128, target: &str, now: i64, ttl: u32) {
        let found = Found { target, fingerprint: *b"0123456789ab", identity: Identity::default() };
        cache.insert(Tag(n), found, 0, now, ttl);
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
    fn a_cached_token_is_refused_from_its_revocation_to_the_end_of_that() {
        let (cache, live) = (Cache::new(10), Live::default());
        let names = Names { jti: b"7", ..Names::default() };
        for (tag, identity) in [(1, names.identity()), (2, Identity::default())] {
            cache.insert(Tag(tag), Found { target: "a", fingerprint: *b"0123456789ab", identity }, 0, 100, 600);
        }
        let get = |tag, now| cache.get(&Tag(tag), now, &live, |_| ());
        assert_eq!(get(1, 100), Ok(()));
        live.add(1, br#"{"jti":"7","ends":200}"#, 100).expect("a record");
        for _ in 0..2 {
            assert_eq!((get(1, 150), get(2, 150)), (Err(Reason::TokenRevoked), Ok(())));
        }
        assert_eq!(get(1, 200), Ok(()));
        live.set_outdated(true);
        assert_eq!(get(2, 200), Err(Reason::RevocationsUnknown));
        live.set_outdated(false);
        assert_eq!(get(2, 200), Ok(()));
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
