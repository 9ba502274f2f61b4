//! A service that reads raw bytes, without an HTTP library that would normalize them.

use super::until;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request, as a service read it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number of its connection.
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub fn has(&self, field: &str) -> bool {
        self.head.lines().any(|line| line.to_ascii_lowercase().starts_with(field))
    }
}

/// A service that responds to a head, then reads the body that the head announces, and keeps the connection. It reads
/// all further bytes as the next request.
pub struct Service {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Reads up to and including `end`. Returns `None` if the connection ends before.
pub async fn read_through(socket: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return Some(buffer.drain(..at + end.len()).collect());
        }
        if !matches!(socket.read_buf(buffer).await, Ok(1..)) {
            return None;
        }
    }
}

/// Reads the body that a head announces.
async fn read_body(socket: &mut TcpStream, buffer: &mut Vec<u8>, head: &str) -> Option<Vec<u8>> {
    let head = head.to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        return read_through(socket, buffer, b"0\r\n\r\n").await;
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        if !matches!(socket.read_buf(buffer).await, Ok(1..)) {
            return None;
        }
    }
    Some(buffer.drain(..length).collect())
}

impl Service {
    /// Starts a service that responds to each head with `answer`.
    pub async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, answer) = (service.seen.clone(), Arc::new(answer));
        tokio::spawn(async move {
            for connection in 0.. {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut buffer = Vec::new();
                    while let Some(head) = read_through(&mut socket, &mut buffer, b"\r\n\r\n").await {
                        let head = String::from_utf8_lossy(&head).into_owned();
                        socket.write_all(answer(&head).as_bytes()).await.unwrap();
                        let Some(body) = read_body(&mut socket, &mut buffer, &head).await else { return };
                        seen.lock().unwrap().push(Seen { connection, head, body });
                    }
                });
            }
        });
        service
    }

    /// Waits for `count` requests and returns them.
    pub async fn take(&self, count: usize) -> Vec<Seen> {
        until("the service has read the requests", async || {
            let mut seen = self.seen.lock().unwrap();
            (seen.len() >= count).then(|| std::mem::take(&mut *seen))
        })
        .await
    }

    /// Returns the number of requests that were read and not taken.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}
