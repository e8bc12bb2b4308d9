//! Bounded mailboxes between shards: anyone may put a message into a shard's box, only that shard takes it out.

use std::sync::Arc;

use tokio::sync::mpsc;

/// The boxes of all shards; cheap to clone, usable from every thread.
pub struct Mailboxes<M> {
    senders: Arc<[mpsc::Sender<M>]>,
}

impl<M> Clone for Mailboxes<M> {
    fn clone(&self) -> Self {
        Self { senders: Arc::clone(&self.senders) }
    }
}

/// Why a message was not taken; it comes back to the sender.
#[derive(Debug, thiserror::Error)]
pub enum SendError<M> {
    #[error("the mailbox of the shard is full: answer 503 and let the client come again")]
    Full(M),
    #[error("the shard has stopped: the process is ending")]
    Stopped(M),
    #[error("there is no such shard")]
    NoSuchShard(M),
}

impl<M> SendError<M> {
    /// The message that was not taken.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Stopped(message) | Self::NoSuchShard(message) => message,
        }
    }
}

impl<M> Mailboxes<M> {
    /// Makes `count` boxes of `capacity` messages each, and their reading ends in the order of the shards.
    pub(crate) fn new(count: usize, capacity: usize) -> (Self, Vec<mpsc::Receiver<M>>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(capacity.max(1))).unzip();
        (Self { senders: senders.into() }, receivers)
    }

    /// The number of shards.
    pub fn count(&self) -> usize {
        self.senders.len()
    }

    /// Puts `message` into the box of `shard` without waiting.
    pub fn try_send(&self, shard: usize, message: M) -> Result<(), SendError<M>> {
        let Some(sender) = self.senders.get(shard) else {
            return Err(SendError::NoSuchShard(message));
        };
        sender.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(message) => SendError::Full(message),
            mpsc::error::TrySendError::Closed(message) => SendError::Stopped(message),
        })
    }

    /// The number of messages waiting in the box of `shard`.
    pub fn depth(&self, shard: usize) -> usize {
        self.senders.get(shard).map_or(0, |sender| sender.max_capacity() - sender.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_box_gives_the_message_back() {
        let (boxes, _receivers) = Mailboxes::new(2, 1);
        assert!(boxes.try_send(1, "first").is_ok());
        assert_eq!(boxes.depth(1), 1);
        assert!(matches!(boxes.try_send(1, "second"), Err(SendError::Full("second"))));
        assert!(boxes.try_send(0, "other box").is_ok());
    }

    #[test]
    fn a_stopped_or_missing_shard_is_told_apart_from_a_full_one() {
        let (boxes, receivers) = Mailboxes::new(1, 4);
        drop(receivers);
        assert!(matches!(boxes.try_send(0, 7), Err(SendError::Stopped(7))));
        assert_eq!(boxes.try_send(5, 8).unwrap_err().into_message(), 8);
    }
}
