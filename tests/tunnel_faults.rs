//! Faults of clients, viewers and networks, and their effects.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use futures_util::{SinkExt, StreamExt};
use route_native::tunnel::{client::Event, wire};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;
use tunnel_support::{
    TestClient, TestServer, in_time, mint,
    raw::{self, frame},
    target::{TestTarget, is_pattern, pattern},
    until,
    viewer::{self, Viewer},
};

#[tokio::test]
async fn a_malformed_frame_ends_the_session_with_its_violation() {
    let server = TestServer::start().await;
    let malformed: [(&[u8], &str); 9] = [
        (b"", "malformed header"),
        (b"\x00\x01\x00\x00", "malformed header"),
        (b"\x04\x00\x00\x00\x00\x00", "malformed header"),
        (b"\x09\x00\x00\x00\x00", "malformed header"),
        (b"\xff\xff\xff\xff\xff", "malformed header"),
        (b"\x01\x01\x00\x00\x00x", "malformed payload"),
        (b"\x03\x01\x00\x00\x00x", "malformed payload"),
        (b"\x02\x01\x00\x00\x00\x01\x02", "malformed payload"),
        (b"\x02\x01\x00\x00\x00\x01\x02\x03\x04\x05", "malformed payload"),
    ];
    for (bytes, name) in malformed {
        let mut client = raw::connect(server.address, "c1").await;
        client.send(bytes).await;
        assert_eq!(client.closed().await, (1008, name.to_owned()), "{bytes:?}");
    }
    let mut client = raw::connect(server.address, "c1").await;
    client.socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(client.closed().await, (1008, "unexpected non-binary websocket message".into()));
    let mut client = raw::connect(server.address, "c1").await;
    _ = client.socket.send(Message::binary(frame(0, 7, &vec![0; (4 << 20) + (64 << 10)]))).await;
    assert_eq!(client.closed().await, (1009, "message too big".into()));
    until("the metric", async || (server.metric("sessions_violated_total").await == 11).then_some(())).await;
}

#[tokio::test]
async fn a_malformed_extended_frame_ends_the_session_with_its_violation() {
    let server = TestServer::start().await;
    let malformed: [(&[u8], &str); 6] = [
        (b"\x04\x01\x00\x00\x00", "malformed payload"),
        (b"\x04\x01\x00\x00\x00\x00\x00", "malformed payload"),
        (b"\x05\x00\x00\x00\x00", "malformed payload"),
        (b"\x05\x01\x00\x00\x00\x00", "malformed payload"),
        (b"\x06\x00\x00\x00\x00", "malformed header"),
        (b"\x04\x01\x00\x00", "malformed header"),
    ];
    let bearer = format!("Bearer {}", mint("c1"));
    let registration =
        [("x-websocktunnel-id", "c1"), ("authorization", bearer.as_str()), (wire::DIALECT_HEADER, wire::DIALECT_VALUE)];
    for (bytes, name) in malformed {
        let mut client = raw::register(server.address, &registration).await.unwrap();
        assert!(client.response.headers().contains_key(wire::DIALECT_HEADER));
        client.send(bytes).await;
        assert_eq!(client.closed().await, (1008, name.to_owned()), "{bytes:?}");
    }
}

#[tokio::test]
async fn frames_for_unknown_streams_are_no_violation() {
    let server = TestServer::start().await;
    let mut client = raw::connect(server.address, "c1").await;
    for unknown in [frame(0, 8, b"late"), frame(2, 8, &[0; 4]), frame(3, 8, b""), frame(0, 9, b"")] {
        client.send(&unknown).await;
    }
    client.send(&frame(1, 1, b"")).await;
    assert_eq!(client.frame().await, frame(3, 1, b""));
}

#[tokio::test]
async fn a_client_that_floods_opens_is_dropped() {
    let server = TestServer::start().await;
    let mut client = raw::connect(server.address, "c1").await;
    for n in 0..101u32 {
        client.send(&frame(1, 2 * n + 1, b"")).await;
    }
    assert_eq!(client.closed().await, (1008, "too many refused streams".into()));
}

#[tokio::test]
async fn a_silent_client_is_dropped_and_its_viewers_get_a_502() {
    let server = TestServer::start_with(|config| config.limits.keepalive = Duration::from_millis(200)).await;
    // Registers, and then neither reads nor writes.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX-Websocktunnel-Id: c1\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        mint("c1")
    );
    silent.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    silent.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    assert_eq!(viewer::get(server.address, "/c1/x").await.status, 502);
    assert_eq!(viewer::get(server.address, "/c1/x").await.status, 404);
    assert_eq!(server.metric("sessions_lost_total").await, 1);
}

#[tokio::test]
async fn a_client_that_accepts_no_stream_is_a_504() {
    let server = TestServer::start_with(|config| config.open_timeout = Duration::from_millis(100)).await;
    let mut client = raw::connect(server.address, "c1").await;
    assert_eq!(viewer::get(server.address, "/c1/x").await.status, 504);
    assert_eq!(client.frame().await, frame(1, 0, b""));
    // The client accepts the abandoned stream late. The stream gets credit, because its writer may wait, and a FIN.
    client.send(&frame(2, 0, &1024u32.to_le_bytes())).await;
    assert_eq!(client.frame().await, frame(2, 0, &(32_768u32 - 1024).to_le_bytes()));
    assert_eq!(client.frame().await, frame(3, 0, b""));
}

#[tokio::test]
async fn a_client_that_dies_breaks_the_responses_of_its_viewers_at_once() {
    let server = TestServer::start().await;
    let mut client = raw::connect(server.address, "c1").await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("GET /c1/x HTTP/1.1\r\nHost: v\r\n\r\n").await;
    assert_eq!(client.frame().await, frame(1, 0, b""));
    client.send(&frame(2, 0, &(4u32 << 20).to_le_bytes())).await;
    client.frame().await;
    client.send(&frame(0, 0, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")).await;
    assert_eq!(viewer.head().await.status, 200);
    drop(client);
    let mut rest = Vec::new();
    _ = in_time("the cut", viewer.socket.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"5\r\nhello\r\n", "a broken response must not look complete");
}

#[tokio::test]
async fn a_client_that_sends_no_http_is_a_502() {
    let server = TestServer::start().await;
    let mut client = raw::connect(server.address, "c1").await;
    for (n, nonsense) in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 101 Surprise\r\n\r\n", b""].into_iter().enumerate() {
        let address = server.address;
        let viewing = tokio::spawn(async move { viewer::get(address, "/c1/x").await });
        let id = 2 * n as u32;
        while client.frame().await != frame(1, id, b"") {}
        client.send(&frame(2, id, &(4u32 << 20).to_le_bytes())).await;
        if !nonsense.is_empty() {
            client.send(&frame(0, id, nonsense)).await;
        }
        client.send(&frame(3, id, b"")).await;
        assert_eq!(in_time("the answer", viewing).await.unwrap().status, 502);
    }
}

#[tokio::test]
async fn a_viewer_that_reads_nothing_does_not_stall_others() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let _client = TestClient::start(server.address, "c1", target.address).await;
    let mut stuck = Vec::new();
    for _ in 0..4 {
        let mut viewer = Viewer::connect(server.address).await;
        viewer.send("GET /c1/bytes/100000000 HTTP/1.1\r\nHost: v\r\n\r\n").await;
        stuck.push(viewer);
    }
    until("their buffers are full", async || (server.metric("buffered_bytes").await >= 1 << 19).then_some(())).await;
    for _ in 0..100 {
        let answer = viewer::get(server.address, "/c1/bytes/100000").await;
        assert!(answer.complete && is_pattern(&answer.body));
    }
    // Viewers that leave free their buffers.
    for viewer in stuck {
        viewer.abort();
    }
    until("the buffers are free", async || (server.metric("buffered_bytes").await == 0).then_some(())).await;
    until("the streams are gone", async || (server.metric("streams").await <= 1).then_some(())).await;
}

#[tokio::test]
async fn many_streams_that_are_busy_in_both_directions_do_not_deadlock() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let _client = TestClient::start(server.address, "c1", target.address).await;
    let mut running = Vec::new();
    for n in 0..8 {
        let address = server.address;
        running.push(tokio::spawn(async move {
            if n % 2 == 0 {
                let answer = viewer::get(address, "/c1/chunked/20000000").await;
                assert!(answer.complete && answer.body.len() == 20_000_000 && is_pattern(&answer.body));
            } else {
                let mut viewer = Viewer::connect(address).await;
                viewer.send("POST /c1/sink HTTP/1.1\r\nHost: v\r\nContent-Length: 20000000\r\n\r\n").await;
                viewer.send((0..20_000_000).map(pattern).collect::<Vec<u8>>()).await;
                assert_eq!(viewer.answer().await.json()["intact"], true);
            }
        }));
    }
    for one in running {
        in_time("a transfer", one).await.unwrap();
    }
}

#[tokio::test]
async fn two_gigabytes_are_forwarded_without_being_buffered() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let _client = TestClient::start(server.address, "c1", target.address).await;
    const SIZE: u64 = 2 << 30;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send(format!("GET /c1/bytes/{SIZE} HTTP/1.1\r\nHost: v\r\n\r\n")).await;
    assert_eq!(viewer.head().await.status, 200);
    let (mut total, mut peak) = (0, 0);
    let mut buffer = vec![0; 1 << 20];
    while total < SIZE {
        let n = in_time("more of it", viewer.socket.read(&mut buffer)).await.unwrap() as u64;
        assert!(n > 0, "broke off at {total}");
        total += n;
        if total % (256 << 20) < n {
            peak = peak.max(server.metric("buffered_bytes").await);
        }
    }
    assert!(peak <= 4 << 20, "{peak} bytes were held");
}

#[tokio::test]
async fn ten_thousand_short_requests_succeed_and_leave_no_stream() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let _client = TestClient::start(server.address, "c1", target.address).await;
    let mut running = Vec::new();
    for _ in 0..20 {
        let address = server.address;
        running.push(tokio::spawn(async move {
            let mut viewer = Viewer::connect(address).await;
            for _ in 0..500 {
                viewer.send("GET /c1/bytes/100 HTTP/1.1\r\nHost: v\r\n\r\n").await;
                assert_eq!(viewer.answer().await.body.len(), 100);
            }
        }));
    }
    for one in running {
        in_time("the requests", one).await.unwrap();
    }
    assert_eq!(target.requests.load(SeqCst), 10_000);
    assert!(target.connections.load(SeqCst) <= 40, "{} connections", target.connections.load(SeqCst));
    until("kept connections are closed", async || (server.metric("streams").await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_client_reconnects_to_a_crashed_server_under_load() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    // A relay between client and server breaks connections, as a dying process does.
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (through, address) = (front.local_addr().unwrap(), server.address);
    let (cut, _) = tokio::sync::broadcast::channel::<()>(1);
    let cutter = cut.clone();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = front.accept().await.unwrap();
            let mut cut = cutter.subscribe();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.recv() => {}
                }
            });
        }
    });
    let client = TestClient::start(through, "c1", target.address).await;
    let load = tokio::spawn(async move {
        let mut statuses = Vec::new();
        for _ in 0..200 {
            statuses.push(viewer::get(address, "/c1/echo").await.status);
        }
        statuses
    });
    for round in 1..=3 {
        cut.send(()).unwrap();
        until("the client is back", async || {
            (client.count_events(|event| matches!(event, Event::Connected { .. })) > round).then_some(())
        })
        .await;
    }
    let statuses = in_time("the load", load).await.unwrap();
    assert!(statuses.iter().all(|status| [200, 404, 502].contains(status)), "{statuses:?}");
    assert_eq!(viewer::get(address, "/c1/echo").await.status, 200);
}

#[tokio::test]
async fn a_viewer_that_ends_its_body_early_frees_the_target() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let _client = TestClient::start(server.address, "c1", target.address).await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("POST /c1/sink HTTP/1.1\r\nHost: v\r\nContent-Length: 1000\r\n\r\nhalf").await;
    until("the target waits", async || (target.waiting.load(SeqCst) == 1).then_some(())).await;
    // The viewer shuts down its direction in the middle of the body.
    viewer.socket.get_mut().shutdown().await.unwrap();
    until("the target is free", async || (target.waiting.load(SeqCst) == 0).then_some(())).await;
}

#[tokio::test]
async fn the_server_replies_to_pings_and_to_a_close_frame() {
    let server = TestServer::start().await;
    let mut client = raw::connect(server.address, "c1").await;
    client.socket.send(Message::Ping("x".into())).await.unwrap();
    loop {
        match in_time("a pong", client.socket.next()).await.unwrap().unwrap() {
            Message::Pong(payload) => break assert_eq!(&payload[..], b"x"),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    client.socket.close(None).await.unwrap();
    while let Some(Ok(_)) = in_time("the end", client.socket.next()).await {}
    until("the client is gone", async || (viewer::get(server.address, "/c1/x").await.status == 404).then_some(()))
        .await;
}
