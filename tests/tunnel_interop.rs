//! Interoperation with the original in either role. `PEER_WEBSOCKTUNNEL` and `PEER_WST_CLIENT` name its programs, each
//! as a list of paths separated by colons. Without them the tests check nothing, and print that.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use futures_util::{SinkExt, StreamExt};
use std::{net::SocketAddr, path::PathBuf, sync::atomic::Ordering::SeqCst};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};
use tunnel_support::{
    TestClient, TestServer, in_time, mint, process,
    target::{TestTarget, is_pattern, pattern},
    until,
    viewer::{self, Viewer},
};

/// Returns the programs that a variable names.
fn peers(variable: &str) -> Vec<PathBuf> {
    let Some(list) = process::peer(variable) else {
        eprintln!("{variable} is not set: interoperation with the original is not tested");
        return Vec::new();
    };
    std::env::split_paths(&list).collect()
}

/// Checks requests, uploads, WebSockets, many requests at once, and an aborted response.
async fn check_everything(server: SocketAddr, target: &TestTarget) {
    for path in ["/c1/bytes/1", "/c1/bytes/3000", "/c1/bytes/100000", "/c1/chunked/3000000"] {
        let size: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        let answer = viewer::get(server, path).await;
        assert!(
            answer.complete && answer.body.len() == size && is_pattern(&answer.body),
            "{path}: {}",
            answer.body.len()
        );
    }
    let echo = viewer::get(server, "/c1/a/b?c=d").await.json();
    assert_eq!(echo["target"], "/a/b?c=d");
    for size in [10u64, 100_000, 3_000_000] {
        let mut viewer = Viewer::connect(server).await;
        viewer.send(format!("POST /c1/sink HTTP/1.1\r\nHost: v\r\nContent-Length: {size}\r\n\r\n")).await;
        viewer.send((0..size).map(pattern).collect::<Vec<u8>>()).await;
        assert_eq!(viewer.answer().await.json(), serde_json::json!({"bytes": size, "intact": true}));
    }
    let socket = TcpStream::connect(server).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{server}/c1/ws"), socket).await.unwrap();
    for size in [1, 1000, 70_000, 1 << 20] {
        let message = Message::binary(vec![9; size]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(in_time("an echo", socket.next()).await.unwrap().unwrap(), message);
    }
    let mut running = Vec::new();
    for _ in 0..50 {
        running.push(tokio::spawn(async move { viewer::get(server, "/c1/bytes/20000").await.body.len() }));
    }
    for one in running {
        assert_eq!(in_time("a request", one).await.unwrap(), 20_000);
    }
    let before = target.waiting.load(SeqCst);
    let mut viewer = Viewer::connect(server).await;
    viewer.send("GET /c1/stream HTTP/1.1\r\nHost: v\r\n\r\n").await;
    until("the target streams", async || (target.waiting.load(SeqCst) > before).then_some(())).await;
    drop(viewer);
    // The original's server detects the abort only when it writes.
    until("the target is free", async || {
        _ = target.lines.send("x".repeat(100));
        (target.waiting.load(SeqCst) == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_original_client_works_with_our_server() {
    for program in peers("PEER_WST_CLIENT") {
        let server = TestServer::start().await;
        let target = TestTarget::start().await;
        let client = process::client(&program, server.address, "c1", target.address, &mint("c1")).await;
        check_everything(server.address, &target).await;
        // Aborted downloads free their buffers.
        for _ in 0..20 {
            let mut viewer = Viewer::connect(server.address).await;
            viewer.send("GET /c1/bytes/50000000 HTTP/1.1\r\nHost: v\r\n\r\n").await;
            assert_eq!(viewer.head().await.status, 200);
            viewer.abort();
        }
        until("nothing is buffered", async || (server.metric("buffered_bytes").await == 0).then_some(())).await;
        assert_eq!(viewer::get(server.address, "/c1/bytes/5").await.body.len(), 5);
        drop(client);
        until("it is gone", async || (viewer::get(server.address, "/c1/echo").await.status == 404).then_some(())).await;
    }
}

#[tokio::test]
async fn our_client_works_with_an_original_server() {
    for program in peers("PEER_WEBSOCKTUNNEL") {
        let (_server, address) = process::server(&program).await;
        let target = TestTarget::start().await;
        let client = TestClient::start(address, "c1", target.address).await;
        assert_eq!(client.url, "http://tunnel.test/c1");
        check_everything(address, &target).await;
    }
}

#[tokio::test]
async fn our_client_reconnects_after_an_original_server_has_stopped() {
    for program in peers("PEER_WEBSOCKTUNNEL") {
        let (server, address) = process::server(&program).await;
        let target = TestTarget::start().await;
        let _client = TestClient::start(address, "c1", target.address).await;
        drop(server);
        let again = TestServer::start_at(address, |_| {}).await;
        until("the client is back", async || {
            (viewer::get(again.address, "/c1/echo").await.status == 200).then_some(())
        })
        .await;
    }
}
