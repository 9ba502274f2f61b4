//! The connection of a viewer, between its socket and hyper. It adds what hyper's server does not offer.
//!
//! - Characters that a URI must not contain are percent-encoded in a request's target.
//! - Interim responses are sent before the final one.
//! - A viewer that has finished sending still gets its response.
//!
//! The socket must know where each head begins. It finds the end of a head itself, and hyper's result tells it the length
//! of the body ([`Conversation::begin`]). If it is in doubt, it passes the bytes unchanged.

use super::{
    headers,
    request_body::{Progress, RequestBody},
    response_body::ResponseBody,
    revocations::{Revocations, Watch},
};
use crate::{revocation::Identity, tunnel::wire};
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header,
    http::request,
};
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, Sleep},
};

/// The size limit of the interim responses that wait to be sent. Further ones are dropped.
const MAX_INTERIMS: usize = 64 << 10;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    /// Other bytes than HTTP may follow.
    #[default]
    Raw,
}

#[derive(Default)]
struct State {
    /// The number of requests, and the framing of the last one.
    requests: u64,
    framing: Framing,
    /// The progress of the last request's body.
    body: Option<Progress>,
    /// The interim responses of the last request that are not sent yet.
    interims: Vec<u8>,
    /// True if the viewer gets interim responses, until the final one.
    takes_interims: bool,
    /// True until the response is complete.
    in_exchange: bool,
    /// Keeps watch over the token of the last request.
    watch: Option<Watch>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// The task of the connection.
    connection: AtomicWaker,
    /// The task that waits until the interim responses are sent.
    response: AtomicWaker,
    /// Notified when the token of the last request is revoked.
    revoked: Arc<Notify>,
}

/// What the socket and the requests of a connection tell each other. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Conversation(Arc<Shared>);

impl Conversation {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a request. Runs as soon as hyper has parsed the head, before hyper reads on. `direct` is false behind a
    /// proxy, which could take an interim response for the final one, as nginx does.
    pub fn begin(&self, request: &Request<Incoming>, direct: bool) {
        let switches =
            headers::is_handshake(request) || headers::is_registration(request) || request.method() == Method::CONNECT;
        let framing = match request.body().size_hint().exact() {
            _ if switches => Framing::Raw,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        // conf/tunnel.conf sends this header.
        let from_nginx = request.headers().contains_key(wire::ELSEWHERE_HEADER);
        let mut state = self.lock();
        *state = State {
            requests: state.requests.wrapping_add(1),
            framing,
            takes_interims: direct && !from_nginx && request.version() == Version::HTTP_11,
            in_exchange: true,
            ..State::default()
        };
    }

    /// Has the connection end when the request's token is revoked.
    pub fn watch(&self, revocations: &Arc<Revocations>, identity: Identity) {
        let watch = revocations.watch(identity, self.0.revoked.clone());
        self.lock().watch = Some(watch);
    }

    /// Waits until the token of a request is revoked whose response, or whose WebSocket, is open.
    pub async fn revoked(&self) {
        self.0.revoked.notified().await;
    }

    /// Sets the progress of the request's body.
    pub fn set_body(&self, progress: Progress) {
        self.lock().body = Some(progress);
    }

    /// Returns the request for the target. Its interim responses go to the viewer. If the viewer expects `100 Continue`,
    /// the body is held back until the target sends it.
    pub fn outgoing(&self, parts: request::Parts, mut body: RequestBody) -> Request<RequestBody> {
        let expect = parts.headers.get(header::EXPECT);
        let expects = expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let open = (expects && !body.is_end_stream()).then(|| Mutex::new(Some(body.gate())));
        let interims = self.interims();
        let mut request = Request::from_parts(parts, body);
        if open.is_none() && interims.is_none() {
            return request;
        }
        hyper::ext::on_informational(&mut request, move |interim| {
            if let Some(interims) = &interims {
                interims.add(interim.status(), interim.headers());
            }
            if interim.status() == StatusCode::CONTINUE
                && let Some(open) = &open
                && let Ok(mut open) = open.lock()
                && let Some(open) = open.take()
            {
                _ = open.send(());
            }
        });
        request
    }

    /// Returns the receiver of the current request's interim responses, or `None` if the viewer gets none.
    fn interims(&self) -> Option<Interims> {
        let state = self.lock();
        state.takes_interims.then(|| Interims { conversation: self.clone(), request: state.requests })
    }

    /// Waits until the interim responses are sent, because hyper sends the final one as soon as it has it. Later ones are
    /// dropped.
    pub async fn interims_sent(&self) {
        poll_fn(|cx| {
            self.0.response.register(cx.waker());
            let mut state = self.lock();
            if !state.interims.is_empty() {
                return Poll::Pending;
            }
            state.takes_interims = false;
            Poll::Ready(())
        })
        .await;
    }

    /// Returns the response with a body that ends the exchange when it is dropped.
    pub fn end_with(self, response: Response<ResponseBody>) -> Response<ExchangeBody> {
        response.map(|body| ExchangeBody { body, conversation: self })
    }
}

/// The receiver of a request's interim responses.
pub(super) struct Interims {
    conversation: Conversation,
    request: u64,
}

impl Interims {
    /// Queues an interim response. hyper sends 100 itself, when the body is read, and 101 is final.
    pub fn add(&self, status: StatusCode, fields: &HeaderMap) {
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let mut fields = fields.clone();
        headers::strip_hop_by_hop(&mut fields);
        fields.remove(header::CONTENT_LENGTH);
        let line = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
        let mut head = line.into_bytes();
        for (name, value) in &fields {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let mut state = self.conversation.lock();
        let current = state.takes_interims && state.requests == self.request;
        if current && state.interims.len() + head.len() <= MAX_INTERIMS {
            state.interims.extend_from_slice(&head);
            drop(state);
            self.conversation.0.connection.wake();
        }
    }
}

/// The body of a response, which ends the exchange.
pub(super) struct ExchangeBody {
    body: ResponseBody,
    conversation: Conversation,
}

impl Body for ExchangeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ExchangeBody {
    fn drop(&mut self) {
        self.conversation.lock().in_exchange = false;
    }
}

/// The position in the viewer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// In a head, or before it.
    Head(Head),
    /// After a head whose framing hyper has not reported yet.
    HeadEnd,
    /// In a body of which this many bytes are missing.
    Body(u64),
    /// In a chunked body. Holds the last bytes, which show whether the body can be complete.
    Chunked([u8; 3]),
    /// Unknown for the rest of the connection.
    Unknown,
}

/// The position in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// In the empty lines before it.
    Start,
    /// In the request line, after this many spaces.
    Line(u8),
    /// In the fields. True at the beginning of a line.
    Fields(bool),
}

/// The socket of a viewer.
pub(super) struct ViewerSocket<S> {
    io: S,
    conversation: Conversation,
    position: Position,
    /// The number of heads that were passed on.
    heads: u64,
    /// The bytes that were read and are not processed yet.
    unread: Bytes,
    /// The processed bytes that hyper has not read yet.
    ready: Bytes,
    /// How long a viewer that has finished sending may wait for the next byte of its response. `None` ends the
    /// connection at once.
    half_close_timeout: Option<Duration>,
    /// The timer of a viewer that has finished sending.
    finished: Option<Pin<Box<Sleep>>>,
    /// The time of the last write to a viewer that has finished sending.
    last_write: Instant,
    /// True if hyper has no buffered bytes.
    flushed: bool,
    /// The number of bytes of the interim responses that are sent.
    interims_sent: usize,
}

impl<S> ViewerSocket<S> {
    pub fn new(io: S, conversation: Conversation, half_close_timeout: Option<Duration>) -> Self {
        Self {
            io,
            conversation,
            position: Position::Head(Head::Start),
            heads: 0,
            unread: Bytes::new(),
            ready: Bytes::new(),
            half_close_timeout,
            finished: None,
            last_write: Instant::now(),
            flushed: true,
            interims_sent: 0,
        }
    }

    /// Returns the socket, and the bytes that were read from it and not passed on.
    pub fn into_inner(self) -> (S, Bytes) {
        let rest = match self.ready.is_empty() {
            true => self.unread,
            false => [self.ready, self.unread].concat().into(),
        };
        (self.io, rest)
    }

    /// Returns the position of the next byte, with what hyper has reported.
    fn next_position(&self) -> Position {
        match self.position {
            Position::HeadEnd => {
                let state = self.conversation.lock();
                match state.framing {
                    _ if state.requests != self.heads => Position::Unknown,
                    Framing::Length(0) => Position::Head(Head::Start),
                    Framing::Length(length) => Position::Body(length),
                    Framing::Chunked => Position::Chunked([0; 3]),
                    Framing::Raw => Position::Unknown,
                }
            }
            Position::Chunked(tail) => {
                let state = self.conversation.lock();
                match &state.body {
                    _ if state.requests != self.heads => Position::Unknown,
                    Some(body) if body.has_ended() && tail == *b"\n\r\n" => Position::Head(Head::Start),
                    _ => self.position,
                }
            }
            position => position,
        }
    }

    /// Processes bytes. Returns how many, and their replacement if they must be encoded. Stops at the end of a head or a
    /// body, so that hyper parses it before it gets more.
    fn process(&mut self, bytes: &[u8]) -> (usize, Option<Vec<u8>>) {
        self.position = self.next_position();
        match &mut self.position {
            Position::Head(head) => {
                let (used, ended, encoded) = process_head(head, bytes);
                if ended {
                    self.position = Position::HeadEnd;
                    self.heads = self.heads.wrapping_add(1);
                }
                (used, encoded)
            }
            Position::Body(missing) => {
                let used = bytes.len().min(usize::try_from(*missing).unwrap_or(usize::MAX));
                *missing -= used as u64;
                if *missing == 0 {
                    self.position = Position::Head(Head::Start);
                }
                (used, None)
            }
            Position::Chunked(tail) => {
                for byte in &bytes[bytes.len().saturating_sub(3)..] {
                    *tail = [tail[1], tail[2], *byte];
                }
                (bytes.len(), None)
            }
            Position::HeadEnd | Position::Unknown => (bytes.len(), None),
        }
    }
}

/// Processes bytes of a head. Returns how many, whether the head ends with them, and their replacement if they must be
/// encoded.
fn process_head(head: &mut Head, bytes: &[u8]) -> (usize, bool, Option<Vec<u8>>) {
    let mut encoded: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        *head = match (*head, byte) {
            (Head::Start, b'\r' | b'\n') => Head::Start,
            (Head::Fields(true), b'\n') => {
                if let Some(encoded) = &mut encoded {
                    encoded.push(byte);
                }
                return (at + 1, true, encoded);
            }
            (Head::Fields(true), b'\r') => Head::Fields(true),
            (Head::Line(_) | Head::Fields(_), b'\n') => Head::Fields(true),
            (Head::Fields(_), _) => Head::Fields(false),
            (Head::Start, _) => Head::Line(0),
            (Head::Line(spaces), b' ') => Head::Line(spaces.saturating_add(1)),
            (Head::Line(spaces), _) => Head::Line(spaces),
        };
        // The target is between the first space of the line and the second.
        if *head == Head::Line(1) && !may_be_in_target(byte) {
            let encoded = encoded.get_or_insert_with(|| bytes[..at].to_vec());
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else if let Some(encoded) = &mut encoded {
            encoded.push(byte);
        }
        at += 1;
    }
    (at, false, encoded)
}

/// Returns false for characters that a URI must not contain and that Go's server, on which the original runs, encodes.
/// hyper refuses most of them. It drops `#` and what follows, and passes non-ASCII text on unchanged.
fn may_be_in_target(byte: u8) -> bool {
    !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'#' | 0x80..)
}

impl<S: AsyncRead + Unpin> ViewerSocket<S> {
    /// Reads, and processes what was read.
    fn poll_process(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let bytes = self.unread.split_to(self.unread.len().min(out.remaining()));
            let (used, encoded) = self.process(&bytes);
            match encoded {
                Some(encoded) => self.ready = encoded.into(),
                None => out.put_slice(&bytes[..used]),
            }
            if used < bytes.len() {
                self.unread = [bytes.slice(used..), std::mem::take(&mut self.unread)].concat().into();
            }
            return Poll::Ready(Ok(()));
        }
        if self.finished.is_some() {
            return self.poll_finished(cx);
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        let bytes = &out.filled()[before..];
        if bytes.is_empty() {
            if out.remaining() > 0 && self.may_wait_for_response() {
                self.last_write = Instant::now();
                self.finished = Some(Box::pin(tokio::time::sleep_until(self.last_write)));
                return self.poll_finished(cx);
            }
            return Poll::Ready(Ok(()));
        }
        let (used, encoded) = self.process(bytes);
        if used < bytes.len() {
            self.unread = Bytes::copy_from_slice(&bytes[used..]);
        }
        match encoded {
            Some(encoded) => {
                self.ready = encoded.into();
                out.set_filled(before);
            }
            None => out.set_filled(before + used),
        }
        Poll::Ready(Ok(()))
    }

    /// Returns true if the viewer has sent a whole request and gets its response.
    fn may_wait_for_response(&self) -> bool {
        let is_whole = match self.next_position() {
            Position::Head(head) => head == Head::Start,
            Position::Chunked(tail) => tail == *b"\n\r\n",
            _ => false,
        };
        is_whole && self.half_close_timeout.is_some() && self.conversation.lock().in_exchange
    }

    /// Waits until the response is sent, or until the viewer has got nothing for too long. Then the end is passed on.
    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (Some(timer), Some(timeout)) = (&mut self.finished, self.half_close_timeout) else {
            return Poll::Ready(Ok(()));
        };
        if self.flushed && !self.conversation.lock().in_exchange {
            return Poll::Ready(Ok(()));
        }
        let deadline = self.last_write + timeout;
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ViewerSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ready.is_empty() {
            ready!(self.poll_process(cx, out))?;
        }
        let n = self.ready.len().min(out.remaining());
        out.put_slice(&self.ready[..n]);
        self.ready.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> ViewerSocket<S> {
    /// Sends the queued interim responses.
    fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.conversation.lock();
        while self.interims_sent < state.interims.len() {
            let rest = &state.interims[self.interims_sent..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.interims_sent += n,
            }
        }
        if self.interims_sent > 0 {
            self.interims_sent = 0;
            state.interims = Vec::new();
            drop(state);
            self.conversation.0.response.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Completes an interim response that is sent in part, before hyper's bytes.
    fn poll_before_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interims_sent > 0 {
            ready!(self.poll_interims(cx))?;
        }
        self.flushed = false;
        if self.finished.is_some() {
            self.last_write = Instant::now();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ViewerSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_before_write(cx))?;
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_before_write(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Flushes, and sends interim responses: hyper flushes the socket only when its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conversation.0.connection.register(cx.waker());
        ready!(self.poll_interims(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if !self.flushed {
            self.flushed = true;
            if self.finished.is_some() {
                // The end may be due now.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes bytes in pieces of `size`. Returns what hyper gets of the first head.
    fn encode(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
        let (mut head, mut out) = (Head::Start, Vec::new());
        for piece in bytes.chunks(size) {
            let (used, ended, encoded) = process_head(&mut head, piece);
            out.extend_from_slice(&encoded.unwrap_or_else(|| piece[..used].to_vec()));
            if ended {
                return Some(out);
            }
        }
        None
    }

    #[test]
    fn only_the_target_of_a_head_is_encoded_however_its_bytes_arrive() {
        for (sent, got) in [
            (&b"GET /a<b HTTP/1.1\r\nX: <\r\n\r\n"[..], &b"GET /a%3Cb HTTP/1.1\r\nX: <\r\n\r\n"[..]),
            (b"\r\n\nGET /\"`>#\xff HTTP/1.1\n\n", b"\r\n\nGET /%22%60%3E%23%FF HTTP/1.1\n\n"),
            (b"G<T / <\r\n\r\nGET /< HTTP/1.1\r\n\r\n", b"G<T / <\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nA: b\nC: d\n\r\n<", b"GET / HTTP/1.1\r\nA: b\nC: d\n\r\n"),
        ] {
            for size in 1..=sent.len() {
                let encoded = encode(sent, size).map(|bytes| bytes.escape_ascii().to_string());
                assert_eq!(encoded, Some(got.escape_ascii().to_string()), "{size}");
            }
        }
        assert_eq!(encode(b"GET / HTTP/1.1\r\nA: b\r\n", 1), None);
    }
}
