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

/// Reads what is there into a fresh buffer of at most `size` bytes. An empty result is the end.
pub(crate) fn poll_chunk<T>(io: &mut T, cx: &mut Context<'_>, size: usize) -> Poll<io::Result<Bytes>>
where
    T: AsyncRead + Unpin,
{
    let mut fresh = BytesMut::with_capacity(size);
    // The future holds nothing but the two borrows: dropping it after one poll loses no bytes.
    let read = pin!(io.read_buf(&mut fresh)).poll(cx);
    ready!(read)?;
    Poll::Ready(Ok(fresh.freeze()))
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
            self.chunk = ready!(poll_chunk(&mut self.io, cx, CHUNK))?;
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
