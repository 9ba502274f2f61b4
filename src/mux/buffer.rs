//! The receive buffer of a stream.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// The largest payload that is packed with others, in bytes.
const SMALL: usize = 1024;
/// The size at which a pack is closed, in bytes.
const PACK: usize = 16 << 10;

/// A queue of received bytes. Large payloads are stored without a copy. Small payloads behind others are packed into
/// one chunk, because a peer that sends single bytes would otherwise cost the overhead of a chunk for each.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    chunks: VecDeque<Bytes>,
    pack: BytesMut,
    len: usize,
}

impl Inbox {
    /// Returns the number of unread bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends a payload. Ignores an empty one.
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

    /// Removes at most `max` bytes from the front and returns them. Returns `None` if the queue is empty.
    pub fn pop(&mut self, max: usize) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.close_pack();
        }
        let front = self.chunks.front_mut()?;
        let data = if front.len() <= max { self.chunks.pop_front()? } else { front.split_to(max) };
        self.len -= data.len();
        if self.len == 0 {
            // Frees the capacity of the queue: an idle stream should not keep what its busiest moment needed.
            self.chunks = VecDeque::new();
        }
        Some(data)
    }

    /// Removes all bytes and returns their number.
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
        fn bytes_are_popped_in_the_order_in_which_they_were_pushed(
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
    fn single_bytes_are_packed_into_few_chunks() {
        let mut inbox = Inbox::default();
        for n in 0..100_000u32 {
            inbox.push(Bytes::copy_from_slice(&[n as u8]));
        }
        assert!(inbox.chunks.len() < 10, "{} chunks", inbox.chunks.len());
        assert_eq!(inbox.clear(), 100_000);
        assert_eq!(inbox.len(), 0);
    }
}
