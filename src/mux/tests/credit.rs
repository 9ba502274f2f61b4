//! Credit: the first ACK, windows, and the order of streams.

use super::*;
use bytes::Bytes;

#[test]
fn nothing_precedes_the_first_ack_of_an_original_peer() {
    let mut server = session(Role::Server, Dialect::Original);
    let id = server.open().unwrap();
    assert_eq!(server.write(id, Bytes::from_static(b"GET")), WriteOutcome::Taken);
    server.finish(id);
    assert_eq!(server.poll_transmit(), Some(Frame::Open(id)));
    assert_eq!(server.poll_transmit(), None);
    server.receive(Frame::Credit(id, 2).encode()).unwrap();
    assert_eq!(server.poll_transmit(), Some(Frame::Credit(id, FIRST - 2)));
    assert_eq!(server.poll_transmit(), Some(Frame::Data(id, Bytes::from_static(b"GE"))));
    assert_eq!(server.poll_transmit(), None);
    server.receive(Frame::Credit(id, 2).encode()).unwrap();
    assert_eq!(server.poll_transmit(), Some(Frame::Data(id, Bytes::from_static(b"T"))));
    assert_eq!(server.poll_transmit(), Some(Frame::Fin(id)));
}

#[test]
fn early_data_of_extended_peers_uses_the_window() {
    let mut server = session(Role::Server, Dialect::Extended);
    let id = server.open().unwrap();
    server.write(id, vec![7; 30].into());
    assert_eq!(server.poll_transmit(), Some(Frame::Open(id)));
    assert!(matches!(server.poll_transmit(), Some(Frame::Data(..))));
    server.receive(Frame::Credit(id, WINDOW).encode()).unwrap();
    server.write(id, vec![7; WINDOW as usize].into());
    let mut sent = 30;
    while let Some(Frame::Data(_, data)) = server.poll_transmit() {
        sent += data.len();
    }
    assert_eq!(sent, WINDOW as usize);
}

#[test]
fn a_peer_with_a_small_window_gets_more_credit_at_once() {
    let mut server = session(Role::Server, Dialect::Original);
    let id = server.open().unwrap();
    server.poll_transmit();
    server.receive(Frame::Credit(id, 10).encode()).unwrap();
    assert_eq!(server.poll_transmit(), Some(Frame::Credit(id, FIRST - 10)));
    server.receive(Frame::Data(id, vec![1; FIRST as usize].into()).encode()).unwrap();
    assert!(matches!(server.read(id, FIRST as usize / 4), ReadOutcome::Data(_)));
    assert_eq!(server.poll_transmit(), Some(Frame::Credit(id, FIRST / 4)));
}

#[test]
fn credit_is_given_after_a_quarter_of_the_window_is_read_and_not_before() {
    let (mut pair, id) = connected(Dialect::Extended);
    pair.ends[0].receive(Frame::Data(id, vec![0; INITIAL as usize].into()).encode()).unwrap();
    // The window is a little larger than the first credit.
    let quarter = FIRST / 4 - (FIRST - INITIAL);
    assert!(matches!(pair.ends[0].read(id, quarter as usize - 1), ReadOutcome::Data(_)));
    assert_eq!(pair.ends[0].poll_transmit(), None);
    assert!(matches!(pair.ends[0].read(id, 1), ReadOutcome::Data(_)));
    assert_eq!(pair.ends[0].poll_transmit(), Some(Frame::Credit(id, FIRST / 4)));
}

#[test]
fn the_backlog_of_a_stream_delays_another_by_one_frame() {
    let (mut pair, busy) = connected(Dialect::Extended);
    pair.ends[0].receive(Frame::Credit(busy, 500).encode()).unwrap();
    pair.ends[0].write(busy, vec![0; 500].into());
    pair.step(&Step::Open);
    let other = pair.open[1];
    pair.ends[0].write(other, Bytes::from_static(b"quick"));
    let order: Vec<StreamId> = std::iter::from_fn(|| pair.ends[0].poll_transmit())
        .map(|frame| match frame {
            Frame::Data(id, _) | Frame::Open(id) | Frame::Credit(id, _) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order[..4], [busy, other, busy, other]);
}

#[test]
fn a_new_stream_gets_more_than_the_initial_window_while_memory_is_free() {
    let limits = Limits::default();
    let initial = limits.initial_window();
    let mut server =
        Session::new(Config { role: Role::Server, dialect: Dialect::Extended, peer_window: Some(initial), limits });
    let id = server.open().unwrap();
    assert_eq!(server.poll_transmit(), Some(Frame::Open(id)));
    assert_eq!(server.poll_transmit(), Some(Frame::Credit(id, 3 * initial)));
}
