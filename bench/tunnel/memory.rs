//! What an idle tunnel costs the server.

use crate::stack::{self, Process};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Bytes of resident memory per idle tunnel.
pub async fn idle(tunnels: usize) -> Result<f64, String> {
    let limit = descriptor_limit();
    if limit < tunnels + 100 {
        return Err(format!("needs {} descriptors (ulimit -n), has {limit}", tunnels + 100));
    }
    let port = stack::free_port();
    let server = Process::start(&mut stack::server_command(&stack::ours("websocktunnel"), port));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The first few pay for what all share.
    let mut open = Vec::new();
    for n in 0..50 {
        open.push(register(address, &format!("warm-{n}")).await?);
    }
    let before = server.resident();
    for n in 0..tunnels {
        open.push(register(address, &format!("idle-{n}")).await?);
    }
    // Each has had its first ping, so each session runs.
    let after = server.resident();
    Ok((after.saturating_sub(before)) as f64 / tunnels as f64)
}

async fn register(address: SocketAddr, id: &str) -> Result<TcpStream, String> {
    let mut socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-Websocktunnel-Id: {id}\r\n\r\n",
        stack::token(id)
    );
    socket.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    // The head, and the ping that follows it.
    while !answer.windows(5).any(|bytes| bytes == b"\r\n\r\n\x89") {
        let read = socket.read_buf(&mut answer).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err(format!("refused: {}", String::from_utf8_lossy(&answer)));
        }
    }
    Ok(socket)
}

fn descriptor_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(0)
}
