//! HTTP requests of viewers, with our client and our server.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use std::sync::atomic::Ordering::SeqCst;
use tunnel_support::{
    TestClient, TestServer,
    target::{TestTarget, is_pattern, pattern},
    until,
    viewer::{self, Viewer},
};

async fn tunnel() -> (TestServer, TestTarget, TestClient) {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let client = TestClient::start(server.address, "c1", target.address).await;
    (server, target, client)
}

#[tokio::test]
async fn a_request_arrives_unchanged_except_for_hop_by_hop_and_forwarded_fields() {
    let (server, _target, client) = tunnel().await;
    assert_eq!(client.url, "http://tunnel.test/c1");
    let answer = viewer::exchange(
        server.address,
        "POST /c1/a%2Fb/%+9%7Ex?q=1&r=%20 HTTP/1.1\r\nHost: viewer.test\r\nX-Two: 1\r\nX-Two: 2\r\nConnection: close, x-mine\r\n\
         X-Mine: 1\r\nKeep-Alive: 3\r\nTE: trailers\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-User: root\r\nX-Websocktunnel-Original-Path: /liar\r\n\
         X-Websocktunnel-Elsewhere: ask\r\n\
         Authorization: Bearer of-the-viewer\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    assert_eq!(answer.status, 200);
    let echo = answer.json();
    assert_eq!(
        (&echo["method"], &echo["target"], &echo["body"]),
        (&"POST".into(), &"/a%2Fb/%+9%7Ex?q=1&r=%20".into(), &"hello".into())
    );
    let mut headers: Vec<String> = echo["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| format!("{}: {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            "authorization: Bearer of-the-viewer",
            "content-length: 5",
            "host: viewer.test",
            "te: trailers",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: viewer.test",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
            "x-two: 1",
            "x-two: 2",
            "x-websocktunnel-original-path: /c1/a/b/%+9~x",
        ]
    );
    let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie").count();
    assert_eq!(
        (cookies, answer.header("x-private"), answer.header("keep-alive"), answer.header("content-type")),
        (2, None, None, None)
    );
}

#[tokio::test]
async fn bodies_of_every_framing_arrive_complete_in_both_directions() {
    let (server, _target, _client) = tunnel().await;
    for path in ["/c1/bytes/0", "/c1/bytes/1", "/c1/bytes/10000000", "/c1/chunked/10000000"] {
        let answer = viewer::get(server.address, path).await;
        let size: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        assert!(answer.complete && answer.body.len() == size && is_pattern(&answer.body), "{path}");
    }
    let body: Vec<u8> = (0..5_000_000).map(pattern).collect();
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("POST /c1/sink HTTP/1.1\r\nHost: v\r\nContent-Length: 5000000\r\n\r\n").await;
    viewer.send(&body).await;
    assert_eq!(viewer.answer().await.json(), serde_json::json!({"bytes": 5_000_000, "intact": true}));
    viewer.send("POST /c1/sink HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for chunk in body.chunks(70_001) {
        viewer.send(format!("{:x}\r\n", chunk.len())).await;
        viewer.send(chunk).await;
        viewer.send("\r\n").await;
    }
    viewer.send("0\r\n\r\n").await;
    assert_eq!(viewer.answer().await.json(), serde_json::json!({"bytes": 5_000_000, "intact": true}));
}

#[tokio::test]
async fn a_request_with_malformed_chunks_is_a_400() {
    let (server, _target, _client) = tunnel().await;
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    for chunks in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "0\r\nno field\r\n\r\n",
        &long,
    ] {
        for before in ["", "5\r\nfirst\r\n"] {
            let mut viewer = Viewer::connect(server.address).await;
            viewer.send("POST /c1/sink HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            viewer.send(format!("{before}{chunks}")).await;
            let answer = viewer.answer().await;
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(
                (answer.status, &*text),
                (400, "The request's body is malformed or incomplete\n"),
                "{before}{chunks}"
            );
            assert!(viewer.closed().await, "{before}{chunks}");
        }
    }
    assert_eq!(server.metric("viewer_bad_gateway_total").await, 0);
}

#[tokio::test]
async fn trailers_are_forwarded_in_both_directions() {
    let (server, _target, _client) = tunnel().await;
    let answer = viewer::exchange(
        server.address,
        "POST /c1/trailers HTTP/1.1\r\nHost: v\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
    )
    .await;
    assert_eq!(answer.body, b"42");
    assert_eq!(answer.trailers, [("x-after".to_owned(), "it was good".to_owned())]);
}

#[tokio::test]
async fn statuses_and_reason_phrases_of_the_target_are_forwarded() {
    let (server, _target, _client) = tunnel().await;
    for status in [201, 204, 304, 404, 418, 500, 503] {
        let answer = viewer::get(server.address, &format!("/c1/status/{status}")).await;
        assert_eq!((answer.status, answer.reason.as_str()), (status, "As It Pleases"));
    }
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("HEAD /c1/bytes/12345 HTTP/1.1\r\nHost: v\r\n\r\n").await;
    let head = viewer.head().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("12345")));
    viewer.send("GET /c1/bytes/3 HTTP/1.1\r\nHost: v\r\n\r\n").await;
    assert_eq!(viewer.answer().await.body.len(), 3);
}

#[tokio::test]
async fn a_599_of_the_target_is_a_502_for_a_proxy_that_would_retry_elsewhere() {
    let (server, target, _client) = tunnel().await;
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (headers, status) in [
        ("", 599),
        ("X-Websocktunnel-Elsewhere: ask\r\n", 502),
        ("X-Websocktunnel-Elsewhere: looking\r\n", 502),
        ("X-Websocktunnel-Elsewhere: ask\r\nContent-Length: 1\r\n", 502),
    ] {
        let body = if headers.contains("Length") { "x" } else { "" };
        for upgrade in ["", websocket] {
            let request = format!("POST /c1/status/599 HTTP/1.1\r\nHost: v\r\n{headers}{upgrade}\r\n{body}");
            assert_eq!(viewer::exchange(server.address, &request).await.status, status, "{request}");
        }
    }
    assert_eq!(target.requests.load(SeqCst), 8);
    let ask = "GET /c1/status/421 HTTP/1.1\r\nHost: v\r\nX-Websocktunnel-Elsewhere: ask\r\n\r\n";
    assert_eq!(viewer::exchange(server.address, ask).await.status, 421);
}

#[tokio::test]
async fn a_response_is_streamed() {
    let (server, target, _client) = tunnel().await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("GET /c1/stream HTTP/1.1\r\nHost: v\r\n\r\n").await;
    assert_eq!(viewer.head().await.status, 200);
    for line in ["one", "two", "three"] {
        target.lines.send(line.to_owned()).unwrap();
        let mut chunk = vec![0; format!("{:x}\r\n{line}\r\n", line.len()).len()];
        tunnel_support::in_time(line, tokio::io::AsyncReadExt::read_exact(&mut viewer.socket, &mut chunk))
            .await
            .unwrap();
        assert!(String::from_utf8(chunk).unwrap().contains(line));
    }
}

#[tokio::test]
async fn an_early_response_reaches_a_viewer_that_is_still_sending() {
    let (server, _target, _client) = tunnel().await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("POST /c1/refuse HTTP/1.1\r\nHost: v\r\nContent-Length: 100000000\r\n\r\nbeginning").await;
    assert_eq!(viewer.answer().await.status, 413);
}

#[tokio::test]
async fn a_viewer_that_expects_100_gets_the_targets_100_or_its_refusal() {
    let (server, _target, _client) = tunnel().await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("POST /c1/continue HTTP/1.1\r\nHost: v\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    assert_eq!(viewer.head().await.status, 100);
    viewer.send([pattern(0), pattern(1), pattern(2)]).await;
    assert_eq!(viewer.answer().await.json()["bytes"], 3);
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("POST /c1/refuse HTTP/1.1\r\nHost: v\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    assert_eq!(viewer.answer().await.status, 413);
}

#[tokio::test]
async fn an_interrupted_response_never_looks_complete() {
    let (server, _target, _client) = tunnel().await;
    for path in ["/c1/cut", "/c1/cutchunked"] {
        let answer = viewer::get(server.address, path).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.complete, "{path}");
    }
    until("the metric", async || (server.metric("viewer_truncated_total").await == 2).then_some(())).await;
}

#[tokio::test]
async fn the_target_detects_a_viewer_that_leaves_at_once() {
    let (server, target, _client) = tunnel().await;
    for (path, body) in [("/c1/hang", ""), ("/c1/stream", ""), ("/c1/sink", "some of it")] {
        let mut viewer = Viewer::connect(server.address).await;
        let length = if body.is_empty() { 0 } else { 1000 };
        viewer.send(format!("POST {path} HTTP/1.1\r\nHost: v\r\nContent-Length: {length}\r\n\r\n{body}")).await;
        until("the target waits", async || (target.waiting.load(SeqCst) == 1).then_some(())).await;
        viewer.abort();
        until("the target is free", async || (target.waiting.load(SeqCst) == 0).then_some(())).await;
    }
}

#[tokio::test]
async fn connections_to_the_target_are_reused() {
    let (server, target, _client) = tunnel().await;
    for _ in 0..50 {
        assert_eq!(viewer::get(server.address, "/c1/echo").await.status, 200);
    }
    assert!(target.connections.load(SeqCst) <= 2, "{} connections", target.connections.load(SeqCst));
}

#[tokio::test]
async fn an_unknown_id_is_a_404_and_an_unreachable_target_a_502() {
    let (server, target, _client) = tunnel().await;
    for path in ["/nobody/x", "/%631/x", "/C1/x"] {
        assert_eq!(viewer::get(server.address, path).await.status, 404, "{path}");
    }
    assert_eq!(viewer::get(server.address, "//c1/x").await.status, 404);
    assert_eq!(viewer::get(server.address, "/c1?x=1").await.json()["target"], "/?x=1");
    let closed_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _client = TestClient::start(server.address, "deaf", closed_port).await;
    assert_eq!(viewer::get(server.address, "/deaf/x").await.status, 502);
    assert_eq!(target.requests.load(SeqCst), 1);
}

#[tokio::test]
async fn a_target_that_never_responds_is_a_504() {
    let server = TestServer::start_with(|config| config.response_timeout = std::time::Duration::from_millis(200)).await;
    let target = TestTarget::start().await;
    let _client = TestClient::start(server.address, "c1", target.address).await;
    assert_eq!(viewer::get(server.address, "/c1/hang").await.status, 504);
    until("the target is free", async || (target.waiting.load(SeqCst) == 0).then_some(())).await;
}

#[tokio::test]
async fn the_service_endpoints_respond() {
    let (server, _target, _client) = tunnel().await;
    for (path, status) in [("/__lbheartbeat__", 200), ("/__heartbeat__", 200), ("/__version__", 404), ("/", 404)] {
        assert_eq!(viewer::get(server.address, path).await.status, status, "{path}");
    }
    assert_eq!(viewer::exchange(server.address, "CONNECT c1:80 HTTP/1.1\r\nHost: c1:80\r\n\r\n").await.status, 404);
    assert_eq!(viewer::get(server.metrics, "/nothing").await.status, 404);
}
