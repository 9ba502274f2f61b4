//! What a session may cost. Every number that a peer could drive up has its bound here.

use std::time::Duration;

/// Bounds of one session. The defaults are the ones that the documentation's sizing table was measured with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams at one time, ours and the peer's together. Default 1,000.
    pub streams: usize,
    /// Streams of the peer that wait to be accepted. Default 200.
    pub queued_opens: usize,
    /// Unwanted streams refused per keepalive interval before the session ends. Default 100.
    pub refused_opens: u32,
    /// Answers (refusals, resets) that wait to be sent. Default 1,024.
    pub replies: usize,
    /// Bytes of one message, header included. Default 4 MiB + 64 KiB: a peer of the original may put a full
    /// window into one.
    pub message_bytes: usize,
    /// Bytes of payload in a DAT of ours. Default 64 KiB between extended peers; peers of the original get at most
    /// half of that.
    pub data_bytes: usize,
    /// Received and unread bytes of one stream: the window. Default 4 MiB, used only as far as a reader lags.
    pub window: u32,
    /// Received and unread bytes of the whole session; beyond, the stream that holds most of them fails.
    /// Default 64 MiB.
    pub session_bytes: usize,
    /// Bytes that a writer may queue on one stream before it has to wait. Default 256 KiB.
    pub send_queue: usize,
    /// Time between pings, and to answer one. Default 20 s.
    pub keepalive: Duration,
    /// How long input of an abandoned stream is still credited. Default 30 s.
    pub linger: Duration,
    /// A session without any stream for this long ends. Default none: idle tunnels are the normal case.
    pub idle: Option<Duration>,
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
