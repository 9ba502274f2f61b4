//! Two sessions against each other, and one against a peer that keeps no rule.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

const WINDOW: u32 = 600;

fn small_limits() -> Limits {
    Limits {
        streams: 12,
        queued_opens: 12,
        window: WINDOW,
        session_bytes: 12 * WINDOW as usize,
        send_queue: 500,
        data_bytes: 128,
        ..Limits::default()
    }
}

fn session(role: Role, dialect: Dialect) -> Session {
    Session::new(Config { role, dialect, peer_window: Some(WINDOW), limits: small_limits() })
}

/// A direction of one stream as its user sees it: bytes are a counter, so that loss and reordering show.
#[derive(Default)]
struct Flow {
    written: u64,
    read: u64,
    finished: bool,
    ended: bool,
}

struct Pair {
    ends: [Session; 2],
    wires: [VecDeque<Bytes>; 2],
    /// By stream and by the end that sends.
    flows: BTreeMap<(StreamId, usize), Flow>,
    released: std::collections::BTreeSet<StreamId>,
    open: Vec<StreamId>,
    now: Instant,
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Write(usize, usize, usize),
    Read(usize, usize, usize),
    Finish(usize, usize),
    Release(usize),
    Send(usize, usize),
    Deliver(usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
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

impl Pair {
    fn new(dialect: Dialect) -> Self {
        Self {
            ends: [session(Role::Server, dialect), session(Role::Client, dialect)],
            wires: Default::default(),
            flows: BTreeMap::new(),
            released: Default::default(),
            open: Vec::new(),
            now: Instant::now(),
        }
    }

    fn pick(&self, n: usize) -> Option<StreamId> {
        (!self.open.is_empty()).then(|| self.open[n % self.open.len()])
    }

    fn step(&mut self, step: &Step) {
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

    fn write(&mut self, end: usize, id: StreamId, len: usize) {
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

    fn read(&mut self, end: usize, id: StreamId, max: usize) -> bool {
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
                assert!(flow.finished, "stream {id} ended at {end} and nobody finished it");
                assert_eq!(flow.read, flow.written, "stream {id} to {end} ended early");
                flow.ended = true;
                false
            }
            // Before the offer has arrived the acceptor has no such stream.
            ReadOutcome::Failed(_) => {
                assert!(end == 1 && flow.read == 0, "stream {id} failed at {end}");
                false
            }
            ReadOutcome::Pending => false,
        }
    }

    fn send(&mut self, end: usize, n: usize) -> bool {
        let mut any = false;
        for _ in 0..n {
            let Some(frame) = self.ends[end].poll_transmit() else {
                break;
            };
            if let Frame::Data(_, data) = &frame {
                assert!(!data.is_empty(), "an empty DAT makes a peer of the original kind invent bytes");
            }
            self.wires[end].push_back(frame.encode());
            any = true;
        }
        any
    }

    fn deliver(&mut self, end: usize, n: usize) -> bool {
        let mut any = false;
        for _ in 0..n {
            let Some(message) = self.wires[1 - end].pop_front() else {
                break;
            };
            self.ends[end].receive(message).expect("two honest ends break no rule");
            any = true;
        }
        while let Some(notice) = self.ends[end].poll_notice() {
            if let Notice::Incoming(id) = notice {
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

    /// Lets both ends run, finishes every stream, and expects that all of it comes to its end.
    fn settle(&mut self) {
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
}

fn run(dialect: Dialect, steps: &[Step]) {
    let mut pair = Pair::new(dialect);
    for step in steps {
        pair.step(step);
        for end in &pair.ends {
            assert!(end.buffered_bytes() <= small_limits().session_bytes);
            assert!(end.stream_count() <= small_limits().streams);
        }
    }
    pair.settle();
    for id in pair.open.clone() {
        if pair.released.contains(&id) || pair.ends[0].failure(id).is_some() {
            continue;
        }
        for end in 0..2 {
            let flow = &pair.flows[&(id, end)];
            assert!(flow.ended, "stream {id} from {end} never ended: {} of {} read", flow.read, flow.written);
        }
        pair.released.insert(id);
        for end in &mut pair.ends {
            end.release(id, ResetReason::Abandoned, pair.now);
        }
    }
    pair.settle();
    for (n, end) in pair.ends.iter_mut().enumerate() {
        end.on_time(pair.now + Duration::from_secs(31));
        assert_eq!(end.held_count(), 0, "end {n} holds streams that both let go of");
        assert_eq!(end.stream_count(), 0, "end {n} keeps streams that are over");
        assert_eq!(end.buffered_bytes(), 0, "end {n} keeps bytes that nobody will read");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_extended_ends_delivers_everything(steps in proptest::collection::vec(any_step(), 0..200)) {
        run(Dialect::Extended, &steps);
    }

    #[test]
    fn any_interleaving_of_original_ends_delivers_everything(steps in proptest::collection::vec(any_step(), 0..200)) {
        run(Dialect::Original, &steps);
    }

    #[test]
    fn any_bytes_end_in_obedience_or_a_violation(
        server in any::<bool>(), extended in any::<bool>(),
        messages in proptest::collection::vec((0u8..7, 0u32..20, proptest::collection::vec(any::<u8>(), 0..200)), 0..200),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let mut end = session(role, if extended { Dialect::Extended } else { Dialect::Original });
        let now = Instant::now();
        for (n, (kind, id, payload)) in messages.into_iter().enumerate() {
            if n % 5 == 0 { _ = end.open(); }
            if n % 7 == 0 { end.release(id, ResetReason::Broken, now); }
            let mut message = vec![kind];
            message.extend_from_slice(&id.to_le_bytes());
            message.extend_from_slice(&payload);
            if end.receive(message.into()).is_err() {
                end.close();
                break;
            }
            while let Some(notice) = end.poll_notice() {
                if let Notice::Incoming(id) = notice && id % 2 == 0 { end.accept(id); }
            }
            if n % 3 == 0 { while end.poll_transmit().is_some() {} }
            prop_assert!(end.buffered_bytes() <= small_limits().session_bytes);
            prop_assert!(end.stream_count() <= small_limits().streams);
            end.on_time(now + Duration::from_secs(n as u64));
        }
    }
}

fn connected(dialect: Dialect) -> (Pair, StreamId) {
    let mut pair = Pair::new(dialect);
    pair.step(&Step::Open);
    pair.settle_wires();
    let id = pair.open[0];
    (pair, id)
}

impl Pair {
    fn settle_wires(&mut self) {
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

#[test]
fn an_extended_peer_that_overruns_its_window_loses_the_session() {
    let (mut pair, id) = connected(Dialect::Extended);
    let flood = Frame::Data(id, vec![0; WINDOW as usize + 1].into());
    assert_eq!(pair.ends[0].receive(flood.encode()), Err(Violation::WindowOverrun));
}

#[test]
fn an_original_peer_that_overruns_loses_the_stream_for_good_and_only_that() {
    let (mut pair, id) = connected(Dialect::Original);
    pair.ends[0].receive(Frame::Data(id, vec![0; WINDOW as usize + 1].into()).encode()).unwrap();
    pair.ends[0].receive(Frame::Data(id, Bytes::from_static(b"after the gap")).encode()).unwrap();
    assert_eq!(pair.ends[0].read(id, 100), ReadOutcome::Failed(ResetReason::Limit));
    assert_eq!(pair.ends[0].buffered_bytes(), 0);
    assert!(pair.ends[0].open().is_ok());
}

#[test]
fn a_client_that_floods_opens_is_refused_and_then_dropped() {
    let mut server = session(Role::Server, Dialect::Original);
    let refused = server.limits().refused_opens;
    for n in 0..refused {
        server.receive(Frame::Open(2 * n + 1).encode()).unwrap();
        assert_eq!(server.poll_transmit(), Some(Frame::Fin(2 * n + 1)));
    }
    assert_eq!(server.receive(Frame::Open(9999).encode()), Err(Violation::TooManyOpens));
    server.on_interval();
    assert_eq!(server.receive(Frame::Open(9999).encode()), Ok(()));
}

#[test]
fn a_server_that_floods_opens_meets_the_queue_limit_and_gets_answers() {
    let mut client = session(Role::Client, Dialect::Original);
    for n in 0..13 {
        client.receive(Frame::Open(2 * n).encode()).unwrap();
    }
    assert_eq!(client.stream_count(), client.limits().queued_opens);
    assert_eq!(client.poll_transmit(), Some(Frame::Credit(24, WINDOW)));
    assert_eq!(client.poll_transmit(), Some(Frame::Fin(24)));
}

#[test]
fn answers_that_the_peer_does_not_let_us_send_are_bounded() {
    let mut client = session(Role::Client, Dialect::Extended);
    let outcome = (0..10_000).find_map(|n| client.receive(Frame::Open(2 * n).encode()).err());
    assert_eq!(outcome, Some(Violation::ReplyQueueFull));
}

#[test]
fn nothing_precedes_the_first_ack_of_an_original_peer() {
    let mut server = session(Role::Server, Dialect::Original);
    let id = server.open().unwrap();
    assert_eq!(server.write(id, Bytes::from_static(b"GET")), WriteOutcome::Taken);
    server.finish(id);
    assert_eq!(server.poll_transmit(), Some(Frame::Open(id)));
    assert_eq!(server.poll_transmit(), None);
    server.receive(Frame::Credit(id, 2).encode()).unwrap();
    assert_eq!(server.poll_transmit(), Some(Frame::Credit(id, WINDOW - 2)));
    assert_eq!(server.poll_transmit(), Some(Frame::Data(id, Bytes::from_static(b"GE"))));
    assert_eq!(server.poll_transmit(), None);
    server.receive(Frame::Credit(id, 2).encode()).unwrap();
    assert_eq!(server.poll_transmit(), Some(Frame::Data(id, Bytes::from_static(b"T"))));
    assert_eq!(server.poll_transmit(), Some(Frame::Fin(id)));
}

#[test]
fn early_data_of_extended_peers_counts_against_the_window() {
    let mut server = session(Role::Server, Dialect::Extended);
    let id = server.open().unwrap();
    server.write(id, vec![7; 100].into());
    assert_eq!(server.poll_transmit(), Some(Frame::Open(id)));
    assert!(matches!(server.poll_transmit(), Some(Frame::Data(..))));
    server.receive(Frame::Credit(id, WINDOW).encode()).unwrap();
    server.write(id, vec![7; WINDOW as usize].into());
    let mut sent = 100;
    while let Some(Frame::Data(_, data)) = server.poll_transmit() {
        sent += data.len();
    }
    assert_eq!(sent, WINDOW as usize);
}

#[test]
fn a_peer_with_a_small_window_is_told_at_once_that_it_may_send_more() {
    let mut server = session(Role::Server, Dialect::Original);
    let id = server.open().unwrap();
    server.poll_transmit();
    server.receive(Frame::Credit(id, 64).encode()).unwrap();
    assert_eq!(server.poll_transmit(), Some(Frame::Credit(id, WINDOW - 64)));
    server.receive(Frame::Data(id, vec![1; WINDOW as usize].into()).encode()).unwrap();
    assert!(matches!(server.read(id, WINDOW as usize / 4), ReadOutcome::Data(_)));
    assert_eq!(server.poll_transmit(), Some(Frame::Credit(id, WINDOW / 4)));
}

#[test]
fn an_abandoned_stream_of_an_original_peer_is_finished_drained_and_credited() {
    let (mut pair, id) = connected(Dialect::Original);
    pair.ends[0].receive(Frame::Data(id, vec![0; 500].into()).encode()).unwrap();
    pair.ends[0].release(id, ResetReason::Abandoned, pair.now);
    assert_eq!(pair.ends[0].buffered_bytes(), 0);
    assert_eq!(pair.ends[0].poll_transmit(), Some(Frame::Credit(id, 500)));
    assert_eq!(pair.ends[0].poll_transmit(), Some(Frame::Fin(id)));
    pair.ends[0].receive(Frame::Data(id, vec![0; 300].into()).encode()).unwrap();
    assert_eq!(pair.ends[0].poll_transmit(), Some(Frame::Credit(id, 300)));
    pair.ends[0].receive(Frame::Fin(id).encode()).unwrap();
    assert_eq!(pair.ends[0].stream_count(), 0);
}

#[test]
fn a_stream_given_up_while_opening_is_finished_when_the_answer_comes_or_time_is_over() {
    for answered in [true, false] {
        let mut server = session(Role::Server, Dialect::Original);
        let now = Instant::now();
        let id = server.open().unwrap();
        server.poll_transmit();
        server.release(id, ResetReason::Abandoned, now);
        assert_eq!(server.poll_transmit(), None);
        if answered {
            server.receive(Frame::Credit(id, 100).encode()).unwrap();
        } else {
            server.on_time(now + server.limits().linger);
            assert_eq!(server.stream_count(), 0);
        }
        assert_eq!(server.poll_transmit(), Some(Frame::Fin(id)));
    }
}

#[test]
fn a_reset_fails_both_directions_at_once() {
    let (mut pair, id) = connected(Dialect::Extended);
    pair.ends[1].write(id, Bytes::from_static(b"half of an answ"));
    pair.settle_wires();
    pair.ends[1].release(id, ResetReason::Broken, pair.now);
    pair.settle_wires();
    assert_eq!(pair.ends[0].read(id, 100), ReadOutcome::Failed(ResetReason::Broken));
    assert_eq!(pair.ends[0].write(id, Bytes::from_static(b"x")), WriteOutcome::Failed(ResetReason::Broken));
    assert_eq!(pair.ends[0].buffered_bytes(), 0);
    pair.ends[0].release(id, ResetReason::Abandoned, pair.now);
    assert_eq!((pair.ends[0].stream_count(), pair.ends[1].stream_count()), (0, 0));
}

#[test]
fn the_end_of_a_session_is_a_failure_and_never_a_clean_end() {
    let (mut pair, id) = connected(Dialect::Original);
    pair.ends[1].write(id, Bytes::from_static(b"all I got"));
    pair.settle_wires();
    pair.ends[0].close();
    assert_eq!(pair.ends[0].read(id, 100), ReadOutcome::Data(Bytes::from_static(b"all I got")));
    assert_eq!(pair.ends[0].read(id, 100), ReadOutcome::Failed(ResetReason::Broken));
    assert_eq!(pair.ends[0].open(), Err(OpenError::Closed));
}

#[test]
fn one_streams_backlog_delays_another_by_one_frame() {
    let (mut pair, busy) = connected(Dialect::Extended);
    pair.ends[0].write(busy, vec![0; 500].into());
    pair.step(&Step::Open);
    let other = pair.open[1];
    pair.ends[0].write(other, Bytes::from_static(b"quick"));
    let order: Vec<StreamId> = std::iter::from_fn(|| pair.ends[0].poll_transmit())
        .map(|frame| match frame {
            Frame::Data(id, _) | Frame::Open(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order[..4], [busy, other, busy, other]);
}

#[test]
fn the_stream_that_hoards_most_pays_for_a_full_session() {
    let limits = Limits { session_bytes: 1000, ..small_limits() };
    let config = Config { role: Role::Server, dialect: Dialect::Extended, peer_window: Some(WINDOW), limits };
    let mut server = Session::new(config);
    let (hoarder, modest) = (server.open().unwrap(), server.open().unwrap());
    server.receive(Frame::Data(hoarder, vec![0; 600].into()).encode()).unwrap();
    server.receive(Frame::Data(modest, vec![0; 500].into()).encode()).unwrap();
    assert_eq!(server.read(hoarder, 1), ReadOutcome::Failed(ResetReason::Limit));
    assert!(matches!(server.read(modest, 1), ReadOutcome::Data(_)));
}

#[test]
fn a_peer_that_says_it_is_gone_gets_no_more_streams() {
    let (mut pair, _) = connected(Dialect::Extended);
    assert!(pair.ends[1].go_away(GoneReason::Draining));
    pair.settle_wires();
    assert_eq!(pair.ends[0].peer_gone(), Some(GoneReason::Draining));
    assert_eq!(pair.ends[0].open(), Err(OpenError::Closed));
    assert!(!session(Role::Server, Dialect::Original).go_away(GoneReason::Draining));
}
