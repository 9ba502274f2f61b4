//! The service that is measured through the tunnels: as little of a web server as will do, so that it is not what
//! is measured.

use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, tungstenite};

/// The size of a download.
pub const DOWNLOAD: usize = 64 << 20;
/// The body of every other response.
pub const SMALL_BODY: &[u8] = b"hello world\n";
const SMALL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: text/plain\r\n\r\nhello world\n";

pub async fn serve(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port for the target");
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            _ = socket.set_nodelay(true);
            tokio::spawn(connection(socket));
        }
    }
}

async fn connection(mut socket: TcpStream) -> Option<()> {
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if socket.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        let path = head.split(' ').nth(1)?;
        if path.ends_with("/download") {
            download(&mut socket).await?;
        } else if path.ends_with("/crawl") {
            crawl(&mut socket).await?;
        } else if path.ends_with("/ws") {
            return websocket(socket, &head).await;
        } else {
            skip(&mut socket, &mut buffer, &head).await?;
            socket.write_all(SMALL).await.ok()?;
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let find = |line: &'a str| line.split_once(':').filter(|(known, _)| known.eq_ignore_ascii_case(name));
    head.lines().find_map(find).map(|(_, value)| value.trim())
}

async fn skip(socket: &mut TcpStream, buffer: &mut Vec<u8>, head: &str) -> Option<()> {
    let mut left: usize = field(head, "content-length").map_or(Some(0), |length| length.parse().ok())?;
    let early = left.min(buffer.len());
    buffer.drain(..early);
    left -= early;
    let mut sink = vec![0; 256 << 10];
    while left > 0 {
        let room = left.min(sink.len());
        let read = socket.read(&mut sink[..room]).await.ok()?;
        if read == 0 {
            return None;
        }
        left -= read;
    }
    Some(())
}

/// Reads slowly, and never answers.
async fn crawl(socket: &mut TcpStream) -> Option<()> {
    let mut piece = vec![0; 16 << 10];
    while socket.read(&mut piece).await.ok()? > 0 {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    None
}

async fn download(socket: &mut TcpStream) -> Option<()> {
    socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD}\r\n\r\n").as_bytes()).await.ok()?;
    let block = vec![b'x'; 256 << 10];
    for _ in 0..DOWNLOAD / block.len() {
        socket.write_all(&block).await.ok()?;
    }
    Some(())
}

async fn websocket(mut socket: TcpStream, head: &str) -> Option<()> {
    let accept = tungstenite::handshake::derive_accept_key(field(head, "sec-websocket-key")?.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    socket.write_all(answer.as_bytes()).await.ok()?;
    let mut socket = WebSocketStream::from_raw_socket(socket, tungstenite::protocol::Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_binary() {
            socket.send(message).await.ok()?;
        }
    }
    Some(())
}
