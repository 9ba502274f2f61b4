//! What is measured: the target alone, or behind one kind of tunnel.

use jsonwebtoken::{EncodingKey, Header, encode};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub const SECRET: &str = "a secret of the bench, 32 bytes or more";

/// A process that ends with the measurement.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

pub fn token(id: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = serde_json::json!({"tid": id, "exp": now + 3600, "nbf": now - 60, "iat": now});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
}

pub enum Kind {
    Direct,
    Websocktunnel { server: PathBuf, client: PathBuf },
    Rathole(PathBuf),
}

/// A stack that runs, or one that could.
pub struct Stack {
    name: String,
    kind: Kind,
    viewer: Option<SocketAddr>,
    pub processes: Vec<(&'static str, Process)>,
}

/// Our own program, next to this one.
pub fn ours(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("this program's path");
    let path = here.parent().and_then(Path::parent).expect("a target directory").join(name);
    assert!(path.exists(), "{} is missing: build it with --features tunnel", path.display());
    path
}

/// Every stack that the environment allows, ours first.
pub fn all(only: &str) -> Vec<Stack> {
    let list = |name: &str| -> Vec<PathBuf> {
        std::env::var(name).unwrap_or_default().split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
    };
    let tunnel = |server, client| Kind::Websocktunnel { server, client };
    let mut kinds = vec![("direct".to_owned(), Kind::Direct)];
    kinds.push(("ours".into(), tunnel(ours("websocktunnel"), ours("wst-client"))));
    for (n, (server, client)) in list("PEER_WEBSOCKTUNNEL").into_iter().zip(list("PEER_WST_CLIENT")).enumerate() {
        kinds.push((format!("original {}", n + 1), tunnel(server.clone(), client.clone())));
        kinds.push((format!("ours, original {} client", n + 1), tunnel(ours("websocktunnel"), client)));
        kinds.push((format!("ours, original {} server", n + 1), tunnel(server, ours("wst-client"))));
    }
    kinds.extend(list("PEER_RATHOLE").into_iter().map(|program| ("rathole".into(), Kind::Rathole(program))));
    let wanted = |name: &str| only.is_empty() || only.split(';').any(|part| part == name);
    let stacks = kinds.into_iter().filter(|(name, _)| wanted(name));
    stacks.map(|(name, kind)| Stack { name, kind, viewer: None, processes: Vec::new() }).collect()
}

async fn wait_for(address: SocketAddr, request: &str) {
    for _ in 0..2000 {
        if answers(address, request).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{address} never answered");
}

async fn answers(address: SocketAddr, request: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut socket) = tokio::net::TcpStream::connect(address).await else { return false };
    let mut answer = [0; 12];
    let request = format!("GET {request} HTTP/1.1\r\nHost: bench\r\n\r\n");
    socket.write_all(request.as_bytes()).await.is_ok()
        && socket.read_exact(&mut answer).await.is_ok()
        && &answer == b"HTTP/1.1 200"
}

impl Stack {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn viewer_address(&self) -> SocketAddr {
        self.viewer.expect("a stack that runs")
    }

    pub fn prefix(&self) -> &'static str {
        if matches!(self.kind, Kind::Websocktunnel { .. }) { "/bench" } else { "" }
    }

    pub async fn start(mut self) -> Self {
        let (target_port, port) = (free_port(), free_port());
        let target = SocketAddr::from(([127, 0, 0, 1], target_port));
        let mut this = Command::new(std::env::current_exe().expect("this program's path"));
        self.processes.push(("target", Process::start(this.args(["target", &target_port.to_string()]))));
        wait_for(target, "/small").await;
        let viewer = SocketAddr::from(([127, 0, 0, 1], port));
        match &self.kind {
            Kind::Direct => {
                self.viewer = Some(target);
                return self;
            }
            Kind::Websocktunnel { server, client } => {
                self.processes.push(("server", Process::start(&mut server_command(server, port))));
                wait_for(viewer, "/__lbheartbeat__").await;
                let arguments =
                    [&format!("http://{viewer}"), "bench", &target_port.to_string(), "--token", &token("bench")];
                self.processes.push(("client", Process::start(Command::new(client).args(arguments))));
            }
            Kind::Rathole(program) => {
                let control = free_port();
                let folder = tempfile::tempdir().expect("a folder for rathole").keep();
                let write = |name: &str, text: String| {
                    let path = folder.join(name);
                    std::fs::write(&path, text).expect("rathole's settings");
                    path
                };
                let server = write(
                    "server.toml",
                    format!(
                        "[server]\nbind_addr = \"127.0.0.1:{control}\"\ndefault_token = \"x\"\n[server.services.s]\nbind_addr = \"{viewer}\"\n"
                    ),
                );
                let client = write(
                    "client.toml",
                    format!(
                        "[client]\nremote_addr = \"127.0.0.1:{control}\"\ndefault_token = \"x\"\n[client.services.s]\nlocal_addr = \"{target}\"\n"
                    ),
                );
                self.processes.push(("server", Process::start(Command::new(program).arg("--server").arg(server))));
                self.processes.push(("client", Process::start(Command::new(program).arg("--client").arg(client))));
            }
        }
        self.viewer = Some(viewer);
        wait_for(viewer, &format!("{}/small", self.prefix())).await;
        self
    }
}

pub fn server_command(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .env("URL_PREFIX", "http://bench")
        .env("PORT", port.to_string())
        .env("TASKCLUSTER_PROXY_SECRET_A", SECRET)
        .env("TASKCLUSTER_PROXY_SECRET_B", SECRET);
    command
}
