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

/// A stack that could run.
pub struct Stack {
    pub name: String,
    kind: Kind,
}

/// Where viewers come in.
#[derive(Clone, Copy)]
pub struct Door {
    pub address: SocketAddr,
    pub prefix: &'static str,
}

/// A stack that runs, until this is dropped.
pub struct Running {
    pub door: Door,
    pub processes: Vec<(&'static str, Process)>,
    _settings: Option<tempfile::TempDir>,
}

/// Our own program, next to this one.
pub fn ours(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("this program's path");
    let path = here.parent().and_then(Path::parent).expect("a target directory").join(name);
    assert!(path.exists(), "{} is missing: build it with --features tunnel", path.display());
    path
}

/// Every stack that the environment allows, ours first.
pub fn all() -> Vec<Stack> {
    let list = |name: &str| -> Vec<PathBuf> {
        std::env::var(name).unwrap_or_default().split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
    };
    let tunnel = |server, client| Kind::Websocktunnel { server, client };
    let mut kinds = vec![("direct".to_owned(), Kind::Direct)];
    kinds.push(("ours".into(), tunnel(ours("websocktunnel"), ours("wst-client"))));
    let (servers, clients) = (list("PEER_WEBSOCKTUNNEL"), list("PEER_WST_CLIENT"));
    assert_eq!(servers.len(), clients.len(), "PEER_WEBSOCKTUNNEL and PEER_WST_CLIENT must name as many programs");
    for (n, (server, client)) in servers.into_iter().zip(clients).enumerate() {
        let n = n + 1;
        kinds.push((format!("original {n}"), tunnel(server.clone(), client.clone())));
        kinds.push((format!("ours, client of original {n}"), tunnel(ours("websocktunnel"), client)));
        kinds.push((format!("ours, server of original {n}"), tunnel(server, ours("wst-client"))));
    }
    kinds.extend(list("PEER_RATHOLE").into_iter().map(|program| ("rathole".into(), Kind::Rathole(program))));
    kinds.into_iter().map(|(name, kind)| Stack { name, kind }).collect()
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
    /// Whether nothing of it comes from others.
    pub fn is_ours(&self) -> bool {
        matches!(self.name.as_str(), "direct" | "ours")
    }

    pub async fn start(&self) -> Running {
        let (target_port, port) = (free_port(), free_port());
        let target = SocketAddr::from(([127, 0, 0, 1], target_port));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut this = Command::new(std::env::current_exe().expect("this program's path"));
        let mut processes = vec![("target", Process::start(this.args(["target", &target_port.to_string()])))];
        wait_for(target, "/small").await;
        let mut settings = None;
        let door = match &self.kind {
            Kind::Direct => Door { address: target, prefix: "" },
            Kind::Websocktunnel { server, client } => {
                processes.push(("server", Process::start(&mut server_command(server, port))));
                wait_for(address, "/__lbheartbeat__").await;
                let arguments =
                    [&format!("http://{address}"), "bench", &target_port.to_string(), "--token", &token("bench")];
                processes.push(("client", Process::start(Command::new(client).args(arguments))));
                Door { address, prefix: "/bench" }
            }
            Kind::Rathole(program) => {
                let folder = tempfile::tempdir().expect("a folder for rathole");
                let [server, client] = rathole_settings(folder.path(), address, target);
                processes.push(("server", Process::start(Command::new(program).arg("--server").arg(server))));
                processes.push(("client", Process::start(Command::new(program).arg("--client").arg(client))));
                settings = Some(folder);
                Door { address, prefix: "" }
            }
        };
        wait_for(door.address, &format!("{}/small", door.prefix)).await;
        Running { door, processes, _settings: settings }
    }
}

fn rathole_settings(folder: &Path, viewers: SocketAddr, target: SocketAddr) -> [PathBuf; 2] {
    let control = free_port();
    let texts = [
        format!(
            "[server]\nbind_addr = \"127.0.0.1:{control}\"\ndefault_token = \"x\"\n[server.services.s]\nbind_addr = \"{viewers}\"\n"
        ),
        format!(
            "[client]\nremote_addr = \"127.0.0.1:{control}\"\ndefault_token = \"x\"\n[client.services.s]\nlocal_addr = \"{target}\"\n"
        ),
    ];
    let paths = [folder.join("server.toml"), folder.join("client.toml")];
    for (path, text) in paths.iter().zip(texts) {
        std::fs::write(path, text).expect("rathole's settings");
    }
    paths
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
