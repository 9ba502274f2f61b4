//! What is fuzzed: a table of subjects, each a function from any bytes to a property that holds or a panic.
//!
//! tests/fuzz.rs runs them on the stable toolchain, with random inputs and those in fuzz/seeds. fuzz/target.rs gives
//! the same functions to cargo-fuzz.
#![allow(dead_code, reason = "each program uses its part")]

mod claims;
mod cookies;
mod costs;
mod introspection;
mod json;
mod keys;
#[path = "../../tests/support/material.rs"]
mod material;
mod mux;
mod proofs;
mod redaction;
mod revocations;
mod secrets;
mod tokens;

/// A name and what it checks.
pub type Subject = (&'static str, fn(&[u8]));

/// Every subject. fuzz/Cargo.toml and fuzz/seeds name the same.
pub const SUBJECTS: &[Subject] = &[
    ("claims", claims::claims),
    ("cookies", cookies::cookies),
    ("costs", costs::costs),
    ("decode", mux::decode),
    ("introspection", introspection::introspection),
    ("jwk", keys::jwk),
    ("pem", keys::pem),
    ("proofs", proofs::proofs),
    ("redaction", redaction::redaction),
    ("revocations", revocations::revocations),
    ("secrets", secrets::secrets),
    ("session", mux::session),
    ("tokens", tokens::tokens),
];

/// Runs the subject of a name with an input.
pub fn run(name: &str, input: &[u8]) {
    let (_, check) = SUBJECTS.iter().find(|(known, _)| *known == name).expect("a subject of the table");
    check(input);
}

/// The current time of the checks, in seconds since the epoch.
const NOW: i64 = 1_700_000_000;

/// The rest of an input. Its end reads as zeros.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes.to_vec()
    }

    /// Returns a number from 0 to `limit - 1`.
    pub fn below(&mut self, limit: usize) -> usize {
        let number = usize::from(self.byte());
        let number = if limit > 256 { number << 8 | usize::from(self.byte()) } else { number };
        number % limit
    }

    pub fn pick<'list, T>(&mut self, list: &'list [T]) -> &'list T {
        &list[self.below(list.len())]
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a text of at most `most` pieces: short numbers choose from a list, others are themselves.
    pub fn text(&mut self, pieces: &[&str], most: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for byte in self.bytes(most) {
            match pieces.get(usize::from(byte)) {
                Some(piece) => text.extend_from_slice(piece.as_bytes()),
                None => text.push(byte),
            }
        }
        text
    }
}

/// No text becomes longer by edits.
const MAX_EDITED: usize = 1 << 16;

/// Edits a text as the rest of the input says: each edit is a kind, a place, a length and its bytes.
pub fn edited(base: &[u8], input: &mut Input) -> Vec<u8> {
    let mut text = base.to_vec();
    while !input.is_empty() && text.len() < MAX_EDITED {
        let (kind, at) = (input.below(7), input.below(text.len() + 1));
        let length = input.below(64);
        let end = (at + length).min(text.len());
        match kind {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, input.bytes(length % 8))),
            2 => drop(text.splice(at..end, input.bytes(length % 8))),
            3 => drop(text.splice(at..at, text[at..end].to_vec())),
            4 => {
                let piece: Vec<u8> = text.drain(at..end).collect();
                let at = input.below(text.len() + 1);
                text.splice(at..at, piece);
            }
            5 => text.truncate(text.len() - length.min(text.len())),
            _ => text[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << (length % 8)),
        }
    }
    text
}

/// Undoes percent-encoding until nothing is left of it.
pub fn fully_decoded(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    loop {
        let next = decoded(&text);
        if next == text {
            return text;
        }
        text = next;
    }
}

/// Undoes percent-encoding once.
pub fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Returns whether a text holds a piece.
pub fn holds(text: &[u8], piece: &[u8]) -> bool {
    text.windows(piece.len()).any(|window| window == piece)
}
