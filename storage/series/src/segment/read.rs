//! A live segment: its index in memory, its blocks read one by one, each checked.

use super::SegmentError;
use super::format::{
    BlockEntry, HEADER_BYTES, Index, MAGIC, SegmentName, TRAILER_BYTES, Trailer, TrailerFault, block_checksum,
};
use crate::codec::decode;
use crate::disk::Disk;
use crate::points::Points;
use model::SeriesKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug)]
pub struct Segment {
    name: SegmentName,
    path: PathBuf,
    bytes: u64,
    index: Index,
}

impl Segment {
    pub(crate) fn new(name: SegmentName, path: PathBuf, bytes: u64, index: Index) -> Self {
        Self { name, path, bytes, index }
    }

    /// Reads and checks header, trailer and index; blocks are checked when they are read.
    pub fn open(dir: &Path, name: SegmentName, disk: &mut dyn Disk) -> Result<Self, SegmentError> {
        let path = name.path(dir);
        let damaged = |offset| SegmentError::Damaged { file: name.path(dir), offset };
        let bytes = disk.length(&path)?;
        let trailer_bytes = u64::try_from(TRAILER_BYTES).expect("48 fits");
        let trailer_offset = bytes.checked_sub(trailer_bytes).filter(|offset| *offset >= HEADER_BYTES);
        let trailer_offset = trailer_offset.ok_or(damaged(0))?;
        let mut magic = [0; 8];
        disk.read_at(&path, 0, &mut magic)?;
        if magic != MAGIC {
            return Err(damaged(0));
        }
        let mut trailer = [0; TRAILER_BYTES];
        disk.read_at(&path, trailer_offset, &mut trailer)?;
        let trailer = Trailer::read(&trailer, name).map_err(|fault| match fault {
            TrailerFault::Damaged => damaged(trailer_offset),
            TrailerFault::Version(version) => SegmentError::Version { file: path.clone(), version },
        })?;
        let index_offset = trailer.index_offset();
        if index_offset.checked_add(trailer.index_bytes()) != Some(trailer_offset) {
            return Err(damaged(trailer_offset));
        }
        let mut index = vec![0; usize::try_from(trailer.index_bytes()).map_err(|_| damaged(trailer_offset))?];
        disk.read_at(&path, index_offset, &mut index)?;
        let index = Some(index).filter(|index| trailer.index_is_intact(index));
        let index = index.and_then(|index| Index::decode(&index)).ok_or(damaged(index_offset))?;
        Ok(Self { name, path, bytes, index })
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

    /// Reads every block and its checksum. Gives the first fault.
    pub fn verify(&self, disk: &mut dyn Disk) -> Result<(), SegmentError> {
        self.index.entries.iter().try_for_each(|block| self.read_block(block, disk).map(drop))
    }

    /// The blocks of a series that touch `[from_ns, last_ns]`, in order of time.
    pub(crate) fn blocks(&self, key: SeriesKey, from_ns: i64, last_ns: i64) -> &[BlockEntry] {
        let entries = &self.index.entries;
        let start = entries.partition_point(|entry| (entry.key, entry.last_ns) < (key, from_ns));
        let end = entries.partition_point(|entry| (entry.key, entry.first_ns) <= (key, last_ns));
        entries.get(start..end).unwrap_or_default()
    }

    pub(crate) fn names_of(&self, block: &BlockEntry) -> &[Arc<str>] {
        let schema = usize::try_from(block.schema).ok().and_then(|schema| self.index.schemas.get(schema));
        schema.map_or(&[], Vec::as_slice)
    }

    pub(crate) fn read_block(&self, block: &BlockEntry, disk: &mut dyn Disk) -> Result<Points, SegmentError> {
        let damaged = || SegmentError::Damaged { file: self.path.clone(), offset: block.offset };
        if block.offset.checked_add(u64::from(block.bytes)).is_none_or(|end| end > self.bytes) {
            return Err(damaged());
        }
        let mut bytes = vec![0; usize::try_from(block.bytes).map_err(|_| damaged())?];
        disk.read_at(&self.path, block.offset, &mut bytes)?;
        if block_checksum(block.key, &bytes) != block.checksum {
            return Err(damaged());
        }
        let codec = |source| SegmentError::Codec { file: self.path.clone(), offset: block.offset, source };
        decode(&bytes).map_err(codec)
    }
}
