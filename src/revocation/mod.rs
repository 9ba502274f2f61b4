//! Revocations: tokens, users, sessions, desktops and keys that are no longer accepted.
//!
//! ```text
//! POST /revocations ─► record ─► lua_shared_dict, Redis ─► live (this process) ◄─ check ─ identity of a token
//! ```
//!
//! A record says what is revoked and when it ends. Every process has all records in a [`Table`]. An [`Identity`] is the
//! names of one token, as digests of a fixed size. A cache stores it beside its answer, with the generation of the
//! table for which it was checked: while the table stays the same, a hit compares two numbers.

mod exchange;
mod identity;
mod live;
mod record;
mod table;

pub use exchange::{Answer, Entry, KEYS, MAX_ID, Position, new_id, script};
pub use identity::{Identity, Names};
pub use live::{Live, live};
pub use record::{MAX_SECONDS, Record};
pub use table::Table;
