//! The load: viewers that keep their connections and want nothing but the next answer.

use crate::{
    stack::Door,
    target::{DOWNLOAD, SMALL_BODY},
};
use futures_util::{SinkExt, StreamExt};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

/// An upload; the slowest peer takes two seconds for it.
const UPLOAD: usize = 16 << 20;
/// A download that takes longer than so many times the measurement's is cut off: its speed is known by then.
const LONG: u32 = 4;

struct Viewer {
    socket: TcpStream,
    buffer: Vec<u8>,
    door: Door,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Viewer {
    async fn connect(door: Door) -> Self {
        let socket = TcpStream::connect(door.address).await.expect("a viewer's connection");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        Self { socket, buffer: Vec::with_capacity(256 << 10), door }
    }

    fn head(&self, method: &str, path: &str, length: usize) -> String {
        let Door { address, prefix } = self.door;
        let length = if length == 0 { String::new() } else { format!("Content-Length: {length}\r\n") };
        format!("{method} {prefix}{path} HTTP/1.1\r\nHost: {address}\r\n{length}\r\n")
    }

    async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.expect("sending a request");
    }

    async fn read(&mut self) -> usize {
        let read = self.socket.read_buf(&mut self.buffer).await.expect("reading a response");
        assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&self.buffer));
        read
    }

    /// Reads the small response, which is known by its last bytes: the load must not cost more than what is measured.
    async fn receive_small(&mut self) {
        while !self.buffer.ends_with(SMALL_BODY) {
            self.read().await;
        }
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.buffer));
        self.buffer.clear();
    }

    /// Reads a download to its end or until `deadline`, and tells how much of it came.
    async fn receive_download(&mut self, deadline: Instant) -> usize {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await;
        };
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.buffer));
        let mut received = self.buffer.len() - end;
        self.buffer.clear();
        while received < DOWNLOAD && Instant::now() < deadline {
            received += self.read().await;
            self.buffer.clear();
        }
        received
    }
}

/// Requests per second over so many connections.
pub async fn requests(door: Door, connections: usize, time: Duration) -> f64 {
    let mut viewers = Vec::new();
    for _ in 0..connections {
        let mut viewer = Viewer::connect(door).await;
        let request = viewer.head("GET", "/small", 0);
        viewer.send(&request).await;
        viewer.receive_small().await;
        viewers.push((viewer, request));
    }
    let start = Instant::now();
    let mut running = JoinSet::new();
    for (mut viewer, request) in viewers {
        running.spawn(async move {
            let mut done = 0u64;
            while start.elapsed() < time {
                viewer.send(&request).await;
                viewer.receive_small().await;
                done += 1;
            }
            done
        });
    }
    let done: u64 = running.join_all().await.into_iter().sum();
    done as f64 / start.elapsed().as_secs_f64()
}

/// The median time of a small request, at 100 a second, in milliseconds.
pub async fn low_load(door: Door, time: Duration) -> f64 {
    let mut viewer = Viewer::connect(door).await;
    let request = viewer.head("GET", "/small", 0);
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut times = Vec::new();
    for _ in 0..time.as_millis() / 10 {
        pace.tick().await;
        let start = Instant::now();
        viewer.send(&request).await;
        viewer.receive_small().await;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    median(times)
}

/// Megabytes per second of so many viewers who download again and again.
pub async fn download(door: Door, parallel: usize, time: Duration) -> f64 {
    let mut running = JoinSet::new();
    let start = Instant::now();
    for _ in 0..parallel {
        running.spawn(async move {
            let mut viewer = Viewer::connect(door).await;
            let request = viewer.head("GET", "/download", 0);
            let mut received = 0;
            while start.elapsed() < time {
                viewer.send(&request).await;
                received += viewer.receive_download(start + LONG * time).await;
            }
            received
        });
    }
    let received: usize = running.join_all().await.into_iter().sum();
    received as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Megabytes per second of one upload after the other.
pub async fn upload(door: Door, time: Duration) -> f64 {
    let mut viewer = Viewer::connect(door).await;
    let request = viewer.head("POST", "/upload", UPLOAD);
    let block = vec![b'u'; 256 << 10];
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        viewer.send(&request).await;
        for _ in 0..UPLOAD / block.len() {
            viewer.socket.write_all(&block).await.expect("uploading");
        }
        viewer.receive_small().await;
        sent += UPLOAD;
    }
    sent as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// The median round trip of a 64 KiB WebSocket message, in milliseconds.
pub async fn websocket(door: Door, time: Duration) -> f64 {
    let socket = TcpStream::connect(door.address).await.expect("a viewer's connection");
    socket.set_nodelay(true).expect("TCP_NODELAY");
    let url = format!("ws://{}{}/ws", door.address, door.prefix);
    let (mut socket, _) = client_async(url, socket).await.expect("a WebSocket");
    let message = Message::binary(vec![7; 64 << 10]);
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let sent = Instant::now();
        socket.send(message.clone()).await.expect("sending");
        socket.next().await.expect("an echo").expect("an echo");
        times.push(sent.elapsed().as_secs_f64() * 1000.0);
    }
    median(times)
}
