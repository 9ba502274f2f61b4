//! A hash map with stream numbers as keys.
//!
//! The standard hasher resists keys that an attacker chooses, but cost more per frame than the rest of the multiplexer.
//! A session has at most a thousand streams, so chosen numbers cost at most a search among a thousand entries.

use super::frame::StreamId;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map from stream numbers.
pub(crate) type StreamTable<T> = HashMap<StreamId, T, BuildHasherDefault<NumberHasher>>;

/// A hasher that spreads one number over all bits, because the map uses the highest and the lowest ones.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        let spread = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = spread ^ (spread >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, hash::BuildHasher};

    #[test]
    fn numbers_in_a_row_and_of_one_parity_spread_over_the_lowest_and_the_highest_bits() {
        let build = BuildHasherDefault::<NumberHasher>::default();
        let hashes: Vec<u64> = (0..1024u32).map(|n| build.hash_one(2 * n)).collect();
        let lowest: HashSet<u64> = hashes.iter().map(|hash| hash % 1024).collect();
        let highest: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        // A random function gives 647 of 1024 and all of 128.
        assert!(lowest.len() > 550, "{}", lowest.len());
        assert_eq!(highest.len(), 128);
    }
}
