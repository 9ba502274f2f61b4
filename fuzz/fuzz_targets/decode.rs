//! Fuzzes the decoder of frames.
#![no_main]

#[path = "../harness.rs"]
#[allow(dead_code, reason = "the other target uses it")]
mod harness;

libfuzzer_sys::fuzz_target!(|input: &[u8]| harness::decode(input));
