//! The service behind the client.
//!
//! | path | response |
//! |---|---|
//! | `/echo` | the method, target, headers and body of the request, as JSON |
//! | `/bytes/N` | N bytes of a pattern; `/chunked/N` without a length |
//! | `/sink` | the size of the request's body, and whether it is the pattern; `/count` only the size |
//! | `/stream` | each line that the test sends |
//! | `/trailers` | a body of the request's trailer, with a trailer |
//! | `/refuse` | 413 at once, without reading the body |
//! | `/continue` | as `/sink`; hyper sends 100 when the body is read |
//! | `/cut`, `/cutchunked` | half of a body, then a reset |
//! | `/hang` | none; the test sees when the request is abandoned |
//! | `/ws` | a WebSocket that echoes, with subprotocols; `/wsno` refuses it |

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

type Body = BoxBody<Bytes, std::io::Error>;

#[derive(Clone)]
pub struct TestTarget {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<AtomicUsize>,
    /// The number of requests in `/hang` or `/stream`, or whose body is being read.
    pub waiting: Arc<AtomicUsize>,
    /// The lines for `/stream`. `end` ends it.
    pub lines: broadcast::Sender<String>,
}

/// Counts a waiting request until it is dropped.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Returns the byte of the pattern at a position.
pub fn pattern(at: u64) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

/// Returns true if the bytes are the beginning of the pattern.
pub fn is_pattern(bytes: &[u8]) -> bool {
    bytes.iter().zip(0..).all(|(byte, at)| *byte == pattern(at))
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

fn chunks(total: u64, cut: bool) -> Body {
    let steps = futures_util::stream::unfold(0, move |at| async move {
        if cut && at >= total / 2 {
            return Some((Err(std::io::ErrorKind::ConnectionAborted.into()), total));
        }
        let len = (total - at).min(64 << 10);
        (len > 0).then(|| (Ok(Frame::data((at..at + len).map(pattern).collect::<Bytes>())), at + len))
    });
    BodyExt::boxed(StreamBody::new(steps))
}

impl TestTarget {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
            waiting: Arc::default(),
            lines: broadcast::channel(64).0,
        };
        let serving = target.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                serving.connections.fetch_add(1, SeqCst);
                let target = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| target.clone().handle(request));
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                    _ = connection.with_upgrades().await;
                });
            }
        });
        target
    }

    async fn handle(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.requests.fetch_add(1, SeqCst);
        let path = request.uri().path().to_owned();
        let (name, number) = path[1..].split_once('/').unwrap_or((&path[1..], "0"));
        let number: u64 = number.parse().unwrap_or(0);
        Ok(match name {
            "bytes" => {
                let mut response = Response::new(chunks(number, false));
                response.headers_mut().insert(header::CONTENT_LENGTH, number.into());
                response
            }
            "chunked" => Response::new(chunks(number, false)),
            "cut" => {
                let mut response = Response::new(chunks(1 << 20, true));
                response.headers_mut().insert(header::CONTENT_LENGTH, (1u64 << 20).into());
                response
            }
            "cutchunked" => Response::new(chunks(1 << 20, true)),
            "sink" | "continue" => self.sink(request, true).await,
            "count" => self.sink(request, false).await,
            "stream" => self.stream(),
            "trailers" => trailers(request).await,
            "refuse" => status(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            "hang" => {
                let _waiting = Waiting::new(&self.waiting);
                std::future::pending().await
            }
            "status" => {
                let mut response = status(StatusCode::from_u16(number as u16).unwrap(), "");
                let reason = hyper::ext::ReasonPhrase::from_static(b"As It Pleases");
                response.extensions_mut().insert(reason);
                response
            }
            "ws" => websocket(request),
            "wsno" => status(StatusCode::FORBIDDEN, "not you"),
            _ => echo(request).await,
        })
    }

    async fn sink(self, request: Request<Incoming>, check: bool) -> Response<Body> {
        let _waiting = Waiting::new(&self.waiting);
        let (mut total, mut intact) = (0u64, true);
        let mut body = BodyStream::new(request.into_body());
        while let Some(frame) = body.next().await {
            let Ok(frame) = frame else { return status(StatusCode::BAD_REQUEST, "broke") };
            if let Ok(data) = frame.into_data() {
                intact &= !check || data.iter().zip(total..).all(|(byte, at)| *byte == pattern(at));
                total += data.len() as u64;
            }
        }
        Response::new(full(json!({"bytes": total, "intact": intact}).to_string()))
    }

    fn stream(&self) -> Response<Body> {
        let state = (self.lines.subscribe(), Waiting::new(&self.waiting));
        let lines = futures_util::stream::unfold(state, |(mut lines, waiting)| async move {
            let line = lines.recv().await.ok()?;
            (line != "end").then(|| (Ok(Frame::data(Bytes::from(line))), (lines, waiting)))
        });
        Response::new(BodyExt::boxed(StreamBody::new(lines)))
    }
}

fn status(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
}

async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = json!({
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "version": format!("{:?}", parts.version),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let mut response = Response::new(full(text.to_string()));
    let headers = response.headers_mut();
    headers.insert("connection", "x-private".parse().unwrap());
    headers.insert("x-private", "1".parse().unwrap());
    headers.insert("keep-alive", "timeout=9".parse().unwrap());
    headers.append("set-cookie", "a=1".parse().unwrap());
    headers.append("set-cookie", "b=2".parse().unwrap());
    response
}

async fn trailers(request: Request<Incoming>) -> Response<Body> {
    let collected = request.into_body().collect().await.unwrap();
    let sum = collected.trailers().and_then(|trailers| trailers.get("x-sum").cloned());
    let text = sum.map_or_else(|| "none".to_owned(), |sum| sum.to_str().unwrap().to_owned());
    let mut after = hyper::HeaderMap::new();
    after.insert("x-after", "it was good".parse().unwrap());
    let frames = [Ok(Frame::data(Bytes::from(text))), Ok(Frame::trailers(after))];
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames))));
    response.headers_mut().insert(header::TRAILER, "x-after".parse().unwrap());
    response
}

fn websocket(mut request: Request<Incoming>) -> Response<Body> {
    let key = request.headers()[header::SEC_WEBSOCKET_KEY].clone();
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL).cloned();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let io = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut response = status(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, "Upgrade".parse().unwrap());
    headers.insert(header::UPGRADE, "websocket".parse().unwrap());
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.parse().unwrap());
    headers.insert(header::SET_COOKIE, "seen=1".parse().unwrap());
    // Selects the last one of the viewer's list.
    if let Some(last) = offered.as_ref().and_then(|list| list.to_str().ok()?.rsplit(',').next()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, last.trim().parse().unwrap());
    }
    response
}
