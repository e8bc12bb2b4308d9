//! Flow 2 on one screen, as the shard's thread sees it: append -> (log) -> durable -> acknowledge; full -> freeze ->
//! (segment) -> flushed. One [`Ingest`] per shard; it does no I/O and never waits.

use crate::log::frame::{FrameGroup, FrameTooLarge, GroupBuilder};
use crate::log::{Durable, Refused};
use crate::points::{Points, ShapeError};
use crate::ring::{Chunk, Frozen, Ring, RingView};
use model::{Grant, SeriesKey};
use rustc_hash::FxHashSet;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
pub struct IngestLimits {
    /// Active and frozen points together; beyond it an append is refused with [`IngestError::Full`]. The groups that
    /// wait for the log cost at most as much again.
    pub ring_bytes_max: u64,
    /// From here on the active ring wants to become a segment. Below half of `ring_bytes_max`, so that appends go on.
    pub flush_bytes: u64,
}

pub struct Ingest {
    limits: IngestLimits,
    epoch: u64,
    chain: u32,
    sequence_last: u64,
    /// Readers see chunks up to here.
    durable_through: u64,
    /// The log has decided (durable or refused) up to here.
    settled_through: u64,
    /// In segments up to here, so the log needs to hold nothing of it.
    flushed_through: u64,
    active: Ring,
    frozen: Option<Arc<Frozen>>,
    /// Deleted since the start: a post that was allowed just before may still come. Keys are never reused.
    forgotten: FxHashSet<SeriesKey>,
    poisoned: Option<Arc<str>>,
    points_total: u64,
}

/// The place of a post in the log. Worth nothing until [`Ingest::acknowledge`] has seen a [`Durable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
    chain: u32,
    sequence: u64,
}

/// The promise that a post survives a power cut: an answer 200 can be built from nothing else.
#[derive(Debug)]
pub struct Ack {
    sequence: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("the ring is full ({bytes} of {bytes_max} bytes): answer 503 with Retry-After, the flush makes room")]
    Full { bytes: u64, bytes_max: u64 },
    #[error("series are read-only since the log failed ({why}): restart the server once the disk is repaired")]
    Poisoned { why: Arc<str> },
    #[error("the grant does not allow to write a series: check the permission of the holder event first")]
    NotWritable,
    #[error("the series was deleted: answer as for an unknown event")]
    Deleted,
    #[error("nothing to append: answer 200 without asking the log")]
    Empty,
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestStats {
    pub active_bytes: u64,
    pub frozen_bytes: u64,
    pub active_series: usize,
    /// Points appended since the start, those that were overwritten or refused later included.
    pub points_total: u64,
    pub sequence_last: u64,
    pub durable_through: u64,
    pub is_poisoned: bool,
}

impl Ingest {
    pub fn new(limits: IngestLimits, epoch: u64, chain: u32) -> Self {
        Self {
            limits,
            epoch,
            chain,
            sequence_last: 0,
            durable_through: 0,
            settled_through: 0,
            flushed_through: 0,
            active: Ring::default(),
            frozen: None,
            forgotten: FxHashSet::default(),
            poisoned: None,
            points_total: 0,
        }
    }

    /// All series of one request, as one atomic group of the log. The points become visible with [`Ingest::durable`].
    /// Elements without rows are skipped.
    pub fn append(&mut self, batch: Vec<(Grant, Points)>) -> Result<(Ticket, FrameGroup), IngestError> {
        if let Some(why) = &self.poisoned {
            return Err(IngestError::Poisoned { why: Arc::clone(why) });
        }
        let sequence = self.sequence_last + 1;
        let mut chunks = Vec::with_capacity(batch.len());
        for (grant, points) in batch {
            let key = grant.writable_series().ok_or(IngestError::NotWritable)?;
            if self.forgotten.contains(&key) {
                return Err(IngestError::Deleted);
            }
            if points.is_empty() {
                continue;
            }
            points.check_shape()?;
            chunks.push((key, Chunk::new(sequence, points.normalised())));
        }
        if chunks.is_empty() {
            return Err(IngestError::Empty);
        }
        self.check_room(chunks.iter().map(|(_, chunk)| chunk.bytes).sum())?;
        let mut group = GroupBuilder::new(self.epoch, self.chain, sequence);
        group.reserve(chunks.iter().map(|(_, chunk)| &chunk.points));
        for (key, chunk) in &chunks {
            group.push(*key, &chunk.points);
        }
        let group = group.finish()?;
        self.sequence_last = sequence;
        for (key, chunk) in chunks {
            self.points_total += u64::try_from(chunk.points.rows()).unwrap_or(0);
            self.active.push(key, chunk);
        }
        Ok((Ticket { epoch: self.epoch, chain: self.chain, sequence }, group))
    }

    /// The log has synced: the points become visible. To be called before the acks are sent, in the order of events.
    pub fn durable(&mut self, durable: &Durable) {
        if durable.is_of(self.epoch, self.chain) {
            self.durable_through = self.durable_through.max(durable.through());
            self.settled_through = self.settled_through.max(durable.through());
        }
    }

    /// The only maker of an [`Ack`]. `None`: this commit does not cover the ticket.
    pub fn acknowledge(ticket: Ticket, durable: &Durable) -> Option<Ack> {
        let covered = durable.is_of(ticket.epoch, ticket.chain) && durable.covers(ticket.sequence);
        covered.then_some(Ack { sequence: ticket.sequence })
    }

    /// The log had no space for these groups: their points are taken back, their posts get 507.
    pub fn refused(&mut self, refused: &Refused) {
        if !refused.is_of(self.epoch, self.chain) {
            return;
        }
        self.active.drop_sequences(refused.first(), refused.last());
        if let Some(frozen) = &mut self.frozen {
            Arc::make_mut(frozen).ring.drop_sequences(refused.first(), refused.last());
        }
        self.settled_through = self.settled_through.max(refused.last());
    }

    /// The log failed for good: no more appends. What was not durable stays invisible.
    pub fn poisoned(&mut self, why: impl Into<Arc<str>>) {
        self.poisoned.get_or_insert_with(|| why.into());
    }

    pub fn flush_due(&self) -> bool {
        self.frozen.is_none() && self.active.bytes >= self.limits.flush_bytes
    }

    /// Closes the active ring. `false` when nothing came since the last flush, or a frozen one is still being flushed. A ring
    /// that was emptied by deletions is closed, too: the log still has the deleted points.
    pub fn freeze(&mut self) -> bool {
        if self.frozen.is_some() || self.flushed_through == self.sequence_last {
            return false;
        }
        let ring = std::mem::take(&mut self.active);
        self.frozen = Some(Arc::new(Frozen::new(ring, self.sequence_last)));
        true
    }

    /// The frozen ring, once the log has decided on all its groups: only then may it become a segment.
    pub fn frozen_ready(&self) -> Option<Arc<Frozen>> {
        self.frozen.as_ref().filter(|frozen| frozen.through() <= self.settled_through).map(Arc::clone)
    }

    /// The segment is in the catalog: the frozen ring goes. Then tell the log writer `checkpoint(through)`.
    pub fn flushed(&mut self, through: u64) {
        if self.frozen.as_ref().is_some_and(|frozen| frozen.through() <= through) {
            self.frozen = None;
            self.flushed_through = through;
        }
    }

    /// What this grant may see of its series in `[from_ns, to_ns)`. Take it BEFORE the catalog's segments: what is
    /// flushed in between is then seen twice, which is harmless, and never missed. `None`: the grant reads no series.
    pub fn snapshot(&self, grant: &Grant, from_ns: i64, to_ns: i64) -> Option<RingView> {
        let key = grant.readable_series()?;
        let mut chunks = Vec::new();
        if let Some(frozen) = self.frozen.as_ref().filter(|_| !self.forgotten.contains(&key)) {
            chunks.extend(frozen.ring.visible(key, self.durable_through, from_ns, to_ns));
        }
        chunks.extend(self.active.visible(key, self.durable_through, from_ns, to_ns));
        Some(RingView { key, chunks })
    }

    /// The series was deleted: gone for readers at once.
    pub fn forget(&mut self, key: SeriesKey) {
        self.active.forget(key);
        self.forgotten.insert(key);
    }

    pub fn bytes(&self) -> u64 {
        self.active.bytes + self.frozen.as_ref().map_or(0, |frozen| frozen.bytes())
    }

    pub fn stats(&self) -> IngestStats {
        IngestStats {
            active_bytes: self.active.bytes,
            frozen_bytes: self.bytes() - self.active.bytes,
            active_series: self.active.series.len(),
            points_total: self.points_total,
            sequence_last: self.sequence_last,
            durable_through: self.durable_through,
            is_poisoned: self.poisoned.is_some(),
        }
    }

    fn check_room(&self, more_bytes: u64) -> Result<(), IngestError> {
        let bytes = self.bytes().saturating_add(more_bytes);
        let bytes_max = self.limits.ring_bytes_max;
        if bytes > bytes_max { Err(IngestError::Full { bytes, bytes_max }) } else { Ok(()) }
    }
}

impl Ticket {
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Ack {
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}
