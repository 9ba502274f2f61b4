//! How streams end that nobody wants any more, and sessions.

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
fn a_peer_that_says_it_is_gone_gets_no_more_streams() {
    let (mut pair, _) = connected(Dialect::Extended);
    assert!(pair.ends[1].go_away(GoAwayReason::Draining));
    pair.settle_wires();
    assert_eq!(pair.ends[0].peer_go_away(), Some(GoAwayReason::Draining));
    assert_eq!(pair.ends[0].open(), Err(OpenError::Closed));
    assert!(!session(Role::Server, Dialect::Original).go_away(GoAwayReason::Draining));
}
