//! A frozen ring becomes segments: one file per slot, under a temporary name until it is complete and synced.

use super::SegmentError;
use super::format::{
    BlockEntry, HEADER_BYTES, Index, MAGIC, SegmentName, TEMPORARY_SUFFIX, Trailer, VERSION, block_checksum,
};
use super::read::Segment;
use crate::codec::encode;
use crate::disk::{Disk, DiskError, Op};
use crate::points::Points;
use crate::query::ReadPlan;
use crate::ring::{Chunk, Frozen, RingView};
use model::{SeriesKey, SlotId};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zerocopy::IntoBytes;

/// Rows of a block: what a reader loads at once.
pub const BLOCK_ROWS_MAX: usize = 4096;
/// Rows with long strings make blocks of fewer rows.
const BLOCK_BYTES_AIM: u64 = 1 << 20;
const WRITE_BYTES: usize = 1 << 20;

/// Writes the frozen ring as segments of this number and syncs them. After an error nothing of it is in use; try again
/// with a new number (the ring still has the points, the log too).
pub fn flush(frozen: &Frozen, disk: &mut dyn Disk, dir: &Path, number: u64) -> Result<Vec<Arc<Segment>>, SegmentError> {
    let mut slots: BTreeMap<SlotId, Vec<SeriesKey>> = BTreeMap::new();
    for key in frozen.ring.series.keys() {
        slots.entry(key.slot()).or_default().push(*key);
    }
    let mut segments = Vec::with_capacity(slots.len());
    for (slot, mut keys) in slots {
        keys.sort_unstable();
        let series = keys.into_iter().filter_map(|key| frozen.ring.series.get(&key).map(|chunks| (key, chunks)));
        let name = SegmentName { number, slot };
        let mut file = SegmentFile::create(dir, name, disk)?;
        let written = file.write_series(series, disk).and_then(|()| file.finish(disk));
        match written {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(error) => {
                // Best effort: a temporary file that stays is removed at the next start.
                let _ = disk.execute(Op::Remove { path: &file.temporary });
                return Err(error);
            }
        }
    }
    disk.execute(Op::SyncDir { path: dir })?;
    Ok(segments)
}

struct SegmentFile {
    name: SegmentName,
    path: PathBuf,
    temporary: PathBuf,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    buffer_offset: u64,
    index: Index,
    schema_of: FxHashMap<Vec<Arc<str>>, u32>,
}

impl SegmentFile {
    fn create(dir: &Path, name: SegmentName, disk: &mut dyn Disk) -> Result<Self, DiskError> {
        let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
        disk.execute(Op::Create { path: &temporary })?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        buffer.extend_from_slice(&MAGIC);
        buffer.extend_from_slice(&VERSION.to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        Ok(Self {
            name,
            path: name.path(dir),
            temporary,
            buffer,
            buffer_offset: 0,
            index: Index::default(),
            schema_of: FxHashMap::default(),
        })
    }

    fn write_series<'a>(
        &mut self,
        series: impl Iterator<Item = (SeriesKey, &'a Vec<Arc<Chunk>>)>,
        disk: &mut dyn Disk,
    ) -> Result<(), SegmentError> {
        for (key, chunks) in series {
            let rows = block_rows(chunks);
            let view = RingView { key, chunks: chunks.clone() };
            let mut plan = ReadPlan::of_everything(view);
            while let Some(page) = plan.next_page(disk, rows)? {
                self.push_block(key, &Points { times_ns: page.times_ns, columns: page.columns });
                if self.buffer.len() >= WRITE_BYTES {
                    self.write_buffer(disk)?;
                }
            }
        }
        Ok(())
    }

    fn push_block(&mut self, key: SeriesKey, points: &Points) {
        let start = self.buffer.len();
        encode(points, &mut self.buffer);
        let block = self.buffer.get(start..).unwrap_or_default();
        let (Some(first_ns), Some(last_ns)) = (points.times_ns.first(), points.times_ns.last()) else { return };
        let entry = BlockEntry {
            key,
            offset: self.buffer_offset + u64::try_from(start).expect("a usize fits"),
            first_ns: *first_ns,
            last_ns: *last_ns,
            bytes: u32::try_from(block.len()).expect("a block is smaller than the posts it came from"),
            rows: u32::try_from(points.rows()).expect("at most BLOCK_ROWS_MAX"),
            checksum: block_checksum(key, block),
            schema: self.schema_of(points),
        };
        self.index.entries.push(entry);
    }

    fn schema_of(&mut self, points: &Points) -> u32 {
        let names: Vec<Arc<str>> = points.columns.iter().map(|column| Arc::clone(&column.name)).collect();
        if let Some(known) = self.schema_of.get(&names) {
            return *known;
        }
        let schema = u32::try_from(self.index.schemas.len()).expect("at most one per block");
        self.index.schemas.push(names.clone());
        self.schema_of.insert(names, schema);
        schema
    }

    fn finish(&mut self, disk: &mut dyn Disk) -> Result<Segment, SegmentError> {
        let index_offset = self.buffer_offset + u64::try_from(self.buffer.len()).expect("a usize fits");
        let index = self.index.encode();
        let trailer = Trailer::new(self.name, index_offset, &index);
        self.buffer.extend_from_slice(&index);
        self.buffer.extend_from_slice(trailer.as_bytes());
        self.write_buffer(disk)?;
        disk.execute(Op::Sync { path: &self.temporary })?;
        disk.execute(Op::Rename { from: &self.temporary, to: &self.path })?;
        Ok(Segment::new(self.name, self.path.clone(), self.buffer_offset, std::mem::take(&mut self.index)))
    }

    fn write_buffer(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        disk.write_at(&self.temporary, self.buffer_offset, &self.buffer)?;
        self.buffer_offset += u64::try_from(self.buffer.len()).expect("a usize fits");
        self.buffer.clear();
        Ok(())
    }
}

fn block_rows(chunks: &[Arc<Chunk>]) -> usize {
    let rows: usize = chunks.iter().map(|chunk| chunk.points.rows()).sum();
    let bytes: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
    let row_bytes = bytes / u64::try_from(rows.max(1)).unwrap_or(u64::MAX);
    usize::try_from(BLOCK_BYTES_AIM / row_bytes.max(1)).unwrap_or(BLOCK_ROWS_MAX).clamp(1, BLOCK_ROWS_MAX)
}

const _: () = assert!(HEADER_BYTES == 16, "create() writes the header by hand");
