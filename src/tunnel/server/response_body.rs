//! Answers' bodies on their way through: passed on chunk by chunk, never collected.

use super::{
    metrics::{Metrics, count},
    request_body::Progress,
    upstream::{Connection, Ending, Exchange, Pool},
};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

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
            Some(request) => request.hold(Ending::new(connection, self.pool.clone())),
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
