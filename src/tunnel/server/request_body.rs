//! Request bodies, which are forwarded chunk by chunk and never buffered.

use super::headers;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    any::Any,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::Sleep};

/// How long a body waits for `100 Continue` before it is sent without it (RFC 9110 §10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// The body may be sent.
const OPEN: u8 = 0;
/// The body waits for `100 Continue`.
const WITHHELD: u8 = 1;
/// The target has responded without reading the body.
const REFUSED: u8 = 2;

/// The progress of a request's body: its last activity, which distinguishes a slow upload from a slow response, and its
/// end.
#[derive(Clone)]
pub(super) struct Progress {
    start: Instant,
    state: Arc<ProgressState>,
}

#[derive(Default)]
struct ProgressState {
    millis: AtomicU64,
    ended: AtomicBool,
    failed: AtomicBool,
    /// [`OPEN`], [`WITHHELD`] or [`REFUSED`].
    gate: AtomicU8,
    /// A value that must live as long as the body.
    kept: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Progress {
    pub fn new() -> Self {
        Self { start: Instant::now(), state: Arc::default() }
    }

    /// Records activity.
    fn touch(&self) {
        self.state.millis.store(self.start.elapsed().as_millis() as u64, Relaxed);
    }

    /// Returns true if the body was read to its end.
    pub fn has_ended(&self) -> bool {
        self.state.ended.load(Relaxed)
    }

    /// Returns true if the viewer's body is incomplete or malformed.
    pub fn has_failed(&self) -> bool {
        self.state.failed.load(Relaxed)
    }

    /// Marks a body that waits for `100 Continue` as refused. Returns true if it waits. The viewer will not send it.
    pub fn refuse(&self) -> bool {
        self.state.gate.compare_exchange(WITHHELD, REFUSED, Relaxed, Relaxed).is_ok()
    }

    /// Returns true if the target has refused the body.
    pub fn is_refused(&self) -> bool {
        self.state.gate.load(Relaxed) == REFUSED
    }

    /// Opens the gate. Returns false if the target has refused the body.
    fn open(&self) -> bool {
        self.state.gate.compare_exchange(WITHHELD, OPEN, Relaxed, Relaxed).is_ok()
    }

    /// Keeps a value, such as the body's connection, until the body is sent or has failed.
    pub fn keep_until_sent(&self, kept: impl Any + Send) {
        *self.state.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(kept));
    }

    /// Returns the time of the last activity.
    pub fn last_activity(&self) -> Instant {
        self.start + Duration::from_millis(self.state.millis.load(Relaxed))
    }
}

/// A gate that opens when the target sends `100 Continue`, or after [`CONTINUE_WAIT`] without a response. After a final
/// response it stays closed: reading the body would make hyper send `100 Continue` to the viewer.
struct Gate {
    /// `None` after the final response.
    opened: Option<oneshot::Receiver<()>>,
    timeout: Pin<Box<Sleep>>,
}

/// A viewer's request body.
pub(super) struct RequestBody {
    body: Option<Incoming>,
    gate: Option<Gate>,
    progress: Option<Progress>,
}

impl RequestBody {
    /// Returns an empty body.
    pub fn empty() -> Self {
        Self { body: None, gate: None, progress: None }
    }

    pub fn new(body: Incoming, progress: Progress) -> Self {
        Self { body: Some(body), gate: None, progress: Some(progress) }
    }

    /// Holds the body back until the returned sender is used, or until [`CONTINUE_WAIT`] is over. A sender that is dropped
    /// unused keeps it back.
    pub fn gate(&mut self) -> oneshot::Sender<()> {
        let (open, opened) = oneshot::channel();
        self.gate = Some(Gate { opened: Some(opened), timeout: Box::pin(tokio::time::sleep(CONTINUE_WAIT)) });
        if let Some(progress) = &self.progress {
            progress.state.gate.store(WITHHELD, Relaxed);
        }
        open
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(gate) = &mut self.gate else { return Poll::Ready(()) };
        let Some(opened) = &mut gate.opened else { return Poll::Pending };
        match Pin::new(opened).poll(cx) {
            Poll::Pending => ready!(gate.timeout.as_mut().poll(cx)),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => {
                gate.opened = None;
                return Poll::Pending;
            }
        }
        if self.progress.as_ref().is_some_and(|progress| !progress.open()) {
            gate.opened = None;
            return Poll::Pending;
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
            // Trailers end a body, and so does the last byte of its length. hyper does not poll the body afterwards.
            Some(Ok(frame)) => frame.is_trailers() || body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if let Some(progress) = &self.progress {
            progress.touch();
            if ended {
                progress.state.ended.store(true, Relaxed);
            }
            if matches!(frame, Some(Err(_))) {
                progress.state.failed.store(true, Relaxed);
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
