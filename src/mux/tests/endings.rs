//! The ends of abandoned streams and of sessions.

use super::*;
use bytes::Bytes;
use std::time::Instant;

#[test]
fn an_abandoned_stream_of_an_original_peer_is_finished_drained_and_credited() {
    let (mut pair, id) = connected(Dialect::Original);
    pair.ends[0].receive(Frame::Data(id, vec![0; FIRST as usize].into()).encode()).unwrap();
    pair.ends[0].release(id, ResetReason::Abandoned, pair.now);
    assert_eq!(pair.ends[0].buffered_bytes(), 0);
    assert_eq!(pair.ends[0].poll_transmit(), Some(Frame::Credit(id, INITIAL)));
    assert_eq!(pair.ends[0].poll_transmit(), Some(Frame::Fin(id)));
    pair.ends[0].receive(Frame::Data(id, vec![0; INITIAL as usize].into()).encode()).unwrap();
    assert_eq!(pair.ends[0].poll_transmit(), Some(Frame::Credit(id, INITIAL)));
    pair.ends[0].receive(Frame::Fin(id).encode()).unwrap();
    assert_eq!(pair.ends[0].stream_count(), 0);
}

#[test]
fn a_stream_abandoned_while_opening_is_finished_after_the_ack_or_the_linger_time() {
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
fn a_peer_that_sent_goaway_gets_no_more_streams() {
    let (mut pair, _) = connected(Dialect::Extended);
    assert!(pair.ends[1].go_away(GoAwayReason::Draining));
    pair.settle_wires();
    assert_eq!(pair.ends[0].peer_go_away(), Some(GoAwayReason::Draining));
    assert_eq!(pair.ends[0].open(), Err(OpenError::Closed));
    assert!(!session(Role::Server, Dialect::Original).go_away(GoAwayReason::Draining));
}

#[test]
fn bytes_before_the_peers_fin_are_readable_after_a_reset() {
    // A client that responds, finishes and releases the stream before it has read our FIN.
    let (mut pair, id) = connected(Dialect::Extended);
    pair.ends[0].finish(id);
    let whole = Frame::Data(id, Bytes::from_static(b"whole"));
    for frame in [whole, Frame::Fin(id), Frame::Reset(id, ResetReason::Abandoned)] {
        pair.ends[0].receive(frame.encode()).unwrap();
    }
    assert_eq!(pair.ends[0].read(id, 100), ReadOutcome::Data(Bytes::from_static(b"whole")));
    assert_eq!(pair.ends[0].read(id, 100), ReadOutcome::End);
    pair.ends[0].release(id, ResetReason::Abandoned, Instant::now());
    assert_eq!((pair.ends[0].buffered_bytes(), pair.ends[0].stream_count()), (0, 0));
}

#[test]
fn a_stream_that_is_cut_before_its_bytes_are_read_fails_even_after_the_peers_fin() {
    let (mut pair, id) = connected(Dialect::Extended);
    let end = &mut pair.ends[0];
    end.finish(id);
    end.receive(Frame::Data(id, Bytes::from_static(b"lost")).encode()).unwrap();
    end.receive(Frame::Fin(id).encode()).unwrap();
    while end.poll_transmit().is_some() {}
    end.fail_local(id, ResetReason::Limit);
    assert_eq!(end.read(id, 100), ReadOutcome::Failed(ResetReason::Limit));
}

#[test]
fn a_stream_abandoned_while_opening_credits_its_initial_window() {
    let mut server = session(Role::Server, Dialect::Original);
    let id = server.open().unwrap();
    assert_eq!(server.poll_transmit(), Some(Frame::Open(id)));
    server.release(id, ResetReason::Abandoned, Instant::now());
    server.receive(Frame::Credit(id, 8).encode()).unwrap();
    server.receive(Frame::Data(id, vec![0; 8].into()).encode()).unwrap();
    let credit: u32 = std::iter::from_fn(|| server.poll_transmit())
        .map(|frame| if let Frame::Credit(_, n) = frame { n } else { 0 })
        .sum();
    assert_eq!(credit, INITIAL);
}
