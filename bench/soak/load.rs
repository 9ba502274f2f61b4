//! The kinds of load, each a task that never ends unless something fails.

use crate::target::DOWNLOAD;
use futures_util::{SinkExt, StreamExt};
use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Interval, interval},
};
use tokio_tungstenite::{client_async, tungstenite::Message};

/// The tunnel that is looked through.
pub const ID: &str = "soak";

const KINDS: [&str; 6] = ["requests", "downloads", "uploads", "websockets", "aborts", "registrations"];

/// How often each kind of work was done.
#[derive(Default)]
pub struct Done([AtomicU64; 6]);

impl Done {
    fn count(&self, kind: &str) {
        if let Some(n) = KINDS.iter().position(|known| *known == kind) {
            self.0[n].fetch_add(1, Relaxed);
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = KINDS.iter().zip(&self.0).map(|(kind, count)| format!("{} {kind}", count.load(Relaxed)));
        out.write_str(&counts.collect::<Vec<_>>().join(", "))
    }
}

/// Where the load goes.
#[derive(Clone, Copy)]
pub struct Tunnel {
    pub address: SocketAddr,
    pub token: fn(&str) -> String,
}

/// Starts all of it, once the client is there.
pub async fn start(tunnel: Tunnel, done: Arc<Done>) -> JoinSet<()> {
    while !is_reachable(tunnel).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut work = JoinSet::new();
    for _ in 0..4 {
        work.spawn(small(tunnel, done.clone()));
    }
    work.spawn(large(tunnel, done.clone()));
    for _ in 0..2 {
        work.spawn(websockets(tunnel, done.clone()));
    }
    work.spawn(aborts(tunnel, done.clone()));
    work.spawn(registrations(tunnel, done));
    work
}

fn every(milliseconds: u64) -> Interval {
    interval(Duration::from_millis(milliseconds))
}

async fn connect(tunnel: Tunnel) -> TcpStream {
    let socket = TcpStream::connect(tunnel.address).await.expect("a connection");
    socket.set_nodelay(true).expect("TCP_NODELAY");
    socket
}

async fn ask(socket: &mut TcpStream, method: &str, path: &str, length: usize) {
    let head = format!("{method} /{ID}{path} HTTP/1.1\r\nHost: soak\r\nContent-Length: {length}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("sending a request");
}

/// Reads a head to its end; returns it, and what came behind it.
async fn head(socket: &mut TcpStream) -> (String, usize) {
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let read = socket.read_buf(&mut buffer).await.expect("reading a response");
        assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&buffer));
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            return (String::from_utf8_lossy(&buffer[..at]).to_lowercase(), buffer.len() - at - 4);
        }
    }
}

/// Reads one whole response, which has to be a good one; returns the size of its body.
async fn receive(socket: &mut TcpStream) -> usize {
    let (head, early) = head(socket).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let length = length.parse::<usize>().expect("a length");
    let (mut left, mut sink) = (length - early, vec![0; 256 << 10]);
    while left > 0 {
        let room = left.min(sink.len());
        let read = socket.read(&mut sink[..room]).await.expect("reading a body");
        assert!(read > 0, "a body broke off");
        left -= read;
    }
    length
}

async fn is_reachable(tunnel: Tunnel) -> bool {
    let mut socket = connect(tunnel).await;
    ask(&mut socket, "GET", "/small", 0).await;
    head(&mut socket).await.0.starts_with("http/1.1 200")
}

async fn small(tunnel: Tunnel, done: Arc<Done>) {
    let mut pace = every(10);
    loop {
        // A new connection now and then: viewers come and go.
        let mut socket = connect(tunnel).await;
        for _ in 0..500 {
            pace.tick().await;
            ask(&mut socket, "GET", "/small", 0).await;
            receive(&mut socket).await;
            done.count("requests");
        }
    }
}

async fn large(tunnel: Tunnel, done: Arc<Done>) {
    let (mut pace, block) = (every(2000), vec![b'u'; 256 << 10]);
    loop {
        pace.tick().await;
        let mut socket = connect(tunnel).await;
        ask(&mut socket, "GET", "/download", 0).await;
        assert_eq!(receive(&mut socket).await, DOWNLOAD);
        done.count("downloads");
        pace.tick().await;
        ask(&mut socket, "POST", "/upload", DOWNLOAD).await;
        for _ in 0..DOWNLOAD / block.len() {
            socket.write_all(&block).await.expect("uploading");
        }
        receive(&mut socket).await;
        done.count("uploads");
    }
}

async fn websockets(tunnel: Tunnel, done: Arc<Done>) {
    let (mut pace, message) = (every(20), Message::binary(vec![7; 64 << 10]));
    loop {
        let url = format!("ws://{}/{ID}/ws", tunnel.address);
        let (mut socket, _) = client_async(url, connect(tunnel).await).await.expect("a WebSocket");
        for _ in 0..50 {
            pace.tick().await;
            socket.send(message.clone()).await.expect("sending");
            assert_eq!(socket.next().await.expect("an echo").expect("an echo"), message);
        }
        done.count("websockets");
    }
}

/// Downloads that are given up near their beginning.
async fn aborts(tunnel: Tunnel, done: Arc<Done>) {
    let (mut pace, mut some) = (every(100), vec![0; 256 << 10]);
    loop {
        pace.tick().await;
        let mut socket = connect(tunnel).await;
        ask(&mut socket, "GET", "/download", 0).await;
        socket.read_exact(&mut some).await.expect("the beginning of a download");
        done.count("aborts");
    }
}

/// Clients of a few IDs, each replaced by the next of its ID, and gone after a while.
async fn registrations(tunnel: Tunnel, done: Arc<Done>) {
    let (mut pace, mut open) = (every(100), VecDeque::new());
    for n in 0u64.. {
        pace.tick().await;
        let id = format!("come-and-go-{}", n % 7);
        let mut socket = connect(tunnel).await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-Websocktunnel-Id: {id}\r\n\r\n",
            (tunnel.token)(&id)
        );
        socket.write_all(request.as_bytes()).await.expect("registering");
        let (answer, _) = head(&mut socket).await;
        assert!(answer.starts_with("http/1.1 101"), "{answer}");
        open.push_back(socket);
        if open.len() > 20 {
            open.pop_front();
        }
        done.count("registrations");
    }
}
