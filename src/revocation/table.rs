//! The records of one process, found by the digest of their name.

use std::collections::{BTreeSet, HashMap};

use super::Identity;
use super::identity::Key;
use super::record::Record;

/// All revocations that have not ended.
#[derive(Default)]
pub struct Table {
    entries: HashMap<Key, Vec<Entry>>,
    by_id: HashMap<u64, Vec<Key>>,
    by_end: BTreeSet<(i64, u64)>,
}

struct Entry {
    id: u64,
    before: Option<i64>,
    ends: i64,
}

impl Table {
    /// Adds a record under its id, unless the id is there already. Returns whether it was added.
    pub fn add(&mut self, id: u64, record: &Record) -> bool {
        if self.by_id.contains_key(&id) {
            return false;
        }
        let (keys, before, ends) = (record.keys(), record.before(), record.ends());
        for key in &keys {
            self.entries.entry(*key).or_default().push(Entry { id, before, ends });
        }
        self.by_id.insert(id, keys);
        self.by_end.insert((ends, id));
        true
    }

    /// Removes a record. Returns whether it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(keys) = self.by_id.remove(&id) else { return false };
        for key in keys {
            let Some(entries) = self.entries.get_mut(&key) else { continue };
            if let Some(at) = entries.iter().position(|entry| entry.id == id) {
                self.by_end.remove(&(entries.swap_remove(at).ends, id));
            }
            if entries.is_empty() {
                self.entries.remove(&key);
            }
        }
        true
    }

    /// Removes the records that have ended. Returns whether there were any. `now` is in seconds since the epoch.
    pub fn remove_ended(&mut self, now: i64) -> bool {
        let before = self.len();
        while let Some((ends, id)) = self.by_end.first().copied() {
            if ends > now {
                break;
            }
            self.remove(id);
        }
        self.len() < before
    }

    /// Returns whether a record revokes the token. `now` is in seconds since the epoch.
    pub fn revokes(&self, identity: &Identity, now: i64) -> bool {
        identity.keys().iter().filter_map(|key| self.entries.get(key)).flatten().any(|entry| {
            let is_old = entry.before.is_none_or(|before| identity.issued_at().is_none_or(|at| at <= before));
            now < entry.ends && is_old
        })
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Names;

    const NOW: i64 = 1_700_000_000;

    fn table(texts: &[&str]) -> Table {
        let mut table = Table::default();
        for (id, text) in (1..).zip(texts) {
            table.add(id, &Record::parse(text.as_bytes(), NOW, 60).expect(text));
        }
        table
    }

    fn ada(issued_at: Option<i64>) -> Identity {
        Names {
            token: b"a.b.c",
            jti: b"7",
            sub: b"ada",
            kid: b"k",
            iss: b"x",
            target: b"d",
            issued_at,
            ..Names::default()
        }
        .identity()
    }

    #[test]
    fn a_token_is_revoked_by_each_of_its_names() {
        let digest = r#"{"token":"a.b.c"}"#;
        for text in [digest, r#"{"jti":"7"}"#, r#"{"sub":"ada"}"#, r#"{"kid":"k"}"#, r#"{"target":"d"}"#] {
            assert!(table(&[text]).revokes(&ada(Some(NOW)), NOW), "{text}");
        }
        for text in [r#"{"token":"a.b.d"}"#, r#"{"jti":"8"}"#, r#"{"sid":"ada"}"#, r#"{"sub":"ad"}"#] {
            assert!(!table(&[text]).revokes(&ada(Some(NOW)), NOW), "{text}");
        }
    }

    #[test]
    fn a_user_is_revoked_until_an_instant_and_by_one_issuer() {
        let until = table(&[r#"{"sub":"ada","before":1700000000}"#]);
        for (issued_at, is_revoked) in [(Some(NOW - 1), true), (Some(NOW), true), (Some(NOW + 1), false), (None, true)]
        {
            assert_eq!(until.revokes(&ada(issued_at), NOW), is_revoked, "{issued_at:?}");
        }
        assert!(table(&[r#"{"sub":"ada","iss":"x"}"#]).revokes(&ada(None), NOW));
        assert!(!table(&[r#"{"sub":"ada","iss":"y"}"#]).revokes(&ada(None), NOW));
    }

    #[test]
    fn a_record_ends_by_itself_or_by_its_id_and_leaves_the_others() {
        let texts = [r#"{"sub":"ada","ends":1700000010}"#, r#"{"sub":"ada","ends":1700000020}"#, r#"{"kid":"z"}"#];
        let mut all = table(&texts);
        assert!(all.revokes(&ada(None), NOW + 19) && !all.revokes(&ada(None), NOW + 20));
        all.remove_ended(NOW + 10);
        assert_eq!((all.len(), all.revokes(&ada(None), NOW + 19)), (2, true));
        assert!(all.remove(2) && !all.remove(2) && !all.remove(9));
        assert_eq!((all.len(), all.revokes(&ada(None), NOW)), (1, false));
        all.remove_ended(NOW + 60);
        assert!(all.is_empty() && all.entries.is_empty() && all.by_end.is_empty());
    }
}
