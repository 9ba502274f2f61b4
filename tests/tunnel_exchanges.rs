//! A table of HTTP exchanges: what a viewer sends, what the service gets and answers, and what the viewer reads. Each row
//! is a rule of RFC 9110 or RFC 9112. A new rule is a new row.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tunnel_support::{
    TestClient, TestServer, in_time,
    service::{Service, read_through},
    target::TestTarget,
    until,
    viewer::{self, Viewer},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An exchange on a connection of its own.
struct Row {
    name: &'static str,
    /// The bytes of the viewer.
    request: Vec<u8>,
    /// The bytes of the service.
    answer: String,
    /// The lines that are in the head that the service gets. Empty if it gets no request.
    service_gets: Vec<String>,
    /// The beginnings of lines that are not in that head.
    service_lacks: Vec<&'static str>,
    /// The texts that the viewer reads, in this order, from the first byte.
    viewer_reads: Vec<&'static str>,
    /// The texts that the viewer does not read.
    viewer_lacks: Vec<&'static str>,
}

/// Returns an exchange that succeeds. Fields of a row replace its parts.
fn row(name: &'static str) -> Row {
    Row {
        name,
        request: request(b"/c1/x", ""),
        answer: OK.to_owned(),
        service_gets: vec!["GET /x HTTP/1.1".to_owned()],
        service_lacks: vec![],
        viewer_reads: vec!["HTTP/1.1 200 OK\r\n", "\r\n\r\nok"],
        viewer_lacks: vec![],
    }
}

/// Returns a GET with more fields.
fn request(target: &[u8], fields: &str) -> Vec<u8> {
    let rest = format!(" HTTP/1.1\r\nHost: v\r\nConnection: close\r\n{fields}\r\n");
    [b"GET ", target, rest.as_bytes()].concat()
}

fn raw(head: &str) -> Vec<u8> {
    head.as_bytes().to_vec()
}

/// Returns a row for a request that never reaches the service.
fn refused(name: &'static str, request: Vec<u8>, status: &'static str) -> Row {
    Row { request, service_gets: vec![], viewer_reads: vec![status], ..row(name) }
}

fn host_rows() -> Vec<Row> {
    const BAD: &str = "HTTP/1.1 400 Bad Request\r\n";
    let mut rows = vec![
        refused("no Host", raw("GET /c1/x HTTP/1.1\r\nConnection: close\r\n\r\n"), BAD),
        refused("no Host for the server itself", raw("GET /__heartbeat__ HTTP/1.1\r\nConnection: close\r\n\r\n"), BAD),
        refused("two Hosts", raw("GET /c1/x HTTP/1.1\r\nHost: v\r\nHost: v\r\nConnection: close\r\n\r\n"), BAD),
        refused("two Hosts in HTTP/1.0", raw("GET /c1/x HTTP/1.0\r\nHost: v\r\nHost: w\r\n\r\n"), "HTTP/1.0 400"),
        Row {
            request: raw("GET /c1/x HTTP/1.0\r\n\r\n"),
            viewer_reads: vec!["HTTP/1.0 200 OK\r\n", "\r\n\r\nok"],
            ..row("no Host in HTTP/1.0")
        },
        Row {
            request: raw("GET http://real:81/c1/x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n"),
            service_gets: vec!["GET /x HTTP/1.1".into(), "host: real:81".into(), "x-forwarded-host: real:81".into()],
            service_lacks: vec!["host: other"],
            ..row("an absolute target decides about the Host")
        },
    ];
    for host in
        ["a b/c", "a b", "a/b", "a?b", "a#b", "u@h", "a:x", "a:1:2", "[::1", "::1", "a\\b", "a<b", "a\"b", "\u{e4}"]
    {
        let head = format!("GET /c1/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        rows.push(refused("a malformed Host", raw(&head), BAD));
    }
    for host in ["", "a", "a:", "a:80", "[::1]:80", "a_b-c.d", "127.0.0.1"] {
        let head = format!("GET /c1/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let line = format!("host: {host}");
        let service_gets = vec!["GET /x HTTP/1.1".into(), line.trim_end().into()];
        rows.push(Row { request: raw(&head), service_gets, ..row("a valid Host") });
    }
    rows
}

fn target_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (sent, got) in [
        (&b"/c1/a`b"[..], "/a%60b"),
        (b"/c1/a<b>c", "/a%3Cb%3Ec"),
        (b"/c1/a\"b", "/a%22b"),
        (b"/c1/\xff", "/%FF"),
        (b"/c1/\xc3\xa4", "/%C3%A4"),
        (b"/c1/a#b", "/a%23b"),
        (b"/c1/x?q=<\">`\xff", "/x?q=%3C%22%3E%60%FF"),
        (b"/c1?<", "/?%3C"),
        (b"/c1/%3c%FF%2f/a^b|c{d}e\\f", "/%3c%FF%2f/a^b|c{d}e\\f"),
        (b"http://h/c1/a<b", "/a%3Cb"),
    ] {
        let service_gets = vec![format!("GET {got} HTTP/1.1")];
        rows.push(Row { request: request(sent, ""), service_gets, ..row("a target with characters of no URI") });
    }
    rows.push(Row {
        request: request(b"/c1/x", "X-Kept: <a> \"b\" `c` #\r\n"),
        service_gets: vec!["GET /x HTTP/1.1".into(), "x-kept: <a> \"b\" `c` #".into()],
        ..row("the same characters in a field")
    });
    rows.push(Row {
        request: raw("\r\n\nGET /c1/a<b HTTP/1.1\nHost: v\nConnection: close\n\n"),
        service_gets: vec!["GET /a%3Cb HTTP/1.1".into()],
        ..row("empty lines before a request, and lines that end with LF")
    });
    rows.push(refused("a control character in a target", request(b"/c1/a\x01b", ""), "HTTP/1.1 400 Bad Request\r\n"));
    rows
}

fn framing_rows() -> Vec<Row> {
    let chunked = |coding: &str, chunks: &str| {
        let head = "POST /c1/x HTTP/1.1\r\nHost: v\r\nConnection: close\r\nTransfer-Encoding: ";
        raw(&format!("{head}{coding}\r\n\r\n{chunks}"))
    };
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    vec![
        refused("gzip, chunked", chunked("gzip, chunked", hello), "HTTP/1.1 501 Not Implemented\r\n"),
        Row {
            request: raw(
                "GET /c1/x HTTP/1.1\r\nHost: v\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            ),
            service_gets: vec!["GET /x HTTP/1.1".into(), "transfer-encoding: chunked".into()],
            ..row("a GET with chunks")
        },
        Row {
            answer: "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello".into(),
            viewer_reads: vec!["HTTP/1.1 200 OK\r\n", "content-length: 5\r\n", "\r\n\r\nhello"],
            viewer_lacks: vec!["5, 5", "chunked"],
            ..row("a length that is repeated in one line")
        },
        Row {
            answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello".into(),
            viewer_reads: vec!["HTTP/1.1 200 OK\r\n", "content-length: 5\r\n", "\r\n\r\nhello"],
            viewer_lacks: vec!["content-length: 5\r\ncontent-length"],
            ..row("a length that is repeated in two lines")
        },
        Row {
            answer: "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello".into(),
            viewer_reads: vec!["HTTP/1.1 502 Bad Gateway\r\n"],
            ..row("two lengths that differ")
        },
        Row {
            answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                .into(),
            viewer_reads: vec!["HTTP/1.1 200 OK\r\n", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
            viewer_lacks: vec!["content-length"],
            ..row("a length and chunks")
        },
    ]
}

/// Returns `count` fields of a head, the last of which is `x-n: COUNT`.
fn fields(count: usize) -> String {
    (1..=count).map(|n| format!("X-N: {n}\r\n")).collect()
}

fn answer_rows() -> Vec<Row> {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
    vec![
        Row {
            answer: format!("HTTP/1.1 102 Processing\r\n\r\n{hints}{OK}"),
            viewer_reads: vec![
                "HTTP/1.1 102 Processing\r\n\r\n",
                "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n",
                "HTTP/1.1 200 OK\r\n",
                "\r\n\r\nok",
            ],
            viewer_lacks: vec!["x-hop"],
            ..row("interim answers")
        },
        Row {
            request: raw("GET /c1/x HTTP/1.0\r\nHost: v\r\n\r\n"),
            answer: format!("{hints}{OK}"),
            viewer_reads: vec!["HTTP/1.0 200 OK\r\n", "\r\n\r\nok"],
            viewer_lacks: vec!["103"],
            ..row("an interim answer for a viewer with HTTP/1.0")
        },
        Row {
            request: request(b"/c1/x", "X-Websocktunnel-Elsewhere: ask\r\n"),
            answer: format!("{hints}{OK}"),
            viewer_lacks: vec!["103"],
            ..row("an interim answer for nginx, which would take it for the final one")
        },
        Row {
            answer: format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok", fields(150)),
            viewer_reads: vec!["HTTP/1.1 200 OK\r\n", "x-n: 1\r\n", "x-n: 150\r\n", "\r\n\r\nok"],
            ..row("an answer of 150 fields")
        },
        Row {
            request: request(b"/c1/x", &fields(150)),
            service_gets: vec!["GET /x HTTP/1.1".into(), "x-n: 1".into(), "x-n: 150".into()],
            ..row("a request of 150 fields")
        },
        Row {
            request: raw("POST /c1/x HTTP/1.1\r\nHost: v\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
            answer: "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno".into(),
            service_gets: vec![],
            viewer_reads: vec!["HTTP/1.1 417 Expectation Failed\r\n", "\r\n\r\nno"],
            viewer_lacks: vec!["100 Continue"],
            ..row("a refused expectation")
        },
        Row {
            request: raw("GET /c1/x HTTP/1.0\r\nHost: v\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
            service_lacks: vec!["upgrade", "connection"],
            viewer_reads: vec!["HTTP/1.0 200 OK\r\n", "\r\n\r\nok"],
            ..row("a WebSocket handshake in HTTP/1.0")
        },
    ]
}

/// Runs a row. Returns what is wrong.
async fn run(row: &Row) -> Vec<String> {
    let answer = row.answer.clone();
    let service = Service::start(move |_| answer.clone()).await;
    let server = TestServer::start().await;
    let _client = TestClient::start(server.address, "c1", service.address).await;
    let mut viewer = TcpStream::connect(server.address).await.unwrap();
    viewer.write_all(&row.request).await.unwrap();
    let mut read = Vec::new();
    if row.name == "a refused expectation" {
        // The viewer keeps its body.
        read = in_time(row.name, read_through(&mut viewer, &mut Vec::new(), b"\r\n\r\nno")).await.unwrap_or_default();
    } else {
        _ = in_time(row.name, viewer.read_to_end(&mut read)).await;
    }
    let read = String::from_utf8_lossy(&read);
    let mut wrong = Vec::new();
    let mut at = 0;
    for (n, text) in row.viewer_reads.iter().enumerate() {
        match read[at..].find(text) {
            Some(found) if n > 0 || found == 0 => at += found + text.len(),
            _ => wrong.push(format!("{:?} is missing", text)),
        }
    }
    wrong.extend(row.viewer_lacks.iter().filter(|text| read.contains(**text)).map(|text| format!("has {text:?}")));
    let seen = if row.service_gets.is_empty() { None } else { Some(service.take(1)) };
    let head = match seen {
        // A request that the viewer got no answer to may never arrive.
        Some(seen) if wrong.is_empty() => seen.await.remove(0).head,
        _ => String::new(),
    };
    if service.count() > 0 {
        wrong.push("the service got a request".into());
    }
    if wrong.is_empty() {
        let lines: Vec<&str> = head.lines().map(str::trim_end).collect();
        let missing = row.service_gets.iter().filter(|line| !lines.contains(&line.as_str()));
        wrong.extend(missing.map(|line| format!("the service lacks {line:?}")));
        let begins = |begin: &str| lines.iter().any(|line| line.starts_with(begin));
        wrong.extend(
            row.service_lacks.iter().filter(|begin| begins(begin)).map(|line| format!("the service got {line:?}")),
        );
    }
    let context = |what| {
        format!(
            "{}: {what}\n  sent {:?}\n  read {read:?}\n  service {head:?}",
            row.name,
            row.request.escape_ascii().to_string()
        )
    };
    wrong.into_iter().map(context).collect()
}

#[tokio::test]
async fn each_exchange_follows_the_rules_of_http() {
    let mut wrong = Vec::new();
    for row in [host_rows(), target_rows(), framing_rows(), answer_rows()].into_iter().flatten() {
        wrong.extend(run(&row).await);
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn targets_are_encoded_on_a_connection_of_many_requests() {
    let service = Service::start(|_| OK.to_owned()).await;
    let server = TestServer::start().await;
    let _client = TestClient::start(server.address, "c1", service.address).await;
    let get = "GET /c1/a<b HTTP/1.1\r\nHost: v\r\n\r\n".to_owned();
    let body = "<\">`\r\n\r\nGET /c1/<";
    let sized = format!("POST /c1/a<b HTTP/1.1\r\nHost: v\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let size = body.len();
    let chunks = format!("{size:x}\r\n{body}\r\n0\r\n\r\n");
    let chunked = format!("POST /c1/a<b HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    // Whole, byte by byte, and each request with the next one.
    for at_once in [true, false] {
        let mut viewer = Viewer::connect(server.address).await;
        for (request, sent) in [(&get, ""), (&sized, body), (&chunked, chunks.as_str()), (&get, ""), (&sized, body)] {
            if at_once {
                viewer.send(request).await;
            } else {
                for byte in request.as_bytes() {
                    viewer.send([*byte]).await;
                }
            }
            assert_eq!(viewer.answer().await.status, 200, "{request}");
            let seen = service.take(1).await.remove(0);
            assert!(seen.line().contains(" /a%3Cb HTTP/1.1"), "{seen:?}");
            assert_eq!(String::from_utf8_lossy(&seen.body), sent);
        }
    }
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send(format!("{get}{sized}{sized}{get}")).await;
    for _ in 0..4 {
        assert_eq!(viewer.answer().await.status, 200);
    }
    let seen = service.take(4).await;
    assert!(seen.iter().all(|seen| seen.line().contains(" /a%3Cb HTTP/1.1")), "{seen:?}");
    let bodies: Vec<_> = seen.iter().map(|seen| String::from_utf8_lossy(&seen.body)).collect();
    assert_eq!(bodies, ["", body, body, ""]);
}

#[tokio::test]
async fn bodies_and_websockets_are_never_encoded() {
    let server = TestServer::start().await;
    let service = Service::start(|_| {
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned()
    })
    .await;
    let _client = TestClient::start(server.address, "c1", service.address).await;
    let mut viewer = Viewer::connect(server.address).await;
    let bytes = "GET /<\"`> HTTP/1.1\r\n\r\n";
    let handshake = "GET /c1/ws HTTP/1.1\r\nHost: v\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // The first bytes arrive with the handshake.
    viewer.send(format!("{handshake}{bytes}")).await;
    assert_eq!(viewer.head().await.status, 101);
    viewer.send(bytes).await;
    let seen = service.take(3).await;
    assert_eq!([seen[1].head.as_str(), &seen[2].head], [bytes, bytes]);
}

/// A service that answers when it is told to, and notices when its connection ends before.
async fn service_on_demand() -> (std::net::SocketAddr, oneshot::Sender<()>, oneshot::Receiver<()>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (release, released) = oneshot::channel();
    let (asked, arrived) = oneshot::channel();
    let left = Arc::<AtomicBool>::default();
    let noticed = left.clone();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = Vec::new();
        read_through(&mut socket, &mut buffer, b"\r\n\r\n").await.unwrap();
        asked.send(()).unwrap();
        tokio::select! {
            _ = released => socket.write_all(OK.as_bytes()).await.unwrap(),
            _ = socket.read_buf(&mut buffer) => noticed.store(true, SeqCst),
        }
    });
    (address, release, arrived, left)
}

#[tokio::test]
async fn a_viewer_that_finishes_sending_gets_its_answer() {
    for request in [
        "GET /c1/x HTTP/1.1\r\nHost: v\r\n\r\n",
        "GET /c1/x HTTP/1.0\r\n\r\n",
        "POST /c1/x HTTP/1.1\r\nHost: v\r\nContent-Length: 2\r\n\r\nab",
        "POST /c1/x HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ] {
        let (address, release, arrived, left) = service_on_demand().await;
        let server = TestServer::start().await;
        let _client = TestClient::start(server.address, "c1", address).await;
        let mut viewer = TcpStream::connect(server.address).await.unwrap();
        viewer.write_all(request.as_bytes()).await.unwrap();
        viewer.shutdown().await.unwrap();
        in_time("the request", arrived).await.unwrap();
        // The server has time to read the end.
        for _ in 0..50 {
            assert_eq!(viewer::get(server.address, "/__heartbeat__").await.status, 200);
        }
        assert!(!left.load(SeqCst), "the service was abandoned: {request}");
        release.send(()).unwrap();
        let mut answer = String::new();
        in_time("the answer", viewer.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.contains(" 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{request}: {answer}");
    }
}

#[tokio::test]
async fn a_viewer_that_closes_is_noticed_at_last() {
    for (name, behind_proxy, wait) in
        [("a proxy", true, Duration::from_secs(3600)), ("a viewer", false, Duration::ZERO)]
    {
        let (address, _release, arrived, left) = service_on_demand().await;
        let server = TestServer::start_with(|config| {
            config.behind_proxy = behind_proxy;
            config.half_close_timeout = wait;
        })
        .await;
        let _client = TestClient::start(server.address, "c1", address).await;
        let mut viewer = TcpStream::connect(server.address).await.unwrap();
        viewer.write_all(b"GET /c1/x HTTP/1.1\r\nHost: v\r\n\r\n").await.unwrap();
        in_time("the request", arrived).await.unwrap();
        drop(viewer);
        until(name, async || left.load(SeqCst).then_some(())).await;
    }
    // An incomplete body is one at once.
    let server = TestServer::start_with(|config| config.half_close_timeout = Duration::from_secs(3600)).await;
    let target = TestTarget::start().await;
    let _client = TestClient::start(server.address, "c1", target.address).await;
    for request in [
        "POST /c1/sink HTTP/1.1\r\nHost: v\r\nContent-Length: 9\r\n\r\nab",
        "POST /c1/sink HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let mut viewer = TcpStream::connect(server.address).await.unwrap();
        viewer.write_all(request.as_bytes()).await.unwrap();
        until("the target waits", async || (target.waiting.load(SeqCst) == 1).then_some(())).await;
        viewer.shutdown().await.unwrap();
        let mut answer = String::new();
        in_time("the refusal", viewer.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
        until("the target is free", async || (target.waiting.load(SeqCst) == 0).then_some(())).await;
    }
}

#[tokio::test]
async fn an_interim_answer_arrives_before_the_final_one_exists() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (release, released) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_through(&mut socket, &mut Vec::new(), b"\r\n\r\n").await.unwrap();
        socket.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await.unwrap();
        released.await.unwrap();
        socket.write_all(OK.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let server = TestServer::start().await;
    let _client = TestClient::start(server.address, "c1", address).await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send("GET /c1/x HTTP/1.1\r\nHost: v\r\n\r\n").await;
    let hint = viewer.head().await;
    assert_eq!((hint.status, hint.header("link")), (103, Some("</a>")));
    release.send(()).unwrap();
    assert_eq!(viewer.answer().await.body, b"ok");
}

#[tokio::test]
async fn too_many_requests_of_one_client_are_a_503_that_names_a_time() {
    const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // The limit of the server, and the limit of the client, which refuses the stream.
    for (server_streams, client_streams) in [(3, 1000), (1000, 3)] {
        let server = TestServer::start_with(|config| config.limits.streams = server_streams).await;
        let target = TestTarget::start().await;
        let tokens = route_native::tunnel::client::Tokens::fixed(tunnel_support::mint("c1"));
        let _client = TestClient::start_with(server.address, "c1", target.address, tokens, |config| {
            config.limits.streams = client_streams;
        })
        .await;
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut viewer = Viewer::connect(server.address).await;
            viewer.send("GET /c1/hang HTTP/1.1\r\nHost: v\r\n\r\n").await;
            held.push(viewer);
        }
        until("the target holds them", async || (target.waiting.load(SeqCst) == 3).then_some(())).await;
        for fields in ["", WEBSOCKET, "Content-Length: 0\r\n"] {
            let answer =
                viewer::exchange(server.address, &format!("GET /c1/x HTTP/1.1\r\nHost: v\r\n{fields}\r\n")).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{fields}");
        }
        assert_eq!(server.metric("viewer_bad_gateway_total").await, 0);
        drop(held.pop());
    }
}

#[tokio::test]
async fn a_body_that_is_sent_after_its_answer_arrives_complete_at_a_slow_service() {
    const SIZE: usize = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (release, released) = oneshot::channel::<()>();
    let (done, total) = oneshot::channel();
    tokio::spawn(async move {
        let (mut upload, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut body = Vec::new();
            read_through(&mut upload, &mut body, b"\r\n\r\n").await.unwrap();
            upload.write_all(OK.as_bytes()).await.unwrap();
            released.await.unwrap();
            while body.len() < SIZE && matches!(upload.read_buf(&mut body).await, Ok(1..)) {}
            done.send(body.len()).unwrap();
        });
        let (mut idle, _) = listener.accept().await.unwrap();
        read_through(&mut idle, &mut Vec::new(), b"\r\n\r\n").await.unwrap();
        idle.write_all(OK.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let server = TestServer::start().await;
    let _client = TestClient::start(server.address, "c1", address).await;
    let mut viewer = Viewer::connect(server.address).await;
    viewer.send(format!("POST /c1/upload HTTP/1.1\r\nHost: v\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    assert_eq!(viewer.answer().await.body, b"ok");
    viewer.send(vec![b'x'; SIZE]).await;
    // The stream of this request becomes idle later than the upload, and is closed later.
    assert_eq!(viewer::get(server.address, "/c1/idle").await.body, b"ok");
    until("both are in use", async || (server.metric("streams").await == 2).then_some(())).await;
    until("the idle stream is closed", async || (server.metric("streams").await < 2).then_some(())).await;
    release.send(()).unwrap();
    assert_eq!(in_time("the body", total).await.unwrap(), SIZE);
}
