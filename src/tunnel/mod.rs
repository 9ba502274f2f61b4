//! The websocket tunnel: a service behind a firewall, reached through a server that it dialled itself.

mod driver;
mod link;
mod readahead;
mod stream;

pub use link::{End, Farewell};
pub use stream::{Broken, MuxStream};
