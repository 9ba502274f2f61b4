//! Mixed load on the tunnel for as long as one likes, and what it does to memory.
//!
//! ```text
//! cargo bench --features tunnel --bench soak -- 600
//! ```
//!
//! Small requests, downloads, uploads, WebSockets, downloads that are given up, and clients that come, are replaced and
//! go, at a rate that leaves the machine something to do. Server, client and service are processes of their own. Every
//! ten seconds a line says how much server and client hold; exit code 1 says that it went on growing, or that something
//! failed.

mod load;
#[path = "../tunnel/target.rs"]
#[allow(dead_code, reason = "the bench's part")]
mod target;

use jsonwebtoken::{EncodingKey, Header, encode};
use load::{Done, Tunnel};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::net::TcpStream;

const SECRET: &str = "a secret of the soak, 32 bytes or more";
/// Between two lines.
const SAMPLE: Duration = Duration::from_secs(10);
/// What the end may hold more than the middle, for the noise of allocators.
const NOISE: u64 = 4 << 20;

/// A process that ends with this one.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Resident memory in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process that runs");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") << 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// One of our programs, next to the folder of this one.
fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("this program's path");
    let path = here.parent().and_then(Path::parent).expect("a target directory").join(name);
    assert!(path.exists(), "{} is missing: build it with --features tunnel", path.display());
    path
}

fn token(id: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = serde_json::json!({"tid": id, "exp": now + 86_400, "nbf": now - 60, "iat": now});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
}

async fn listening(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Starts service, server and client; returns the server, the client, and the service to hold on to.
async fn start(viewers: SocketAddr) -> [Process; 3] {
    let address = free_address();
    let mut this = Command::new(std::env::current_exe().expect("this program's path"));
    let service = Process::start(this.args(["service", &address.port().to_string()]));
    listening(address).await;
    let mut server = Command::new(program("websocktunnel"));
    server
        .env("URL_PREFIX", "http://soak")
        .env("PORT", viewers.port().to_string())
        .env("TUNNEL_BIND", "127.0.0.1")
        .env("TASKCLUSTER_PROXY_SECRET_A", SECRET)
        .env("TASKCLUSTER_PROXY_SECRET_B", SECRET);
    let server = Process::start(&mut server);
    listening(viewers).await;
    let mut client = Command::new(program("wst-client"));
    client
        .args([&format!("http://{viewers}"), load::ID, &address.port().to_string()])
        .env("WST_TOKEN", token(load::ID));
    let client = Process::start(&mut client);
    [server, client, service]
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("service") {
        let port = arguments.next().and_then(|port| port.parse().ok()).expect("service PORT");
        target::serve(port).await;
        return ExitCode::SUCCESS;
    }
    let Some(seconds) = first.and_then(|seconds| seconds.parse().ok()) else {
        eprintln!("usage: soak SECONDS");
        return ExitCode::FAILURE;
    };
    let viewers = free_address();
    let [server, client, _service] = start(viewers).await;
    let done = Arc::new(Done::default());
    let mut work = load::start(Tunnel { address: viewers, token }, done.clone()).await;
    let (start, length, mut samples) = (Instant::now(), Duration::from_secs(seconds), Vec::new());
    while start.elapsed() < length {
        tokio::select! {
            () = tokio::time::sleep(SAMPLE) => {}
            ended = work.join_next() => {
                eprintln!("a part of the load failed: {ended:?}");
                return ExitCode::FAILURE;
            }
        }
        let held = [server.resident(), client.resident()];
        println!("{:>4} s: server {}, client {}; {done}", start.elapsed().as_secs(), mb(held[0]), mb(held[1]));
        samples.push(held);
    }
    verdict(&samples)
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The most that was held in the last third, against the most in the third before.
fn verdict(samples: &[[u64; 2]]) -> ExitCode {
    let third = samples.len() / 3;
    let mut code = ExitCode::SUCCESS;
    for (n, name) in ["server", "client"].into_iter().enumerate() {
        let most = |part: &[[u64; 2]]| part.iter().map(|held| held[n]).max().unwrap_or(0);
        let (middle, end) = (most(&samples[third..2 * third]), most(&samples[2 * third..]));
        println!("{name}: at most {} in the second third, {} in the last", mb(middle), mb(end));
        if end > middle + NOISE {
            println!("the {name} grows");
            code = ExitCode::FAILURE;
        }
    }
    code
}
