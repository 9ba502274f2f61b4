//! The websocket tunnel: a service behind a firewall, reached through a server that it dialled itself.

pub mod client;
mod driver;
mod link;
pub mod log;
mod readahead;
mod relay;
pub mod server;
mod stream;
pub mod wire;

pub use client::Client;
pub use link::{End, Farewell};
pub use stream::{Broken, MuxStream};
