//! The load: viewers that keep their connections and want nothing but the next answer.

use crate::{stack::Stack, target::DOWNLOAD};
use futures_util::{SinkExt, StreamExt};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

struct Viewer {
    socket: TcpStream,
    buffer: Vec<u8>,
    host: String,
    prefix: String,
}

impl Viewer {
    async fn connect(stack: &Stack) -> Self {
        let socket = TcpStream::connect(stack.viewer_address()).await.expect("a viewer's connection");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        let (host, prefix) = (stack.viewer_address().to_string(), stack.prefix().to_owned());
        Self { socket, buffer: Vec::with_capacity(256 << 10), host, prefix }
    }

    async fn send(&mut self, method: &str, path: &str, length: usize) {
        let Self { prefix, host, .. } = self;
        let request = format!("{method} {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        let request = if length == 0 { request.replace("Content-Length: 0\r\n", "") } else { request };
        self.socket.write_all(request.as_bytes()).await.expect("sending a request");
    }

    /// Reads one response of the target; anything else ends the measurement.
    async fn receive(&mut self) {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let read = self.socket.read_buf(&mut self.buffer).await.expect("reading a response");
            assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        let early = self.buffer.len() - end;
        let mut left = length.expect("a length") - early;
        while left > 0 {
            self.buffer.clear();
            let read = self.socket.read_buf(&mut self.buffer).await.expect("reading a body");
            assert!(read > 0, "a body broke off");
            left -= read;
        }
        self.buffer.clear();
    }
}

/// Requests per second over so many connections.
pub async fn requests(stack: &Stack, connections: usize, time: Duration) -> f64 {
    let mut viewers = Vec::new();
    for _ in 0..connections {
        let mut viewer = Viewer::connect(stack).await;
        viewer.send("GET", "/small", 0).await;
        viewer.receive().await;
        viewers.push(viewer);
    }
    let start = Instant::now();
    let running: Vec<_> = viewers
        .into_iter()
        .map(|mut viewer| {
            tokio::spawn(async move {
                let mut done = 0u64;
                while start.elapsed() < time {
                    viewer.send("GET", "/small", 0).await;
                    viewer.receive().await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut total = 0;
    for viewer in running {
        total += viewer.await.expect("a viewer");
    }
    total as f64 / start.elapsed().as_secs_f64()
}

/// The median time of a small request, at 100 a second, in milliseconds.
pub async fn low_load(stack: &Stack, time: Duration) -> f64 {
    let mut viewer = Viewer::connect(stack).await;
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut times = Vec::new();
    for _ in 0..time.as_millis() / 10 {
        pace.tick().await;
        let start = Instant::now();
        viewer.send("GET", "/small", 0).await;
        viewer.receive().await;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    crate::median(times)
}

/// Megabytes per second of so many downloads at once.
pub async fn download(stack: &Stack, parallel: usize) -> f64 {
    let mut viewers = Vec::new();
    for _ in 0..parallel {
        viewers.push(Viewer::connect(stack).await);
    }
    let start = Instant::now();
    let running: Vec<_> = viewers
        .into_iter()
        .map(|mut viewer| {
            tokio::spawn(async move {
                viewer.send("GET", "/download", 0).await;
                viewer.receive().await;
            })
        })
        .collect();
    for viewer in running {
        viewer.await.expect("a download");
    }
    (parallel * DOWNLOAD) as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Megabytes per second of one upload.
pub async fn upload(stack: &Stack) -> f64 {
    let mut viewer = Viewer::connect(stack).await;
    let block = vec![b'u'; 256 << 10];
    let start = Instant::now();
    viewer.send("POST", "/upload", DOWNLOAD).await;
    for _ in 0..DOWNLOAD / block.len() {
        viewer.socket.write_all(&block).await.expect("uploading");
    }
    viewer.receive().await;
    DOWNLOAD as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// The median round trip of a 64 KiB WebSocket message, in milliseconds.
pub async fn websocket(stack: &Stack, time: Duration) -> f64 {
    let socket = TcpStream::connect(stack.viewer_address()).await.expect("a viewer's connection");
    socket.set_nodelay(true).expect("TCP_NODELAY");
    let url = format!("ws://{}{}/ws", stack.viewer_address(), stack.prefix());
    let (mut socket, _) = client_async(url, socket).await.expect("a WebSocket");
    let message = Message::binary(vec![7; 64 << 10]);
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let sent = Instant::now();
        socket.send(message.clone()).await.expect("sending");
        socket.next().await.expect("an echo").expect("an echo");
        times.push(sent.elapsed().as_secs_f64() * 1000.0);
    }
    crate::median(times)
}
