//! Reads ahead, and holds no memory while there is nothing to read.
//!
//! The WebSocket library keeps its read buffer for the life of a connection, so that buffer has to be small for
//! thousands of idle tunnels; a small buffer alone would mean a system call for every few kilobytes of a busy one.
//! This one is made when bytes arrive and dropped when they have been handed on.

use bytes::{Buf, Bytes, BytesMut};
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What one system call may bring.
const CHUNK: usize = 64 << 10;

/// Reads up to this size are worth a copy that frees the rest of the chunk.
pub(crate) const SMALL: usize = 4 << 10;

/// Reads what is there into `buffer`, which has to be empty, and is empty afterwards at the end. An empty buffer has
/// no contents that are resident, whatever its capacity, unless it was used before; so a used one is given away.
pub(crate) fn poll_read<T>(io: &mut T, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<()>>
where
    T: AsyncRead + Unpin + ?Sized,
{
    if buffer.capacity() < CHUNK / 2 {
        *buffer = BytesMut::with_capacity(CHUNK);
    }
    // The future holds nothing but the two borrows: dropping it after one poll loses no bytes.
    ready!(pin!(io.read_buf(buffer)).poll(cx))?;
    Poll::Ready(Ok(()))
}

pub(crate) struct ReadAhead<T> {
    io: T,
    chunk: Bytes,
}

impl<T> ReadAhead<T> {
    /// Wraps `io`, from which `early` has been read already.
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
