//! The revocations of this process. Each of nginx's workers has its own, and reads the records from a dictionary.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{LazyLock, PoisonError, RwLock};

use super::record::stored;
use super::{Identity, Names, Table};
use crate::error::{ConfigError, Reason};
use crate::jwt::Claims;

/// A table that threads share, and its generation.
#[derive(Default)]
pub struct Live {
    table: RwLock<Table>,
    generation: AtomicU32,
    is_outdated: AtomicBool,
}

/// Returns the revocations of this process.
pub fn live() -> &'static Live {
    static LIVE: LazyLock<Live> = LazyLock::new(Live::default);
    &LIVE
}

impl Live {
    /// Returns a number that changes with the table. It is 0 as long as nothing was ever revoked.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Adds the record of a stored text. See [`Table::add`].
    ///
    /// Errors: `SettingInvalid`.
    pub fn add(&self, id: u64, text: &[u8], now: i64) -> Result<(), ConfigError> {
        let record = stored(text)?;
        self.change(|table| {
            // Both happen, whatever the first returns.
            let is_removed = table.remove_ended(now);
            table.add(id, &record) || is_removed
        });
        Ok(())
    }

    /// Removes a record. Returns whether it was there.
    pub fn remove(&self, id: u64) -> bool {
        self.change(|table| table.remove(id))
    }

    /// Removes the records that have ended.
    pub fn remove_ended(&self, now: i64) {
        self.change(|table| table.remove_ended(now));
    }

    /// Sets whether the records may be too old to accept a token. If so, every check fails.
    pub fn set_outdated(&self, is_outdated: bool) {
        if self.is_outdated.swap(is_outdated, Ordering::AcqRel) != is_outdated {
            self.next_generation();
        }
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks what has an identity. `now` is in seconds since the epoch.
    ///
    /// Errors: `TokenRevoked`; `RevocationsUnknown` if the records may be too old.
    pub fn check(&self, identity: &Identity, now: i64) -> Result<(), Reason> {
        if self.is_outdated.load(Ordering::Acquire) {
            return Err(Reason::RevocationsUnknown);
        }
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if table.revokes(identity, now) { Err(Reason::TokenRevoked) } else { Ok(()) }
    }

    /// Checks a verified token. Costs nothing while nothing was ever revoked.
    ///
    /// Errors: as [`Live::check`].
    pub fn check_token(&self, token: &[u8], claims: &Claims, now: i64) -> Result<(), Reason> {
        if self.generation() == 0 {
            return Ok(());
        }
        self.check(&Names::of(token, claims).identity(), now)
    }

    /// Changes the table. `change` returns whether it did, and so does this function.
    fn change(&self, change: impl FnOnce(&mut Table) -> bool) -> bool {
        let is_changed = change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner));
        if is_changed {
            self.next_generation();
        }
        is_changed
    }

    /// Increases the generation after a change, so that nobody marks an answer as checked for a table that it has not
    /// seen. It skips 0.
    fn next_generation(&self) {
        if self.generation.fetch_add(1, Ordering::AcqRel) == u32::MAX {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_changes_with_the_table_and_not_with_what_it_knows_already() {
        let live = Live::default();
        let record = br#"{"ends":1700000100,"kid":"k"}"#;
        assert_eq!(live.generation(), 0);
        live.add(7, record, 1_700_000_000).expect("a record");
        let generation = live.generation();
        live.add(7, record, 1_700_000_000).expect("a record");
        assert!(!live.remove(8));
        assert_eq!(live.generation(), generation);
        assert!(live.remove(7));
        assert_ne!(live.generation(), generation);
    }
}
