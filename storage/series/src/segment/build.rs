//! Writes a segment: under a temporary name until it is complete and synced. [`flush`] makes segments of a frozen ring,
//! merges and retention fill a [`SegmentBuilder`] themselves.

use super::block::{self, Effort};
use super::format::{BlockEntry, Footer, Header, Index, SegmentName, TEMPORARY_SUFFIX, Trim, block_checksum};
use super::read::Segment;
use super::{BLOCK_BYTES_AIM, BLOCK_ROWS_MAX, SegmentError};
use crate::disk::{Disk, DiskError, Op};
use crate::page::Page;
use crate::points::Points;
use crate::query::ReadPlan;
use crate::ring::{Chunk, Frozen, RingView};
use crate::rows::RowBuilder;
use model::{SeriesKey, SlotId};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zerocopy::IntoBytes;

const WRITE_BYTES: usize = 1 << 20;

/// Writes the frozen ring as segments of this number, one for each slot, without the series that are not `alive`. After an
/// error those in `segments` are not to be used; try again with a new number (the ring still has the points, the log too).
pub(crate) fn flush(
    frozen: &Frozen,
    alive: &dyn Fn(SeriesKey) -> bool,
    dir: &Path,
    number: u64,
    disk: &mut dyn Disk,
    segments: &mut Vec<Arc<Segment>>,
) -> Result<(), SegmentError> {
    let mut slots: BTreeMap<SlotId, Vec<SeriesKey>> = BTreeMap::new();
    for key in frozen.ring.series.keys().filter(|key| alive(**key)) {
        slots.entry(key.slot()).or_default().push(*key);
    }
    for (slot, mut keys) in slots {
        keys.sort_unstable();
        let name = SegmentName::of_flush(slot, number);
        let segment = write_segment(dir, name, Effort::Flush, disk, |builder, disk| {
            let mut series = keys.iter().filter_map(|key| Some((*key, frozen.ring.series.get(key)?)));
            series.try_for_each(|(key, chunks)| write_chunks(builder, key, chunks, disk))
        })?;
        segments.extend(segment.map(Arc::new));
    }
    disk.execute(Op::SyncDir { path: dir })?;
    Ok(())
}

fn write_chunks(
    builder: &mut SegmentBuilder,
    key: SeriesKey,
    chunks: &[Arc<Chunk>],
    disk: &mut dyn Disk,
) -> Result<(), SegmentError> {
    let rows: usize = chunks.iter().map(|chunk| chunk.points.rows()).sum();
    let bytes: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
    let plan = ReadPlan::of_everything(RingView { key, chunks: chunks.to_vec() });
    builder.push_rows(key, plan, rows_per_block(rows, bytes), false, disk)
}

/// Blocks of the same size, so that none is too small to be copied by a merge; rows with long strings make blocks of
/// fewer rows.
pub(crate) fn rows_per_block(rows: usize, bytes: u64) -> usize {
    let row_bytes = bytes / u64::try_from(rows.max(1)).unwrap_or(u64::MAX);
    let most = usize::try_from(BLOCK_BYTES_AIM / row_bytes.max(1)).unwrap_or(BLOCK_ROWS_MAX).clamp(1, BLOCK_ROWS_MAX);
    rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
}

/// Makes the file and has it filled. `None`: there was nothing to fill it with, and there is no file.
pub(crate) fn write_segment(
    dir: &Path,
    name: SegmentName,
    effort: Effort,
    disk: &mut dyn Disk,
    fill: impl FnOnce(&mut SegmentBuilder, &mut dyn Disk) -> Result<(), SegmentError>,
) -> Result<Option<Segment>, SegmentError> {
    let mut builder = SegmentBuilder::create(dir, name, effort, disk)?;
    let written = fill(&mut builder, disk).and_then(|()| builder.finish(disk));
    if !matches!(written, Ok(Some(_))) {
        // Best effort: a temporary file that stays is removed at the next start.
        let _ = disk.execute(Op::Remove { path: &builder.temporary });
    }
    written
}

pub(crate) struct SegmentBuilder {
    name: SegmentName,
    effort: Effort,
    path: PathBuf,
    temporary: PathBuf,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    buffer_offset: u64,
    index: Index,
    schema_of: FxHashMap<Vec<Arc<str>>, u32>,
}

impl SegmentBuilder {
    fn create(dir: &Path, name: SegmentName, effort: Effort, disk: &mut dyn Disk) -> Result<Self, DiskError> {
        let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
        disk.execute(Op::Create { path: &temporary })?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        buffer.extend_from_slice(Header::new().as_bytes());
        Ok(Self {
            name,
            effort,
            path: name.path(dir),
            temporary,
            buffer,
            buffer_offset: 0,
            index: Index::default(),
            schema_of: FxHashMap::default(),
        })
    }

    /// The rows of a plan, in blocks. Series come in ascending order of their keys, blocks in order of time.
    pub(crate) fn push_rows(
        &mut self,
        key: SeriesKey,
        mut plan: ReadPlan,
        block_rows: usize,
        is_buckets: bool,
        disk: &mut dyn Disk,
    ) -> Result<(), SegmentError> {
        while let Some(Page { times_ns, columns }) = plan.next_page(disk, block_rows)? {
            self.push_block(key, &Points { times_ns, columns }, is_buckets, disk)?;
        }
        Ok(())
    }

    /// Rows of very many columns make several blocks.
    pub(crate) fn push_block(
        &mut self,
        key: SeriesKey,
        points: &Points,
        is_buckets: bool,
        disk: &mut dyn Disk,
    ) -> Result<(), SegmentError> {
        let rows_max = block::rows_max(points.columns.len());
        if points.rows() <= rows_max {
            return self.push_one_block(key, points, is_buckets, disk);
        }
        for start in (0..points.rows()).step_by(rows_max) {
            let mut part = RowBuilder::default();
            part.push_run(0, points, start..points.rows().min(start + rows_max));
            self.push_one_block(key, &part.take(), is_buckets, disk)?;
        }
        Ok(())
    }

    fn push_one_block(
        &mut self,
        key: SeriesKey,
        points: &Points,
        is_buckets: bool,
        disk: &mut dyn Disk,
    ) -> Result<(), SegmentError> {
        let (Some(first_ns), Some(last_ns)) = (points.times_ns.first(), points.times_ns.last()) else { return Ok(()) };
        let start = self.buffer.len();
        block::encode(points, self.effort, &mut self.buffer);
        let block = self.buffer.get(start..).unwrap_or_default();
        let entry = BlockEntry {
            key,
            offset: self.buffer_offset + u64::try_from(start).expect("a usize fits"),
            first_ns: *first_ns,
            last_ns: *last_ns,
            bytes: u32::try_from(block.len()).expect("a block is smaller than the posts it came from"),
            rows: u32::try_from(points.rows()).expect("at most BLOCK_ROWS_MAX"),
            checksum: block_checksum(key, block),
            schema: self.schema_of(points.columns.iter().map(|column| Arc::clone(&column.name)).collect()),
            is_buckets,
        };
        self.index.entries.push(entry);
        self.write_when_full(disk)
    }

    /// The block as it is: its checksum was held when it was read, and depends on the series only.
    pub(crate) fn copy_block(
        &mut self,
        segment: &Segment,
        block: &BlockEntry,
        disk: &mut dyn Disk,
    ) -> Result<(), SegmentError> {
        let bytes = segment.read_block_bytes(block, disk)?;
        let offset = self.buffer_offset + u64::try_from(self.buffer.len()).expect("a usize fits");
        let schema = self.schema_of(segment.names_of(block).to_vec());
        self.buffer.extend_from_slice(&bytes);
        self.index.entries.push(BlockEntry { offset, schema, ..*block });
        self.write_when_full(disk)
    }

    /// In ascending order of key and time, as the blocks.
    pub(crate) fn push_trim(&mut self, trim: Trim) {
        self.index.trims.push(trim);
    }

    fn schema_of(&mut self, names: Vec<Arc<str>>) -> u32 {
        if let Some(known) = self.schema_of.get(&names) {
            return *known;
        }
        let schema = u32::try_from(self.index.schemas.len()).expect("at most one per block");
        self.index.schemas.push(names.clone());
        self.schema_of.insert(names, schema);
        schema
    }

    fn finish(&mut self, disk: &mut dyn Disk) -> Result<Option<Segment>, SegmentError> {
        if self.index.is_empty() {
            return Ok(None);
        }
        let index = self.index.encode();
        let footer = Footer {
            index_offset: self.buffer_offset + u64::try_from(self.buffer.len()).expect("a usize fits"),
            index_bytes: u64::try_from(index.len()).expect("a usize fits"),
            index_checksum: crc32c::crc32c(&index),
        };
        self.buffer.extend_from_slice(&index);
        self.buffer.extend_from_slice(&footer.encode(self.name));
        self.write_buffer(disk)?;
        disk.execute(Op::Sync { path: &self.temporary })?;
        disk.execute(Op::Rename { from: &self.temporary, to: &self.path })?;
        let index = std::mem::take(&mut self.index);
        Ok(Some(Segment::new(self.name, self.path.clone(), self.buffer_offset, index)))
    }

    fn write_when_full(&mut self, disk: &mut dyn Disk) -> Result<(), SegmentError> {
        if self.buffer.len() >= WRITE_BYTES {
            self.write_buffer(disk)?;
        }
        Ok(())
    }

    fn write_buffer(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        disk.write_at(&self.temporary, self.buffer_offset, &self.buffer)?;
        self.buffer_offset += u64::try_from(self.buffer.len()).expect("a usize fits");
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_evenly_over_blocks_and_long_rows_make_smaller_ones() {
        assert_eq!(rows_per_block(4096, 4096 * 16), 4096);
        assert_eq!(rows_per_block(4100, 4100 * 16), 2050);
        assert_eq!(rows_per_block(0, 0), 1);
        assert_eq!(rows_per_block(100, 100 << 20), 1);
        assert_eq!(rows_per_block(1000, 1000 * 16_384), 63);
    }
}
