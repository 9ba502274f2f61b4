//! Sockets: accepting, TLS, HTTP, and stopping.

use super::{Bound, MOVE_TIME, Peer, Server, StartError, answer, metrics::Metrics};
use crate::tunnel::log::Level;
use hyper::{Request, StatusCode, Version, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io::{self, IoSlice},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// How long a TLS handshake may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often [`Server::tick`] runs.
const TICK: Duration = Duration::from_secs(1);
/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Opens a listener. Where there is no IPv6, the wildcard of IPv4 stands in for that of IPv6.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let outcome = match TcpListener::bind(address).await {
        Err(error)
            if address.ip() == SocketAddr::from(([0u16; 8], 0)).ip() && error.kind() != io::ErrorKind::AddrInUse =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        outcome => outcome,
    };
    outcome.map_err(|error| StartError::Bind(address, error))
}

impl Bound {
    /// Where the server listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Where the metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown` is done, then asks the clients to move and gives open streams their time to end.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let server = self.server;
        let acceptor = server.certificate.as_ref().map(|certificate| certificate.server_config()).transpose();
        let acceptor =
            acceptor.map_err(|error| super::BadSetting { name: "TLS_CERTIFICATE", problem: error.to_string() })?;
        let acceptor = acceptor.map(|config| TlsAcceptor::from(Arc::new(config)));
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let accept = |listener| tasks.spawn(accept(server.clone(), listener, acceptor.clone(), stopping.clone()));
        let accepting: Vec<AbortHandle> = self.listeners.into_iter().map(accept).collect();
        if let Some(listener) = self.metrics {
            tasks.spawn(serve_metrics(server.metrics.clone(), listener));
        }
        let ticking = server.clone();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                ticking.tick();
            }
        });
        shutdown.await;
        server.drain(&stop, accepting).await;
        Ok(())
    }
}

impl Server {
    /// Ends everything: clients first, so that they meet a server elsewhere while this one still answers. Once they
    /// have gone, nothing new is accepted, so that a proxy in front finds out before it has sent anything.
    async fn drain(&self, stop: &watch::Sender<bool>, accepting: Vec<AbortHandle>) {
        self.draining.store(true, Relaxed);
        self.config.logger.event(Level::Info, "draining", &[("clients", &self.registry.len())]);
        let start = Instant::now();
        self.registry.for_each(|_, tunnel| tunnel.move_away(self.config.grace));
        let grace = self.config.grace;
        while self.registry.len() > 0 && start.elapsed() < grace.min(MOVE_TIME) {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        accepting.iter().for_each(AbortHandle::abort);
        _ = stop.send(true);
        while self.sessions.load(Relaxed) > 0 && start.elapsed() < grace {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        self.config.logger.event(Level::Info, "stopped", &[("clients", &self.sessions.load(Relaxed))]);
        // The close frames and the last bytes of responses are with the kernel a moment later.
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

async fn accept(server: Arc<Server>, listener: TcpListener, tls: Option<TlsAcceptor>, stopping: watch::Receiver<bool>) {
    loop {
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: connections that end will free some.
                server.config.logger.event(Level::Error, "cannot accept", &[("error", &error)]);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tune(&socket);
        let open_end = Arc::<AtomicBool>::default();
        let socket = Socket { tcp: socket, open_end: open_end.clone(), resets: false };
        let peer = Peer { address, tls: tls.is_some() };
        let (server, stopping) = (server.clone(), stopping.clone());
        match tls.clone() {
            None => _ = tokio::spawn(serve(server, peer, socket, open_end, stopping)),
            Some(tls) => {
                _ = tokio::spawn(async move {
                    if let Ok(Ok(socket)) = tokio::time::timeout(TLS_TIMEOUT, tls.accept(socket)).await {
                        Box::pin(serve(server, peer, socket, open_end, stopping)).await;
                    }
                })
            }
        }
    }
}

/// Small frames must not wait for acknowledgements, and a peer that vanished must be noticed.
fn tune(socket: &TcpStream) {
    _ = socket.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    _ = socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive);
}

/// A connection that is reset, and not closed, as long as its end would pass for the end of an answer: whoever cuts
/// the answer off, be it the kernel that cleans up after this process.
pub(super) struct Socket {
    tcp: TcpStream,
    /// The answer that is under way has no end but that of the connection.
    open_end: Arc<AtomicBool>,
    /// What the kernel was last told to do on close.
    resets: bool,
}

impl Socket {
    /// Tells the kernel what an end means by now. Comes before all that is written, and so before every clean end.
    fn tell(&mut self) -> Pin<&mut TcpStream> {
        let open_end = self.open_end.load(Relaxed);
        if open_end != self.resets {
            self.resets = open_end;
            _ = socket2::SockRef::from(&self.tcp).set_linger(open_end.then_some(Duration::ZERO));
        }
        Pin::new(&mut self.tcp)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, out)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.tell().poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tell().poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tell().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tell().poll_shutdown(cx)
    }
}

async fn serve<S>(
    server: Arc<Server>,
    peer: Peer,
    socket: S,
    open_end: Arc<AtomicBool>,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let header_timeout = server.config.header_timeout;
    let service = service_fn(move |request: Request<Incoming>| {
        let knows_chunks = request.version() != Version::HTTP_10;
        let (answered, open_end) = (server.clone().handle(peer, request), open_end.clone());
        async move {
            let mut response = answered.await?;
            if !knows_chunks {
                response.body_mut().ends_with_connection(&open_end);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_header_size(64 << 10)
        .max_buf_size(128 << 10)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = async { _ = stopping.wait_for(|stop| *stop).await.is_ok() } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // A viewer that went away or sent nonsense has had its answer, or wants none.
    _ = result;
}

/// `/metrics`, on an address of its own.
async fn serve_metrics(metrics: Arc<Metrics>, listener: TcpListener) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let found = request.uri().path() == "/metrics";
                let text = if found { metrics.render() } else { String::new() };
                async move {
                    let mut response = answer(if found { StatusCode::OK } else { StatusCode::NOT_FOUND }, "");
                    *response.body_mut() = super::ResponseBody::text(text);
                    Ok::<_, Infallible>(response)
                }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(socket), service);
            _ = served.await;
        });
    }
}
