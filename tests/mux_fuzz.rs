//! The fuzz targets' code (fuzz/harness.rs) with random inputs and with those that are kept in fuzz/seeds.
#![cfg(feature = "tunnel")]

#[path = "../fuzz/harness.rs"]
mod harness;

use proptest::prelude::*;
use std::path::Path;

/// Plays every kept input, in the order of their names; returns how many there were.
fn play(folder: &str, run: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        println!("{}", file.display());
        run(&std::fs::read(file).unwrap());
    }
    files.len()
}

#[test]
fn kept_inputs_break_nothing() {
    assert!(play("decode", harness::decode) > 0);
    assert!(play("session", harness::session) > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_is_decoded_or_refused(message in proptest::collection::vec(any::<u8>(), 0..40)) {
        harness::decode(&message);
    }

    #[test]
    fn any_peer_and_any_user_leave_nothing_behind(input in proptest::collection::vec(any::<u8>(), 0..600)) {
        harness::session(&input);
    }
}
