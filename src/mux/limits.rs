//! The limits of a session. Everything that a peer can make grow has its limit here.

use std::time::Duration;

/// The first window of a stream, as a multiple of its initial window.
const FIRST: u32 = 4;

/// The limits of one session. The sizing table of the documentation was measured with the defaults.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The number of concurrent streams, ours and the peer's together. Default 1,000.
    pub streams: usize,
    /// The number of the peer's streams that are not accepted yet. Default 200.
    pub queued_opens: usize,
    /// The number of streams refused in a keepalive interval before the session ends. Default 100.
    pub refused_opens: u32,
    /// The number of queued replies to the peer's frames, in addition to one end for each stream. Default 1,024.
    pub replies: usize,
    /// The size of one message with its header, in bytes. Default 4 MiB + 64 KiB, because a peer of the original
    /// dialect may send a whole window in one.
    pub message_bytes: usize,
    /// The size of the payload of a DAT that we send, in bytes. Default 64 KiB. Peers of the original dialect get at
    /// most half of it.
    pub data_bytes: usize,
    /// The largest window of a stream: its unread bytes and its credit together. Default 4 MiB, allocated only while a
    /// reader is slower than its sender.
    pub window: u32,
    /// The unread bytes and the credit of all streams together. Streams get less credit as the session approaches it.
    /// Default 64 MiB.
    pub session_bytes: usize,
    /// The size of a stream's send queue, in bytes. Default 256 KiB. It holds at most one frame while the peer gives no
    /// credit.
    pub send_queue: usize,
    /// The ping interval and the pong timeout. Default 20 s.
    pub keepalive: Duration,
    /// How long an abandoned stream still gives credit to its sender. Default 30 s.
    pub linger: Duration,
    /// How long a session may have no stream before it ends. Default: unlimited, because most tunnels are idle.
    pub idle: Option<Duration>,
}

impl Limits {
    /// Returns the window that every stream has from the start and never loses. It is half of the session's bytes
    /// divided by the maximum number of streams, rounded down to a power of two. 32 KiB by default.
    pub fn initial_window(&self) -> u32 {
        let part = (self.session_bytes / 2 / self.streams.max(1)).clamp(1, self.window.max(1) as usize);
        1 << part.ilog2()
    }

    /// Returns the window of a new stream, which it gets as far as the session has free memory.
    pub(super) fn first_window(&self) -> u32 {
        self.initial_window().saturating_mul(FIRST).min(self.window)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 1000,
            queued_opens: 200,
            refused_opens: 100,
            replies: 1024,
            message_bytes: (4 << 20) + (64 << 10),
            data_bytes: 64 << 10,
            window: 4 << 20,
            session_bytes: 64 << 20,
            send_queue: 256 << 10,
            keepalive: Duration::from_secs(20),
            linger: Duration::from_secs(30),
            idle: None,
        }
    }
}
