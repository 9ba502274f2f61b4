//! Which clients are connected.

use super::upstream::Pool;
use crate::tunnel::link::Link;
use dashmap::{DashMap, mapref::entry::Entry};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A client that is connected.
pub(super) struct Tunnel {
    pub link: Link,
    pub pool: Pool,
    /// When its token expires, in seconds of the epoch.
    pub expires: i64,
    /// Its place in the order of registrations.
    turn: u64,
}

impl Tunnel {
    pub fn new(link: Link, expires: i64, turn: u64) -> Arc<Self> {
        Arc::new(Self { pool: Pool::new(link.clone()), link, expires, turn })
    }
}

/// The table of clients. The newest registration of an ID wins, in the order in which the requests came.
#[derive(Default)]
pub(super) struct Registry {
    tunnels: DashMap<Box<str>, Arc<Tunnel>>,
    turns: AtomicU64,
}

impl Registry {
    /// Draws a place in the order of registrations.
    pub fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Relaxed)
    }

    pub fn len(&self) -> usize {
        self.tunnels.len()
    }

    pub fn get(&self, id: &str) -> Option<Arc<Tunnel>> {
        self.tunnels.get(id).map(|entry| entry.value().clone())
    }

    /// Puts a client in its place. Returns the one that has to go: its predecessor, or itself when it comes late.
    pub fn insert(&self, id: &str, tunnel: Arc<Tunnel>) -> Option<Arc<Tunnel>> {
        match self.tunnels.entry(id.into()) {
            Entry::Occupied(entry) if entry.get().turn > tunnel.turn => Some(tunnel),
            Entry::Occupied(mut entry) => Some(entry.insert(tunnel)),
            Entry::Vacant(entry) => {
                entry.insert(tunnel);
                None
            }
        }
    }

    /// Takes a client out, unless another has its place by now.
    pub fn remove(&self, id: &str, tunnel: &Arc<Tunnel>) {
        self.tunnels.remove_if(id, |_, current| Arc::ptr_eq(current, tunnel));
    }

    /// All of them, for the janitor and for the end.
    pub fn for_each(&self, mut visit: impl FnMut(&str, &Arc<Tunnel>)) {
        for entry in &self.tunnels {
            visit(entry.key(), entry.value());
        }
    }
}
