//! The programs: restarts after a kill, memory, logs, endpoints and metrics.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    net::{SocketAddr, UdpSocket},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{io::AsyncReadExt, task::JoinHandle};
use tunnel_support::{
    in_time, mint,
    process::{self, Process, free_port},
    raw,
    target::TestTarget,
    until,
    viewer::{self, Viewer},
};

const CLIENT: &str = env!("CARGO_BIN_EXE_wst-client");
const SERVER: &str = env!("CARGO_BIN_EXE_websocktunnel");

fn start_client(server: SocketAddr, id: &str, target: &TestTarget) -> impl Future<Output = Process> {
    let (target, token, id) = (target.address, mint(id), id.to_owned());
    async move { process::client(Path::new(CLIENT), server, &id, target, &token).await }
}

/// Viewers that repeat requests for several IDs until they are stopped, and the number of responses with each status.
struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeMap<Option<u16>, usize>>>,
    running: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(server: SocketAddr, ids: &[&str]) -> Self {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<BTreeMap<_, _>>>::default());
        let run = |n: usize| {
            let path = format!("/{}/bytes/20000", ids[n % ids.len()]);
            let (stop, seen) = (stop.clone(), seen.clone());
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    let status = viewer::try_get(server, &path).await;
                    *seen.lock().unwrap().entry(status).or_default() += 1;
                    // A pause after a refusal leaves the processor to the programs that restart.
                    tokio::time::sleep(Duration::from_millis(if status == Some(200) { 0 } else { 5 })).await;
                }
            })
        };
        let running = (0..8).map(run).collect();
        Self { stop, seen, running }
    }

    /// Waits for 20 more responses with a status.
    async fn grows(&self, status: Option<u16>) {
        let count = || self.seen.lock().unwrap().get(&status).copied().unwrap_or(0);
        let before = count();
        until("more responses arrive", async || (count() > before + 20).then_some(())).await;
    }

    /// Stops the viewers and returns the number of responses with each status.
    async fn end(self) -> BTreeMap<Option<u16>, usize> {
        self.stop.store(true, SeqCst);
        for one in self.running {
            in_time("the load's end", one).await.unwrap();
        }
        Arc::into_inner(self.seen).unwrap().into_inner().unwrap()
    }
}

#[tokio::test]
async fn the_clients_of_a_killed_server_reconnect_after_its_restart_under_load() {
    let port = free_port();
    let (mut server, address) = process::listening(&mut process::server_command(Path::new(SERVER), port), port).await;
    let target = TestTarget::start().await;
    let _clients = [start_client(address, "c1", &target).await, start_client(address, "c2", &target).await];
    let load = Load::start(address, &["c1", "c2"]);
    for _ in 0..2 {
        load.grows(Some(200)).await;
        let mut viewer = Viewer::connect(address).await;
        viewer.send("GET /c1/stream HTTP/1.1\r\nHost: v\r\n\r\n").await;
        assert_eq!(viewer.head().await.status, 200);
        server.0.kill().unwrap();
        server.0.wait().unwrap();
        // The open response breaks and looks incomplete.
        let mut rest = Vec::new();
        _ = in_time("the cut", viewer.socket.read_to_end(&mut rest)).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "a broken response looks complete");
        until("the target is free", async || (target.waiting.load(SeqCst) == 0).then_some(())).await;
        server = process::listening(&mut process::server_command(Path::new(SERVER), port), port).await.0;
        process::reachable(address, "c1").await;
        process::reachable(address, "c2").await;
    }
    load.grows(Some(200)).await;
    let seen = load.end().await;
    // No response while there is no server, and 404 until the clients have reconnected.
    assert!(seen.keys().all(|status| [None, Some(200), Some(404)].contains(status)), "{seen:?}");
    assert!(seen[&None] > 0, "the load never met the dead server: {seen:?}");
    for n in 0..100 {
        assert_eq!(viewer::get(address, &format!("/c{}/bytes/10", 1 + n % 2)).await.status, 200);
    }
}

#[tokio::test]
async fn a_killed_client_affects_only_its_own_viewers() {
    let (_server, address) = process::server(Path::new(SERVER)).await;
    let target = TestTarget::start().await;
    let mut killed = start_client(address, "c1", &target).await;
    let _other = start_client(address, "c2", &target).await;
    let (load, bystanders) = (Load::start(address, &["c1"]), Load::start(address, &["c2"]));
    load.grows(Some(200)).await;
    killed.0.kill().unwrap();
    load.grows(Some(404)).await;
    let _again = start_client(address, "c1", &target).await;
    load.grows(Some(200)).await;
    let seen = load.end().await;
    // A waiting viewer gets a 502. A response that has begun breaks after its head.
    assert!(seen.keys().all(|status| [Some(200), Some(404), Some(502)].contains(status)), "{seen:?}");
    let seen = bystanders.end().await;
    assert!(seen.keys().all(|status| *status == Some(200)), "{seen:?}");
}

/// Returns the peak resident memory of a process, in bytes.
fn peak_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn two_gigabytes_are_uploaded_without_being_buffered() {
    let (server, address) = process::server(Path::new(SERVER)).await;
    let target = TestTarget::start().await;
    let client = start_client(address, "c1", &target).await;
    const SIZE: u64 = 2 << 30;
    let mut viewer = Viewer::connect(address).await;
    viewer.send(format!("POST /c1/count HTTP/1.1\r\nHost: v\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    let block = vec![7; 1 << 20];
    for _ in 0..SIZE >> 20 {
        viewer.send(&block).await;
    }
    assert_eq!(viewer.answer().await.json()["bytes"], SIZE);
    for (name, process) in [("server", &server), ("client", &client)] {
        let peak = peak_memory(process);
        assert!(peak < 64 << 20, "the {name} has used {peak} bytes");
    }
}

/// Returns the lines of a log file.
fn log_lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Sends SIGTERM and returns the exit code.
async fn terminate(mut process: Process) -> Option<i32> {
    Command::new("kill").arg(process.0.id().to_string()).status().unwrap();
    let status = until("it ends", async || process.0.try_wait().unwrap()).await;
    assert_eq!(status.signal(), None);
    status.code()
}

/// Causes log lines by a registration, a refusal and a viewer. Returns the tokens, which must be in no log.
async fn events(address: SocketAddr) -> [String; 2] {
    let (good, wrong) = (mint("c1"), mint("c2"));
    let client = raw::connect_with(address, "c1", &good).await;
    let bearer = format!("Bearer {wrong}");
    let refused = raw::register(address, &[("x-websocktunnel-id", "c1"), ("authorization", &bearer)]).await;
    assert_eq!(refused.err(), Some(401));
    drop(client);
    until("the client is gone", async || (viewer::get(address, "/c1/x").await.status == 404).then_some(())).await;
    [good, wrong]
}

#[tokio::test]
async fn production_logs_are_json_lines_and_also_go_to_syslog() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let syslog = UdpSocket::bind("127.0.0.1:0").unwrap();
    syslog.set_read_timeout(Some(tunnel_support::PATIENCE)).unwrap();
    let port = free_port();
    let mut command = process::server_command(Path::new(SERVER), port);
    command
        .env("ENV", "production")
        .env("SYSLOG_ADDR", syslog.local_addr().unwrap().to_string())
        .stderr(File::create(&log).unwrap());
    let (server, address) = process::listening(&mut command, port).await;
    let pid = server.0.id();
    let secret = events(address).await;
    assert_eq!(terminate(server).await, Some(0));

    let lines = log_lines(&log);
    let (mut messages, mut expected) = (Vec::new(), Vec::new());
    for line in &lines {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(
            (&entry["Type"], &entry["Logger"], &entry["EnvVersion"], &entry["Pid"]),
            (&"app.log".into(), &"websocktunnel".into(), &"2.0".into(), &pid.into())
        );
        let severity = entry["Severity"].as_u64().unwrap();
        assert!((2..=4).contains(&severity), "{line}");
        assert!(entry["Timestamp"].as_u64().unwrap() > 1_600_000_000_000_000_000);
        messages.push((severity, entry["Fields"]["msg"].as_str().unwrap().to_owned()));

        // The datagram is `<PRI>time host program[pid]: line`.
        let priority = ["3", "4", "6"][severity as usize - 2];
        let (time, host) = (entry["Time"].as_str().unwrap(), entry["Hostname"].as_str().unwrap());
        expected.push(format!("<{priority}>{time} {host} websocktunnel[{pid}]: {line}\n"));
    }
    // Threads log in parallel, so that the two orders may differ.
    let mut datagrams: Vec<_> = lines
        .iter()
        .map(|_| {
            let mut datagram = [0; 4096];
            let length = syslog.recv(&mut datagram).unwrap();
            String::from_utf8(datagram[..length].to_vec()).unwrap()
        })
        .collect();
    datagrams.sort();
    expected.sort();
    assert_eq!(datagrams, expected);
    for datagram in &datagrams {
        assert!(secret.iter().all(|token| !datagram.contains(token.as_str())), "a token was logged");
    }
    for (severity, message) in [
        (4, "listening"),
        (4, "client connected"),
        (3, "registration refused"),
        (4, "client disconnected"),
        (4, "draining"),
        (4, "stopped"),
    ] {
        assert!(messages.contains(&(severity, message.to_owned())), "{message}: {messages:?}");
    }
}

#[tokio::test]
async fn other_logs_are_text_and_do_not_go_to_syslog() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let syslog = UdpSocket::bind("127.0.0.1:0").unwrap();
    syslog.set_nonblocking(true).unwrap();
    let port = free_port();
    let mut command = process::server_command(Path::new(SERVER), port);
    command.env("SYSLOG_ADDR", syslog.local_addr().unwrap().to_string()).stderr(File::create(&log).unwrap());
    let (server, address) = process::listening(&mut command, port).await;
    let secret = events(address).await;
    assert_eq!(terminate(server).await, Some(0));
    let lines = log_lines(&log);
    assert!(lines.iter().all(|line| line.starts_with("time=\"") && line.contains(" level=")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("reason=\"tid_mismatch\"")), "{lines:?}");
    assert!(secret.iter().all(|token| !lines.concat().contains(token.as_str())), "a token was logged");
    assert!(syslog.recv(&mut [0; 64]).is_err(), "syslog is for production only");
}

#[tokio::test]
async fn the_service_endpoints_and_the_metrics_respond_on_their_own_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("version.json");
    let (port, metrics) = (free_port(), SocketAddr::from(([127, 0, 0, 1], free_port())));
    let mut command = process::server_command(Path::new(SERVER), port);
    command.env("TUNNEL_VERSION_FILE", &version).env("TUNNEL_METRICS", metrics.to_string());
    let (_server, address) = process::listening(&mut command, port).await;
    for path in ["/__heartbeat__", "/__lbheartbeat__", "/__lbheartbeat__?from=a-balancer"] {
        let answer = viewer::get(address, path).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
    // The endpoint serves the file, and a 404 without it.
    let answer = viewer::get(address, "/__version__").await;
    assert_eq!((answer.status, answer.body.as_slice()), (404, b"404 page not found\n".as_slice()));
    std::fs::write(&version, r#"{"version": "1.2.3"}"#).unwrap();
    let answer = viewer::get(address, "/__version__").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json()["version"], "1.2.3");
    // Paths below an endpoint belong to an ID.
    assert_eq!(viewer::get(address, "/__version__/x").await.status, 404);

    let target = TestTarget::start().await;
    let _client = start_client(address, "c1", &target).await;
    assert_eq!(viewer::get(address, "/c1/bytes/5").await.body.len(), 5);
    let page = until("the metrics count", async || {
        let answer = viewer::get(metrics, "/metrics").await;
        assert_eq!(answer.status, 200);
        let page = String::from_utf8(answer.body).unwrap();
        page.contains("\nwebsocktunnel_clients 1\n").then_some(page)
    })
    .await;
    assert!(page.contains("# TYPE websocktunnel_registrations_total counter\nwebsocktunnel_registrations_total 1\n"));
    let counted = page.lines().find_map(|line| line.strip_prefix("websocktunnel_viewer_requests_total "));
    assert!(counted.unwrap().parse::<u64>().unwrap() >= 2, "{page}");
    // The tunnel's address does not serve the metrics.
    assert_eq!(viewer::get(address, "/metrics").await.status, 404);
}
