//! A viewer that sends and receives raw bytes, without an HTTP library that would normalize them.

use super::in_time;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// True if the body was read to its end.
    pub complete: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

pub struct Viewer {
    pub socket: BufReader<TcpStream>,
}

impl Viewer {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = in_time("connecting", TcpStream::connect(address)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket: BufReader::with_capacity(256 << 10, socket) }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("sending", self.socket.get_mut().write_all(bytes.as_ref())).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        in_time("a line", self.socket.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    async fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { return fields };
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads the head of a response.
    pub async fn head(&mut self) -> Answer {
        let line = self.line().await;
        let mut words = line.splitn(3, ' ').skip(1);
        let status = words.next().and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {line:?}"));
        let reason = words.next().unwrap_or_default().to_owned();
        let headers = self.fields().await;
        Answer { status, reason, headers, body: Vec::new(), trailers: Vec::new(), complete: false }
    }

    /// Reads a response to a request other than HEAD.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length: Option<usize> = answer.header("content-length").map(|length| length.parse().unwrap());
        if answer.header("transfer-encoding").is_some() {
            answer.complete = self.chunks(&mut answer.body).await;
            if answer.complete {
                answer.trailers = self.fields().await;
            }
        } else if let Some(length) = length {
            answer.body = vec![0; length];
            answer.complete = in_time("a body", self.socket.read_exact(&mut answer.body)).await.is_ok();
        } else if answer.status >= 200 && answer.status != 204 && answer.status != 304 {
            answer.complete = in_time("a body", self.socket.read_to_end(&mut answer.body)).await.is_ok();
        }
        answer
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let mut line = String::new();
            if !matches!(in_time("a chunk", self.socket.read_line(&mut line)).await, Ok(1..)) {
                return false;
            }
            let Ok(size) = usize::from_str_radix(line.trim(), 16) else { return false };
            if size == 0 {
                return true;
            }
            let start = body.len();
            body.resize(start + size + 2, 0);
            if in_time("a chunk", self.socket.read_exact(&mut body[start..])).await.is_err() {
                body.truncate(start);
                return false;
            }
            body.truncate(start + size);
        }
    }

    /// Returns true if the other side closes the connection.
    pub async fn closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(in_time("a close", self.socket.read(&mut byte)).await, Ok(0) | Err(_))
    }

    /// Resets the connection.
    pub fn abort(self) {
        let socket = self.socket.into_inner().into_std().unwrap();
        socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

/// Sends a request on a new connection and reads the response.
pub async fn exchange(address: SocketAddr, request: &str) -> Answer {
    let mut viewer = Viewer::connect(address).await;
    viewer.send(request).await;
    viewer.answer().await
}

/// Sends a GET on a new connection and reads the response.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: viewer.test\r\nConnection: close\r\n\r\n")).await
}

/// Returns the status of a GET, or `None` without a response, as when no server runs.
pub async fn try_get(address: SocketAddr, path: &str) -> Option<u16> {
    let exchange = async {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.map(|_| answer)
    };
    let answer: std::io::Result<Vec<u8>> = in_time("an answer", exchange).await;
    std::str::from_utf8(answer.ok()?.get(9..12)?).ok()?.parse().ok()
}
