//! Programs that a spec starts: ours, or the original's when the environment names them.

use super::{SECRET_A, SECRET_B, until, viewer};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The original's server and client, if they were built.
pub fn peer(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// A program that ends with the spec.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a server program and waits until it answers.
pub async fn server(program: &Path) -> (Process, SocketAddr) {
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let child = Command::new(program)
        .env("URL_PREFIX", "http://tunnel.test")
        .env("PORT", port.to_string())
        .env("TASKCLUSTER_PROXY_SECRET_A", SECRET_A)
        .env("TASKCLUSTER_PROXY_SECRET_B", SECRET_B)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    until("the server answers", async || std::net::TcpStream::connect(address).ok()).await;
    (process, address)
}

/// Starts a client program and waits until its ID is known to the server.
pub async fn client(program: &Path, server: SocketAddr, id: &str, target: SocketAddr, token: &str) -> Process {
    let child = Command::new(program)
        .args([&format!("http://{server}"), id, &target.port().to_string(), "--token", token])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    until("the client is connected", async || {
        let answer = viewer::get(server, &format!("/{id}/echo")).await;
        (answer.status == 200).then_some(())
    })
    .await;
    process
}
