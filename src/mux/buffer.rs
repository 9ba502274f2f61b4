//! Received bytes that nobody has read yet.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Payloads up to this size are packed together while a reader lags.
const SMALL: usize = 1024;
/// A pack is closed when it holds this much.
const PACK: usize = 16 << 10;

/// A queue of chunks. Chunks are kept as they came, without a copy, but small ones behind others are packed: a peer
/// that sends single bytes would otherwise make each of them cost a chunk's bookkeeping.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    chunks: VecDeque<Bytes>,
    pack: BytesMut,
    len: usize,
}

impl Inbox {
    /// Unread bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a payload. Empty ones leave no trace.
    pub fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.len += data.len();
        if data.len() <= SMALL && self.len > data.len() {
            self.pack.extend_from_slice(&data);
            if self.pack.len() >= PACK {
                self.close_pack();
            }
        } else {
            self.close_pack();
            self.chunks.push_back(data);
        }
    }

    /// Takes at most `max` bytes from the front.
    pub fn pop(&mut self, max: usize) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.close_pack();
        }
        let front = self.chunks.front_mut()?;
        let data = if front.len() <= max { self.chunks.pop_front()? } else { front.split_to(max) };
        self.len -= data.len();
        if self.len == 0 {
            // An idle stream keeps no table of the size that its busiest moment needed.
            self.chunks = VecDeque::new();
        }
        Some(data)
    }

    /// Drops everything, and tells how much that was.
    pub fn clear(&mut self) -> usize {
        std::mem::take(self).len
    }

    fn close_pack(&mut self) {
        if !self.pack.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.pack).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_they_came(
            sizes in proptest::collection::vec(0usize..3000, 0..40), max in 1usize..5000,
        ) {
            let mut inbox = Inbox::default();
            let (mut sent, mut received) = (Vec::new(), Vec::new());
            for (n, size) in sizes.into_iter().enumerate() {
                let chunk = vec![n as u8; size];
                sent.extend_from_slice(&chunk);
                inbox.push(chunk.into());
                if n % 3 == 0 && let Some(data) = inbox.pop(max) {
                    received.extend_from_slice(&data);
                }
                prop_assert_eq!(inbox.len(), sent.len() - received.len());
            }
            while let Some(data) = inbox.pop(max) {
                prop_assert!(!data.is_empty() && data.len() <= max);
                received.extend_from_slice(&data);
            }
            prop_assert_eq!(sent, received);
        }
    }

    #[test]
    fn a_flood_of_single_bytes_is_packed() {
        let mut inbox = Inbox::default();
        for n in 0..100_000u32 {
            inbox.push(Bytes::copy_from_slice(&[n as u8]));
        }
        assert!(inbox.chunks.len() < 10, "{} chunks", inbox.chunks.len());
        assert_eq!(inbox.clear(), 100_000);
        assert_eq!(inbox.len(), 0);
    }
}
