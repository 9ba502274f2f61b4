//! Peers that violate the protocol.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::time::{Duration, Instant};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_processed_or_a_violation(
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
            if !end.is_full() && end.receive(message.into()).is_err() {
                end.close();
                break;
            }
            while let Some(notice) = end.poll_notice() {
                if let Notice::Incoming(id) = notice && id % 2 == 0 { end.accept(id); }
            }
            if n % 3 == 0 { while end.poll_transmit().is_some() {} }
            prop_assert!(end.buffered_bytes() <= small_limits().session_bytes + 200);
            prop_assert!(!extended || end.promised_bytes() <= small_limits().session_bytes);
            prop_assert!(end.stream_count() <= small_limits().streams);
            end.on_time(now + Duration::from_secs(n as u64));
        }
    }
}

#[test]
fn an_extended_peer_that_overruns_its_window_loses_the_session() {
    let (mut pair, id) = connected(Dialect::Extended);
    let flood = Frame::Data(id, vec![0; FIRST as usize + 1].into());
    assert_eq!(pair.ends[0].receive(flood.encode()), Err(Violation::WindowOverrun));
}

#[test]
fn an_original_peer_that_overruns_loses_the_stream_for_good_and_only_that() {
    let (mut pair, id) = connected(Dialect::Original);
    pair.ends[0].receive(Frame::Data(id, vec![0; FIRST as usize + 1].into()).encode()).unwrap();
    assert!(std::iter::from_fn(|| pair.ends[0].poll_notice()).any(|notice| notice == Notice::Cut(id, Cut::Overrun)));
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
fn a_server_that_floods_opens_is_refused_at_the_queue_limit() {
    let mut client = session(Role::Client, Dialect::Original);
    for n in 0..13 {
        client.receive(Frame::Open(2 * n).encode()).unwrap();
    }
    assert_eq!(client.stream_count(), client.limits().queued_opens);
    assert_eq!(client.poll_transmit(), Some(Frame::Credit(24, WINDOW)));
    assert_eq!(client.poll_transmit(), Some(Frame::Fin(24)));
}

#[test]
fn replies_that_a_peer_does_not_read_are_bounded() {
    let mut client = session(Role::Client, Dialect::Extended);
    let outcome = (0..10_000).find_map(|n| client.receive(Frame::Open(2 * n).encode()).err());
    assert_eq!(outcome, Some(Violation::ReplyQueueFull));
}

#[test]
fn our_own_resets_do_not_end_the_session_of_an_honest_peer() {
    for release in [true, false] {
        let limits = Limits { replies: 4, ..small_limits() };
        let mut pair = Pair::with(Dialect::Extended, [limits, small_limits()]);
        for _ in 0..small_limits().streams {
            pair.step(&Step::Open);
        }
        pair.settle_wires();
        let now = pair.now;
        for id in pair.open.clone() {
            if release {
                pair.ends[0].release(id, ResetReason::Abandoned, now);
            } else {
                pair.ends[0].fail_local(id, ResetReason::Limit);
            }
        }
        // The peer sends a frame before it has read the resets.
        assert_eq!(pair.ends[0].receive(Frame::Credit(pair.open[0], 1).encode()), Ok(()), "release: {release}");
    }
}

#[test]
fn streams_abandoned_while_opening_do_not_end_the_session_of_an_original_peer() {
    let limits = Limits { replies: 4, ..small_limits() };
    let config = Config { role: Role::Server, dialect: Dialect::Original, peer_window: None, limits };
    let mut server = Session::new(config);
    let now = Instant::now();
    for _ in 0..small_limits().streams {
        let id = server.open().unwrap();
        server.poll_transmit();
        server.release(id, ResetReason::Abandoned, now);
    }
    server.on_time(now + server.limits().linger);
    assert_eq!(server.stream_count(), 0);
    assert_eq!(server.receive(Frame::Credit(0, 1).encode()), Ok(()));
}

#[test]
fn a_stream_that_both_sides_reset_leaves_no_queued_frame() {
    let mut client = session(Role::Client, Dialect::Extended);
    // Viewers abandon requests faster than our frames are sent, and the service refuses connections.
    for n in 0..10_000u32 {
        let id = 2 * n;
        assert_eq!(client.receive(Frame::Open(id).encode()), Ok(()), "{n}");
        assert!(client.accept(id));
        client.release(id, ResetReason::Unreachable, Instant::now());
        assert_eq!(client.receive(Frame::Reset(id, ResetReason::Abandoned).encode()), Ok(()), "{n}");
        while client.poll_notice().is_some() {}
    }
    assert_eq!(client.poll_transmit(), None);
}

#[test]
fn streams_that_end_while_queued_leave_the_send_queue() {
    for reused in [true, false] {
        let mut client = session(Role::Client, Dialect::Extended);
        for n in 0..10_000u32 {
            let id = if reused { 2 * (n % 3) } else { 2 * n };
            client.receive(Frame::Open(id).encode()).unwrap();
            assert!(client.accept(id));
            client.receive(Frame::Reset(id, ResetReason::Abandoned).encode()).unwrap();
            client.release(id, ResetReason::Abandoned, Instant::now());
            while client.poll_notice().is_some() {}
        }
        assert_eq!(client.ready.len(), 0, "numbers are reused: {reused}");
    }
}

#[test]
fn a_number_that_is_reused_often_keeps_the_linger_list_short() {
    let mut client = session(Role::Client, Dialect::Original);
    let start = Instant::now();
    for n in 0..10_000 {
        client.receive(Frame::Open(0).encode()).unwrap();
        assert!(client.accept(0));
        client.release(0, ResetReason::Abandoned, start + Duration::from_micros(n));
        while client.poll_transmit().is_some() {}
        client.receive(Frame::Fin(0).encode()).unwrap();
        assert_eq!(client.stream_count(), 0);
    }
    assert!(client.lingering.len() < 100, "{}", client.lingering.len());
}

#[test]
fn a_stream_with_a_reused_number_lingers_for_its_own_time() {
    let mut client = session(Role::Client, Dialect::Original);
    let linger = client.limits().linger;
    let first = Instant::now();
    let second = first + linger / 2;
    for at in [first, second] {
        client.receive(Frame::Open(0).encode()).unwrap();
        assert!(client.accept(0));
        client.release(0, ResetReason::Abandoned, at);
        while client.poll_transmit().is_some() {}
        if at == first {
            client.receive(Frame::Fin(0).encode()).unwrap();
        }
    }
    client.on_time(first + linger);
    assert_eq!(client.state(0), State::Discarding);
    client.on_time(second + linger);
    assert_eq!(client.stream_count(), 0);
}
