//! The key files in use: when each was last changed, and when its certificate expires.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::families::key;
use super::line;

/// The most files. Further ones are not noted.
const MAX_FILES: usize = 64;

#[derive(Debug, PartialEq, Eq)]
struct File {
    modified: u64,
    expires: Option<u64>,
}

static FILES: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

/// Notes a file that is in use. `expires` returns when its certificate expires, in seconds since the epoch. It is called
/// only if the file has changed.
pub fn note(path: &Path, modified: SystemTime, expires: impl FnOnce() -> Option<u64>) {
    let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = files.get(path).is_some_and(|file| file.modified == modified);
    if !is_known && (files.len() < MAX_FILES || files.contains_key(path)) {
        files.insert(path.to_owned(), File { modified, expires: expires() });
    }
}

/// Forgets all files.
pub fn forget() {
    FILES.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Returns the times of each file, one `SECONDS KEY` a line.
pub fn lines() -> String {
    let files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = String::new();
    for (path, file) in files.iter() {
        let values = [path.to_string_lossy().replace(char::is_control, "_")];
        text += &line(file.modified, &key("key_file_modified_timestamp_seconds", &values));
        if let Some(expires) = file.expires {
            text += &line(expires, &key("certificate_expiry_timestamp_seconds", &values));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_changed_file_replaces_what_was_known_and_their_number_is_bounded() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        note(Path::new("/a\n"), at(7), || Some(90));
        note(Path::new("/a\n"), at(7), || unreachable!("it has not changed"));
        assert!(lines().contains("90 certificate_expiry_timestamp_seconds\x1f/a_\n"));
        note(Path::new("/a\n"), at(8), || None);
        assert!(lines().contains("8 key_file_modified_timestamp_seconds\x1f/a_\n"));
        assert!(!lines().contains("certificate_expiry_timestamp_seconds\x1f/a_"));
        (0..200).for_each(|n| note(Path::new(&format!("/many/{n}")), at(1), || None));
        assert_eq!(lines().matches("modified").count(), MAX_FILES);
        note(Path::new("/a\n"), at(9), || None);
        assert!(lines().contains("9 key_file_modified_timestamp_seconds\x1f/a_\n"));
        forget();
        assert!(!lines().contains("/a_"));
    }
}
