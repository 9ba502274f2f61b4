//! Viewers, and services, that are slower than their streams.

use crate::{stack::Door, target::DOWNLOAD};
use futures_util::{SinkExt, StreamExt};
use std::{fmt, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

/// What a slow one takes every [`PACE`].
const PIECE: usize = 16 << 10;
const PACE: Duration = Duration::from_millis(250);
/// Messages that a WebSocket sends before it has read the echo of the first. Without a bound the kernel, which takes
/// megabytes for each connection, runs out of memory for all of them and slows down the tunnel's own.
const AHEAD: usize = 128;
/// What a viewer's own kernel takes for it in each direction: that is no memory of the tunnel's.
const BUFFER: u32 = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Downloads that are read slowly.
    Downloads,
    /// Downloads of which nothing is read.
    Stalled,
    /// Uploads that the service reads slowly.
    Uploads,
    /// WebSockets that send 2 MiB ahead of what they read, and read the echo slowly.
    WebSockets,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Downloads, Self::Stalled, Self::Uploads, Self::WebSockets];
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Downloads => "downloads",
            Self::Stalled => "stalled",
            Self::Uploads => "uploads",
            Self::WebSockets => "websockets",
        })
    }
}

/// Slow viewers, until this is dropped.
pub struct Slow {
    hurry: watch::Sender<bool>,
    /// Each says whether it was served to its end.
    running: JoinSet<bool>,
}

impl Slow {
    pub fn start(door: Door, kind: Kind, count: usize) -> Self {
        let (hurry, hurried) = watch::channel(false);
        let mut running = JoinSet::new();
        for _ in 0..count {
            let hurried = hurried.clone();
            running.spawn(async move { view(door, kind, hurried).await.is_some() });
        }
        Self { hurry, running }
    }

    /// Has them read what is left of their downloads as fast as they can; returns how many of them were cut off.
    pub async fn count_cut(self) -> usize {
        _ = self.hurry.send(true);
        self.running.join_all().await.into_iter().filter(|served| !served).count()
    }
}

async fn view(door: Door, kind: Kind, mut hurried: watch::Receiver<bool>) -> Option<()> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_recv_buffer_size(BUFFER).ok()?;
    socket.set_send_buffer_size(BUFFER).ok()?;
    let mut socket = socket.connect(door.address).await.ok()?;
    let Door { address, prefix } = door;
    let hurry = async { hurried.wait_for(|hurry| *hurry).await.ok().map(drop) };
    match kind {
        Kind::Downloads | Kind::Stalled => {
            let request = format!("GET {prefix}/download HTTP/1.1\r\nHost: {address}\r\n\r\n");
            socket.write_all(request.as_bytes()).await.ok()?;
            let mut received = 0;
            tokio::select! {
                read = hurry => read?,
                end = read_slowly(&mut socket, &mut received, kind) => end?,
            }
            read_to_the_end(&mut socket, received).await
        }
        Kind::Uploads => {
            let length = 1u64 << 40;
            let request =
                format!("POST {prefix}/crawl HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
            socket.write_all(request.as_bytes()).await.ok()?;
            let block = vec![b'u'; 64 << 10];
            let send = async { while socket.write_all(&block).await.is_ok() {} };
            tokio::select! {
                read = hurry => read,
                () = send => None,
            }
        }
        Kind::WebSockets => {
            let (socket, _) = client_async(format!("ws://{address}{prefix}/ws"), socket).await.ok()?;
            let (mut sender, mut receiver) = socket.split();
            let ahead = Semaphore::new(AHEAD);
            let send = async {
                let message = Message::binary(vec![7; PIECE]);
                while let Ok(permit) = ahead.acquire().await
                    && sender.send(message.clone()).await.is_ok()
                {
                    permit.forget();
                }
            };
            let read = async {
                while let Some(Ok(_)) = receiver.next().await {
                    ahead.add_permits(1);
                    tokio::time::sleep(PACE).await;
                }
            };
            tokio::select! {
                read = hurry => read,
                () = send => None,
                () = read => None,
            }
        }
    }
}

async fn read_slowly(socket: &mut TcpStream, received: &mut usize, kind: Kind) -> Option<()> {
    if kind == Kind::Stalled {
        return std::future::pending().await;
    }
    let mut piece = vec![0; PIECE];
    loop {
        match socket.read(&mut piece).await.ok()? {
            0 => return None,
            read => *received += read,
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn read_to_the_end(socket: &mut TcpStream, mut received: usize) -> Option<()> {
    let mut piece = vec![0; 256 << 10];
    while received < DOWNLOAD {
        match socket.read(&mut piece).await.ok()? {
            0 => return None,
            read => received += read,
        }
    }
    Some(())
}
