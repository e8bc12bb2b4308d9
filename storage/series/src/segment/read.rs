//! A live segment: its index in memory, its blocks read one by one, each checked.

use super::format::{
    BlockEntry, FORMAT, Footer, HEADER_BYTES, Header, Index, SegmentName, TRAILER_BYTES, Trim, block_checksum, v1,
};
use super::{SegmentError, block};
use crate::codec::{self, CodecError};
use crate::disk::Disk;
use crate::points::Points;
use model::SeriesKey;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug)]
pub struct Segment {
    name: SegmentName,
    path: PathBuf,
    bytes: u64,
    format: u32,
    index: Index,
}

impl Segment {
    /// One that was just written, in the present format.
    pub(crate) fn new(name: SegmentName, path: PathBuf, bytes: u64, index: Index) -> Self {
        Self { name, path, bytes, format: FORMAT, index }
    }

    /// Reads and checks header, trailer and index; blocks are checked when they are read.
    pub fn open(dir: &Path, name: SegmentName, disk: &mut dyn Disk) -> Result<Self, SegmentError> {
        let path = name.path(dir);
        let damaged = |offset| SegmentError::Damaged { file: name.path(dir), offset };
        let bytes = disk.length(&path)?;
        let mut header = [0; HEADER_BYTES];
        if bytes < u64::try_from(HEADER_BYTES).expect("16 fits") {
            return Err(damaged(0));
        }
        disk.read_at(&path, 0, &mut header)?;
        let format = Header::read(&header).ok_or(damaged(0))?;
        let trailer_bytes = match format {
            FORMAT => TRAILER_BYTES,
            v1::FORMAT => v1::TRAILER_BYTES,
            version => return Err(SegmentError::Version { file: path, version }),
        };
        let mut trailer = vec![0; trailer_bytes];
        let trailer_offset = bytes.checked_sub(u64::try_from(trailer_bytes).expect("64 fits")).ok_or(damaged(0))?;
        disk.read_at(&path, trailer_offset, &mut trailer)?;
        let footer = match format {
            FORMAT => Footer::decode(&trailer, name),
            _ => v1::decode_footer(&trailer, name),
        };
        let Footer { index_offset, index_bytes, index_checksum } = footer.ok_or(damaged(trailer_offset))?;
        if index_offset.checked_add(index_bytes) != Some(trailer_offset) {
            return Err(damaged(trailer_offset));
        }
        let mut index = vec![0; usize::try_from(index_bytes).map_err(|_| damaged(trailer_offset))?];
        disk.read_at(&path, index_offset, &mut index)?;
        if crc32c::crc32c(&index) != index_checksum {
            return Err(damaged(index_offset));
        }
        let index = if format == FORMAT { Index::decode(&index) } else { v1::decode_index(&index) };
        Ok(Self { name, path, bytes, format, index: index.ok_or(damaged(index_offset))? })
    }

    pub fn name(&self) -> SegmentName {
        self.name
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// On disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The series in it, ascending.
    pub fn keys(&self) -> impl Iterator<Item = SeriesKey> {
        self.index.entries.chunk_by(|a, b| a.key == b.key).filter_map(|blocks| blocks.first().map(|block| block.key))
    }

    pub fn rows(&self) -> u64 {
        self.index.entries.iter().map(|entry| u64::from(entry.rows)).sum()
    }

    /// Reads every block of the series for which `alive` says yes. Gives the first fault.
    pub fn verify(&self, alive: &dyn Fn(SeriesKey) -> bool, disk: &mut dyn Disk) -> Result<(), SegmentError> {
        let mut blocks = self.index.entries.iter().filter(|block| alive(block.key));
        blocks.try_for_each(|block| self.read_block(block, disk).map(drop))
    }

    /// The blocks of a series that touch `[from_ns, last_ns]`, in order of time.
    pub(crate) fn blocks(&self, key: SeriesKey, from_ns: i64, last_ns: i64) -> &[BlockEntry] {
        self.index.entries.get(self.positions(key, from_ns, last_ns)).unwrap_or_default()
    }

    /// Where in the index they are.
    pub(crate) fn positions(&self, key: SeriesKey, from_ns: i64, last_ns: i64) -> Range<usize> {
        let entries = &self.index.entries;
        let start = entries.partition_point(|entry| (entry.key, entry.last_ns) < (key, from_ns));
        let end = entries.partition_point(|entry| (entry.key, entry.first_ns) <= (key, last_ns));
        start..end
    }

    pub(crate) fn block_at(&self, position: usize) -> Option<&BlockEntry> {
        self.index.entries.get(position)
    }

    pub(crate) fn all_blocks(&self, key: SeriesKey) -> &[BlockEntry] {
        self.blocks(key, i64::MIN, i64::MAX)
    }

    /// The trims of a series, in order of time.
    pub(crate) fn trims_of(&self, key: SeriesKey) -> &[Trim] {
        let trims = &self.index.trims;
        let start = trims.partition_point(|trim| trim.key < key);
        let end = trims.partition_point(|trim| trim.key <= key);
        trims.get(start..end).unwrap_or_default()
    }

    pub(crate) fn trims(&self) -> &[Trim] {
        &self.index.trims
    }

    pub(crate) fn names_of(&self, block: &BlockEntry) -> &[Arc<str>] {
        let schema = usize::try_from(block.schema).ok().and_then(|schema| self.index.schemas.get(schema));
        schema.map_or(&[], Vec::as_slice)
    }

    /// Whether its blocks are as they would be written today.
    pub(crate) fn is_current_format(&self) -> bool {
        self.format == FORMAT
    }

    pub(crate) fn read_block(&self, block: &BlockEntry, disk: &mut dyn Disk) -> Result<Points, SegmentError> {
        let bytes = self.read_block_bytes(block, disk)?;
        let decoded = if self.is_current_format() { block::decode(&bytes) } else { codec::decode(&bytes) };
        let codec = |source| SegmentError::Codec { file: self.path.clone(), offset: block.offset, source };
        let points = decoded.map_err(codec)?;
        let ends = (points.times_ns.first(), points.times_ns.last());
        let is_as_told =
            u32::try_from(points.rows()) == Ok(block.rows) && ends == (Some(&block.first_ns), Some(&block.last_ns));
        if is_as_told { Ok(points) } else { Err(codec(CodecError::SHAPE)) }
    }

    /// The block as it is in the file, its checksum held.
    pub(crate) fn read_block_bytes(&self, block: &BlockEntry, disk: &mut dyn Disk) -> Result<Vec<u8>, SegmentError> {
        let damaged = || SegmentError::Damaged { file: self.path.clone(), offset: block.offset };
        if block.offset.checked_add(u64::from(block.bytes)).is_none_or(|end| end > self.bytes) {
            return Err(damaged());
        }
        let mut bytes = vec![0; usize::try_from(block.bytes).map_err(|_| damaged())?];
        disk.read_at(&self.path, block.offset, &mut bytes)?;
        if block_checksum(block.key, &bytes) != block.checksum {
            return Err(damaged());
        }
        Ok(bytes)
    }
}
