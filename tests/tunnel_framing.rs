//! The framing of HTTP messages: on connections that viewers share, and after an interruption.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tunnel_support::{
    TestClient, TestServer, in_time, mint, process,
    service::{Service, read_through},
    viewer::{self, Viewer},
};

const CLIENT: &str = env!("CARGO_BIN_EXE_wst-client");
const SERVER: &str = env!("CARGO_BIN_EXE_websocktunnel");
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn tunnel(service: &Service) -> (TestServer, TestClient) {
    let server = TestServer::start().await;
    let client = TestClient::start(server.address, "c1", service.address).await;
    (server, client)
}

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// A request whose bytes after the first 40, without the tunnel's ID, are another request.
const VICTIM: &str = "GET /c1/abcde HTTP/1.1\r\nHost: vvv\r\nAccept: DELETE /account HTTP/1.1\r\nCookie: of=b\r\n\r\n";

#[tokio::test]
async fn the_body_of_an_upgrade_is_never_read_from_the_next_viewers_request() {
    let service = Service::start(|_| OK.to_owned()).await;
    let (server, _client) = tunnel(&service).await;
    let body = "0123456789012345678901234567890123456789";
    let chunked = format!("28\r\n{body}\r\n0\r\n\r\n");
    for (what, request, sent) in [
        ("GET", format!("GET /c1/a HTTP/1.1\r\nHost: v\r\n{HANDSHAKE}Content-Length: 40\r\n\r\n{body}"), body),
        ("POST", format!("POST /c1/a HTTP/1.1\r\nHost: v\r\n{HANDSHAKE}Content-Length: 40\r\n\r\n{body}"), body),
        ("PUT", format!("PUT /c1/a HTTP/1.1\r\nHost: v\r\n{HANDSHAKE}Content-Length: 0\r\n\r\n"), ""),
        (
            "GET",
            format!("GET /c1/a HTTP/1.1\r\nHost: v\r\n{HANDSHAKE}Transfer-Encoding: chunked\r\n\r\n{chunked}"),
            &chunked,
        ),
        (
            "GET",
            format!(
                "GET /c1/a HTTP/1.1\r\nHost: v\r\n{HANDSHAKE}Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n\
                 {chunked}"
            ),
            &chunked,
        ),
        (
            "GET",
            format!(
                "GET /c1/a HTTP/1.1\r\nHost: v\r\n{HANDSHAKE}Connection: content-length, transfer-encoding\r\n\
                 Content-Length: 40\r\n\r\n{body}"
            ),
            body,
        ),
        ("GET", format!("GET /c1/a HTTP/1.0\r\nHost: v\r\n{HANDSHAKE}\r\n"), ""),
    ] {
        let mut first = Viewer::connect(server.address).await;
        first.send(&request).await;
        assert_eq!(first.answer().await.body, b"ok", "{request}");
        assert_eq!(viewer::exchange(server.address, VICTIM).await.body, b"ok", "{request}");
        let seen = service.take(2).await;
        assert_eq!(seen.len(), 2, "{request}: {seen:?}");
        assert_eq!(seen[0].line(), format!("{what} /a HTTP/1.1"), "{request}");
        assert_eq!(String::from_utf8_lossy(&seen[0].body), sent, "{request}");
        assert!(!seen[0].has("upgrade:") && !seen[0].has("connection:"), "{request}: {seen:?}");
        assert_eq!(seen[1].line(), "GET /abcde HTTP/1.1", "{request}");
        assert!(seen[1].has("accept: delete /account http/1.1") && seen[1].has("cookie: of=b"), "{request}: {seen:?}");
    }
}

#[tokio::test]
async fn the_connection_of_a_refused_upgrade_is_not_reused() {
    let service = Service::start(|_| OK.to_owned()).await;
    let (server, _client) = tunnel(&service).await;
    for end in ["\r\n", "Content-Length: 0\r\n\r\n"] {
        let handshake = format!("GET /c1/ws HTTP/1.1\r\nHost: v\r\n{HANDSHAKE}{end}");
        assert_eq!(viewer::exchange(server.address, &handshake).await.body, b"ok");
        assert_eq!(viewer::exchange(server.address, VICTIM).await.body, b"ok");
        let seen = service.take(2).await;
        assert!(seen[0].has("upgrade: websocket") && !seen[1].has("upgrade:"), "{seen:?}");
        assert_ne!(seen[0].connection, seen[1].connection);
    }
}

#[tokio::test]
async fn a_connection_is_reused_only_after_a_complete_request_and_response_of_http_1_1() {
    for (what, answer, kept) in [
        ("whole", OK, true),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
        ("with trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", true),
        ("close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false),
        (
            "close in another line",
            "HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok",
            false,
        ),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        ("HTTP/1.0 that keeps", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", false),
        (
            "a length and chunks",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            false,
        ),
        (
            "a second answer",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            false,
        ),
        ("bytes after it", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n", false),
    ] {
        let service = Service::start(|_| answer.to_owned()).await;
        let (server, _client) = tunnel(&service).await;
        for _ in 0..2 {
            let got = viewer::get(server.address, "/c1/x").await;
            assert_eq!((got.body.as_slice(), got.complete), (b"ok".as_slice(), true), "{what}");
        }
        let seen = service.take(2).await;
        assert_eq!(seen[0].connection == seen[1].connection, kept, "{what}: {seen:?}");
        assert!(seen.iter().all(|seen| seen.line() == "GET /x HTTP/1.1"), "{what}: {seen:?}");
    }
}

#[tokio::test]
async fn a_connection_is_not_reused_while_a_request_body_is_still_sent() {
    let service = Service::start(|_| OK.to_owned()).await;
    let (server, _client) = tunnel(&service).await;
    let mut first = Viewer::connect(server.address).await;
    first.send("POST /c1/upload HTTP/1.1\r\nHost: v\r\nContent-Length: 40\r\n\r\n0123456789").await;
    assert_eq!(first.answer().await.body, b"ok");
    assert_eq!(viewer::exchange(server.address, VICTIM).await.body, b"ok");
    let seen = service.take(1).await;
    assert_eq!((seen.len(), seen[0].line()), (1, "GET /abcde HTTP/1.1"));
    // The rest of the body arrives on the first connection.
    first.send("012345678901234567890123456789").await;
    assert_eq!(service.take(1).await[0].body.len(), 40);
}

#[tokio::test]
async fn a_chunked_body_is_forwarded_for_any_method() {
    let service = Service::start(|_| OK.to_owned()).await;
    let (server, _client) = tunnel(&service).await;
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "POST"] {
        for length in ["", "Content-Length: 3\r\n"] {
            let mut viewer = Viewer::connect(server.address).await;
            let head = format!("{method} /c1/x HTTP/1.1\r\nHost: v\r\nConnection: content-length, x\r\n{length}");
            viewer.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
            assert_eq!(viewer.head().await.status, 200);
            let seen = service.take(1).await;
            assert_eq!(String::from_utf8_lossy(&seen[0].body), "5\r\nhello\r\n0\r\n\r\n", "{method} {length}");
            assert!(!seen[0].has("content-length:"), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn chunks_take_precedence_over_the_length_of_a_response() {
    let service = Service::start(|_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned()
    })
    .await;
    let (server, _client) = tunnel(&service).await;
    for version in ["1.1", "1.0"] {
        let answer = viewer::exchange(server.address, &format!("GET /c1/x HTTP/{version}\r\nHost: v\r\n\r\n")).await;
        assert_eq!((answer.body.as_slice(), answer.complete), (b"hello".as_slice(), true), "{version}");
        assert_eq!(answer.header("content-length"), None);
    }
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("HEAD /c1/x HTTP/1.1\r\nHost: v\r\n\r\n").await;
    assert_eq!(viewer.head().await.header("content-length"), None);
}

#[tokio::test]
async fn unsupported_transfer_codings_are_refused() {
    let service = Service::start(|_| {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned()
    })
    .await;
    let (server, _client) = tunnel(&service).await;
    assert_eq!(viewer::get(server.address, "/c1/x").await.status, 502);
    service.take(1).await;
    for coding in ["gzip, chunked", "chunked, chunked", "identity, chunked"] {
        let request =
            format!("POST /c1/x HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(viewer::exchange(server.address, &request).await.status, 501, "{coding}");
    }
    assert_eq!(service.count(), 0);
}

/// The end of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The service completes the response.
    Complete,
    /// The service resets its connection.
    Reset,
    /// The tunnel's client is killed.
    Client,
    /// The tunnel's server is killed.
    Server,
}

/// Starts a service that sends the beginning of a response, and ends it on demand, completely or with a reset. It
/// responds to `/bytes` at once.
async fn service_in_two_parts(begin: &'static str, rest: &'static str) -> (SocketAddr, mpsc::Sender<End>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ending, mut ended) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let head = read_through(&mut socket, &mut Vec::new(), b"\r\n\r\n").await.unwrap();
            if head.starts_with(b"GET /bytes") {
                socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
                continue;
            }
            socket.write_all(begin.as_bytes()).await.unwrap();
            match ended.recv().await {
                Some(End::Complete) => socket.write_all(rest.as_bytes()).await.unwrap(),
                Some(End::Reset) => socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap(),
                _ => return,
            }
        }
    });
    (address, ending)
}

/// Returns true if the bytes that a viewer read are a complete response by the rules of HTTP.
fn is_complete(read: &[u8], ended: std::io::Result<usize>) -> bool {
    let read = String::from_utf8_lossy(read);
    let (head, body) = read.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked") {
        return body.ends_with("\r\n0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.map_or(ended.is_ok(), |length| body.len().to_string() == length)
}

#[tokio::test]
async fn a_response_looks_complete_only_if_it_is() {
    const SERVICES: [(&str, &str, &str); 4] = [
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhalf", "rest"),
        ("HTTP/1.1 that closes", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf", "rest"),
        (
            "HTTP/1.1 chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "4\r\nrest\r\n0\r\n\r\n",
        ),
        ("HTTP/1.1 with a length", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", "rest"),
    ];
    let mut wrong = Vec::new();
    for (name, begin, rest) in SERVICES {
        for version in ["1.0", "1.1"] {
            for end in [End::Complete, End::Reset, End::Client, End::Server] {
                let (target, ending) = service_in_two_parts(begin, rest).await;
                let (mut server, address) = process::server(Path::new(SERVER)).await;
                let mut client = process::client(Path::new(CLIENT), address, "c1", target, &mint("c1")).await;
                let mut viewer = TcpStream::connect(address).await.unwrap();
                let request = format!("GET /c1/x HTTP/{version}\r\nHost: v\r\nConnection: close\r\n\r\n");
                viewer.write_all(request.as_bytes()).await.unwrap();
                let mut read = Vec::new();
                let mut head = in_time("the half", read_through(&mut viewer, &mut read, b"half")).await.unwrap();
                match end {
                    End::Client => client.0.kill().unwrap(),
                    End::Server => server.0.kill().unwrap(),
                    End::Complete | End::Reset => ending.send(end).await.unwrap(),
                }
                let ended = in_time("the end", viewer.read_to_end(&mut read)).await;
                head.append(&mut read);
                let text = String::from_utf8_lossy(&head).into_owned();
                let result = format!("{ended:?}");
                let complete = is_complete(&head, ended);
                let right = complete == (end == End::Complete)
                    && text.starts_with(&format!("HTTP/{version} 200 OK\r\n"))
                    && (text.contains("rest") == complete);
                if !right {
                    wrong.push(format!("service {name}, viewer HTTP/{version}, {end:?}: {result} {text:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
