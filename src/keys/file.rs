//! A bounded reader of key files, whose errors name the file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::validity::Validity;
use crate::error::{ConfigError, Reason};
use crate::metrics::files;

/// The size limit of a key file, in bytes.
pub const MAX_KEY_FILE_BYTES: u64 = 256 * 1024;

/// Reads a key file and parses it with `parse`. Notes its age for the metrics. An error's message begins with the file's
/// name.
///
/// Errors: `KeyUnreadable` for a file that is missing, too large or not a regular file; the errors of `parse`.
pub fn load<K>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<K, ConfigError>) -> Result<K, ConfigError> {
    let read_and_parse = || {
        let (text, modified) = read(path)?;
        let parsed = parse(&text)?;
        files::note(path, modified, || first_expiry(&text));
        Ok(parsed)
    };
    read_and_parse().map_err(|error: ConfigError| {
        ConfigError::new(error.reason, format!("the key file {} {}", path.display(), error.message))
    })
}

/// Notes a file with a certificate that another program uses.
///
/// Errors: `KeyUnreadable`.
pub fn note_certificate(path: &Path) -> Result<(), ConfigError> {
    load(path, |_| Ok(()))
}

/// Returns when the first certificate of a text expires, in seconds since the epoch: of a chain one after the other is of
/// no use once one has expired, and of a file with several keys each is one. Looks at nothing else: a private key beside
/// it must not be copied.
fn first_expiry(text: &[u8]) -> Option<u64> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = str::from_utf8(text).ok()?;
    let blocks = text.match_indices(BEGIN).filter_map(|(start, _)| Some(text[start..].split_once(END)?.0));
    let parsed = blocks.filter_map(|block| pem::parse(format!("{block}{END}")).ok());
    parsed.filter_map(|block| Validity::of(block.contents())).map(Validity::until).min()
}

fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, SystemTime), ConfigError> {
    let unreadable = |why: &str| ConfigError::new(Reason::KeyUnreadable, why);
    let failed = |error: std::io::Error| unreadable(&format!("cannot be read: {error}"));
    // Checks the file type first: opening a FIFO blocks until a writer appears.
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(unreadable("is not a file"));
    }
    let mut text = Zeroizing::new(Vec::new());
    File::open(path).and_then(|file| file.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut text)).map_err(failed)?;
    if text.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(unreadable("is larger than 256 KiB"));
    }
    Ok((text, metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
}
