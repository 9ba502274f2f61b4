//! Requests' bodies on their way through: passed on chunk by chunk, never collected.

use super::headers;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    any::Any,
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
    failed: AtomicBool,
    /// What must live as long as the body does.
    held: Mutex<Option<Box<dyn Any + Send>>>,
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

    /// Whether the viewer broke its body off, or broke the rules of its framing.
    pub fn has_failed(&self) -> bool {
        self.moved.failed.load(Relaxed)
    }

    /// Keeps something until the body has been sent or has failed, such as the connection that it is sent on.
    pub fn hold(&self, kept: impl Any + Send) {
        *self.moved.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(kept));
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
            if matches!(frame, Some(Err(_))) {
                progress.moved.failed.store(true, Relaxed);
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
