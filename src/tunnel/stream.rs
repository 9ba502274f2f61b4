//! A stream of a running session, as an async reader and writer.

use super::shared::Shared;
use crate::mux::{Dialect, ReadOutcome, ResetReason, State, StreamId, WriteOutcome};
use bytes::{Buf, Bytes};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The number of bytes that one write queues.
const WRITE_CHUNK: usize = 64 << 10;
/// The number of bytes that one read returns. The session's limits do not include them.
pub(crate) const READ_CHUNK: usize = 64 << 10;

/// The failure of a stream. The bytes that were read are incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream failed: {0:?}")]
pub struct Broken(pub ResetReason);

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, broken)
    }
}

/// A stream. Dropping it before both directions have ended resets it.
pub struct MuxStream {
    shared: Arc<Shared>,
    id: StreamId,
    /// The bytes that were taken from the session and are not read yet.
    rest: Bytes,
    /// The reason of the reset when the stream is dropped early.
    reason: ResetReason,
}

impl MuxStream {
    pub(super) fn new(shared: Arc<Shared>, id: StreamId) -> Self {
        Self { shared, id, rest: Bytes::new(), reason: ResetReason::Abandoned }
    }

    /// Returns the session's dialect.
    pub fn dialect(&self) -> Dialect {
        self.shared.lock().session.dialect()
    }

    /// Puts back bytes that were read. The next read returns them first.
    pub(crate) fn unread(&mut self, data: Bytes) {
        self.rest = match self.rest.is_empty() {
            true => data,
            false => [data, std::mem::take(&mut self.rest)].concat().into(),
        };
    }

    /// Sets the reason of the reset that the peer gets when the stream is dropped early.
    pub fn fail_with(&mut self, reason: ResetReason) {
        self.reason = reason;
    }

    /// Waits until the peer has accepted the stream.
    pub async fn accepted(&self) -> Result<(), Broken> {
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            if let Some(reason) = inner.session.failure(self.id) {
                return Poll::Ready(Err(Broken(reason)));
            }
            if inner.session.state(self.id) != State::Opening {
                return Poll::Ready(Ok(()));
            }
            if let Some(wakers) = inner.wakers.get_mut(&self.id) {
                wakers.write = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Reads the next bytes without a copy. Returns `None` at the clean end.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Result<Option<Bytes>, Broken>> {
        if !self.rest.is_empty() {
            let n = self.rest.len().min(max);
            return Poll::Ready(Ok(Some(self.rest.split_to(n))));
        }
        let mut inner = self.shared.lock();
        let was_full = inner.session.is_full();
        let outcome = match inner.session.read(self.id, max) {
            ReadOutcome::Data(data) => Ok(Some(data)),
            ReadOutcome::End => Ok(None),
            ReadOutcome::Failed(reason) => Err(Broken(reason)),
            ReadOutcome::Pending => {
                if let Some(wakers) = inner.wakers.get_mut(&self.id) {
                    wakers.read = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        };
        let driver_waits = was_full || inner.session.has_output();
        drop(inner);
        if driver_waits {
            self.shared.driver.wake();
        }
        Poll::Ready(outcome)
    }

    /// Reads the next bytes. Returns `None` at the clean end.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, Broken> {
        poll_fn(|cx| self.poll_recv(cx, READ_CHUNK)).await
    }

    /// Queues `data` and leaves it empty, or waits until the queue has room.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<Result<(), Broken>> {
        let mut inner = self.shared.lock();
        match inner.session.write(self.id, data.clone()) {
            WriteOutcome::Taken => {
                drop(inner);
                *data = Bytes::new();
                self.shared.driver.wake();
                Poll::Ready(Ok(()))
            }
            WriteOutcome::Failed(reason) => Poll::Ready(Err(Broken(reason))),
            WriteOutcome::Pending => {
                if let Some(wakers) = inner.wakers.get_mut(&self.id) {
                    wakers.write = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Waits until the queue has room, and queues `data`.
    pub async fn send(&mut self, mut data: Bytes) -> Result<(), Broken> {
        poll_fn(|cx| self.poll_send(cx, &mut data)).await
    }

    /// Finishes our direction after the queued bytes.
    pub fn finish(&mut self) {
        self.shared.lock().session.finish(self.id);
        self.shared.driver.wake();
    }

    /// Returns the number of queued bytes and the credit. They change while the peer reads.
    pub(crate) fn send_progress(&self) -> (usize, u32) {
        self.shared.lock().session.send_progress(self.id)
    }

    /// Waits until the stream fails.
    pub fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        let mut inner = self.shared.lock();
        if let Some(reason) = inner.session.failure(self.id) {
            return Poll::Ready(Broken(reason));
        }
        if let Some(wakers) = inner.wakers.get_mut(&self.id) {
            wakers.write = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl AsyncRead for MuxStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            self.rest = ready!(self.poll_recv(cx, READ_CHUNK))?.unwrap_or_default();
        }
        let n = self.rest.len().min(out.remaining());
        out.put_slice(&self.rest[..n]);
        self.rest.advance(n);
        if self.rest.is_empty() {
            self.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MuxStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let n = data.len().min(WRITE_CHUNK);
        if !self.shared.lock().session.is_writable(self.id) {
            // Avoids a copy of `data` that a full queue would not take.
            let mut nothing = Bytes::new();
            ready!(self.poll_send(cx, &mut nothing))?;
        }
        let mut chunk = Bytes::copy_from_slice(&data[..n]);
        ready!(self.poll_send(cx, &mut chunk))?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The driver sends queued bytes on its own.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.wakers.remove(&self.id);
        inner.session.release(self.id, self.reason, Instant::now());
        drop(inner);
        self.shared.driver.wake();
    }
}
