//! The registry of connected clients.

use super::upstream::Pool;
use crate::tunnel::link::Link;
use dashmap::{DashMap, mapref::entry::Entry};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A connected client.
pub(super) struct Tunnel {
    pub link: Link,
    pub pool: Pool,
    /// The expiry of its token, in seconds since the epoch.
    pub expires: i64,
    /// The sequence number of its registration.
    sequence: u64,
}

impl Tunnel {
    /// Returns a client with an empty pool.
    pub fn new(link: Link, expires: i64, sequence: u64) -> Arc<Self> {
        Arc::new(Self { pool: Pool::new(link.clone()), link, expires, sequence })
    }
}

/// A map from IDs to clients. The newest registration of an ID wins, in the order in which the requests arrived.
#[derive(Default)]
pub(super) struct Registry {
    tunnels: DashMap<Box<str>, Arc<Tunnel>>,
    sequence: AtomicU64,
}

impl Registry {
    /// Returns the next sequence number.
    pub fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Relaxed)
    }

    pub fn len(&self) -> usize {
        self.tunnels.len()
    }

    pub fn get(&self, id: &str) -> Option<Arc<Tunnel>> {
        self.tunnels.get(id).map(|entry| entry.value().clone())
    }

    /// Inserts a client. Returns the client that must end: the previous one, or this one if a newer one is registered.
    pub fn insert(&self, id: &str, tunnel: Arc<Tunnel>) -> Option<Arc<Tunnel>> {
        match self.tunnels.entry(id.into()) {
            Entry::Occupied(entry) if entry.get().sequence > tunnel.sequence => Some(tunnel),
            Entry::Occupied(mut entry) => Some(entry.insert(tunnel)),
            Entry::Vacant(entry) => {
                entry.insert(tunnel);
                None
            }
        }
    }

    /// Removes a client, unless another has replaced it.
    pub fn remove(&self, id: &str, tunnel: &Arc<Tunnel>) {
        self.tunnels.remove_if(id, |_, current| Arc::ptr_eq(current, tunnel));
    }

    /// Calls `visit` for each client.
    pub fn for_each(&self, mut visit: impl FnMut(&str, &Arc<Tunnel>)) {
        for entry in &self.tunnels {
            visit(entry.key(), entry.value());
        }
    }
}
