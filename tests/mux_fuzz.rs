//! The code of the fuzz targets (fuzz/harness.rs) with random inputs and with the inputs in fuzz/seeds.
#![cfg(feature = "tunnel")]

#[path = "../fuzz/harness.rs"]
mod harness;

use proptest::prelude::*;
use std::path::Path;

/// Runs every input of a folder, in the order of names. Returns their number.
fn replay(folder: &str, run: fn(&[u8])) -> usize {
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
fn every_input_in_seeds_passes() {
    assert!(replay("decode", harness::decode) > 0);
    assert!(replay("session", harness::session) > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_decodes_or_is_a_violation(message in proptest::collection::vec(any::<u8>(), 0..40)) {
        harness::decode(&message);
    }

    #[test]
    fn a_session_keeps_its_invariants_with_any_peer_and_user(input in proptest::collection::vec(any::<u8>(), 0..600)) {
        harness::session(&input);
    }
}
