//! The first tier's map and a bounded cache that could do its job, quick_cache, behind one trait: get a live target by
//! its tag, and insert one with no more than `capacity` kept.

use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache as QuickCache, DefaultLifecycle};
use route_native::credential::Fingerprint;
use route_native::desktop::cache::{Cache, Found, Tag};
use route_native::revocation::{Identity, live};

use crate::support::{NOW, TARGET};

/// Lookups of one measurement.
const CALLS: usize = 100_000;

pub trait Bounded {
    fn hit(&self, tag: Tag) -> bool;
    fn insert(&self, tag: Tag);
}

/// What the library uses: DashMap, and a queue that bounds it.
pub struct Ours(Cache);

impl Ours {
    pub fn new(capacity: usize) -> Ours {
        Ours(Cache::new(capacity))
    }
}

impl Bounded for Ours {
    fn hit(&self, tag: Tag) -> bool {
        self.0.get(&tag, NOW, live(), |entry| _ = black_box(entry.target()).len()).is_ok()
    }

    fn insert(&self, tag: Tag) {
        let found = Found { target: TARGET, fingerprint: *b"0123456789ab", identity: Identity::default() };
        self.0.insert(tag, found, live().generation(), NOW, 600);
    }
}

/// quick_cache hands out clones, so its values are shared.
pub struct Quick(QuickCache<Tag, Arc<Entry>, UnitWeighter, BuildHasherDefault<TagHasher>>);

struct Entry {
    target: Box<str>,
    expires_at: i64,
    _fingerprint: Fingerprint,
}

/// As in src/desktop/cache.rs: a tag is uniformly distributed already.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn write_u128(&mut self, tag: u128) {
        self.0 = tag as u64;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("tags alone are hashed");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Quick {
    pub fn new(capacity: usize) -> Quick {
        let weight = capacity as u64;
        Quick(QuickCache::with(
            capacity,
            weight,
            UnitWeighter,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        ))
    }
}

impl Bounded for Quick {
    fn hit(&self, tag: Tag) -> bool {
        self.0.get(&tag).is_some_and(|entry| NOW < entry.expires_at && !black_box(&entry.target).is_empty())
    }

    fn insert(&self, tag: Tag) {
        let entry = Entry { target: TARGET.into(), expires_at: NOW + 600, _fingerprint: *b"0123456789ab" };
        self.0.insert(tag, Arc::new(entry));
    }
}

/// Tags as uniformly distributed as GMAC's (SplitMix64's finaliser).
fn tag(number: usize) -> Tag {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let seed = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Tag(u128::from(mix(seed)) << 64 | u128::from(mix(!seed)))
}

pub fn fill(cache: &impl Bounded, sessions: usize) {
    (0..sessions).for_each(|number| cache.insert(tag(number)));
}

/// Nanoseconds of a hit. quick_cache, whose shards are bounded one by one, may have evicted some: a miss counts as well.
pub fn hits(cache: &impl Bounded, sessions: usize) -> f64 {
    let tags: Vec<_> = (0..sessions).map(tag).collect();
    timed(sessions, |number| {
        black_box(cache.hit(tags[number]));
    })
}

/// Nanoseconds of an insertion that has to make room. Afterwards the cache holds `0..sessions` again.
pub fn replacements(cache: &impl Bounded, sessions: usize) -> f64 {
    let mut next = sessions;
    let time = timed(sessions, |_| {
        cache.insert(tag(next));
        next += 1;
    });
    fill(cache, sessions);
    time
}

/// Nanoseconds that a call takes with the numbers of `0..count` in an order that no prefetcher knows.
pub fn timed(count: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let start = Instant::now();
    for _ in 0..CALLS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        call((state >> 16) as usize % count);
    }
    start.elapsed().as_nanos() as f64 / CALLS as f64
}
