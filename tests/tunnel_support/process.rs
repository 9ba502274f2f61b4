//! Programs that tests start: ours, or the original's if the environment names them.

use super::{SECRET_A, SECRET_B, until, viewer};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Returns the value of a variable that names programs of the original.
pub fn peer(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// A program that is killed at the end of its test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Returns a port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns the command of a server on a port of 127.0.0.1, with the tests' secrets and without output.
pub fn server_command(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .env("URL_PREFIX", "http://tunnel.test")
        .env("PORT", port.to_string())
        .env("TUNNEL_BIND", "127.0.0.1")
        .env("TASKCLUSTER_PROXY_SECRET_A", SECRET_A)
        .env("TASKCLUSTER_PROXY_SECRET_B", SECRET_B)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Starts a server program and waits until it listens.
pub async fn listening(command: &mut Command, port: u16) -> (Process, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let process = Process(command.spawn().unwrap());
    until("the server listens", async || std::net::TcpStream::connect(address).ok()).await;
    (process, address)
}

/// Starts a server program on a free port and waits until it listens.
pub async fn server(program: &Path) -> (Process, SocketAddr) {
    let port = free_port();
    listening(&mut server_command(program, port), port).await
}

/// Starts a client program and waits until the service behind it responds.
pub async fn client(program: &Path, server: SocketAddr, id: &str, target: SocketAddr, token: &str) -> Process {
    let child = Command::new(program)
        .args([&format!("http://{server}"), id, &target.port().to_string(), "--token", token])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    reachable(server, id).await;
    process
}

/// Waits until the service behind an ID responds.
pub async fn reachable(server: SocketAddr, id: &str) {
    until("the service answers", async || {
        (viewer::try_get(server, &format!("/{id}/bytes/1")).await == Some(200)).then_some(())
    })
    .await;
}
