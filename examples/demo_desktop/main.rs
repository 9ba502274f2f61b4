//! `demo-desktop`: the backend for demonstrations (`make run`) and specs.
//!
//! One process stands in for the desktops behind a gateway. It listens on every service port of nine loopback
//! addresses, so that one machine has nine targets. It describes each request to its client:
//!
//! - The response to an HTTP request is `{"port":…,"method":…,"path":…,"headers":{…},"body_bytes":…}`. The body is read
//!   and dropped, whatever its size.
//! - The first message of a WebSocket (RFC 6455, version 13, no extensions) is the same JSON. The connection then
//!   echoes every message.
//!
//! With `--login`, it is also a login backend (login.rs).
//!
//! Its responses repeat the request's headers, including tokens. It therefore refuses to listen on any other interface
//! than loopback.

mod http;
mod login;
mod websocket;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The pause of a listener after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Stands in for the desktops behind a gateway.
///
/// Responds to every HTTP request with JSON that describes it. On a WebSocket, sends the same JSON as the first message
/// and then echoes every message. Prints "ready: N listeners" when it listens on every port, and stops on SIGTERM and
/// Ctrl-C.
///
/// It listens on loopback addresses only, because its responses repeat the request's headers.
#[derive(Parser)]
#[command(name = "demo-desktop", version, max_term_width = 100)]
#[command(override_usage = "demo-desktop --ports PORT,... [OPTIONS]")]
struct Cli {
    /// Ports to listen on, on every address
    #[arg(long, value_name = "PORT,...", value_delimiter = ',', required_unless_present_any = ["only_first", "login"])]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,

    /// Ports to listen on, on the first address only
    #[arg(long, value_name = "PORT,...", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    only_first: Vec<u16>,

    /// Port of the login backend, on the first address only
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    login: Option<u16>,

    /// Loopback addresses to listen on, 127.x.x.x or [::1]. Default: 127.0.0.1 to 127.0.0.9
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',', value_parser = loopback, hide_default_value = true)]
    #[arg(default_values = [
        "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5",
        "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9",
    ])]
    addresses: Vec<IpAddr>,
}

impl Cli {
    /// Returns the sockets to listen on, without duplicates: two services may share a port.
    fn sockets(&self) -> BTreeSet<SocketAddr> {
        let everywhere = self.addresses.iter().flat_map(|&ip| self.ports.iter().map(move |&port| (ip, port)));
        let on_first = self
            .addresses
            .iter()
            .take(1)
            .flat_map(|&ip| self.only_first.iter().chain(&self.login).map(move |&port| (ip, port)));
        everywhere.chain(on_first).map(SocketAddr::from).collect()
    }
}

/// Parses a loopback address. Brackets around an IPv6 address are optional.
fn loopback(text: &str) -> Result<IpAddr, String> {
    let address = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => text.parse::<IpAddr>(),
    };
    match address {
        Ok(ip) if ip.is_loopback() => Ok(ip),
        Ok(_) => Err("not a loopback address".to_owned()),
        Err(_) => Err("not an IP address".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("demo-desktop: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Listens on every socket, prints the ready line, and serves until a signal.
async fn run(cli: &Cli) -> Result<(), String> {
    let handler = |kind| signal(kind).map_err(|error| format!("cannot handle signals: {error}"));
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;

    let mut listeners = Vec::new();
    for socket in cli.sockets() {
        let listener = TcpListener::bind(socket).await.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => format!("{socket} is already in use by another program"),
            _ => format!("cannot listen on {socket}: {error}"),
        })?;
        listeners.push((listener, socket));
    }
    announce(listeners.len());
    for (listener, socket) in listeners {
        tokio::spawn(accept(listener, socket, cli.login));
    }

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Prints the ready line. Ignores a closed standard output.
fn announce(count: usize) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "ready: {count} listeners").and_then(|()| stdout.flush());
}

/// Accepts connections forever.
async fn accept(listener: TcpListener, socket: SocketAddr, login: Option<u16>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if login == Some(socket.port()) {
                    tokio::spawn(login::serve(stream));
                } else {
                    tokio::spawn(http::serve(stream, socket.port()));
                }
            }
            // The client closed the connection before it was accepted.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                eprintln!("demo-desktop: cannot accept on {socket}: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(line: &str) -> Vec<String> {
        let words = std::iter::once("demo-desktop").chain(line.split(' '));
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        cli.sockets().iter().map(SocketAddr::to_string).collect()
    }

    fn refused(line: &str) -> bool {
        Cli::try_parse_from(std::iter::once("demo-desktop").chain(line.split_whitespace())).is_err()
    }

    #[test]
    fn ports_are_on_every_address_and_only_first_on_one() {
        assert_eq!(
            sockets("--ports 8001,8002 --only-first 8003 --addresses 127.0.0.2,[::1]"),
            ["127.0.0.2:8001", "127.0.0.2:8002", "127.0.0.2:8003", "[::1]:8001", "[::1]:8002"]
        );
        assert_eq!(sockets("--ports 8001").len(), 9);
        assert_eq!(sockets("--only-first 8001"), ["127.0.0.1:8001"]);
        assert_eq!(sockets("--only-first 8001 --login 8002"), ["127.0.0.1:8001", "127.0.0.1:8002"]);
    }

    #[test]
    fn a_repeated_socket_is_listened_on_once() {
        assert_eq!(sockets("--ports 8001,8001 --only-first 8001 --addresses ::1,[::1]"), ["[::1]:8001"]);
    }

    #[test]
    fn invalid_ports_and_other_addresses_are_refused() {
        for line in ["", "--ports 0", "--ports 65536", "--ports 80,", "--only-first 0", "--ports http"] {
            assert!(refused(line), "{line}");
        }
        for address in ["0.0.0.0", "[::]", "10.0.0.1", "localhost", "[127.0.0.1]", "127.0.0.1:80", "[::1", ""] {
            assert!(refused(&format!("--ports 8001 --addresses={address}")), "{address}");
        }
    }
}
