//! The memory of a session with slow readers: credit is withheld, the limit holds, and no stream is cut.

use super::*;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Returns a pair with as many open streams as the limit allows.
fn pair_with_all_streams(dialect: Dialect, client: Limits) -> Pair {
    let mut pair = Pair::with(dialect, [small_limits(), client]);
    for _ in 0..small_limits().streams {
        pair.step(&Step::Open);
    }
    pair.settle_wires();
    pair
}

/// Writes at the client and transmits until no stream accepts more.
fn flood(pair: &mut Pair, ids: &[StreamId]) {
    let written = |pair: &Pair| pair.flows.values().map(|flow| flow.written).sum::<u64>();
    loop {
        let before = written(pair);
        for id in ids {
            pair.write(1, *id, 100);
        }
        pair.settle_wires();
        if written(pair) == before {
            return;
        }
    }
}

#[test]
fn unread_streams_do_not_stop_another_stream() {
    for dialect in [Dialect::Extended, Dialect::Original] {
        let mut pair = pair_with_all_streams(dialect, small_limits());
        let (unread, read) = pair.open.split_at(11);
        let (unread, read) = (unread.to_vec(), read[0]);
        flood(&mut pair, &unread);
        pair.check();
        let delivered = |pair: &Pair| pair.flows.get(&(read, 1)).map_or(0, |flow| flow.read);
        for _ in 0..100 {
            let before = delivered(&pair);
            flood(&mut pair, &[read]);
            while pair.read(0, read, 1000) {}
            assert!(delivered(&pair) >= before + u64::from(INITIAL) / 2, "{dialect:?}: {} bytes", delivered(&pair));
            pair.check();
        }
        for id in unread {
            assert_eq!(pair.ends[0].failure(id), None);
        }
    }
}

#[test]
fn a_stream_whose_reader_stops_keeps_a_part_of_the_free_pool() {
    let mut pair = Pair::new(Dialect::Extended);
    let mut held = Vec::new();
    for n in 0..small_limits().streams {
        pair.step(&Step::Open);
        pair.settle_wires();
        let id = pair.open[n];
        for _ in 0..100 {
            flood(&mut pair, &[id]);
            while pair.read(0, id, 1000) {}
        }
        // The reader has kept up until now, and stops.
        let before = pair.ends[0].buffered_bytes();
        flood(&mut pair, &[id]);
        held.push(pair.ends[0].buffered_bytes() - before);
        pair.check();
    }
    assert!(held.is_sorted_by(|more, less| more >= less), "{held:?}");
    let initial = INITIAL as usize;
    assert!(held[0] >= 4 * initial && *held.last().unwrap() > initial, "{held:?}");
}

#[test]
fn a_stream_with_more_than_its_part_returns_memory_as_it_is_read() {
    let (mut pair, first) = connected(Dialect::Extended);
    let take = |pair: &mut Pair, id| {
        let before = pair.ends[0].buffered_bytes();
        while pair.read(0, id, 1000) {}
        before - pair.ends[0].buffered_bytes()
    };
    // A single stream grows as far as it can.
    for _ in 0..100 {
        flood(&mut pair, &[first]);
        while pair.read(0, first, 1000) {}
    }
    flood(&mut pair, &[first]);
    let alone = take(&mut pair, first);
    // Then all streams are busy, and their readers keep up.
    for _ in 1..small_limits().streams {
        pair.step(&Step::Open);
    }
    let ids = pair.open.clone();
    for _ in 0..100 {
        for id in &ids {
            flood(&mut pair, &[*id]);
            while pair.read(0, *id, 1000) {}
        }
    }
    flood(&mut pair, &ids);
    let among_others: Vec<usize> = ids.iter().map(|id| take(&mut pair, *id)).collect();
    pair.check();
    assert!(among_others[0] < alone, "{} of {alone}", among_others[0]);
    // The budget may withhold a quarter of the credit at any time.
    let (least, largest) = (among_others.iter().min().unwrap(), among_others.iter().max().unwrap());
    assert!(3 * largest <= 5 * least, "{among_others:?}");
}

#[test]
fn a_window_grows_to_its_full_size_in_a_few_round_trips() {
    let limits = Limits::default;
    let mut pair = Pair::with(Dialect::Extended, [limits(), limits()]);
    pair.step(&Step::Open);
    pair.settle_wires();
    let id = pair.open[0];
    // The sender uses all credit at once, and the reader reads everything one round trip later.
    let mut flights = Vec::new();
    while flights.last().is_none_or(|flight| *flight < limits().window as usize * 3 / 4) {
        let mut flight = 0;
        loop {
            while pair.ends[1].write(id, vec![0; 64 << 10].into()) == WriteOutcome::Taken {}
            let Some(frame) = pair.ends[1].poll_transmit() else { break };
            if let Frame::Data(_, data) = &frame {
                flight += data.len();
            }
            pair.ends[0].receive(frame.encode()).unwrap();
            while let ReadOutcome::Data(_) = pair.ends[0].read(id, 64 << 10) {}
            pair.send_all(0);
        }
        pair.deliver_all(0);
        flights.push(flight);
        assert!(flights.len() < 20, "{flights:?}");
    }
    // The window grows at least as fast as in TCP's slow start.
    assert_eq!(flights[0], 4 * limits().initial_window() as usize);
    assert!(flights.windows(2).all(|pair| pair[1] >= 2 * pair[0] || pair[1] >= 3 << 20), "{flights:?}");
    assert!(flights.len() <= 4, "{flights:?}");
}

#[test]
fn a_window_grows_with_a_fast_reader_and_shrinks_with_a_slow_one() {
    let limits = Limits::default();
    let first = 4 * limits.initial_window() as usize;
    let mut server = Session::new(Config { role: Role::Server, dialect: Dialect::Extended, peer_window: None, limits });
    let id = server.open().unwrap();
    server.receive(Frame::Credit(id, 1).encode()).unwrap();
    let mut now = Instant::now();
    let mut read = |server: &mut Session, bytes: usize, per_kib: Duration| {
        for _ in 0..bytes >> 10 {
            while server.poll_transmit().is_some() {}
            server.receive(Frame::Data(id, vec![0; 1 << 10].into()).encode()).unwrap();
            now += per_kib;
            server.on_time(now);
            assert!(matches!(server.read(id, 1 << 10), ReadOutcome::Data(_)));
        }
    };
    // 100 MB/s, then 100 KB/s.
    read(&mut server, 4 << 20, Duration::from_micros(10));
    assert!(server.promised_bytes() > 1 << 20, "{}", server.promised_bytes());
    read(&mut server, 8 << 20, Duration::from_millis(10));
    assert!(server.promised_bytes() <= first, "{}", server.promised_bytes());
}

/// Returns a pair whose server is full: each stream of an original client has sent a whole window.
fn full_session() -> Pair {
    let mut pair = pair_with_all_streams(Dialect::Original, whole_windows());
    let ids = pair.open.clone();
    flood(&mut pair, &ids);
    assert!(pair.ends[0].is_full());
    pair.check();
    pair
}

#[test]
fn a_client_of_the_original_waits_while_readers_are_slow_and_nobody_is_cut() {
    let mut pair = full_session();
    for round in 0..200 {
        for id in pair.open.clone() {
            pair.read(0, id, 20);
        }
        if round % 10 == 0 {
            pair.ends[0].on_interval();
        }
        let ids = pair.open.clone();
        flood(&mut pair, &ids);
        pair.check();
    }
    pair.settle();
    assert_eq!(pair.cuts, []);
}

#[test]
fn a_full_session_cuts_only_streams_that_nobody_reads_for_a_whole_interval() {
    let mut pair = full_session();
    let read = pair.open[3];
    pair.ends[0].on_interval();
    pair.read(0, read, 20);
    pair.ends[0].on_interval();
    pair.settle_wires();
    assert!(!pair.cuts.is_empty());
    assert!(pair.cuts.iter().all(|(end, id, cut)| (*end, *cut) == (0, Cut::Unread) && *id != read), "{:?}", pair.cuts);
    // Only as many streams are cut as necessary.
    for (_, id, _) in &pair.cuts {
        assert_eq!(pair.ends[0].read(*id, 1), ReadOutcome::Failed(ResetReason::Limit));
    }
    assert!(pair.cuts.len() < pair.open.len() - 1);
    assert!(matches!(pair.ends[0].read(read, 1), ReadOutcome::Data(_)));
    // Other stalled streams are cut as soon as the session is full again.
    while pair.ends[0].is_full() {
        pair.settle_wires();
    }
    assert!(matches!(pair.ends[0].read(read, 10), ReadOutcome::Data(_)));
}

#[test]
fn a_full_session_cuts_streams_whose_readers_take_single_bytes() {
    let mut pair = full_session();
    for _ in 0..2 {
        for id in pair.open.clone() {
            assert!(pair.read(0, id, 1));
        }
        pair.ends[0].on_interval();
    }
    assert!(!pair.ends[0].is_full());
    pair.settle_wires();
    assert!(!pair.cuts.is_empty());
    assert!(pair.cuts.iter().all(|(end, _, cut)| (*end, *cut) == (0, Cut::Unread)), "{:?}", pair.cuts);
    // Only as many streams are cut as necessary.
    assert!(pair.cuts.len() < pair.open.len(), "{:?}", pair.cuts);
}

#[test]
fn a_reader_that_resumes_is_not_cut() {
    let mut pair = full_session();
    let ids = pair.open.clone();
    pair.ends[0].on_interval();
    // All readers read enough in the second interval. One also reads in the third, after the others have stopped.
    ids.iter().for_each(|id| assert!(pair.read(0, *id, 20)));
    for _ in 0..2 {
        pair.ends[0].on_interval();
    }
    assert!(pair.read(0, ids[0], 20));
    flood(&mut pair, &ids);
    pair.ends[0].on_interval();
    pair.settle_wires();
    assert!(!pair.cuts.is_empty() && pair.cuts.iter().all(|(_, id, _)| *id != ids[0]), "{:?}", pair.cuts);
}

/// Returns the number of intervals for which a session stays full after its client has died. The readers take `bytes`
/// in every interval, or in each second one if `every` is 2.
fn intervals_of_a_full_session(bytes: usize, every: usize) -> usize {
    let limits = Limits::default();
    let window = limits.window;
    let filled = limits.session_bytes / window as usize;
    let mut server = Session::new(Config { role: Role::Server, dialect: Dialect::Original, peer_window: None, limits });
    for n in 0..=filled {
        assert!(!server.is_full(), "after {n}");
        let id = server.open().unwrap();
        server.receive(Frame::Credit(id, window).encode()).unwrap();
        server.receive(Frame::Data(id, vec![0; window as usize].into()).encode()).unwrap();
    }
    assert!(server.is_full());
    (1..=100)
        .find(|interval| {
            let reads = interval % every == 0;
            let ids = (0..=filled as u32).map(|n| 2 * n).filter(|_| reads);
            ids.for_each(|id| _ = server.read(id, bytes));
            server.on_interval();
            !server.is_full()
        })
        .unwrap_or(usize::MAX)
}

#[test]
fn a_full_session_of_a_dead_client_has_room_after_ten_intervals() {
    // The last of these readers are just fast enough not to stall.
    for bytes in [1, 1 << 10, 32 << 10, 64 << 10, 70_000, 71_000] {
        for every in [1, 2] {
            let intervals = intervals_of_a_full_session(bytes, every);
            assert!(intervals <= 10, "{intervals} with {bytes} bytes in one of {every}");
        }
    }
}

#[test]
fn a_full_session_with_slow_readers_cuts_no_stream_twice() {
    let mut pair = full_session();
    let (unread, slow) = (pair.open[0], pair.open[1..].to_vec());
    // All readers but one take a little in every interval, and the client refills what becomes free.
    for _ in 0..20 {
        slow.iter().for_each(|id| assert!(pair.read(0, *id, 10)));
        flood(&mut pair, &slow);
        pair.ends[0].on_interval();
    }
    assert!(pair.ends[0].is_full());
    assert_eq!(pair.cuts, [(0, unread, Cut::Unread)]);
}

#[test]
fn a_session_that_is_not_full_cuts_no_unread_stream() {
    for dialect in [Dialect::Extended, Dialect::Original] {
        let mut pair = pair_with_all_streams(dialect, small_limits());
        let ids = pair.open.clone();
        flood(&mut pair, &ids);
        for _ in 0..100 {
            pair.ends[0].on_interval();
        }
        pair.settle_wires();
        pair.check();
    }
}

#[test]
fn the_first_credit_of_an_original_peer_is_at_most_a_window() {
    let mut server = session(Role::Server, Dialect::Original);
    let id = server.open().unwrap();
    server.poll_transmit();
    server.receive(Frame::Credit(id, u32::MAX).encode()).unwrap();
    server.receive(Frame::Data(id, vec![0; WINDOW as usize].into()).encode()).unwrap();
    assert_eq!(server.failure(id), None);
    server.receive(Frame::Data(id, Bytes::from_static(b"x")).encode()).unwrap();
    assert_eq!(server.failure(id), Some(ResetReason::Limit));
}

#[test]
fn a_reset_for_a_limit_of_the_peer_gives_a_cut_notice() {
    let (mut pair, id) = connected(Dialect::Extended);
    pair.ends[0].receive(Frame::Reset(id, ResetReason::Limit).encode()).unwrap();
    let cut = std::iter::from_fn(|| pair.ends[0].poll_notice()).find(|notice| matches!(notice, Notice::Cut(..)));
    assert_eq!(cut, Some(Notice::Cut(id, Cut::ByPeer)));
}

#[test]
fn a_stream_refused_for_a_limit_gives_a_cut_notice() {
    let mut client = session(Role::Client, Dialect::Extended);
    for n in 0..13 {
        client.receive(Frame::Open(2 * n).encode()).unwrap();
    }
    let cuts: Vec<Notice> =
        std::iter::from_fn(|| client.poll_notice()).filter(|notice| matches!(notice, Notice::Cut(..))).collect();
    assert_eq!(cuts, [Notice::Cut(24, Cut::TooMany)]);
}
