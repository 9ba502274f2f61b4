//! A read buffer that needs no memory while a connection is idle.
//!
//! The WebSocket library keeps its read buffer for the life of a connection, so that buffer must be small for thousands
//! of idle tunnels. A small buffer alone costs a busy tunnel a system call for every few kilobytes. This buffer is
//! allocated when bytes arrive and freed when they are read.

use bytes::{Buf, Bytes, BytesMut};
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The number of bytes that one system call reads.
const CHUNK: usize = 64 << 10;

/// The largest read that is copied out of its buffer, so that the buffer can be reused.
pub(crate) const SMALL: usize = 4 << 10;

/// Reads available bytes into `buffer`, which must be empty. The buffer stays empty at the end of the input. A new
/// buffer needs no resident memory until it is filled, so callers should not keep one that was filled.
pub(crate) fn poll_read<T>(io: &mut T, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<()>>
where
    T: AsyncRead + Unpin + ?Sized,
{
    if buffer.capacity() < CHUNK / 2 {
        *buffer = BytesMut::with_capacity(CHUNK);
    }
    // The future only borrows its arguments, so dropping it after one poll loses no bytes.
    ready!(pin!(io.read_buf(buffer)).poll(cx))?;
    Poll::Ready(Ok(()))
}

/// A reader with a temporary buffer.
pub(crate) struct ReadAhead<T> {
    io: T,
    chunk: Bytes,
}

impl<T> ReadAhead<T> {
    /// Wraps `io`. `early` holds the bytes that were read from it already.
    pub fn new(io: T, early: Bytes) -> Self {
        Self { io, chunk: early }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadAhead<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.chunk.is_empty() {
            let mut fresh = BytesMut::new();
            ready!(poll_read(&mut self.io, cx, &mut fresh))?;
            self.chunk = fresh.freeze();
        }
        let n = self.chunk.len().min(out.remaining());
        out.put_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        if self.chunk.is_empty() {
            self.chunk = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadAhead<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
