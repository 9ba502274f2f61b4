//! The websocket tunnel: access to a service behind a firewall through a server that the service's client connects to.

pub mod client;
mod driver;
mod end;
mod link;
pub mod log;
mod readahead;
mod relay;
pub mod server;
mod shared;
mod stream;
pub mod wire;

pub use client::Client;
pub use end::{CloseReason, SessionEnd};
pub use stream::{Broken, MuxStream};
