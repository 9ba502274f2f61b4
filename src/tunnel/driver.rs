//! The task of one session: messages in, frames out, timers.
//!
//! It reads as long as there is something to read, whether or not it can write, and never waits for anybody who
//! uses a stream. Frames that are due leave together: the WebSocket library collects them and one flush sends them.

use super::{
    end::{CloseReason, SessionEnd},
    readahead::ReadAhead,
    shared::{Shared, Transport},
};
use crate::mux::{Beat, Keepalive, Role, Violation};
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

/// Messages read before others get their turn.
const READ_BATCH: usize = 64;
/// Frames are collected up to this size before they are written.
const WRITE_BATCH: usize = 128 << 10;
/// How often in a keepalive interval a peer that has to wait gets a pong: some look for one in each interval of theirs.
const ALIVE_PART: u32 = 4;
/// How long a close frame of ours waits for its answer.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

type Ws = WebSocketStream<ReadAhead<Box<dyn Transport>>>;

fn ws_config(message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2 << 10)
        .write_buffer_size(WRITE_BATCH)
        // Never reached: a blocked write stops the collecting of frames first.
        .max_write_buffer_size(WRITE_BATCH + 2 * message_bytes)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
}

/// Runs a session to its end, and leaves the reason with the handles.
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
    /// When a stream was last seen, for the idle limit.
    busy_until: Instant,
    unflushed: bool,
    wake: Vec<Waker>,
    /// When the ping left that is unanswered.
    pinged_at: Option<Instant>,
    /// The number of the last ping, which its answer carries as well (RFC 6455 §5.5.3). Other pongs are signs of life.
    pings: u64,
    /// When a peer that has to wait was last told that we live.
    alive_at: Instant,
    /// What the timer is set to, so that it is touched only when that changes.
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
            busy_until: now,
            unflushed: false,
            wake: Vec::new(),
            pinged_at: None,
            pings: 0,
            alive_at: now,
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

    /// Obeys what the peer has sent.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SessionEnd> {
        let mut end = None;
        let mut go_away = None;
        let mut full = self.shared.lock().session.is_full();
        for n in 0.. {
            if full {
                self.keep_waiting(cx);
                break;
            }
            if n == READ_BATCH {
                // Others get their turn, ours comes again.
                cx.waker().wake_by_ref();
                break;
            }
            let Poll::Ready(next) = Pin::new(&mut self.ws).poll_next(cx) else { break };
            self.keepalive.heard();
            let outcome = match next {
                Some(Ok(Message::Binary(message))) => {
                    let mut inner = self.shared.lock();
                    let outcome = inner.session.receive(message);
                    inner.take_wakeups(&mut go_away, &mut self.wake);
                    full = inner.session.is_full();
                    outcome.map_err(SessionEnd::Violation)
                }
                Some(Ok(Message::Text(_))) => Err(SessionEnd::Violation(Violation::NotBinary)),
                Some(Ok(Message::Close(frame))) => Err(closed_by_peer(frame)),
                Some(Ok(Message::Pong(payload))) => {
                    if payload[..] == self.pings.to_be_bytes()
                        && let Some(at) = self.pinged_at.take()
                    {
                        self.shared.lock().session.on_round_trip(at.elapsed());
                    }
                    Ok(())
                }
                Some(Ok(_)) => {
                    // A ping's answer is queued by the library; the flush below sends it.
                    self.unflushed = true;
                    Ok(())
                }
                Some(Err(WsError::Capacity(CapacityError::MessageTooLong { .. }))) => {
                    Err(SessionEnd::Violation(Violation::MessageTooBig))
                }
                Some(Err(error)) => Err(SessionEnd::Lost(error.to_string())),
                None => Err(SessionEnd::Lost("connection closed".into())),
            };
            if let Err(why) = outcome {
                end = Some(why);
                break;
            }
        }
        self.wake_all();
        if go_away.is_some() {
            self.shared.peer_go_away.send_replace(go_away);
        }
        end.map_or(Poll::Pending, Poll::Ready)
    }

    /// Lets the peer wait until somebody reads. Its pings wait as well, and ours for their answers: neither side may take
    /// the other for dead. One that is dead all the same is found out within minutes: who holds the session full reads, or
    /// is cut by `Session::on_interval`, and then what arrives decides again.
    fn keep_waiting(&mut self, cx: &mut Context<'_>) {
        self.keepalive.heard();
        let now = Instant::now();
        if now < self.alive_at + self.keepalive.interval() / ALIVE_PART {
            return;
        }
        // A connection that takes nothing wakes us when it does, and the next part of the interval has its own pong.
        self.alive_at = now;
        if Pin::new(&mut self.ws).poll_ready(cx).is_ready() {
            _ = Pin::new(&mut self.ws).start_send(Message::Pong(Bytes::new()));
            self.unflushed = true;
        }
    }

    /// Sends what is due, as far as the connection takes it.
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

    /// Pings, lingering streams, the idle limit and the end of a drain.
    fn poll_timers(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<SessionEnd> {
        loop {
            let now = Instant::now();
            match self.keepalive.beat(now) {
                Beat::Dead => return Poll::Ready(SessionEnd::Violation(Violation::KeepaliveTimeout)),
                Beat::Ping => {
                    self.begin_interval(cx);
                    // A peer whose connection is stuck cannot be pinged; it is dead by the next beat.
                    if Pin::new(&mut self.ws).poll_ready(cx).is_ready() {
                        self.pings += 1;
                        let payload = Bytes::copy_from_slice(&self.pings.to_be_bytes());
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

    fn begin_interval(&mut self, cx: &mut Context<'_>) {
        let mut inner = self.shared.lock();
        let was_full = inner.session.is_full();
        inner.session.on_interval();
        if was_full && !inner.session.is_full() {
            // What had to wait is read now.
            cx.waker().wake_by_ref();
        }
        inner.take_wakeups(&mut None, &mut self.wake);
        drop(inner);
        self.wake_all();
    }

    /// Runs what is due in the session, and tells when the next timer is.
    fn check_session(&mut self, now: Instant) -> Result<Instant, CloseReason> {
        let mut inner = self.shared.lock();
        inner.session.on_time(now);
        let mut next = self.keepalive.deadline();
        next = next.min(inner.session.deadline().unwrap_or(next));
        if inner.session.is_full() {
            next =
                next.min((self.alive_at + self.keepalive.interval() / ALIVE_PART).max(now + Duration::from_millis(1)));
        }
        if let Some((reason, deadline)) = inner.plan.drain {
            if now >= deadline || inner.drained().is_some() {
                return Err(reason);
            }
            next = next.min(deadline).min(inner.plan.move_until.filter(|until| *until > now).unwrap_or(deadline));
        }
        if let Some(limit) = self.idle {
            if inner.session.stream_count() > 0 {
                self.busy_until = now;
            }
            if now >= self.busy_until + limit {
                return Err(CloseReason::Idle);
            }
            next = next.min(self.busy_until + limit);
        }
        Ok(next)
    }

    /// Ends the session for everybody, then says goodbye to the peer if it is worth it.
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
            _ = tokio::time::timeout(CLOSE_WAIT, self.say_goodbye(code, reason)).await;
        }
    }

    /// Sends a close frame and waits for the peer to hang up; a peer of the original kind never answers. What it
    /// still sends is thrown away unread: bytes that lie unread when a socket closes would make the kernel reset the
    /// connection, and the peer might never see the reason.
    async fn say_goodbye(&mut self, code: u16, reason: String) {
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

    /// A driver and the bare connection to it, which holds little.
    async fn driver() -> (Driver, DuplexStream) {
        let limits = Limits { session_bytes: 1000, window: 2000, streams: 2, ..Limits::default() };
        let config = Config { role: Role::Server, dialect: Dialect::Original, peer_window: None, limits };
        let (io, peer) = tokio::io::duplex(1024);
        (Driver::new(Box::new(io), Bytes::new(), Arc::new(Shared::new(config))).await, peer)
    }

    /// Lets the driver do what there is to do.
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
    async fn a_session_that_can_neither_read_nor_write_sleeps() {
        let (mut driver, _peer) = driver().await;
        fill(&driver);
        driver.ws.start_send_unpin(Message::binary(vec![0; 2 * WRITE_BATCH])).unwrap();
        let part = driver.keepalive.interval() / ALIVE_PART;
        let now = Instant::now();
        driver.alive_at = now - part;
        poll(&mut driver).await;
        assert!(driver.armed >= now + part, "{:?}", driver.armed - now);
    }

    #[tokio::test]
    async fn a_pong_is_an_answer_when_it_carries_what_the_ping_did() {
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
