//! Revocations that the server reads from Redis, where the gateways write them (`docs/control.md`).
//!
//! ```text
//! gateways ─► Redis ─► follow.rs, five times a second ─► the table ─┬─► checks of registrations and viewers
//!                                                                   └─► the end of those that are open
//! ```

mod follow;
mod redis;
mod source;

pub use source::{Address, Source};

use crate::{
    error::Reason,
    jwt::Compact,
    revocation::{Identity, Live, Names},
    tunnel::server::auth::bearer_token,
};
use dashmap::DashMap;
use hyper::{HeaderMap, header};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::Notify;

pub(super) use follow::follow;

/// What is revoked, and what is open that a revocation can end.
pub struct Revocations {
    live: Live,
    watched: DashMap<u64, (Identity, Arc<Notify>)>,
    next: AtomicU64,
    /// When all was known, in seconds since the epoch; 0 if it never was.
    current_at: AtomicI64,
}

impl Revocations {
    /// Returns an empty table, which accepts nothing until it has been read.
    pub(super) fn new() -> Arc<Revocations> {
        let revocations = Revocations {
            live: Live::default(),
            watched: DashMap::new(),
            next: AtomicU64::new(0),
            current_at: AtomicI64::new(0),
        };
        revocations.live.set_outdated(true);
        Arc::new(revocations)
    }

    /// Checks what has an identity.
    ///
    /// Errors: `TokenRevoked`; `RevocationsUnknown` if nobody knows.
    pub(super) fn check(&self, identity: &Identity) -> Result<(), Reason> {
        self.live.check(identity, now())
    }

    /// Notifies `ending` as soon as the identity is revoked, until the result is dropped.
    pub(super) fn watch(self: &Arc<Self>, identity: Identity, ending: Arc<Notify>) -> Watch {
        let number = self.next.fetch_add(1, Relaxed);
        self.watched.insert(number, (identity.clone(), ending.clone()));
        // The news may have come since the check.
        if self.check(&identity) == Err(Reason::TokenRevoked) {
            ending.notify_one();
        }
        Watch { revocations: self.clone(), number }
    }

    /// Ends what is revoked.
    fn end_revoked(&self) {
        for entry in &self.watched {
            let (identity, ending) = entry.value();
            if self.check(identity) == Err(Reason::TokenRevoked) {
                ending.notify_one();
            }
        }
    }

    /// Returns the number of revocations, and how old the knowledge is, in seconds.
    pub(super) fn status(&self) -> (u64, u64) {
        let age = now() - self.current_at.load(Relaxed);
        (self.live.len() as u64, u64::try_from(age).unwrap_or(0))
    }
}

/// A watched identity.
pub(super) struct Watch {
    revocations: Arc<Revocations>,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.revocations.watched.remove(&self.number);
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64)
}

/// Returns what a token can be revoked by: itself, and the names that it claims. Nobody verifies it here, and a forged
/// token can only be refused for its claims.
pub(super) fn identity_of(token: &str) -> Identity {
    let claims = Compact::parse(token.as_bytes()).and_then(|compact| compact.unverified_claims());
    match claims {
        Ok(claims) => Names::of(token.as_bytes(), &claims).identity(),
        Err(_) => Names { token: token.as_bytes(), ..Names::default() }.identity(),
    }
}

/// Returns what the request of a viewer can be revoked by, if it has a bearer token.
pub(super) fn identity_of_viewer(headers: &HeaderMap) -> Option<Identity> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    values.find_map(|value| value.to_str().ok().and_then(bearer_token)).map(identity_of)
}
