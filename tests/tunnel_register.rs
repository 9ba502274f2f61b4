//! Registrations: their checks, replacements, tokens, and the end of sessions.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use route_native::tunnel::{
    client::{ClientError, Event, Tokens},
    wire,
};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use tunnel_support::{
    SECRET_A, SECRET_B, TestClient, TestServer, in_time, mint, mint_with, raw,
    target::TestTarget,
    until,
    viewer::{self, Viewer},
};

#[tokio::test]
async fn every_failed_check_has_its_status() {
    let server = TestServer::start().await;
    let good = format!("Bearer {}", mint("c1"));
    let other = format!("Bearer {}", mint("c2"));
    let wrong_secret = format!("Bearer {}", mint_with("some other secret of 32 bytes...", "c1", 60));
    let expired = format!("Bearer {}", mint_with(SECRET_A, "c1", -1));
    let long = format!("Bearer {}", mint_with(SECRET_A, "c1", 32 * 86_400));
    let id = ("x-websocktunnel-id", "c1");
    for (headers, status) in [
        (vec![("x-websocktunnel-id", "a b"), ("authorization", good.as_str())], 400),
        (vec![id], 400),
        (vec![id, ("authorization", "bearer x")], 400),
        (vec![id, ("authorization", "Bearer a=b")], 400),
        (vec![id, ("authorization", "Bearer nonsense")], 401),
        (vec![id, ("authorization", &other)], 401),
        (vec![id, ("authorization", &wrong_secret)], 401),
        (vec![id, ("authorization", &expired)], 401),
        (vec![id, ("authorization", &long)], 401),
        (vec![id, ("authorization", &good), ("sec-websocket-version", "8")], 400),
        (vec![id, ("authorization", &good), ("sec-websocket-key", "short")], 400),
    ] {
        assert_eq!(raw::register(server.address, &headers).await.err(), Some(status), "{headers:?}");
    }
    let post = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nX-Websocktunnel-Id: c1\r\nAuthorization: {good}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let answer = viewer::exchange(server.address, &post).await;
    assert_eq!((answer.status, answer.header("sec-websocket-version")), (405, Some("13")));
    let plain = post.replace("POST", "GET").replace("Upgrade: websocket\r\n", "");
    assert_eq!(viewer::exchange(server.address, &plain).await.status, 404);
    let refused =
        plain.replace("Connection: Upgrade", "Connection: Upgrade\r\nUpgrade: websocket").replace(&good, &other);
    let answer = viewer::exchange(server.address, &refused).await;
    assert_eq!(
        (answer.status, answer.header("www-authenticate"), answer.body.clone()),
        (401, Some("Bearer"), b"Unauthorized\n".to_vec())
    );
}

#[tokio::test]
async fn the_response_to_a_registration_is_that_of_the_original() {
    let server = TestServer::start().await;
    let mut client = raw::connect(server.address, "c%2F1~").await;
    let header = |name| client.response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-websocktunnel-client-url").as_deref(), Some("http://tunnel.test/c%2F1~"));
    assert_eq!(header("x-websocktunnel-dialect"), None);
    assert_eq!(header("x-websocktunnel-window").as_deref(), Some("4194304"));
    // The server opens stream 0 for a viewer, and sends no data before the ACK.
    let address = server.address;
    let viewing = tokio::spawn(async move { viewer::get(address, "/c%2F1~/x?y").await });
    assert_eq!(client.frame().await, raw::frame(1, 0, b""));
    client.send(&raw::frame(2, 0, &4096u32.to_le_bytes())).await;
    assert_eq!(client.frame().await, raw::frame(2, 0, &(131_072u32 - 4096).to_le_bytes()));
    let request = client.frame().await;
    assert!(request.starts_with(&raw::frame(0, 0, b"GET /x?y HTTP/1.1\r\n")), "{}", String::from_utf8_lossy(&request));
    client
        .send(&raw::frame(0, 0, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok"))
        .await;
    let answer = in_time("the answer", viewing).await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str(), answer.body.as_slice()), (200, "Fine", b"ok".as_slice()));
}

#[tokio::test]
async fn the_newest_registration_wins_and_open_streams_of_the_previous_one_may_end() {
    let server = TestServer::start().await;
    let (old_target, new_target) = (TestTarget::start().await, TestTarget::start().await);
    let mut old = TestClient::start(server.address, "c1", old_target.address).await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("GET /c1/stream HTTP/1.1\r\nHost: v\r\n\r\n").await;
    assert_eq!(viewer.head().await.status, 200);
    let _new = TestClient::start(server.address, "c1", new_target.address).await;
    assert_eq!(in_time("being replaced", &mut old.end).await.unwrap(), ClientError::Replaced);
    assert_eq!(viewer::get(server.address, "/c1/echo").await.status, 200);
    assert_eq!((new_target.requests.load(SeqCst), old_target.requests.load(SeqCst)), (1, 1));
    old_target.lines.send("still here".into()).unwrap();
    let mut chunk = [0; 15];
    in_time("a line", tokio::io::AsyncReadExt::read_exact(&mut viewer.socket, &mut chunk)).await.unwrap();
    assert_eq!(&chunk, b"A\r\nstill here\r\n");
}

#[tokio::test]
async fn a_replaced_original_client_gets_a_close_frame_with_the_reason() {
    let server = TestServer::start().await;
    let mut old = raw::connect(server.address, "c1").await;
    let _new = raw::connect(server.address, "c1").await;
    assert_eq!(old.closed().await, (4001, "replaced by a newer registration".into()));
}

#[tokio::test]
async fn a_failed_registration_does_not_replace_a_session() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let _client = TestClient::start(server.address, "c1", target.address).await;
    let bearer = format!("Bearer {}", mint("c1"));
    let headers = [("x-websocktunnel-id", "c1"), ("authorization", bearer.as_str()), ("sec-websocket-version", "8")];
    assert_eq!(raw::register(server.address, &headers).await.err(), Some(400));
    assert_eq!(viewer::get(server.address, "/c1/echo").await.status, 200);
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let server = TestServer::start().await;
    let mut client = raw::connect_with(server.address, "c1", &mint_with(SECRET_A, "c1", 2)).await;
    assert_eq!(client.closed().await, (4002, "token expired".into()));
    assert_eq!(viewer::get(server.address, "/c1/x").await.status, 404);
    until("the metric", async || (server.metric("sessions_expired_total").await == 1).then_some(())).await;
}

#[tokio::test]
async fn a_session_outlives_its_token_if_configured() {
    let server = TestServer::start_with(|config| config.outlive_token = true).await;
    let target = TestTarget::start().await;
    let expires = tunnel_support::now() + 2;
    let tokens = Tokens::fixed(mint_with(SECRET_A, "c1", 2));
    let client = TestClient::start_with(server.address, "c1", target.address, tokens, |_| {}).await;
    // The server checks expiry every second, so it has checked two seconds later.
    until("the token has expired", async || (tunnel_support::now() > expires + 2).then_some(())).await;
    assert_eq!(viewer::get(server.address, "/c1/echo").await.status, 200);
    assert_eq!(client.count_events(|event| !matches!(event, Event::Connected { .. })), 0);
}

#[tokio::test]
async fn a_client_with_an_expired_token_waits_for_another_and_reconnects() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let (sender, tokens) = Tokens::replaceable();
    sender.send_replace(Some(mint_with(SECRET_A, "c1", 2)));
    let client = TestClient::start_with(server.address, "c1", target.address, tokens, |_| {}).await;
    assert_eq!(viewer::get(server.address, "/c1/echo").await.status, 200);
    until("it waits for a token", async || {
        (client.count_events(|event| matches!(event, Event::WaitingForToken)) == 1).then_some(())
    })
    .await;
    assert_eq!(viewer::get(server.address, "/c1/echo").await.status, 404);
    sender.send_replace(Some(mint("c1")));
    until("it is back", async || (viewer::get(server.address, "/c1/echo").await.status == 200).then_some(())).await;
    // The client did not try the token that the server had reported as expired.
    assert_eq!(server.metric("registrations_refused_total").await, 0);
}

#[tokio::test]
async fn secrets_rotate_from_a_to_b_without_a_lost_request() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let (sender, tokens) = Tokens::replaceable();
    sender.send_replace(Some(mint_with(SECRET_A, "c1", 3600)));
    let client = TestClient::start_with(server.address, "c1", target.address, tokens, |_| {}).await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("GET /c1/stream HTTP/1.1\r\nHost: v\r\n\r\n").await;
    assert_eq!(viewer.head().await.status, 200);
    let address = server.address;
    let load = tokio::spawn(async move {
        for _ in 0..300 {
            assert_eq!(viewer::get(address, "/c1/echo").await.status, 200);
        }
    });
    sender.send_replace(Some(mint_with(SECRET_B, "c1", 3600)));
    until("the client has moved", async || {
        (client.count_events(|event| matches!(event, Event::Moved { .. })) == 1).then_some(())
    })
    .await;
    in_time("the load", load).await.unwrap();
    target.lines.send("end".into()).unwrap();
    let mut rest = Vec::new();
    let mut chunk = [0; 5];
    in_time("the end", tokio::io::AsyncReadExt::read_exact(&mut viewer.socket, &mut chunk)).await.unwrap();
    rest.extend_from_slice(&chunk);
    assert_eq!(rest, b"0\r\n\r\n");
    assert_eq!(client.count_events(|event| matches!(event, Event::Disconnected { .. })), 0);
}

#[tokio::test]
async fn a_stopping_server_asks_clients_to_move_and_lets_streams_end() {
    let mut old = TestServer::start().await;
    let target = TestTarget::start().await;
    let client = TestClient::start(old.address, "c1", target.address).await;
    let mut viewer = Viewer::connect(old.address).await;
    viewer.send("GET /c1/stream HTTP/1.1\r\nHost: v\r\n\r\n").await;
    assert_eq!(viewer.head().await.status, 200);
    old.begin_stop();
    until("the client is asked to move", async || {
        (client.count_events(|event| matches!(event, Event::Moving { .. })) == 1).then_some(())
    })
    .await;
    assert_eq!(viewer::get(old.address, "/__lbheartbeat__").await.status, 503);
    assert_eq!(viewer::get(old.address, "/unknown/x").await.status, 503);
    // A proxy that can retry elsewhere gets a 599, unless the request has a body.
    for (headers, status) in [
        ("X-Websocktunnel-Elsewhere: ask\r\n\r\n", wire::ELSEWHERE_STATUS),
        ("X-Websocktunnel-Elsewhere: looking\r\n\r\n", 404),
        ("X-Websocktunnel-Elsewhere: ask\r\nContent-Length: 1\r\n\r\nx", 503),
        ("X-Websocktunnel-Elsewhere: what\r\n\r\n", 503),
    ] {
        let answer = viewer::exchange(old.address, &format!("GET /unknown/x HTTP/1.1\r\nHost: v\r\n{headers}")).await;
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(answer.header("retry-after"), (status == 503).then_some("1"));
    }
    let bearer = format!("Bearer {}", mint("c2"));
    let late = raw::register(old.address, &[("x-websocktunnel-id", "c2"), ("authorization", &bearer)]).await;
    assert_eq!(late.err(), Some(503));
    let headers = [("x-websocktunnel-id", "c2"), ("authorization", bearer.as_str()), (wire::ELSEWHERE_HEADER, "ask")];
    assert_eq!(raw::register(old.address, &headers).await.err(), Some(wire::ELSEWHERE_STATUS));
    target.lines.send("to the end".into()).unwrap();
    target.lines.send("end".into()).unwrap();
    let mut rest = [0; 20];
    in_time("the rest", tokio::io::AsyncReadExt::read_exact(&mut viewer.socket, &mut rest)).await.unwrap();
    assert_eq!(&rest, b"A\r\nto the end\r\n0\r\n\r\n");
    let address = old.address;
    old.stop().await;
    // A new server starts on the same address, and the client reconnects.
    let new = TestServer::start_at(address, |_| {}).await;
    until("the client is there", async || (viewer::get(new.address, "/c1/echo").await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_client_without_a_usable_token_fails_with_its_error() {
    use route_native::tunnel::{Client, client::Config};
    let server = TestServer::start().await;
    let connect = async |tokens| {
        let config = Config::new(&server.url(), "c1", tokens).unwrap();
        in_time("failing", Client::connect(config, None)).await.unwrap_err()
    };
    assert!(matches!(connect(Tokens::fixed(mint("c2"))).await, ClientError::Auth(_)));
    let (sender, tokens) = Tokens::replaceable();
    drop(sender);
    assert_eq!(connect(tokens).await, ClientError::NoToken);
    let mut config = Config::new("http://127.0.0.1:1", "c1", Tokens::fixed(mint("c1"))).unwrap();
    config.retry.initial = Duration::from_millis(1);
    config.retry.give_up = Some(Duration::from_millis(20));
    assert!(matches!(in_time("giving up", Client::connect(config, None)).await, Err(ClientError::GaveUp(_))));
}
