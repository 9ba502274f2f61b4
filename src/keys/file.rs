//! A bounded reader of key files, whose errors name the file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{ConfigError, Reason};

/// The size limit of a key file, in bytes.
pub const MAX_KEY_FILE_BYTES: u64 = 256 * 1024;

/// Reads a key file and parses it with `parse`. An error's message begins with the file's name.
///
/// Errors: `KeyUnreadable` for a file that is missing, too large or not a regular file; the errors of `parse`.
pub fn load<K>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<K, ConfigError>) -> Result<K, ConfigError> {
    read(path)
        .and_then(|text| parse(&text))
        .map_err(|error| ConfigError::new(error.reason, format!("the key file {} {}", path.display(), error.message)))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let unreadable = |why: &str| ConfigError::new(Reason::KeyUnreadable, why);
    let failed = |error: std::io::Error| unreadable(&format!("cannot be read: {error}"));
    // Checks the file type first: opening a FIFO blocks until a writer appears.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(unreadable("is not a file"));
    }
    let mut text = Zeroizing::new(Vec::new());
    File::open(path).and_then(|file| file.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut text)).map_err(failed)?;
    if text.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(unreadable("is larger than 256 KiB"));
    }
    Ok(text)
}
