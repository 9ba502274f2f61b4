//! Two honest ends, the wires between them, and their users.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

/// One direction of a stream, as its users see it. The bytes are a counter, which detects loss and reordering.
#[derive(Default)]
pub struct Flow {
    pub written: u64,
    pub read: u64,
    pub finished: bool,
    pub ended: bool,
}

/// A server (0) and a client (1).
pub struct Pair {
    pub ends: [Session; 2],
    wires: [VecDeque<Bytes>; 2],
    /// The flows, by stream and sending end.
    pub flows: BTreeMap<(StreamId, usize), Flow>,
    pub released: BTreeSet<StreamId>,
    pub open: Vec<StreamId>,
    /// The streams that limits ended, with the end that reported it.
    pub cuts: Vec<(usize, StreamId, Cut)>,
    pub now: Instant,
}

/// An operation of a user or a wire.
#[derive(Clone, Debug)]
pub enum Step {
    Open,
    Write(usize, usize, usize),
    Read(usize, usize, usize),
    Finish(usize, usize),
    Release(usize),
    Send(usize, usize),
    Deliver(usize, usize),
}

pub fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Open),
        4 => (0usize..2, 0usize..8, 1usize..400).prop_map(|(end, s, n)| Step::Write(end, s, n)),
        4 => (0usize..2, 0usize..8, 1usize..400).prop_map(|(end, s, n)| Step::Read(end, s, n)),
        1 => (0usize..2, 0usize..8).prop_map(|(end, s)| Step::Finish(end, s)),
        1 => (0usize..8).prop_map(Step::Release),
        5 => (0usize..2, 1usize..8).prop_map(|(end, n)| Step::Send(end, n)),
        5 => (0usize..2, 1usize..8).prop_map(|(end, n)| Step::Deliver(end, n)),
    ]
}

/// Returns steps with many writes and few reads, so that unread bytes accumulate.
pub fn any_step_of_a_slow_reader() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..2, 0usize..8, 100usize..400).prop_map(|(end, s, n)| Step::Write(end, s, n)),
        1 => (0usize..2, 0usize..8, 1usize..200).prop_map(|(end, s, n)| Step::Read(end, s, n)),
        3 => (0usize..2, 1usize..20).prop_map(|(end, n)| Step::Send(end, n)),
        3 => (0usize..2, 1usize..20).prop_map(|(end, n)| Step::Deliver(end, n)),
    ]
}

impl Pair {
    pub fn new(dialect: Dialect) -> Self {
        Self::with(dialect, [small_limits(), small_limits()])
    }

    /// Returns a server and a client with these limits. A client of the original dialect uses its own window as its
    /// first credit. Extended peers use the window that the other announces.
    pub fn with(dialect: Dialect, limits: [Limits; 2]) -> Self {
        let [server, client] = [limits[0].initial_window(), limits[1].initial_window()];
        let first_credit = if dialect == Dialect::Extended { server } else { client };
        let [of_server, of_client] = limits;
        let end =
            |role, peer_window, limits| Session::new(Config { role, dialect, peer_window: Some(peer_window), limits });
        Self {
            ends: [end(Role::Server, client, of_server), end(Role::Client, first_credit, of_client)],
            wires: Default::default(),
            flows: BTreeMap::new(),
            released: Default::default(),
            open: Vec::new(),
            cuts: Vec::new(),
            now: Instant::now(),
        }
    }

    fn pick(&self, n: usize) -> Option<StreamId> {
        (!self.open.is_empty()).then(|| self.open[n % self.open.len()])
    }

    pub fn step(&mut self, step: &Step) {
        match *step {
            Step::Open => {
                if let Ok(id) = self.ends[0].open() {
                    self.open.push(id);
                }
            }
            Step::Write(end, n, len) => _ = self.pick(n).map(|id| self.write(end, id, len)),
            Step::Read(end, n, max) => _ = self.pick(n).map(|id| self.read(end, id, max)),
            Step::Finish(end, n) => {
                if let Some(id) = self.pick(n)
                    && !self.released.contains(&id)
                    && self.ends[end].state(id).may_write()
                {
                    self.ends[end].finish(id);
                    self.flows.entry((id, end)).or_default().finished = true;
                }
            }
            Step::Release(n) => {
                if let Some(id) = self.pick(n)
                    && self.released.insert(id)
                {
                    for end in &mut self.ends {
                        end.release(id, ResetReason::Abandoned, self.now);
                    }
                }
            }
            Step::Send(end, n) => _ = self.send(end, n),
            Step::Deliver(end, n) => _ = self.deliver(end, n),
        }
    }

    pub fn write(&mut self, end: usize, id: StreamId, len: usize) {
        if self.released.contains(&id) || !self.ends[end].state(id).may_write() {
            return;
        }
        let flow = self.flows.entry((id, end)).or_default();
        if flow.finished {
            return;
        }
        let data: Vec<u8> = (flow.written..flow.written + len as u64).map(|n| n as u8).collect();
        match self.ends[end].write(id, data.into()) {
            WriteOutcome::Taken => flow.written += len as u64,
            WriteOutcome::Pending => assert!(!self.ends[end].is_writable(id)),
            WriteOutcome::Failed(reason) => panic!("stream {id} failed at {end}: {reason:?}"),
        }
    }

    pub fn read(&mut self, end: usize, id: StreamId, max: usize) -> bool {
        if self.released.contains(&id)
            || (self.ends[end].state(id) == State::Closed && !self.flows.contains_key(&(id, 1 - end)))
        {
            return false;
        }
        let flow = self.flows.entry((id, 1 - end)).or_default();
        match self.ends[end].read(id, max) {
            ReadOutcome::Data(data) => {
                for byte in &data {
                    assert_eq!(*byte, flow.read as u8, "stream {id} to {end} lost or reordered bytes");
                    flow.read += 1;
                }
                true
            }
            ReadOutcome::End => {
                assert!(flow.finished, "stream {id} ended at {end} before its sender finished");
                assert_eq!(flow.read, flow.written, "stream {id} to {end} ended early");
                flow.ended = true;
                false
            }
            // The client does not know the stream before the SYN has arrived.
            ReadOutcome::Failed(_) => {
                assert!(end == 1 && flow.read == 0, "stream {id} failed at {end}");
                false
            }
            ReadOutcome::Pending => false,
        }
    }

    pub fn send(&mut self, end: usize, n: usize) -> bool {
        let mut any = false;
        for _ in 0..n {
            let Some(frame) = self.ends[end].poll_transmit() else {
                break;
            };
            if let Frame::Data(_, data) = &frame {
                assert!(!data.is_empty(), "an original peer would read bytes from an empty DAT");
            }
            self.wires[end].push_back(frame.encode());
            any = true;
        }
        any
    }

    pub fn deliver(&mut self, end: usize, n: usize) -> bool {
        let mut any = false;
        for _ in 0..n {
            if self.ends[end].is_full() {
                break;
            }
            let Some(message) = self.wires[1 - end].pop_front() else {
                break;
            };
            self.ends[end].receive(message).expect("two honest ends break no rule");
            any = true;
        }
        while let Some(notice) = self.ends[end].poll_notice() {
            if let Notice::Cut(id, cut) = notice {
                self.cuts.push((end, id, cut));
            } else if let Notice::Incoming(id) = notice {
                assert_eq!(end, 1);
                if self.released.contains(&id) {
                    self.ends[1].release(id, ResetReason::Abandoned, self.now);
                } else {
                    assert!(self.ends[1].accept(id));
                }
            }
        }
        any
    }

    /// Checks the invariants: no stream is cut, and the memory limit holds. For the original dialect, the limit holds
    /// for received bytes only, plus one message.
    pub fn check(&self) {
        assert_eq!(self.cuts, []);
        for end in &self.ends {
            let limits = end.limits();
            match end.dialect() {
                Dialect::Extended => assert!(end.promised_bytes() <= limits.session_bytes, "{}", end.promised_bytes()),
                Dialect::Original => assert!(end.buffered_bytes() <= limits.session_bytes + limits.data_bytes),
            }
            assert!(end.buffered_bytes() <= end.promised_bytes());
            assert!(end.stream_count() <= limits.streams);
        }
    }

    /// Finishes every stream and runs both ends until nothing changes.
    pub fn settle(&mut self) {
        for id in self.open.clone() {
            for end in 0..2 {
                if !self.released.contains(&id) && end == 0 {
                    self.ends[0].finish(id);
                    self.flows.entry((id, 0)).or_default().finished = true;
                }
            }
        }
        loop {
            let mut any = false;
            for end in 0..2 {
                any |= self.send(end, 1000);
                any |= self.deliver(end, 1000);
            }
            for id in self.open.clone() {
                for end in 0..2 {
                    any |= self.read(end, id, 10_000);
                }
                if !self.released.contains(&id) && self.ends[1].state(id).may_write() {
                    self.ends[1].finish(id);
                    self.flows.entry((id, 1)).or_default().finished = true;
                    any = true;
                }
            }
            if !any {
                break;
            }
        }
    }

    /// Sends all due frames of an end to its wire.
    pub fn send_all(&mut self, end: usize) {
        self.send(end, usize::MAX);
    }

    /// Delivers all frames on an end's wire.
    pub fn deliver_all(&mut self, end: usize) {
        self.deliver(1 - end, usize::MAX);
    }

    /// Sends and delivers frames until no frame is due.
    pub fn settle_wires(&mut self) {
        loop {
            let mut any = false;
            for end in 0..2 {
                any |= self.send(end, 1000);
                any |= self.deliver(1 - end, 1000);
            }
            if !any {
                break;
            }
        }
    }
}
