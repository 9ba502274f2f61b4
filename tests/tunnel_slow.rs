//! Slow viewers, with the programs: no stream is cut, fast viewers are not delayed, and memory stays within its limit.
//! A slow viewer reads nothing until others have been served.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use futures_util::{SinkExt, StreamExt};
use route_native::tunnel::log::{Level, Logger};
use std::{
    fs::File,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
};
use tokio_tungstenite::{client_async, tungstenite::Message};
use tunnel_support::{
    TestServer, in_time, mint,
    process::{self, Process, free_port},
    raw::{self, RawClient, frame},
    target::{TestTarget, is_pattern, pattern},
    until,
    viewer::{self, Viewer},
};

const CLIENT: &str = env!("CARGO_BIN_EXE_wst-client");
const SERVER: &str = env!("CARGO_BIN_EXE_websocktunnel");
/// The size of a body, which exceeds all buffers between a target and a viewer.
const SIZE: usize = 16 << 20;
/// The memory limit of one session.
const SESSION: u64 = 64 << 20;
/// The memory that HTTP needs for each viewer.
const HTTP: u64 = 1 << 20;

/// Both programs and their logs.
struct Tunnel {
    server: Process,
    client: Process,
    address: SocketAddr,
    metrics: SocketAddr,
    logs: TempDir,
}

impl Tunnel {
    async fn start(target: SocketAddr) -> Self {
        let logs = tempfile::tempdir().unwrap();
        let (port, metrics) = (free_port(), SocketAddr::from(([127, 0, 0, 1], free_port())));
        let mut command = process::server_command(Path::new(SERVER), port);
        command.env("TUNNEL_METRICS", metrics.to_string()).stderr(File::create(logs.path().join("server")).unwrap());
        let (server, address) = process::listening(&mut command, port).await;
        let client = Command::new(CLIENT)
            .args([&format!("http://{address}"), "c1", &target.port().to_string(), "--token", &mint("c1")])
            .stdout(Stdio::null())
            .stderr(File::create(logs.path().join("client")).unwrap())
            .spawn()
            .unwrap();
        process::reachable(address, "c1").await;
        Self { server, client: Process(client), address, metrics, logs }
    }

    async fn metric(&self, name: &str) -> u64 {
        let page = String::from_utf8(viewer::get(self.metrics, "/metrics").await.body).unwrap();
        let name = format!("websocktunnel_{name} ");
        page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{page}")).parse().unwrap()
    }

    fn log(&self, program: &str) -> String {
        std::fs::read_to_string(self.logs.path().join(program)).unwrap()
    }

    /// Checks by metrics and logs that no stream was cut.
    async fn assert_nothing_cut(&self) {
        for name in ["streams_cut_total", "viewer_bad_gateway_total", "viewer_truncated_total"] {
            assert_eq!(self.metric(name).await, 0, "{name}");
        }
        assert!(!self.log("server").contains("cut"), "{}", self.log("server"));
        assert!(!self.log("client").contains("cut"), "{}", self.log("client"));
    }

    /// Returns the peak resident memory of a program, in bytes.
    fn peak(process: &Process) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

/// Connects a viewer with a small receive buffer.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    in_time("connecting", socket.connect(address)).await.unwrap()
}

/// Connects viewers that request `SIZE` bytes and do not read.
async fn request(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    for _ in 0..count {
        let mut viewer = connect(address).await;
        viewer.write_all(format!("GET /c1/bytes/{SIZE} HTTP/1.1\r\nHost: v\r\n\r\n").as_bytes()).await.unwrap();
        waiting.push(viewer);
    }
    waiting
}

/// Reads a response to its end and checks its bytes.
async fn read(mut viewer: TcpStream) {
    let mut received = Vec::new();
    let head = loop {
        assert!(in_time("a head", viewer.read_buf(&mut received)).await.unwrap() > 0, "cut off before its head");
        if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    assert!(received.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&received[..head]));
    while received.len() < head + SIZE {
        let more = in_time("more of it", viewer.read_buf(&mut received)).await;
        assert!(matches!(more, Ok(1..)), "cut off after {} bytes", received.len() - head);
    }
    assert!(is_pattern(&received[head..]));
}

/// Reads the responses of all viewers at the same time.
async fn read_all(viewers: Vec<TcpStream>) {
    let mut reading = JoinSet::new();
    for viewer in viewers {
        reading.spawn(read(viewer));
    }
    for read in reading.join_all().await {
        read
    }
}

/// Downloads with eight fast viewers, one after the other.
async fn download_fast(address: SocketAddr) {
    for _ in 0..8 {
        read(request(address, 1).await.remove(0)).await;
    }
}

#[tokio::test]
async fn forty_downloads_of_slow_viewers_complete() {
    let target = TestTarget::start().await;
    let tunnel = Tunnel::start(target.address).await;
    let slow = request(tunnel.address, 40).await;
    download_fast(tunnel.address).await;
    until("the slow ones fill what they may", async || (tunnel.metric("buffered_bytes").await > 4 << 20).then_some(()))
        .await;
    download_fast(tunnel.address).await;
    let (server, client) = (Tunnel::peak(&tunnel.server), Tunnel::peak(&tunnel.client));
    // One viewer reads to its end while the others wait. Then the others read together.
    let mut slow = slow.into_iter();
    read(slow.next().unwrap()).await;
    read_all(slow.collect()).await;
    tunnel.assert_nothing_cut().await;
    let bound = SESSION + 41 * HTTP + (48 << 20);
    assert!(server < bound && client < bound, "server {server}, client {client}, bound {bound}");
    until("everything is given back", async || (tunnel.metric("buffered_bytes").await == 0).then_some(())).await;
}

#[tokio::test]
async fn sixteen_viewers_that_read_nothing_do_not_stop_another() {
    let target = TestTarget::start().await;
    let tunnel = Tunnel::start(target.address).await;
    let other = request(tunnel.address, 1).await.remove(0);
    let stuck = request(tunnel.address, 16).await;
    download_fast(tunnel.address).await;
    until("they fill what they may", async || (tunnel.metric("buffered_bytes").await > 4 << 20).then_some(())).await;
    read(other).await;
    download_fast(tunnel.address).await;
    read_all(stuck).await;
    tunnel.assert_nothing_cut().await;
}

/// Starts a service that reads the bodies of uploads once `released` is true, and of those to `/at-once` immediately.
async fn service(released: watch::Receiver<bool>, begun: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut released, begun) = (released.clone(), begun.clone());
            tokio::spawn(async move {
                let mut received = Vec::new();
                let head = loop {
                    if socket.read_buf(&mut received).await.unwrap() == 0 {
                        return;
                    }
                    if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                        break at + 4;
                    }
                };
                let text = String::from_utf8_lossy(&received[..head]).to_lowercase();
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if length > 0 && !text.starts_with("post /at-once ") {
                    begun.fetch_add(1, SeqCst);
                    released.wait_for(|released| *released).await.unwrap();
                }
                while received.len() < head + length && socket.read_buf(&mut received).await.unwrap() > 0 {}
                let whole = received.len() == head + length && is_pattern(&received[head..]);
                let status = if whole { "200 Whole" } else { "400 Torn" };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    address
}

async fn upload(address: SocketAddr, path: &'static str, body: Arc<Vec<u8>>) {
    let mut viewer = Viewer::connect(address).await;
    let head = format!("POST /c1{path} HTTP/1.1\r\nHost: v\r\nContent-Length: {}\r\n\r\n", body.len());
    viewer.send(head).await;
    viewer.send(&*body).await;
    assert_eq!(viewer.head().await.status, 200);
}

#[tokio::test]
async fn thirty_uploads_to_a_slow_service_complete() {
    let (release, released) = watch::channel(false);
    let begun = Arc::<AtomicUsize>::default();
    let tunnel = Tunnel::start(service(released, begun.clone()).await).await;
    let body = Arc::new((0..SIZE as u64).map(pattern).collect::<Vec<u8>>());
    let mut slow = JoinSet::new();
    for _ in 0..30 {
        slow.spawn(upload(tunnel.address, "/later", body.clone()));
    }
    until("all are on their way", async || (begun.load(SeqCst) == 30).then_some(())).await;
    for _ in 0..8 {
        upload(tunnel.address, "/at-once", body.clone()).await;
    }
    assert_eq!(slow.len(), 30);
    let client = Tunnel::peak(&tunnel.client);
    release.send_replace(true);
    slow.join_all().await;
    tunnel.assert_nothing_cut().await;
    let bound = SESSION + 31 * HTTP + (48 << 20);
    assert!(client < bound, "client {client}, bound {bound}");
}

#[tokio::test]
async fn thirty_websockets_that_read_late_get_every_echo() {
    let target = TestTarget::start().await;
    let tunnel = Tunnel::start(target.address).await;
    let message = Message::binary((0..256 << 10).map(pattern).collect::<Vec<u8>>());
    let count = SIZE / message.len();
    let (release, released) = watch::channel(false);
    let mut slow = JoinSet::new();
    for _ in 0..30 {
        let (message, mut released) = (message.clone(), released.clone());
        let socket = connect(tunnel.address).await;
        let url = format!("ws://{}/c1/ws", tunnel.address);
        let (socket, _) = in_time("a WebSocket", client_async(url, socket)).await.unwrap();
        slow.spawn(async move {
            let (mut sender, mut receiver) = socket.split();
            let send = async {
                for _ in 0..count {
                    in_time("sending", sender.send(message.clone())).await.expect("cut off while sending");
                }
            };
            let read = async {
                released.wait_for(|released| *released).await.unwrap();
                for n in 0..count {
                    let echo = in_time("an echo", receiver.next()).await;
                    assert_eq!(echo.and_then(Result::ok).as_ref(), Some(&message), "cut off after {n} echoes");
                }
            };
            tokio::join!(send, read);
        });
    }
    download_fast(tunnel.address).await;
    release.send_replace(true);
    slow.join_all().await;
    tunnel.assert_nothing_cut().await;
}

/// The state of one stream in a client of the original dialect.
#[derive(Default)]
struct Response {
    credit: usize,
    /// The number of sent bytes, or `None` before the request.
    sent: Option<usize>,
}

/// Runs a client of the original dialect, which sets the whole window as its first credit and responds to each stream
/// with `SIZE` bytes. It reads whether or not it can write.
async fn original(client: RawClient) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let body = head.bytes().chain((0..SIZE as u64).map(pattern)).collect::<Vec<u8>>();
    let (mut sender, mut receiver) = client.socket.split();
    let (write, mut written) = tokio::sync::mpsc::unbounded_channel();
    let read = async {
        while let Some(Ok(message)) = receiver.next().await {
            if let Message::Binary(message) = message {
                write.send(message).unwrap();
            }
        }
    };
    let answer = async {
        let mut streams = std::collections::BTreeMap::<u32, Response>::new();
        loop {
            let due = streams.iter_mut().find_map(|(id, stream)| {
                let left = body.len() - stream.sent?;
                let len = left.min(stream.credit).min(32 << 10);
                (len > 0).then_some((*id, stream, len))
            });
            let idle = due.is_none();
            if let Some((id, stream, len)) = due {
                let at = stream.sent.unwrap();
                (stream.credit, stream.sent) = (stream.credit - len, Some(at + len));
                sender.send(Message::binary(frame(0, id, &body[at..at + len]))).await.unwrap();
            }
            let next = if idle { written.recv().await } else { written.try_recv().ok() };
            let Some(message) = next else { continue };
            let (kind, id) = (message[0], u32::from_le_bytes(message[1..5].try_into().unwrap()));
            let stream = streams.entry(id).or_default();
            match kind {
                0 => stream.sent = stream.sent.or(Some(0)),
                1 => {
                    stream.credit = WINDOW as usize;
                    sender.send(Message::binary(frame(2, id, &WINDOW.to_le_bytes()))).await.unwrap();
                }
                2 => stream.credit += u32::from_le_bytes(message[5..9].try_into().unwrap()) as usize,
                _ => {
                    streams.remove(&id);
                    sender.send(Message::binary(frame(3, id, b""))).await.unwrap();
                }
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = answer => {}
    }
}

/// The window of that client. It exceeds the original's, because the kernel buffers as much as that for a viewer.
const WINDOW: u32 = SIZE as u32;

/// Starts a server with the same window and a client of the original dialect. Returns the server and its syslog socket.
async fn with_an_original_client(keepalive: Duration) -> (TestServer, UdpSocket) {
    let log = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = log.local_addr().unwrap().to_string();
    let server = TestServer::start_with(|config| {
        config.limits.window = WINDOW;
        config.limits.keepalive = keepalive;
        config.logger = Logger::new("websocktunnel", Level::Warn, false).with_syslog(&address).unwrap();
    })
    .await;
    tokio::spawn(original(raw::connect(server.address, "c1").await));
    (server, log)
}

#[tokio::test]
async fn a_full_session_of_an_original_client_cuts_and_logs_viewers_that_read_nothing() {
    let (server, log) = with_an_original_client(Duration::from_millis(500)).await;
    let stuck = request(server.address, 16).await;
    let cut = until("some are cut", async || {
        assert!(server.metric("buffered_bytes").await <= SESSION + (64 << 10));
        Some(server.metric("streams_cut_total").await).filter(|cut| *cut > 0)
    })
    .await;
    for _ in 0..cut {
        let mut line = [0; 512];
        let length = in_time("a line", log.recv(&mut line)).await.unwrap();
        let line = String::from_utf8_lossy(&line[..length]);
        assert!(line.contains("stream cut") && line.contains("c1") && line.contains("nobody reads this"), "{line}");
    }
    // A viewer that reads is served, and not all others are cut.
    read(request(server.address, 1).await.remove(0)).await;
    assert!(server.metric("streams_cut_total").await < 16);
    drop(stuck);
}

#[tokio::test]
async fn a_full_session_of_an_original_client_serves_all_slow_viewers() {
    let (server, _log) = with_an_original_client(Duration::from_secs(20)).await;
    let slow = request(server.address, 16).await;
    until("memory is full", async || (server.metric("buffered_bytes").await > SESSION).then_some(())).await;
    // All read together, because without credit a viewer that waits for another's bytes would stop both.
    read_all(slow).await;
    assert_eq!(server.metric("streams_cut_total").await, 0);
    assert_eq!(server.metric("sessions_lost_total").await, 0);
}
