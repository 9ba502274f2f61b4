//! Response bodies, which are forwarded chunk by chunk and never buffered.

use super::{
    metrics::{Metrics, count},
    request_body::Progress,
    upstream::{Connection, Draining, Exchange, Pool},
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

/// The body of a response.
pub(super) enum ResponseBody {
    /// A short text of this server.
    Text(Option<Bytes>),
    /// The target's body.
    Upstream(Upstream),
}

/// The target's body and its connection.
pub(super) struct Upstream {
    pub body: Incoming,
    pub connection: Option<Connection>,
    pub pool: Pool,
    pub metrics: Arc<Metrics>,
    /// The state of the exchange when the response's head arrived.
    pub exchange: Exchange,
    /// The progress of the request's body, or `None` if it has none.
    pub request: Option<Progress>,
    /// The connection's flag, which is true while a close would look like the end of this body.
    pub close_delimited: Option<Arc<AtomicBool>>,
}

impl Upstream {
    /// Returns the connection to the pool after the end of the body.
    fn end(&mut self) {
        if let Some(close_delimited) = self.close_delimited.take() {
            close_delimited.store(false, Relaxed);
        }
        let Some(connection) = self.connection.take() else { return };
        match self.request.take().filter(|request| !request.has_ended()) {
            // The viewer does not send the body. Its connection ends with the response, and so does the target's.
            Some(request) if request.is_refused() => {}
            Some(request) => request.keep_until_sent(Draining::new(connection, self.pool.clone())),
            None => {
                let exchange = Exchange { request_ended: true, answer_ended: true, ..self.exchange };
                self.pool.put(connection, &exchange);
            }
        }
    }
}

impl ResponseBody {
    /// Returns a text body.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()))
    }

    /// Sets `flag` until the body ends, if it has no known length and the viewer does not support chunks.
    pub fn mark_close_delimited(&mut self, flag: &Arc<AtomicBool>) {
        if let Self::Upstream(upstream) = self
            && upstream.body.size_hint().exact().is_none()
        {
            flag.store(true, Relaxed);
            upstream.close_delimited = Some(flag.clone());
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
                    // An incomplete body breaks the viewer's connection, so that it never looks complete.
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
        // hyper never polls an empty body.
        if let Self::Upstream(upstream) = self
            && upstream.body.is_end_stream()
        {
            upstream.end();
        }
    }
}
