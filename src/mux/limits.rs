//! What a session may cost. Every number that a peer could drive up has its bound here.

use std::time::Duration;

/// The window of a stream before its reader has shown that it needs more, as a multiple of the initial window.
const FIRST: u32 = 4;

/// Bounds of one session. The defaults are the ones that the documentation's sizing table was measured with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams at one time, ours and the peer's together. Default 1,000.
    pub streams: usize,
    /// Streams of the peer that wait to be accepted. Default 200.
    pub queued_opens: usize,
    /// Unwanted streams refused per keepalive interval before the session ends. Default 100.
    pub refused_opens: u32,
    /// Answers to the peer's frames (refusals) that wait to be sent, beside an end of our own for each stream. Default
    /// 1,024.
    pub replies: usize,
    /// Bytes of one message, header included. Default 4 MiB + 64 KiB: a peer of the original may put a full
    /// window into one.
    pub message_bytes: usize,
    /// Bytes of payload in a DAT of ours. Default 64 KiB between extended peers; peers of the original get at most
    /// half of that.
    pub data_bytes: usize,
    /// Received and unread bytes of one stream, and credit for more: the window that a stream may grow to. Default
    /// 4 MiB, used only as far as a reader lags.
    pub window: u32,
    /// Received and unread bytes of the whole session, and credit for more; as it comes near, streams get less credit.
    /// Default 64 MiB.
    pub session_bytes: usize,
    /// Bytes that a writer may queue on one stream before it has to wait. Default 256 KiB; no more than a frame while the
    /// peer gives no credit.
    pub send_queue: usize,
    /// Time between pings, and to answer one. Default 20 s.
    pub keepalive: Duration,
    /// How long input of an abandoned stream is still credited. Default 30 s.
    pub linger: Duration,
    /// A session without any stream for this long ends. Default none: idle tunnels are the normal case.
    pub idle: Option<Duration>,
}

impl Limits {
    /// The window that every stream starts with and keeps, whatever others do: half of the session's bytes, spread over
    /// all streams that there may be, as a power of two. 32 KiB by default.
    pub fn initial_window(&self) -> u32 {
        let part = (self.session_bytes / 2 / self.streams.max(1)).clamp(1, self.window.max(1) as usize);
        1 << part.ilog2()
    }

    /// The window that a stream starts with, as far as the session has it.
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
