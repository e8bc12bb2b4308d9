//! Counters of each shard, for `/metrics`. Written by one shard with relaxed atomics, read by anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of one shard, on cache lines of its own so that shards do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardMetrics {
    pub(crate) connections_open: Counter,
    pub(crate) connections: Counter,
    pub(crate) requests: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) refusals: Counter,
    pub(crate) panics: Counter,
    pub(crate) messages: Counter,
    pub(crate) timeouts: Counter,
}

/// A number that one thread changes and others read. The adds are plain loads and stores: no locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    pub(crate) fn subtract_one(&self) {
        self.0.store(self.0.load(Relaxed).saturating_sub(1), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counters of all shards; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) shards: Arc<[ShardMetrics]>,
    pub(crate) mailbox_depth: Arc<dyn Fn(usize) -> usize + Send + Sync>,
}

/// What a shard has counted since the start, and what it has now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardSnapshot {
    /// Connections open now.
    pub connections_open: u64,
    pub connections_total: u64,
    pub requests_total: u64,
    pub bytes_in_total: u64,
    pub bytes_out_total: u64,
    /// Requests and connections answered by `Service::refuse`.
    pub refusals_total: u64,
    /// Connections cut because a deadline passed.
    pub timeouts_total: u64,
    /// Calls that panicked.
    pub panics_total: u64,
    /// Messages taken out of the mailbox.
    pub messages_total: u64,
    /// Messages waiting now.
    pub mailbox_depth: usize,
}

impl Metrics {
    /// The counters of every shard, in the order of the shards.
    pub fn snapshot(&self) -> Vec<ShardSnapshot> {
        self.shards.iter().enumerate().map(|(index, shard)| self.snapshot_of(index, shard)).collect()
    }

    fn snapshot_of(&self, index: usize, shard: &ShardMetrics) -> ShardSnapshot {
        ShardSnapshot {
            connections_open: shard.connections_open.get(),
            connections_total: shard.connections.get(),
            requests_total: shard.requests.get(),
            bytes_in_total: shard.bytes_in.get(),
            bytes_out_total: shard.bytes_out.get(),
            refusals_total: shard.refusals.get(),
            timeouts_total: shard.timeouts.get(),
            panics_total: shard.panics.get(),
            messages_total: shard.messages.get(),
            mailbox_depth: (self.mailbox_depth)(index),
        }
    }
}
