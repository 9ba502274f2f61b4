//! The driver: the task that connects a session to its WebSocket and runs its timers.
//!
//! The driver reads whether or not it can write, and never waits for the user of a stream. The WebSocket library
//! buffers the frames that are due, and one flush sends them together.

use super::{
    end::{CloseReason, SessionEnd},
    readahead::ReadAhead,
    shared::{Shared, Transport},
};
use crate::mux::{Beat, GoAwayReason, Keepalive, Role, Violation};
use bytes::Bytes;
use futures_util::{Sink, Stream};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Sleep,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        error::CapacityError,
        protocol::{CloseFrame, Role as WsRole, WebSocketConfig},
    },
};

/// The number of messages that are read before other tasks run.
const READ_BATCH: usize = 64;
/// The number of bytes that are buffered before they are written.
const WRITE_BATCH: usize = 128 << 10;
/// The number of bytes that may wait in the kernel. The session decides about the order of all other bytes, so that a
/// small response is not behind the megabytes of a download on a slow uplink.
const UNSENT: u32 = 128 << 10;
/// The number of unsolicited pongs per keepalive interval while reading is paused. Some peers require a pong per
/// interval.
const PONGS_PER_INTERVAL: u32 = 4;
/// The time limit for the close handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits the bytes of a tunnel's connection that the kernel has taken and not sent.
pub(super) fn limit_unsent(socket: &TcpStream) {
    // Without the option, the tunnel works as before.
    _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT);
}

type Ws = WebSocketStream<ReadAhead<Box<dyn Transport>>>;

fn ws_config(message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2 << 10)
        .write_buffer_size(WRITE_BATCH)
        // Never reached: the driver stops buffering when a write blocks.
        .max_write_buffer_size(WRITE_BATCH + 2 * message_bytes)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
}

/// Runs a session to its end and publishes the reason.
pub(super) async fn run(io: Box<dyn Transport>, early: Bytes, shared: Arc<Shared>) {
    let mut driver = Driver::new(io, early, shared).await;
    let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
    let end = poll_fn(|cx| driver.poll(cx, sleep.as_mut())).await;
    driver.finish(end).await;
}

struct Driver {
    ws: Ws,
    shared: Arc<Shared>,
    keepalive: Keepalive,
    idle: Option<Duration>,
    /// When the session last had a stream, for the idle limit.
    last_busy: Instant,
    unflushed: bool,
    wake: Vec<Waker>,
    /// When the unanswered ping was sent.
    pinged_at: Option<Instant>,
    /// The number of the last ping, which its pong repeats (RFC 6455 §5.5.3). Other pongs only prove that the peer is
    /// alive.
    ping_number: u64,
    /// When the last unsolicited pong was sent.
    last_pong: Instant,
    /// The deadline of the timer. The timer is reset only if the deadline changes.
    armed: Instant,
}

impl Driver {
    async fn new(io: Box<dyn Transport>, early: Bytes, shared: Arc<Shared>) -> Self {
        let (role, limits) = {
            let inner = shared.lock();
            (inner.session.role(), inner.session.limits().clone())
        };
        let ws_role = if role == Role::Server { WsRole::Server } else { WsRole::Client };
        let config = Some(ws_config(limits.message_bytes));
        let ws = WebSocketStream::from_raw_socket(ReadAhead::new(io, early), ws_role, config).await;
        let now = Instant::now();
        Self {
            ws,
            shared,
            keepalive: Keepalive::new(limits.keepalive, now),
            idle: limits.idle,
            last_busy: now,
            unflushed: false,
            wake: Vec::new(),
            pinged_at: None,
            ping_number: 0,
            last_pong: now,
            armed: now,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<SessionEnd> {
        self.shared.driver.register(cx.waker());
        if let Poll::Ready(end) = self.poll_read(cx) {
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = self.poll_timers(cx, sleep.as_mut()) {
            return Poll::Ready(end);
        }
        self.poll_write(cx)
    }

    /// Reads and processes the peer's messages.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SessionEnd> {
        let mut end = None;
        let mut go_away = None;
        let mut full = self.shared.lock().session.is_full();
        for n in 0.. {
            if full {
                self.pause_reading(cx);
                break;
            }
            if n == READ_BATCH {
                // Yields to other tasks.
                cx.waker().wake_by_ref();
                break;
            }
            let Poll::Ready(next) = Pin::new(&mut self.ws).poll_next(cx) else { break };
            self.keepalive.on_receive();
            match self.process(next, &mut go_away) {
                Ok(is_full) => full = is_full,
                Err(reason) => {
                    end = Some(reason);
                    break;
                }
            }
        }
        self.wake_all();
        if go_away.is_some() {
            self.shared.peer_go_away.send_replace(go_away);
        }
        end.map_or(Poll::Pending, Poll::Ready)
    }

    /// Processes one message, or the end of the connection. Returns true if the session is full.
    fn process(
        &mut self,
        message: Option<Result<Message, WsError>>,
        go_away: &mut Option<GoAwayReason>,
    ) -> Result<bool, SessionEnd> {
        match message {
            Some(Ok(Message::Binary(message))) => {
                let mut inner = self.shared.lock();
                let outcome = inner.session.receive(message);
                inner.take_wakeups(go_away, &mut self.wake);
                let is_full = inner.session.is_full();
                return outcome.map(|()| is_full).map_err(SessionEnd::Violation);
            }
            Some(Ok(Message::Text(_))) => return Err(SessionEnd::Violation(Violation::NotBinary)),
            Some(Ok(Message::Close(frame))) => return Err(closed_by_peer(frame)),
            Some(Ok(Message::Pong(payload))) => {
                if payload[..] == self.ping_number.to_be_bytes()
                    && let Some(at) = self.pinged_at.take()
                {
                    self.shared.lock().session.on_round_trip(at.elapsed());
                }
            }
            // The library has queued the pong. The next flush sends it.
            Some(Ok(_)) => self.unflushed = true,
            Some(Err(WsError::Capacity(CapacityError::MessageTooLong { .. }))) => {
                return Err(SessionEnd::Violation(Violation::MessageTooBig));
            }
            Some(Err(error)) => return Err(SessionEnd::Lost(error.to_string())),
            None => return Err(SessionEnd::Lost("connection closed".into())),
        }
        Ok(false)
    }

    /// Pauses reading while the session is full. Pings and pongs of the peer are not read either, so the driver assumes
    /// that the peer is alive, and sends pongs so that the peer assumes the same. A dead peer is detected within
    /// minutes, because `Session::on_interval` cuts streams with stalled readers, and reading resumes.
    fn pause_reading(&mut self, cx: &mut Context<'_>) {
        self.keepalive.on_receive();
        let now = Instant::now();
        if now < self.last_pong + self.keepalive.interval() / PONGS_PER_INTERVAL {
            return;
        }
        // A blocked connection skips this pong. The next one is due in the next part of the interval.
        self.last_pong = now;
        if Pin::new(&mut self.ws).poll_ready(cx).is_ready() {
            _ = Pin::new(&mut self.ws).start_send(Message::Pong(Bytes::new()));
            self.unflushed = true;
        }
    }

    /// Sends the frames that are due until the connection blocks.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<SessionEnd> {
        let mut drained = None;
        loop {
            match Pin::new(&mut self.ws).poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(SessionEnd::Lost(error.to_string())),
                Poll::Ready(Ok(())) => {}
            }
            let frame = {
                let mut inner = self.shared.lock();
                let frame = inner.session.poll_transmit();
                inner.take_wakeups(&mut None, &mut self.wake);
                drained = inner.drained();
                frame
            };
            let Some(frame) = frame else { break };
            self.unflushed = true;
            if let Err(error) = Pin::new(&mut self.ws).start_send(Message::Binary(frame.encode())) {
                return Poll::Ready(SessionEnd::Lost(error.to_string()));
            }
        }
        self.wake_all();
        if self.unflushed {
            match Pin::new(&mut self.ws).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(SessionEnd::Lost(error.to_string())),
            }
        }
        drained.map_or(Poll::Pending, |reason| Poll::Ready(SessionEnd::Ours(reason)))
    }

    fn wake_all(&mut self) {
        for waker in self.wake.drain(..) {
            waker.wake();
        }
    }

    /// Handles pings, lingering streams, the idle limit and the deadline of a drain.
    fn poll_timers(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<SessionEnd> {
        loop {
            let now = Instant::now();
            match self.keepalive.beat(now) {
                Beat::Dead => return Poll::Ready(SessionEnd::Violation(Violation::KeepaliveTimeout)),
                Beat::Ping => {
                    self.begin_interval(cx);
                    // A blocked connection cannot send a ping. The peer is dead at the next beat.
                    if Pin::new(&mut self.ws).poll_ready(cx).is_ready() {
                        self.ping_number += 1;
                        let payload = Bytes::copy_from_slice(&self.ping_number.to_be_bytes());
                        _ = Pin::new(&mut self.ws).start_send(Message::Ping(payload));
                        self.pinged_at = Some(now);
                        self.unflushed = true;
                    }
                }
                Beat::Wait => {}
            }
            let next = match self.check_session(now) {
                Ok(next) => next,
                Err(reason) => return Poll::Ready(SessionEnd::Ours(reason)),
            };
            if next != self.armed {
                self.armed = next;
                sleep.as_mut().reset(next.into());
            }
            if next > now && sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Starts a keepalive interval of the session.
    fn begin_interval(&mut self, cx: &mut Context<'_>) {
        let mut inner = self.shared.lock();
        let was_full = inner.session.is_full();
        inner.session.on_interval();
        if was_full && !inner.session.is_full() {
            // Resumes reading.
            cx.waker().wake_by_ref();
        }
        inner.take_wakeups(&mut None, &mut self.wake);
        drop(inner);
        self.wake_all();
    }

    /// Runs the session's timers. Returns the next deadline, or the reason to end the session.
    fn check_session(&mut self, now: Instant) -> Result<Instant, CloseReason> {
        let mut inner = self.shared.lock();
        inner.session.on_time(now);
        let mut next = self.keepalive.deadline();
        next = next.min(inner.session.deadline().unwrap_or(next));
        if inner.session.is_full() {
            next = next.min(
                (self.last_pong + self.keepalive.interval() / PONGS_PER_INTERVAL).max(now + Duration::from_millis(1)),
            );
        }
        if let Some((reason, deadline)) = inner.plan.drain {
            if now >= deadline || inner.drained().is_some() {
                return Err(reason);
            }
            next = next.min(deadline).min(inner.plan.move_until.filter(|until| *until > now).unwrap_or(deadline));
        }
        if let Some(limit) = self.idle {
            if inner.session.stream_count() > 0 {
                self.last_busy = now;
            }
            if now >= self.last_busy + limit {
                return Err(CloseReason::Idle);
            }
            next = next.min(self.last_busy + limit);
        }
        Ok(next)
    }

    /// Ends the session for all users, and sends the peer a close frame if it would read one.
    async fn finish(mut self, end: SessionEnd) {
        {
            let mut inner = self.shared.lock();
            inner.session.close();
            inner.end = Some(end.clone());
            inner.take_wakeups(&mut None, &mut self.wake);
            self.wake.extend(inner.wakers.drain().flat_map(|(_, stream)| [stream.read, stream.write]).flatten());
            self.wake.extend(inner.take_session_wakers());
        }
        self.wake_all();
        let frame = match &end {
            SessionEnd::Violation(violation) if violation.is_worth_telling() => {
                Some((violation.close_code(), violation.to_string()))
            }
            SessionEnd::Ours(reason) => Some((reason.close_frame().0, reason.to_string())),
            SessionEnd::Closed { .. } => Some((1000, String::new())),
            _ => None,
        };
        self.shared.ended.send_replace(Some(end));
        if let Some((code, reason)) = frame {
            _ = tokio::time::timeout(CLOSE_TIMEOUT, self.close_websocket(code, reason)).await;
        }
    }

    /// Sends a close frame and waits until the peer closes the connection. Discards what the peer still sends: if a
    /// socket is closed with unread bytes, the kernel resets the connection, and the peer may not receive the close
    /// frame. A peer of the original dialect sends no close frame in return.
    async fn close_websocket(&mut self, code: u16, reason: String) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        if self.ws.close(Some(frame)).await.is_err() {
            return;
        }
        let mut scratch = vec![0; 16 << 10];
        let io = self.ws.get_mut();
        _ = io.shutdown().await;
        while matches!(io.read(&mut scratch).await, Ok(1..)) {}
    }
}

fn closed_by_peer(frame: Option<CloseFrame>) -> SessionEnd {
    match frame {
        Some(frame) => SessionEnd::Closed { code: frame.code.into(), reason: frame.reason.to_string() },
        None => SessionEnd::Closed { code: 1005, reason: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::{Config, Dialect, Frame, Limits};
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::DuplexStream;

    /// Returns a driver and the other end of its connection, whose buffer is small.
    async fn driver() -> (Driver, DuplexStream) {
        let limits = Limits { session_bytes: 1000, window: 2000, streams: 2, ..Limits::default() };
        let config = Config { role: Role::Server, dialect: Dialect::Original, peer_window: None, limits };
        let (io, peer) = tokio::io::duplex(1024);
        (Driver::new(Box::new(io), Bytes::new(), Arc::new(Shared::new(config))).await, peer)
    }

    /// Polls the driver once.
    async fn poll(driver: &mut Driver) {
        let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        let outcome = poll_fn(|cx| Poll::Ready(driver.poll(cx, sleep.as_mut()))).await;
        assert!(outcome.is_pending(), "{outcome:?}");
    }

    fn fill(driver: &Driver) {
        let session = &mut driver.shared.lock().session;
        let id = session.open().unwrap();
        session.receive(Frame::Credit(id, 2000).encode()).unwrap();
        session.receive(Frame::Data(id, vec![0; 1001].into()).encode()).unwrap();
        assert!(session.is_full());
    }

    #[tokio::test]
    async fn a_full_session_with_a_blocked_connection_sleeps() {
        let (mut driver, _peer) = driver().await;
        fill(&driver);
        driver.ws.start_send_unpin(Message::binary(vec![0; 2 * WRITE_BATCH])).unwrap();
        let part = driver.keepalive.interval() / PONGS_PER_INTERVAL;
        let now = Instant::now();
        driver.last_pong = now - part;
        poll(&mut driver).await;
        assert!(driver.armed >= now + part, "{:?}", driver.armed - now);
    }

    #[tokio::test]
    async fn only_a_pong_with_the_pings_payload_answers_it() {
        let (mut driver, peer) = driver().await;
        let mut peer = WebSocketStream::from_raw_socket(peer, WsRole::Client, None).await;
        poll(&mut driver).await;
        let Some(Ok(Message::Ping(payload))) = peer.next().await else { panic!("no ping") };
        let longer = Bytes::from([&payload[..], b"x"].concat());
        for other in [Bytes::new(), Bytes::from_static(b"unasked"), longer] {
            peer.send(Message::Pong(other)).await.unwrap();
            poll(&mut driver).await;
            assert!(driver.pinged_at.is_some());
        }
        peer.send(Message::Pong(payload)).await.unwrap();
        poll(&mut driver).await;
        assert!(driver.pinged_at.is_none());
    }
}
