//! Bodies on their way through: passed on chunk by chunk, never collected.

use super::{
    metrics::{Metrics, count},
    upstream::{Connection, Pool},
};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::Sleep};

/// How long a body waits for `100 Continue` before it is sent unasked (RFC 9110 §10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// When a request's body last moved, so that a slow upload is not taken for a slow answer.
#[derive(Clone)]
pub(super) struct Progress {
    start: Instant,
    millis: Arc<AtomicU64>,
}

impl Progress {
    pub fn new() -> Self {
        Self { start: Instant::now(), millis: Arc::default() }
    }

    fn touch(&self) {
        self.millis.store(self.start.elapsed().as_millis() as u64, Relaxed);
    }

    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Relaxed))
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
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(progress) = &self.progress {
            progress.touch();
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
    /// The target's body, and the connection that it comes on.
    Upstream { body: Incoming, connection: Option<Connection>, pool: Pool, metrics: Arc<Metrics> },
}

impl ResponseBody {
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()))
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
            Self::Upstream { body, connection, pool, metrics } => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                match &frame {
                    // A body that broke off ends the viewer's connection: it must never look complete.
                    Some(Err(_)) => {
                        *connection = None;
                        count(&metrics.viewer_truncated_total);
                    }
                    None => connection.take().into_iter().for_each(|connection| pool.put(connection)),
                    Some(Ok(_)) if body.is_end_stream() => {
                        connection.take().into_iter().for_each(|connection| pool.put(connection));
                    }
                    Some(Ok(_)) => {}
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.as_ref().is_none_or(Bytes::is_empty),
            Self::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Upstream { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // Of a response without a body nothing is ever polled.
        if let Self::Upstream { body, connection, pool, .. } = self
            && body.is_end_stream()
        {
            connection.take().into_iter().for_each(|connection| pool.put(connection));
        }
    }
}
