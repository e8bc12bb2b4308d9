//! Points in memory between the append and the segment. Chunks are immutable, so a reader's view costs only counters.

use crate::points::Points;
use model::SeriesKey;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What one post brought for one series: times ascending, each once.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) sequence: u64,
    pub(crate) bytes: u64,
    pub(crate) points: Points,
}

/// Allocations of a chunk that no vector's capacity tells of (counters, map slots, headers).
const CHUNK_OVERHEAD_BYTES: usize = 160;

/// Chunks by series, each list in the order of the appends.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ring {
    pub(crate) series: FxHashMap<SeriesKey, Vec<Arc<Chunk>>>,
    pub(crate) bytes: u64,
}

/// A full ring on its way to a segment: nothing is added any more.
#[derive(Debug, Clone)]
pub struct Frozen {
    pub(crate) ring: Ring,
    through: u64,
}

/// What a reader may see of one series at one moment. `Send`, and unmoved by what is written later.
#[derive(Debug, Clone)]
pub struct RingView {
    pub(crate) key: SeriesKey,
    /// Later ones win.
    pub(crate) chunks: Vec<Arc<Chunk>>,
}

impl Chunk {
    pub(crate) fn new(sequence: u64, points: Points) -> Self {
        let bytes = u64::try_from(points.heap_bytes() + CHUNK_OVERHEAD_BYTES).unwrap_or(u64::MAX);
        Self { sequence, bytes, points }
    }

    pub(crate) fn overlaps(&self, from_ns: i64, to_ns: i64) -> bool {
        let times = &self.points.times_ns;
        times.first().is_some_and(|first| *first < to_ns) && times.last().is_some_and(|last| *last >= from_ns)
    }
}

impl Ring {
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub(crate) fn push(&mut self, key: SeriesKey, chunk: Chunk) {
        self.bytes += chunk.bytes;
        self.series.entry(key).or_default().push(Arc::new(chunk));
    }

    pub(crate) fn forget(&mut self, key: SeriesKey) {
        let chunks = self.series.remove(&key).unwrap_or_default();
        self.bytes -= chunks.iter().map(|chunk| chunk.bytes).sum::<u64>();
    }

    /// Takes back what the log refused.
    pub(crate) fn drop_sequences(&mut self, first: u64, last: u64) {
        let mut dropped_bytes = 0;
        self.series.retain(|_, chunks| {
            chunks.retain(|chunk| {
                let refused = (first..=last).contains(&chunk.sequence);
                dropped_bytes += if refused { chunk.bytes } else { 0 };
                !refused
            });
            !chunks.is_empty()
        });
        self.bytes -= dropped_bytes;
    }

    pub(crate) fn visible(
        &self,
        key: SeriesKey,
        watermark: u64,
        from_ns: i64,
        to_ns: i64,
    ) -> impl Iterator<Item = Arc<Chunk>> {
        let chunks = self.series.get(&key).map_or([].as_slice(), Vec::as_slice);
        let seen = move |chunk: &&Arc<Chunk>| chunk.sequence <= watermark && chunk.overlaps(from_ns, to_ns);
        chunks.iter().filter(seen).map(Arc::clone)
    }
}

impl Frozen {
    pub(crate) fn new(ring: Ring, through: u64) -> Self {
        Self { ring, through }
    }

    /// Everything up to this sequence is in this ring or in segments already. Names the frozen ring, too.
    pub fn through(&self) -> u64 {
        self.through
    }

    pub fn bytes(&self) -> u64 {
        self.ring.bytes
    }
}

impl RingView {
    pub fn key(&self) -> SeriesKey {
        self.key
    }

    /// Nothing of the series is in memory (tests, readers of segments only).
    pub fn empty(key: SeriesKey) -> Self {
        Self { key, chunks: Vec::new() }
    }
}
