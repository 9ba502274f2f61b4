//! Every target of cargo-fuzz: the subject that has the binary's name.
#![no_main]

#[path = "subjects/mod.rs"]
mod subjects;

libfuzzer_sys::fuzz_target!(|input: &[u8]| subjects::run(env!("CARGO_BIN_NAME"), input));
