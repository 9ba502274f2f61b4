//! Reads tokens from files and standard input.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use route_native::credential::token_of;
use zeroize::Zeroizing;

use crate::Failure;

/// The limit of a file or of standard input, in bytes: four times the longest token.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// Reads from standard input for `-`, or from a file, at most [`MAX_INPUT_BYTES`]. No longer input is a token.
pub fn read(source: &OsStr) -> Result<Vec<u8>, Failure> {
    let (name, text) = match source == "-" {
        true => ("standard input".to_owned(), read_bounded(io::stdin().lock())),
        false => (Path::new(source).display().to_string(), File::open(source).and_then(read_bounded)),
    };
    text.map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))
}

/// Returns the token in a text, with or without `Bearer`. `source` names the text in the error.
pub fn token(text: &[u8], source: &str) -> Result<Zeroizing<String>, Failure> {
    let token = token_of(text).ok().filter(|token| token.iter().all(u8::is_ascii_graphic));
    let token = token.ok_or_else(|| Failure::usage(format!("{source} must hold one token of at most 16 KiB")))?;
    Ok(Zeroizing::new(String::from_utf8_lossy(token).into_owned()))
}

fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    reader.take(MAX_INPUT_BYTES).read_to_end(&mut text)?;
    Ok(text)
}
