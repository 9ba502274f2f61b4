//! One request to the admin API, over a unix socket or HTTP(S). No proxy is used, and no redirect followed.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use route_native::tls_client;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Failure;

/// The time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The limit of an answer, in bytes: a page of the longest revocations is smaller.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// The limit of the server's own sentence in an error, in characters.
const MAX_SENTENCE: usize = 300;

/// The options for the admin API's address.
#[derive(Args)]
pub struct Server {
    /// Address of the admin API: unix:PATH, http://HOST:PORT or https://HOST:PORT. Default: admin.sock in
    /// ROUTE_RUN_DIR (/run/route_native)
    #[arg(long, value_name = "ADDRESS", global = true)]
    server: Option<String>,

    /// File with the authorities to trust for https, in PEM. Default: the system's
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,

    /// File with the client's certificate for https, in PEM
    #[arg(long, value_name = "FILE", global = true, requires = "client_key")]
    client_certificate: Option<PathBuf>,

    /// File with the client's private key, in PEM
    #[arg(long, value_name = "FILE", global = true, requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

enum Address {
    Unix(PathBuf),
    Tcp { host: String, port: u16, tls: Option<Arc<ClientConfig>> },
}

/// A client of the admin API.
pub struct Client {
    /// The address as the operator knows it, for messages.
    name: String,
    /// The value of `Host`.
    authority: String,
    address: Address,
}

/// A connection of any kind.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

impl Client {
    /// Returns a client. Reads its certificates and does not connect yet.
    pub fn new(server: &Server) -> Result<Client, Failure> {
        let name = server.server.clone().unwrap_or_else(default_address);
        if let Some(path) = name.strip_prefix("unix:") {
            return Ok(Client { authority: "admin".into(), address: Address::Unix(path.into()), name });
        }
        let bad = || Failure::usage("--server must be unix:PATH, http://HOST:PORT or https://HOST:PORT");
        let uri: Uri = name.parse().map_err(|_| bad())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?.clone();
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(Arc::new(server.tls()?)), 443),
            _ => return Err(bad()),
        };
        if !matches!(uri.path_and_query().map(|path| path.as_str()), None | Some("/")) {
            return Err(bad());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let address = Address::Tcp { host, port: authority.port_u16().unwrap_or(port), tls };
        Ok(Client { authority: authority.to_string(), address, name })
    }

    /// Sends a request and returns the JSON of its answer; null for an empty one. Another status than 2xx is an error.
    pub fn send(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Result<Value, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        // Only the token can be invalid here. The error must not contain it.
        let request = request.body(Full::new(body)).map_err(|_| Failure::usage("the admin token is none"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::failed(format!("the system refuses: {error}")))?;
        let exchanged = runtime.block_on(async { tokio::time::timeout(TIMEOUT, self.exchange(request)).await });
        let (status, text) = exchanged.unwrap_or_else(|_| {
            Err(Failure::failed(format!("{} gives no answer within {} s", self.name, TIMEOUT.as_secs())))
        })?;
        let value = serde_json::from_slice(&text).unwrap_or(Value::Null);
        if status.is_success() { Ok(value) } else { Err(Failure::failed(self.refusal(status, &value))) }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        let transport = self
            .connect()
            .await
            .map_err(|error| Failure::failed(format!("{} cannot be reached: {error}", self.name)))?;
        let broken = |error: &dyn std::error::Error| {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Failure::failed(format!("{} gives no answer: {cause}", self.name))
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(transport)).await.map_err(|error| broken(&error))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| broken(&*error))?;
        Ok((status, body.to_bytes()))
    }

    async fn connect(&self) -> io::Result<Box<dyn Transport>> {
        let (host, port, tls) = match &self.address {
            Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            Address::Tcp { host, port, tls } => (host, *port, tls),
        };
        let socket = TcpStream::connect((host.as_str(), port)).await?;
        let Some(config) = tls else { return Ok(Box::new(socket)) };
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(config.clone()).connect(name, socket).await?))
    }

    /// Returns the sentence for a refusal, with the server's own if it gives one.
    fn refusal(&self, status: StatusCode, answer: &Value) -> String {
        let sentence = answer.get("message").and_then(Value::as_str).unwrap_or_default();
        let shown: String = sentence.chars().filter(|c| is_shown(*c)).take(MAX_SENTENCE).collect();
        let colon = if shown.is_empty() { "" } else { ": " };
        format!("the admin API answers {}{colon}{shown}", status.as_u16())
    }
}

impl Server {
    fn tls(&self) -> Result<ClientConfig, Failure> {
        let roots = self.ca.as_ref().map(|file| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(file, "--ca")?);
            Ok(roots)
        });
        let builder = tls_client::builder(roots.transpose()?).map_err(Failure::failed)?;
        let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate, "--client-certificate")?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|_| Failure::usage("--client-key must be a file with a private key in PEM"))?;
        let config = builder.with_client_auth_cert(chain, key);
        config.map_err(|_| Failure::usage("--client-key must be the key of --client-certificate"))
    }
}

/// Returns whether a terminal shows a character, and does nothing else with it.
pub fn is_shown(c: char) -> bool {
    (' '..='~').contains(&c) || !c.is_ascii() && c.escape_debug().len() == 1
}

fn certificates(file: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let chain: Option<Vec<_>> =
        CertificateDer::pem_file_iter(file).ok().and_then(|certificates| certificates.collect::<Result<_, _>>().ok());
    chain
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| Failure::usage(format!("{option} must be a file with certificates in PEM")))
}

fn default_address() -> String {
    let run_dir = env::var("ROUTE_RUN_DIR").ok().filter(|directory| !directory.is_empty());
    format!("unix:{}/admin.sock", run_dir.as_deref().unwrap_or("/run/route_native"))
}
