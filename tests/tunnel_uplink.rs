//! Transfers over a slow network, with the programs: a small request does not wait behind the queue of a large one.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tunnel_support::{
    in_time, mint,
    process::{self, Process},
    target::TestTarget,
    until,
    viewer::{self, Viewer},
};

const CLIENT: &str = env!("CARGO_BIN_EXE_wst-client");
const SERVER: &str = env!("CARGO_BIN_EXE_websocktunnel");
/// The size of the large transfer.
const SIZE: usize = 1 << 30;
/// The number of its bytes that may be sent before a small message. Both programs queue 128 KiB, and the kernel as many,
/// in addition to what it has sent and the network has not delivered. Without a limit, the kernel queues 2.5 MB and more.
const AHEAD: usize = 1 << 20;

/// The bytes that pass fast, and those that pass slowly before the small message.
const GROWTH: usize = 64 << 20;
const SLOW: usize = 512 << 10;

/// A direction of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// The bytes of one direction.
#[derive(Default)]
struct Record {
    bytes: Mutex<Vec<u8>>,
    /// True if they pass slowly.
    is_slow: AtomicBool,
}

impl Record {
    fn len(&self) -> usize {
        self.bytes.lock().unwrap().len()
    }
}

/// Copies bytes, and records them if there is a record.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, record: Option<Arc<Record>>) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if let Some(record) = &record {
            record.bytes.lock().unwrap().extend_from_slice(&buffer[..n]);
            if record.is_slow.load(SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// Starts a network that can be slow in one direction. Returns its address for the client, and the record of that
/// direction.
async fn network(server: SocketAddr, slow: Direction) -> (SocketAddr, Arc<Record>) {
    // Small buffers, because the network must not hold what the programs queue.
    let socket = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket
    };
    let listening = socket();
    listening.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = listening.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    let record = Arc::<Record>::default();
    let recorded = record.clone();
    tokio::spawn(async move {
        let (client, _): (TcpStream, _) = listener.accept().await.unwrap();
        let server = socket().connect(server).await.unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let record = |direction| (direction == slow).then(|| recorded.clone());
        tokio::spawn(copy(from_client, to_server, record(Direction::ToServer)));
        tokio::spawn(copy(from_server, to_client, record(Direction::ToClient)));
    });
    (address, record)
}

/// Returns the position of the WebSocket frame that holds `text` (RFC 6455 §5.2).
fn position(record: &[u8], text: &[u8]) -> Option<usize> {
    let head = record.windows(4).position(|window| window == b"\r\n\r\n")?;
    let mut at = head + 4;
    loop {
        let frame = record.get(at..)?;
        let (masked, short) = (frame.get(1)? & 0x80 != 0, frame[1] & 0x7f);
        let (size, length) = match short {
            126 => (2, usize::from(u16::from_be_bytes(frame.get(2..4)?.try_into().unwrap()))),
            127 => (8, u64::from_be_bytes(frame.get(2..10)?.try_into().unwrap()) as usize),
            short => (0, usize::from(short)),
        };
        let start = 2 + size + if masked { 4 } else { 0 };
        let mut payload = frame.get(start..start + length)?.to_vec();
        if masked {
            let mask = &frame[2 + size..start];
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        }
        if payload.windows(text.len()).any(|window| window == text) {
            return Some(at);
        }
        at += start + length;
    }
}

#[tokio::test]
async fn a_small_message_overtakes_the_queue_of_a_large_transfer() {
    for slow in [Direction::ToServer, Direction::ToClient] {
        let target = TestTarget::start().await;
        let (_server, address) = process::server(Path::new(SERVER)).await;
        let (network, record) = network(address, slow).await;
        let client = Command::new(CLIENT)
            .args([&format!("http://{network}"), "c1", &target.address.port().to_string(), "--token", &mint("c1")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _client = Process(client);
        process::reachable(address, "c1").await;
        let mut large = Viewer::connect(address).await;
        let transfer = tokio::spawn(async move {
            match slow {
                Direction::ToServer => {
                    large.send(format!("GET /c1/bytes/{SIZE} HTTP/1.1\r\nHost: v\r\n\r\n")).await;
                    let mut buffer = vec![0; 64 << 10];
                    while matches!(large.socket.read(&mut buffer).await, Ok(1..)) {}
                }
                Direction::ToClient => {
                    large.send(format!("POST /c1/count HTTP/1.1\r\nHost: v\r\nContent-Length: {SIZE}\r\n\r\n")).await;
                    while large.socket.get_mut().write_all(&[0; 64 << 10]).await.is_ok() {}
                }
            }
        });
        until("the window of the stream grows", async || (record.len() > GROWTH).then_some(())).await;
        record.is_slow.store(true, SeqCst);
        until("the queues fill", async || (record.len() > GROWTH + SLOW).then_some(())).await;
        let before = record.len();
        let small = viewer::get(address, "/c1/echo?overtakes");
        assert_eq!(in_time("the small answer", small).await.status, 200);
        let at = position(&record.bytes.lock().unwrap(), b"/echo?overtakes").unwrap();
        let ahead = at.saturating_sub(before);
        assert!(ahead < AHEAD, "{slow:?}: {ahead} bytes of the transfer were sent before the small message");
        transfer.abort();
    }
}
