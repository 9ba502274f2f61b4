//! The listeners: accepts connections, serves TLS and HTTP on them, and stops.

use super::{
    Bound, MOVE_TIME, Peer, Server, StartError, answer,
    conversation::{Conversation, ViewerSocket},
    headers::MAX_FIELDS,
    metrics::Metrics,
    revocations::follow,
};
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

/// The time limit for a TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the first connections wait for the revocations.
const LOAD_TIME: Duration = Duration::from_secs(3);
/// The interval of [`Server::tick`].
const TICK: Duration = Duration::from_secs(1);
/// The interval at which a drain checks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Opens a listener. Uses the IPv4 wildcard in place of the IPv6 one if the host has no IPv6.
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
    /// Returns the addresses on which the server listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Returns the address of `/metrics`, or `None` if it is not served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown` completes. Then asks the clients to move, and lets open streams end within the grace
    /// time.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let server = self.server;
        let acceptor = server.certificate.as_ref().map(|certificate| certificate.server_config()).transpose();
        let acceptor =
            acceptor.map_err(|error| super::BadSetting { name: "TLS_CERTIFICATE", problem: error.to_string() })?;
        let acceptor = acceptor.map(|config| TlsAcceptor::from(Arc::new(config)));
        begin_to_follow(&server).await?;
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

/// Begins to read revocations. Waits until they are known before the first request, or cannot be.
async fn begin_to_follow(server: &Arc<Server>) -> Result<(), StartError> {
    if let (Some(revocations), Some(source)) = (&server.revocations, &server.config.revocations) {
        let mut begun = follow(revocations.clone(), source.clone(), server.config.logger.clone())?;
        // Connections wait in the listeners' queues.
        _ = tokio::time::timeout(LOAD_TIME, begun.wait_for(|begun| *begun)).await;
    }
    Ok(())
}

impl Server {
    /// Drains the server. Clients move first, and can register elsewhere while this server still responds. Then the
    /// listeners close, so that a proxy in front fails to connect before it has sent a request.
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
        // Gives the tasks time to write close frames and the last bytes of responses.
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

/// Accepts connections until it is aborted.
async fn accept(server: Arc<Server>, listener: TcpListener, tls: Option<TlsAcceptor>, stopping: watch::Receiver<bool>) {
    loop {
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually no descriptors are left. Connections that end free some.
                server.config.logger.event(Level::Error, "cannot accept", &[("error", &error)]);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        set_tcp_options(&socket);
        let close_delimited = Arc::<AtomicBool>::default();
        let socket = Socket { tcp: socket, close_delimited: close_delimited.clone(), resets_on_close: false };
        let peer = Peer { address, tls: tls.is_some() };
        let (server, stopping) = (server.clone(), stopping.clone());
        match tls.clone() {
            None => _ = tokio::spawn(serve(server, peer, socket, close_delimited, stopping)),
            Some(tls) => {
                _ = tokio::spawn(async move {
                    if let Ok(Ok(socket)) = tokio::time::timeout(TLS_TIMEOUT, tls.accept(socket)).await {
                        Box::pin(serve(server, peer, socket, close_delimited, stopping)).await;
                    }
                })
            }
        }
    }
}

/// Disables Nagle's algorithm for small frames, and enables TCP keepalive to detect lost peers.
fn set_tcp_options(socket: &TcpStream) {
    _ = socket.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    _ = socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive);
}

/// A connection that is reset, not closed, while its close would look like the end of a response. That also holds when
/// the kernel closes it because the process died.
pub(super) struct Socket {
    tcp: TcpStream,
    /// True during a response that ends with the connection.
    close_delimited: Arc<AtomicBool>,
    /// True if the socket is set to reset on close.
    resets_on_close: bool,
}

impl Socket {
    /// Returns the TCP connection.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Sets whether a close resets the connection. Runs before each write, and therefore before each clean close.
    fn update_linger(&mut self) -> Pin<&mut TcpStream> {
        let close_delimited = self.close_delimited.load(Relaxed);
        if close_delimited != self.resets_on_close {
            self.resets_on_close = close_delimited;
            _ = socket2::SockRef::from(&self.tcp).set_linger(close_delimited.then_some(Duration::ZERO));
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
        self.update_linger().poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.update_linger().poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.update_linger().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.update_linger().poll_shutdown(cx)
    }
}

/// Serves HTTP on one connection.
async fn serve<S>(
    server: Arc<Server>,
    peer: Peer,
    socket: S,
    close_delimited: Arc<AtomicBool>,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let header_timeout = server.config.header_timeout;
    // A proxy does not finish sending before the response: it closes its connection when its own client has left.
    let direct = !server.config.behind_proxy;
    let half_close_timeout = direct.then_some(server.config.half_close_timeout);
    let conversation = Conversation::default();
    let ended = conversation.clone();
    let socket = ViewerSocket::new(socket, conversation.clone(), half_close_timeout);
    let service = service_fn(move |request: Request<Incoming>| {
        conversation.begin(&request, direct);
        let supports_chunked = request.version() != Version::HTTP_10;
        let answered = server.clone().handle(peer, conversation.clone(), request);
        let (conversation, close_delimited) = (conversation.clone(), close_delimited.clone());
        async move {
            let mut response = answered.await?;
            conversation.interims_sent().await;
            if !supports_chunked {
                response.body_mut().mark_close_delimited(&close_delimited);
            }
            Ok::<_, Infallible>(conversation.end_with(response))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(MAX_FIELDS)
        .max_header_size(64 << 10)
        .max_buf_size(128 << 10)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = async {
        tokio::select! {
            result = connection.as_mut() => result,
            () = async { _ = stopping.wait_for(|stop| *stop).await.is_ok() } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    // Ignores the error: the viewer is gone, or got a response to its invalid request.
    tokio::select! {
        _ = served => {}
        () = ended.revoked() => {}
    }
}

/// Serves `/metrics` on its own address.
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
