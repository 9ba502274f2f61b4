//! One connection to Redis, which sends one command at a time. Each answer is bounded, in bytes, elements and time.
//!
//! The crate `redis` was tried: it brings 37 packages for the one command that is needed here, and reads answers of any
//! length.

use super::source::{Address, Login};
use crate::tunnel::shared::Transport;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

/// The time for a connection, and for each answer.
const TIMEOUT: Duration = Duration::from_millis(500);
/// The largest answer, in bytes. The script's answers are a third of it.
const MAX_BYTES: u64 = 1 << 20;
/// The most elements of an answer. Redis answers ROLE with its replicas, three elements each.
const MAX_ELEMENTS: usize = 256;
/// The longest error that is kept, in bytes.
const MAX_ERROR_BYTES: usize = 200;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(Vec<u8>),
    Nil,
    /// The elements of an array, and of the arrays in it.
    List(Vec<Vec<u8>>),
}

/// Why there is no answer. The text is for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(pub String);

impl Failure {
    pub fn new(text: &str) -> Self {
        // The text may be a server's.
        let clean: String = text.chars().filter(|sign| !sign.is_control()).take(MAX_ERROR_BYTES).collect();
        Failure(clean)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(&error.to_string())
    }
}

/// A connection.
pub(super) struct Connection {
    io: BufReader<Box<dyn Transport>>,
}

impl Connection {
    /// Connects and logs in. With `must_be_master`, a replica is an error: it answers what it knew once.
    pub async fn open(
        address: &Address,
        tls: Option<&TlsConnector>,
        login: &Login,
        must_be_master: bool,
    ) -> Result<Connection, Failure> {
        let io = within(connect(address, tls)).await?;
        let mut connection = Connection { io: BufReader::new(io) };
        if let Some(password) = &login.password {
            let user = login.user.as_deref().map(str::as_bytes);
            let arguments: Vec<&[u8]> =
                [Some(b"AUTH".as_slice()), user, Some(password.as_bytes())].into_iter().flatten().collect();
            connection.command(&arguments).await?;
        }
        if must_be_master {
            match connection.command(&[b"ROLE"]).await? {
                Reply::List(role) if role.first().is_some_and(|name| name == b"master") => {}
                _ => return Err(Failure::new("the server is no master")),
            }
        }
        Ok(connection)
    }

    /// Sends a command and reads its answer. After an error of Redis, whose text begins with a word in capitals, the
    /// connection can be used again; after any other failure, not.
    pub async fn command(&mut self, arguments: &[&[u8]]) -> Result<Reply, Failure> {
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            request.extend_from_slice(argument);
            request.extend_from_slice(b"\r\n");
        }
        within(async {
            self.io.write_all(&request).await?;
            self.io.flush().await?;
            let mut answer = (&mut self.io).take(MAX_BYTES);
            let reply = read(&mut answer).await?;
            if !self.io.buffer().is_empty() {
                return Err(Failure::new("the server sent more than an answer"));
            }
            Ok(reply)
        })
        .await
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(|_| Err(Failure::new("timeout")))
}

async fn connect(address: &Address, tls: Option<&TlsConnector>) -> Result<Box<dyn Transport>, Failure> {
    let (host, port) = match address {
        Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Tcp(host, port) => (host, *port),
    };
    let socket = TcpStream::connect((host.as_str(), port)).await?;
    socket.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(socket)) };
    let name = ServerName::try_from(host.clone());
    let name = name.map_err(|_| Failure::new("the server's name cannot be in a certificate"))?;
    Ok(Box::new(tls.connect(name, socket).await?))
}

/// Returns what starts TLS. It trusts the system's authorities, or those of `SSL_CERT_FILE`.
pub(super) fn tls() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("needs TLS, and the system has no certificates to trust".into());
    }
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

/// Reads an answer.
async fn read(io: &mut (impl AsyncBufReadExt + Unpin)) -> Result<Reply, Failure> {
    let mut line = Vec::new();
    match read_item(io, &mut line).await? {
        Item::Text(text) => Ok(Reply::Text(text)),
        Item::Nil => Ok(Reply::Nil),
        Item::Array(count) => {
            // Counts the elements that are missing, also those of arrays within arrays.
            let (mut missing, mut all, mut list) = (count, count, Vec::new());
            while missing > 0 {
                if all > MAX_ELEMENTS {
                    return Err(Failure::new("the answer has too many elements"));
                }
                missing -= 1;
                match read_item(io, &mut line).await? {
                    Item::Text(text) => list.push(text),
                    Item::Nil => list.push(Vec::new()),
                    Item::Array(count) => (missing, all) = (missing.saturating_add(count), all.saturating_add(count)),
                }
            }
            Ok(Reply::List(list))
        }
    }
}

/// One item of an answer. An array's elements follow it.
enum Item {
    Text(Vec<u8>),
    Nil,
    Array(usize),
}

async fn read_item(io: &mut (impl AsyncBufReadExt + Unpin), line: &mut Vec<u8>) -> Result<Item, Failure> {
    let malformed = || Failure::new("the answer is malformed");
    line.clear();
    io.read_until(b'\n', line).await?;
    let text = line.strip_suffix(b"\r\n").ok_or_else(malformed)?;
    let (kind, rest) = text.split_first().ok_or_else(malformed)?;
    let text = std::str::from_utf8(rest).map_err(|_| malformed())?;
    match kind {
        b'+' | b':' => Ok(Item::Text(rest.to_vec())),
        b'-' => Err(Failure::new(text)),
        b'*' | b'$' if text == "-1" => Ok(Item::Nil),
        b'*' => Ok(Item::Array(text.parse().map_err(|_| malformed())?)),
        b'$' => {
            let length: u64 = text.parse().map_err(|_| malformed())?;
            if length > MAX_BYTES {
                return Err(Failure::new("the answer is too large"));
            }
            let mut value = vec![0; length as usize + 2];
            io.read_exact(&mut value).await?;
            value.truncate(length as usize);
            Ok(Item::Text(value))
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn reply(bytes: &[u8]) -> Result<Reply, String> {
        read(&mut bytes.take(MAX_BYTES)).await.map_err(|failure| failure.0)
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_end_and_no_further_than_its_bounds() {
        let texts = |list: &[&str]| Reply::List(list.iter().map(|text| text.as_bytes().to_vec()).collect());
        assert_eq!(reply(b"$5\r\na\r\nbc\r\n").await, Ok(Reply::Text(b"a\r\nbc".to_vec())));
        assert_eq!(reply(b"+OK\r\n").await, Ok(Reply::Text(b"OK".to_vec())));
        assert_eq!(reply(b"$-1\r\n").await, Ok(Reply::Nil));
        let role = b"*3\r\n$6\r\nmaster\r\n:7\r\n*1\r\n*2\r\n+h\r\n$-1\r\n";
        assert_eq!(reply(role).await, Ok(texts(&["master", "7", "h", ""])));
        assert_eq!(reply(b"-NOAUTH no \x01entry\r\n").await, Err("NOAUTH no entry".to_owned()));
        let (nested, wide, large) =
            (b"*1\r\n".repeat(100_000), b"*99999999999\r\n".to_vec(), b"$99999999999\r\n".to_vec());
        for bytes in [nested, wide, large, b"$x\r\n".to_vec(), b"?1\r\n".to_vec(), b"$9\r\nabc".to_vec(), Vec::new()] {
            assert!(reply(&bytes).await.is_err(), "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(20)]));
        }
        assert!(reply(&[b'+'; 2 << 20]).await.is_err());
    }
}
