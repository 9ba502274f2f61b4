//! Forwards each stream to the local service on a connection of its own.

use super::{Client, ClientError};
use crate::{
    mux::{Dialect, ResetReason},
    tunnel::{
        relay::{self, Ending, Outcome},
        stream::MuxStream,
    },
};
use std::{fmt, io, net::Ipv4Addr, net::Ipv6Addr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};
use tokio::net::{TcpStream, UnixStream};

/// The time limit for a connection to the target.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The local service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A port of this host, over loopback.
    Port(u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err("unix: needs a path".into()) } else { Ok(Self::Unix(path.into())) };
        }
        match text.parse() {
            Ok(0) | Err(_) => Err(format!("{text:?} is neither a port (1 to 65535) nor unix:PATH")),
            Ok(port) => Ok(Self::Port(port)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(out, "port {port}"),
            Self::Unix(path) => write!(out, "{}", path.display()),
        }
    }
}

/// A callback for each failed connection to the target.
pub type DialObserver = Arc<dyn Fn(&io::Error) + Send + Sync>;

/// Forwards the client's streams to the target until the client ends.
pub async fn run(client: &mut Client, target: &Target, observer: Option<DialObserver>) -> ClientError {
    loop {
        match client.accept().await {
            Ok(stream) => _ = tokio::spawn(forward(stream, target.clone(), observer.clone())),
            Err(error) => return error,
        }
    }
}

async fn forward(mut stream: MuxStream, target: Target, observer: Option<DialObserver>) {
    let ending = match stream.dialect() {
        Dialect::Extended => Ending::Half,
        Dialect::Original => Ending::Both,
    };
    match dial(&target).await {
        Ok(Socket::Tcp(mut socket)) => {
            if relay::run(&mut socket, stream, ending).await == Outcome::StreamBroke {
                // Resets the connection, so that the target does not see a clean end.
                _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            }
        }
        Ok(Socket::Unix(mut socket)) => _ = relay::run(&mut socket, stream, ending).await,
        Err(error) => {
            stream.fail_with(ResetReason::Unreachable);
            if let Some(observer) = observer {
                observer(&error);
            }
        }
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn dial(target: &Target) -> io::Result<Socket> {
    let dialled = async {
        match target {
            Target::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
            Target::Port(port) => {
                let socket = match TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await {
                    Ok(socket) => socket,
                    Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, *port)).await.map_err(|_| error)?,
                };
                socket.set_nodelay(true)?;
                Ok(Socket::Tcp(socket))
            }
        }
    };
    match tokio::time::timeout(DIAL_TIMEOUT, dialled).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_target_is_a_port_or_a_unix_socket() {
        assert_eq!("8080".parse(), Ok(Target::Port(8080)));
        assert_eq!("unix:/run/x".parse(), Ok(Target::Unix("/run/x".into())));
        for text in ["", "0", "65536", "-1", "http", "unix:"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
