//! The relay: copies bytes between a socket and a stream in both directions, with backpressure.

use super::{
    readahead::{SMALL, poll_read},
    stream::{Broken, MuxStream, READ_CHUNK},
};
use crate::mux::ResetReason;
use bytes::{Buf, Bytes, BytesMut};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// The meaning of the stream's end for the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The end of one direction. The socket may still send.
    Half,
    /// The end of both directions. A peer of the original dialect ends a stream only when it needs neither direction,
    /// and a WebSocket has no half-closed state.
    Both,
}

/// The result of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Both directions reached their end.
    Clean,
    /// The socket broke, and the stream is reset.
    SocketBroke,
    /// The stream broke. The caller must not close the socket cleanly.
    StreamBroke,
}

struct Relay<'a, S> {
    socket: &'a mut S,
    stream: MuxStream,
    /// The read buffer of the socket. An unused buffer needs no resident memory.
    buffer: BytesMut,
    to_stream: Bytes,
    to_socket: Bytes,
    socket_ended: bool,
    stream_ended: bool,
    unflushed: bool,
    shut: bool,
}

enum Fault {
    Socket,
    Stream,
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

impl From<Broken> for Fault {
    fn from(_: Broken) -> Self {
        Self::Stream
    }
}

/// Relays until both directions have ended or one has failed.
pub(crate) async fn run<S>(socket: &mut S, stream: MuxStream, ending: Ending) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut relay = Relay {
        socket,
        stream,
        buffer: BytesMut::new(),
        to_stream: Bytes::new(),
        to_socket: Bytes::new(),
        socket_ended: false,
        stream_ended: false,
        unflushed: false,
        shut: false,
    };
    match poll_fn(|cx| relay.poll(cx, ending)).await {
        Ok(()) => Outcome::Clean,
        Err(Fault::Socket) => {
            relay.stream.fail_with(ResetReason::Broken);
            Outcome::SocketBroke
        }
        Err(Fault::Stream) => Outcome::StreamBroke,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Relay<'_, S> {
    fn poll(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<Result<(), Fault>> {
        let outward = self.poll_to_socket(cx)?;
        if outward.is_ready() && ending == Ending::Both {
            self.stream.finish();
            return Poll::Ready(Ok(()));
        }
        let inward = self.poll_to_stream(cx)?;
        // A failure of the stream must end the relay even while a direction is blocked.
        if let Poll::Ready(broken) = self.stream.poll_broken(cx) {
            return Poll::Ready(Err(broken.into()));
        }
        match (outward, inward) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    fn poll_to_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            if !self.to_stream.is_empty() {
                ready!(self.stream.poll_send(cx, &mut self.to_stream))?;
            }
            if self.socket_ended {
                return Poll::Ready(Ok(()));
            }
            ready!(poll_read(self.socket, cx, &mut self.buffer))?;
            if self.buffer.is_empty() {
                self.socket_ended = true;
                self.buffer = BytesMut::new();
                self.stream.finish();
            } else if self.buffer.len() <= SMALL {
                // A copy lets the buffer be reused.
                self.to_stream = Bytes::copy_from_slice(&self.buffer);
                self.buffer.clear();
            } else {
                self.to_stream = std::mem::take(&mut self.buffer).freeze();
            }
        }
    }

    fn poll_to_socket(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            while !self.to_socket.is_empty() {
                let n = ready!(Pin::new(&mut *self.socket).poll_write(cx, &self.to_socket))?;
                if n == 0 {
                    return Poll::Ready(Err(Fault::Socket));
                }
                self.to_socket.advance(n);
                self.unflushed = true;
            }
            if self.stream_ended {
                if !self.shut {
                    ready!(Pin::new(&mut *self.socket).poll_shutdown(cx))?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            match self.stream.poll_recv(cx, READ_CHUNK)? {
                Poll::Ready(Some(data)) => self.to_socket = data,
                Poll::Ready(None) => self.stream_ended = true,
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *self.socket).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}
