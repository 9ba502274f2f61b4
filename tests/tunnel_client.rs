//! The client: its command line, and its connections to servers and targets.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use futures_util::StreamExt;
use route_native::tunnel::{
    Client,
    client::{
        Config, Event, ProxyRules, Tokens,
        forward::{self, Target},
    },
    server::TlsSource,
};
use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener},
};
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tunnel_support::{
    SECRET_A, SECRET_B, TestClient, TestServer, in_time, mint, mint_with, process::Process, target::TestTarget, until,
    viewer,
};

const CLIENT: &str = env!("CARGO_BIN_EXE_wst-client");
const SERVER: &str = env!("CARGO_BIN_EXE_websocktunnel");

/// Runs a program to its end. Returns its exit code and its standard error.
async fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = in_time("a program", ended).await.unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_start_that_fails_has_one_message_and_an_exit_code() {
    let server = TestServer::start().await;
    let (url, wrong) = (server.url(), mint("c2"));
    for (arguments, code, message) in [
        (vec!["ftp://h", "c1", "80", "--token", "x"], 1, "http://"),
        (vec![url.as_str(), "a b", "80", "--token", "x"], 1, "not an ID"),
        (vec![&url, "c1", "0", "--token", "x"], 1, "neither a port"),
        (vec![&url, "c1"], 1, "targetPort"),
        (vec![&url, "c1", "80", "--token", &wrong], 3, "authentication failed"),
        (vec![&url, "c1", "80"], 3, "no token"),
        (vec!["http://127.0.0.1:1", "c1", "80", "--token=x", "--give-up-after", "1"], 5, "gave up"),
    ] {
        let (exit, stderr) = run(CLIENT, &arguments, &[]).await;
        assert_eq!(exit, code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
        assert!(!stderr.contains(&wrong), "the token was shown");
    }
    // An empty token is no token.
    for token in ["", " ", "\n"] {
        for (more, environment) in [(&[][..], &[("WST_TOKEN", token)][..]), (&["--token", token], &[])] {
            let arguments = [&[url.as_str(), "c1", "80"], more].concat();
            let (exit, stderr) = run(CLIENT, &arguments, environment).await;
            assert_eq!((exit, stderr.contains("no token")), (3, true), "{token:?}: {stderr}");
        }
    }
    let known = [("TASKCLUSTER_PROXY_SECRET_A", SECRET_A), ("TASKCLUSTER_PROXY_SECRET_B", SECRET_B)];
    for (more, name) in [
        (vec![], "URL_PREFIX"),
        (vec![("URL_PREFIX", "http://h"), ("TLS_KEY", "LS0tLSnonsense")], "TLS_CERTIFICATE"),
        (vec![("URL_PREFIX", "http://h"), ("TLS_KEY", "/nowhere"), ("TLS_CERTIFICATE", "/nowhere")], "TLS_CERTIFICATE"),
        (vec![("URL_PREFIX", "http://h"), ("TASKCLUSTER_PROXY_SECRET_A", "short")], "TASKCLUSTER_PROXY_SECRET"),
    ] {
        let environment: Vec<_> = known.into_iter().chain(more).collect();
        let (exit, stderr) = run(SERVER, &[], &environment).await;
        assert_eq!((exit, stderr.contains(name)), (1, true), "{stderr}");
        assert!(!stderr.contains(SECRET_A), "the secret was shown");
    }
    let taken = server.address.port().to_string();
    let busy = [known[0], known[1], ("URL_PREFIX", "http://h"), ("PORT", &taken), ("TUNNEL_BIND", "127.0.0.1")];
    assert_eq!(run(SERVER, &[], &busy).await.0, 2);
}

#[tokio::test]
async fn the_client_reads_tokens_from_standard_input_and_stops_on_a_signal() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("url");
    let port = target.address.port().to_string();
    let mut child = Command::new(CLIENT)
        .args([&server.url(), "c1", &port, "--out-file", out.to_str().unwrap(), "--json"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut child = Process(child);
    let (first, second) = (mint_with(SECRET_A, "c1", 3600), mint_with(SECRET_B, "c1", 3601));
    std::io::Write::write_all(&mut input, format!("{first}\r\n").as_bytes()).unwrap();
    until("the URL is written", async || {
        std::fs::read_to_string(&out).ok().filter(|url| url == "http://tunnel.test/c1")
    })
    .await;
    assert_eq!(viewer::get(server.address, "/c1/echo").await.status, 200);
    std::io::Write::write_all(&mut input, format!("{second}\n").as_bytes()).unwrap();
    until("it has moved", async || (server.metric("registrations_total").await == 2).then_some(())).await;
    assert_eq!(viewer::get(server.address, "/c1/echo").await.status, 200);
    Command::new("kill").arg(child.0.id().to_string()).status().unwrap();
    let code = until("it ends", async || child.0.try_wait().unwrap()).await.code();
    assert_eq!(code, Some(0));
    let mut stderr = String::new();
    std::io::Read::read_to_string(child.0.stderr.as_mut().unwrap(), &mut stderr).unwrap();
    assert!(stderr.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{stderr}");
    assert!(!stderr.contains(&first) && !stderr.contains(&second), "a token was logged");
}

/// Writes a certificate and its key to `folder`, and returns the roots that trust it.
fn certificate(folder: &Path, name: &str) -> RootCertStore {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=tunnel",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(folder.join(format!("{name}.key")))
        .arg("-out")
        .arg(folder.join(format!("{name}.crt")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).unwrap()).unwrap();
    roots
}

/// Connects a client over TLS. Returns `None` if it fails.
async fn over_tls(server: &TestServer, roots: &RootCertStore) -> Option<Client> {
    let url = format!("https://{}", server.address);
    let mut config = Config::new(&url, "c1", Tokens::fixed(mint("c1"))).unwrap();
    config.roots = Some(roots.clone());
    in_time("TLS", Client::connect(config, None)).await.ok()
}

#[tokio::test]
async fn a_server_serves_the_current_certificate_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (certificate(folder.path(), "old"), certificate(folder.path(), "new"));
    let file = |name: &str| folder.path().join(name);
    for part in ["crt", "key"] {
        std::fs::copy(file(&format!("old.{part}")), file(&format!("live.{part}"))).unwrap();
    }
    let source = TlsSource::files(file("live.crt"), file("live.key"));
    let server = TestServer::start_with(|config| config.tls = Some(source)).await;
    assert!(over_tls(&server, &old).await.is_some());
    assert!(over_tls(&server, &new).await.is_none(), "a certificate that nobody trusts was accepted");
    for part in ["crt", "key"] {
        std::fs::rename(file(&format!("new.{part}")), file(&format!("live.{part}"))).unwrap();
    }
    until("the new certificate is served", async || over_tls(&server, &new).await).await;
    assert!(over_tls(&server, &old).await.is_none());
}

#[tokio::test]
async fn a_client_reaches_its_server_through_an_http_proxy() {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (proxy_address, address) = (proxy.local_addr().unwrap(), server.address);
    static CONNECTS: AtomicUsize = AtomicUsize::new(0);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = proxy.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(near.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                assert!(head.starts_with("CONNECT tunnel.test:8080 HTTP/1.1\r\n"), "{head}");
                assert!(head.contains("Proxy-Authorization: Basic dTpw\r\n"), "{head}");
                CONNECTS.fetch_add(1, SeqCst);
                near.write_all(b"HTTP/1.1 200 Go on\r\n\r\n").await.unwrap();
                let mut far = TcpStream::connect(address).await.unwrap();
                _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let mut config = Config::new("http://tunnel.test:8080", "c1", Tokens::fixed(mint("c1"))).unwrap();
    config.proxy = ProxyRules::from_env(|name| (name == "HTTP_PROXY").then(|| format!("http://u:p@{proxy_address}")));
    let mut client = in_time("the proxy", Client::connect(config, None)).await.unwrap();
    tokio::spawn(async move { forward::run(&mut client, &Target::Port(target.address.port()), None).await });
    assert_eq!(viewer::get(server.address, "/c1/bytes/7").await.body.len(), 7);
    assert_eq!(CONNECTS.load(SeqCst), 1);
}

#[tokio::test]
async fn a_unix_socket_can_be_the_target() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = socket.read(&mut request).await.unwrap();
        assert!(request[..read].starts_with(b"GET /x HTTP/1.1\r\n"));
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix").await.unwrap();
        std::future::pending::<()>().await;
    });
    let config = Config::new(&server.url(), "c1", Tokens::fixed(mint("c1"))).unwrap();
    let mut client = in_time("connecting", Client::connect(config, None)).await.unwrap();
    let target: Target = format!("unix:{}", path.display()).parse().unwrap();
    tokio::spawn(async move { forward::run(&mut client, &target, None).await });
    assert_eq!(viewer::get(server.address, "/c1/x").await.body, b"unix");
}

#[tokio::test]
async fn both_sides_detect_a_frozen_network() {
    let server = TestServer::start_with(|config| config.limits.keepalive = Duration::from_millis(300)).await;
    let target = TestTarget::start().await;
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (through, address) = (front.local_addr().unwrap(), server.address);
    let (freeze, frozen) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = front.accept().await.unwrap();
            let mut frozen = frozen.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    // Both connections stay open, but no byte passes.
                    _ = async { _ = frozen.wait_for(|frozen| *frozen).await.is_ok() } => std::future::pending().await,
                }
            });
        }
    });
    let keepalive = |config: &mut Config| config.limits.keepalive = Duration::from_millis(300);
    let client = TestClient::start_with(through, "c1", target.address, Tokens::fixed(mint("c1")), keepalive).await;
    assert_eq!(viewer::get(address, "/c1/echo").await.status, 200);
    freeze.send(true).unwrap();
    until("the client notices", async || {
        (client.count_events(|event| matches!(event, Event::Disconnected { reason } if reason.contains("keepalive")))
            > 0)
        .then_some(())
    })
    .await;
    until("the server notices", async || (server.metric("sessions_lost_total").await > 0).then_some(())).await;
    freeze.send(false).unwrap();
    until("the client is back", async || (viewer::get(address, "/c1/echo").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_client_whose_clock_is_ahead_reconnects_with_a_token_that_the_server_accepts() {
    // The server's clock is behind, so it accepts this token. It closes the first two sessions.
    let token = mint_with(SECRET_A, "c1", -3600);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (bearer, registered) = (format!("Bearer {token}"), Arc::<AtomicUsize>::default());
    let count = registered.clone();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (bearer, count) = (bearer.clone(), count.clone());
            tokio::spawn(async move {
                // Other requests than registrations fail: the client determines the server's version.
                let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(socket, AcceptOnly(bearer)).await else {
                    return;
                };
                if count.fetch_add(1, SeqCst) >= 2 {
                    while let Some(Ok(_)) = socket.next().await {}
                }
            });
        }
    });
    let client = TestClient::start_with(address, "c1", address, Tokens::fixed(token), |_| {}).await;
    until("it is back twice", async || (registered.load(SeqCst) == 3).then_some(())).await;
    assert!(!client.end.is_finished());
}

#[tokio::test]
async fn a_client_fails_at_once_if_the_server_sends_no_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            _ = tokio_tungstenite::accept_async(socket).await;
        }
    });
    let config = Config::new(&format!("http://{address}"), "c1", Tokens::fixed(mint("c1"))).unwrap();
    let error = in_time("the refusal", Client::connect(config, None)).await.unwrap_err();
    assert!(error.to_string().contains("where viewers go"), "{error}");
}

/// A handshake callback that accepts registrations with one token.
struct AcceptOnly(String);

impl Callback for AcceptOnly {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        assert_eq!(request.headers()["authorization"], self.0);
        response.headers_mut().insert("x-websocktunnel-client-url", "http://tunnel.test/c1".parse().unwrap());
        Ok(response)
    }
}
