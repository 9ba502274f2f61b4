//! Peers that break rules, and what it costs them.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::time::{Duration, Instant};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

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
