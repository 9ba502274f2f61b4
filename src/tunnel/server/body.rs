//! Bodies on their way through: passed on chunk by chunk, never collected.

use super::{
    headers,
    metrics::{Metrics, count},
    upstream::{Connection, Exchange, Pool},
};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::Sleep};

/// How long a body waits for `100 Continue` before it is sent unasked (RFC 9110 §10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// When a request's body last moved, so that a slow upload is not taken for a slow answer; and whether it has ended.
#[derive(Clone)]
pub(super) struct Progress {
    start: Instant,
    moved: Arc<Moved>,
}

#[derive(Default)]
struct Moved {
    millis: AtomicU64,
    ended: AtomicBool,
    /// The connection that still sends the body, after its answer is over.
    held: Mutex<Option<(Connection, Pool)>>,
}

impl Drop for Moved {
    fn drop(&mut self) {
        if let Some((connection, pool)) = self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            pool.end(connection);
        }
    }
}

impl Progress {
    pub fn new() -> Self {
        Self { start: Instant::now(), moved: Arc::default() }
    }

    fn touch(&self) {
        self.moved.millis.store(self.start.elapsed().as_millis() as u64, Relaxed);
    }

    /// Whether the body was read to its end by the connection that sends it.
    pub fn has_ended(&self) -> bool {
        self.moved.ended.load(Relaxed)
    }

    /// Keeps a connection open until the body has been sent or has failed: a service that answers early may still read.
    fn hold(&self, connection: Connection, pool: Pool) {
        *self.moved.held.lock().unwrap_or_else(PoisonError::into_inner) = Some((connection, pool));
    }

    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.moved.millis.load(Relaxed))
    }
}

/// Opens when the target says `100 Continue`, or after a while.
struct Gate {
    opened: oneshot::Receiver<()>,
    timeout: Pin<Box<Sleep>>,
}

/// A viewer's request body.
pub(super) struct RequestBody {
    body: Option<Incoming>,
    gate: Option<Gate>,
    progress: Option<Progress>,
}

impl RequestBody {
    /// No body at all.
    pub fn empty() -> Self {
        Self { body: None, gate: None, progress: None }
    }

    pub fn new(body: Incoming, progress: Progress) -> Self {
        Self { body: Some(body), gate: None, progress: Some(progress) }
    }

    /// Holds the body back until the returned sender is used or dropped, or a second has passed.
    pub fn gate(&mut self) -> oneshot::Sender<()> {
        let (open, opened) = oneshot::channel();
        self.gate = Some(Gate { opened, timeout: Box::pin(tokio::time::sleep(CONTINUE_WAIT)) });
        open
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(gate) = &mut self.gate else { return Poll::Ready(()) };
        if Pin::new(&mut gate.opened).poll(cx).is_pending() {
            ready!(gate.timeout.as_mut().poll(cx));
        }
        self.gate = None;
        Poll::Ready(())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        ready!(self.poll_gate(cx));
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let mut frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            headers::strip_trailers(trailers);
        }
        let ended = match &frame {
            None => true,
            // Trailers end a body, and so do the bytes that complete its length: nothing is polled after either.
            Some(Ok(frame)) => frame.is_trailers() || body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if let Some(progress) = &self.progress {
            progress.touch();
            if ended {
                progress.moved.ended.store(true, Relaxed);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// What a viewer is answered with.
pub(super) enum ResponseBody {
    /// A short text of ours.
    Text(Option<Bytes>),
    /// The target's.
    Upstream(Upstream),
}

/// The target's body, and the connection that it comes on.
pub(super) struct Upstream {
    pub body: Incoming,
    pub connection: Option<Connection>,
    pub pool: Pool,
    pub metrics: Arc<Metrics>,
    /// What was known once the answer's head was there.
    pub exchange: Exchange,
    /// Of the request's body, if it has one.
    pub request: Option<Progress>,
    /// Set as long as the end of the viewer's connection would pass for the end of this body.
    pub open_end: Option<Arc<AtomicBool>>,
}

impl Upstream {
    /// Gives the connection away, now that the body has come to its end.
    fn end(&mut self) {
        if let Some(open_end) = self.open_end.take() {
            open_end.store(false, Relaxed);
        }
        let Some(connection) = self.connection.take() else { return };
        match self.request.take().filter(|request| !request.has_ended()) {
            Some(request) => request.hold(connection, self.pool.clone()),
            None => {
                let exchange = Exchange { request_ended: true, answer_ended: true, ..self.exchange };
                self.pool.put(connection, &exchange);
            }
        }
    }
}

impl ResponseBody {
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()))
    }

    /// Says where to note that this body's end is that of the connection, for a viewer who knows no chunks.
    pub fn ends_with_connection(&mut self, flag: &Arc<AtomicBool>) {
        if let Self::Upstream(upstream) = self
            && upstream.body.size_hint().exact().is_none()
        {
            flag.store(true, Relaxed);
            upstream.open_end = Some(flag.clone());
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Text(text) => {
                Poll::Ready(text.take().filter(|text| !text.is_empty()).map(|text| Ok(Frame::data(text))))
            }
            Self::Upstream(upstream) => {
                let frame = ready!(Pin::new(&mut upstream.body).poll_frame(cx));
                match &frame {
                    // A body that broke off ends the viewer's connection: it must never look complete.
                    Some(Err(_)) => {
                        upstream.connection = None;
                        count(&upstream.metrics.viewer_truncated_total);
                    }
                    None => upstream.end(),
                    Some(Ok(frame)) if frame.is_trailers() || upstream.body.is_end_stream() => upstream.end(),
                    Some(Ok(_)) => {}
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.as_ref().is_none_or(Bytes::is_empty),
            Self::Upstream(upstream) => upstream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Upstream(upstream) => upstream.body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // Of a response without a body nothing is ever polled.
        if let Self::Upstream(upstream) = self
            && upstream.body.is_end_stream()
        {
            upstream.end();
        }
    }
}
