//! The code of both fuzz targets. tests/mux_fuzz.rs runs it too, with random inputs and the seeds, on the stable
//! toolchain.

use bytes::Bytes;
use route_native::mux::{
    Config, Cut, Dialect, Frame, GoAwayReason, Limits, Notice, ResetReason, Role, Session, StreamId,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The window of both sides, in bytes.
const WINDOW: u32 = 512;

/// Checks that any bytes decode to a frame or a violation, and that an original frame has one encoding.
pub fn decode(message: &[u8]) {
    for dialect in [Dialect::Original, Dialect::Extended] {
        if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(message), dialect) {
            let encoded = frame.encode();
            assert_eq!(Frame::decode(encoded.clone(), dialect), Ok(frame));
            if message[0] < 4 {
                assert_eq!(&encoded[..], message);
            }
        }
    }
}

/// Checks a session with an arbitrary peer and an arbitrary user: it never panics, stays within its limits, sends no
/// more than its credit, and is empty after all streams are released.
///
/// The first byte selects the role and the dialect. Each step is a byte and its arguments. The end of the input reads
/// as zeros.
pub fn session(input: &[u8]) {
    let mut input = Input(input);
    let mut run = Run::new(input.byte());
    while !input.0.is_empty() {
        run.step(&mut input);
        run.check();
    }
    run.end();
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes.to_vec()
    }
}

struct Run {
    session: Session,
    limits: Limits,
    extended: bool,
    server: bool,
    now: Instant,
    /// True after the loss of the transport.
    closed: bool,
    /// The bytes that we may still send on each stream of the user.
    allowed: BTreeMap<StreamId, u64>,
}

impl Run {
    fn new(kind: u8) -> Self {
        let (server, extended) = (kind & 1 == 1, kind & 2 == 2);
        let limits = Limits {
            streams: 8,
            queued_opens: 4,
            replies: 32,
            window: WINDOW,
            session_bytes: 1024,
            send_queue: 256,
            data_bytes: 64,
            message_bytes: 4096,
            ..Limits::default()
        };
        let session = Session::new(Config {
            role: if server { Role::Server } else { Role::Client },
            dialect: if extended { Dialect::Extended } else { Dialect::Original },
            peer_window: Some(WINDOW),
            limits: limits.clone(),
        });
        Self { session, limits, extended, server, now: Instant::now(), closed: false, allowed: BTreeMap::new() }
    }

    fn step(&mut self, input: &mut Input) {
        let step = input.byte() % 17;
        match step {
            0..=5 => self.receive_frame(step, input),
            6 => {
                let len = usize::from(input.byte());
                self.receive(input.bytes(len));
            }
            7 => self.open(),
            8 => _ = self.session.accept(id(input)),
            9 => _ = self.session.read(id(input), usize::from(input.byte()) * 4 + 1),
            10 => _ = self.session.write(id(input), vec![0; input.byte().into()].into()),
            11 => self.session.finish(id(input)),
            12 => self.session.release(id(input), ResetReason::Abandoned, self.now),
            13 => (0..input.byte()).for_each(|_| self.transmit()),
            14 => {
                self.now += Duration::from_secs(input.byte().into());
                self.session.on_time(self.now);
                self.session.on_interval();
            }
            15 => _ = self.session.go_away(GoAwayReason::Draining),
            _ => self.close(),
        }
        while let Some(notice) = self.session.poll_notice() {
            if let Notice::Cut(_, Cut::Unread) = notice {
                assert!(!self.extended, "credit must keep an extended peer within the limit");
            }
            if let Notice::Incoming(id) = notice {
                assert!(!self.server, "a server was offered a stream");
                self.allowed.insert(id, WINDOW.into());
            }
        }
    }

    fn receive_frame(&mut self, kind: u8, input: &mut Input) {
        let id = id(input);
        let argument = input.byte();
        let mut message = vec![kind];
        message.extend_from_slice(&id.to_le_bytes());
        match kind {
            // Up to 1,020 bytes, more than a window.
            0 => message.resize(5 + usize::from(argument) * 4, 7),
            2 => {
                let n = if argument == 255 { u32::MAX } else { u32::from(argument) * 4 };
                message.extend_from_slice(&n.to_le_bytes());
            }
            4 | 5 => message.push(argument),
            _ => {}
        }
        self.receive(message);
    }

    fn receive(&mut self, message: Vec<u8>) {
        if self.closed || self.session.is_full() {
            return;
        }
        let dialect = self.session.dialect();
        if let Ok(Frame::Credit(id, n)) = Frame::decode(message.clone().into(), dialect)
            && let Some(allowed) = self.allowed.get_mut(&id)
        {
            *allowed += u64::from(n);
        }
        if self.session.receive(message.into()).is_err() {
            self.close();
        }
    }

    fn open(&mut self) {
        if let Ok(id) = self.session.open() {
            assert!(!self.closed, "a stream was opened on a closed session");
            self.allowed.insert(id, if self.extended { WINDOW.into() } else { 0 });
        }
    }

    fn transmit(&mut self) {
        if let Some(Frame::Data(id, data)) = self.session.poll_transmit() {
            assert!(!data.is_empty(), "an original peer would read bytes from an empty DAT");
            assert!(data.len() <= self.limits.data_bytes);
            let allowed = self.allowed.get_mut(&id).expect("data only on streams that exist");
            *allowed = allowed.checked_sub(data.len() as u64).expect("the peer's window was overrun");
        }
    }

    fn close(&mut self) {
        self.session.close();
        self.closed = true;
        assert!(!self.session.has_output(), "a frame is due on a closed session");
    }

    fn check(&self) {
        assert!(self.session.stream_count() <= self.limits.streams);
        // An original peer sets its own first credit and may exceed the limit by one message.
        let limit = self.limits.session_bytes;
        let room = if self.extended { limit } else { limit + self.limits.message_bytes };
        assert!(self.session.buffered_bytes() <= room);
        assert!(!self.extended || self.session.promised_bytes() <= limit);
        assert!(self.session.held_count() <= self.session.stream_count());
    }

    /// Closes the session, then releases all streams.
    fn end(&mut self) {
        self.close();
        for id in self.allowed.keys() {
            self.session.release(*id, ResetReason::Broken, self.now);
        }
        assert_eq!(self.session.stream_count(), 0, "streams are left");
        assert_eq!(self.session.buffered_bytes(), 0, "unread bytes are left");
    }
}

/// Reads one of 16 stream numbers, so that steps use the same streams.
fn id(input: &mut Input) -> StreamId {
    (input.byte() % 16).into()
}
