//! The bytes of a segment file, named `s0003-n00000000000000000042.seg` (slot, number).
//!
//! ```text
//! offset  bytes  all little-endian
//!      0      8  magic "CWSEGMNT"
//!      8      4  version, 1
//!     12      4  zero
//!     16         blocks: points (see codec.rs), sorted by time, each time once; blocks of a series in order of time
//! then the index:
//!      0      4  schemas
//!      4      4  entries
//!      8         each schema: 4 names, then each name: 4 bytes of it, the name
//!                each entry, sorted by (key, first time), 48 bytes:
//!                  0  8  series key            32  4  bytes of the block
//!                  8  8  offset of the block   36  4  rows
//!                 16  8  first time, i64 ns    40  4  checksum: crc32c of the block, seeded by crc32c of the key
//!                 24  8  last time, i64 ns     44  4  schema: the names that have a value in this block
//! then the trailer, the last 48 bytes of the file:
//!      0      8  offset of the index
//!      8      8  bytes of the index
//!     16      8  number of the segment
//!     24      4  slot
//!     28      4  version, 1
//!     32      4  checksum of the index, crc32c
//!     36      4  checksum of bytes 0..36 of the trailer, crc32c
//!     40      8  magic "CWSEGEND"
//! ```

use model::{SeriesKey, SlotId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const MAGIC: [u8; 8] = *b"CWSEGMNT";
const TRAILER_MAGIC: [u8; 8] = *b"CWSEGEND";
pub const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: u64 = 16;
pub(crate) const TRAILER_BYTES: usize = size_of::<Trailer>();
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// What a segment file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// Rises with every flush: of two segments with the same time of the same series, the higher number wins.
    pub number: u64,
    pub slot: SlotId,
}

/// Where a block is and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) key: SeriesKey,
    pub(crate) offset: u64,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    pub(crate) bytes: u32,
    pub(crate) rows: u32,
    pub(crate) checksum: u32,
    pub(crate) schema: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) schemas: Vec<Vec<Arc<str>>>,
    /// Sorted by key, then time.
    pub(crate) entries: Vec<BlockEntry>,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    key: U64,
    offset: U64,
    first_ns: I64,
    last_ns: I64,
    bytes: U32,
    rows: U32,
    checksum: U32,
    schema: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Trailer {
    index_offset: U64,
    index_bytes: U64,
    number: U64,
    slot: U32,
    version: U32,
    index_checksum: U32,
    checksum: U32,
    magic: [u8; 8],
}

pub(crate) enum TrailerFault {
    Damaged,
    Version(u32),
}

impl SegmentName {
    pub fn parse(name: &str) -> Option<Self> {
        let (slot, number) = name.strip_suffix(".seg")?.split_once('-')?;
        let slot = SlotId(slot.strip_prefix('s')?.parse().ok()?);
        let number = number.strip_prefix('n')?.parse().ok()?;
        Some(Self { number, slot })
    }

    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s{:04}-n{:020}.seg", self.slot.0, self.number)
    }
}

/// The key is the seed: a block that was read for another series is refused.
pub(crate) fn block_checksum(key: SeriesKey, block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&key.as_u64().to_le_bytes()), block)
}

impl Index {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_count(&mut out, self.schemas.len());
        put_count(&mut out, self.entries.len());
        for schema in &self.schemas {
            put_count(&mut out, schema.len());
            for name in schema {
                put_count(&mut out, name.len());
                out.extend_from_slice(name.as_bytes());
            }
        }
        for entry in &self.entries {
            let raw = RawEntry {
                key: entry.key.as_u64().into(),
                offset: entry.offset.into(),
                first_ns: entry.first_ns.into(),
                last_ns: entry.last_ns.into(),
                bytes: entry.bytes.into(),
                rows: entry.rows.into(),
                checksum: entry.checksum.into(),
                schema: entry.schema.into(),
            };
            out.extend_from_slice(raw.as_bytes());
        }
        out
    }

    /// `None`: intact by its checksum, yet no index.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let schemas = take_count(&mut rest)?;
        let entries = take_count(&mut rest)?;
        let mut index = Self::default();
        for _ in 0..schemas {
            let names = take_count(&mut rest)?;
            let schema: Option<Vec<Arc<str>>> = (0..names).map(|_| take_name(&mut rest)).collect();
            index.schemas.push(schema?);
        }
        for _ in 0..entries {
            let (raw, after) = RawEntry::read_from_prefix(rest).ok()?;
            rest = after;
            index.entries.push(BlockEntry {
                key: SeriesKey::from_u64(raw.key.get()),
                offset: raw.offset.get(),
                first_ns: raw.first_ns.get(),
                last_ns: raw.last_ns.get(),
                bytes: raw.bytes.get(),
                rows: raw.rows.get(),
                checksum: raw.checksum.get(),
                schema: raw.schema.get(),
            });
        }
        let is_sorted = index.entries.is_sorted_by_key(|entry| (entry.key, entry.first_ns));
        (is_sorted && rest.is_empty()).then_some(index)
    }
}

impl Trailer {
    pub(crate) fn new(name: SegmentName, index_offset: u64, index: &[u8]) -> Self {
        let mut trailer = Self {
            index_offset: index_offset.into(),
            index_bytes: u64::try_from(index.len()).expect("a usize fits").into(),
            number: name.number.into(),
            slot: u32::from(name.slot.0).into(),
            version: VERSION.into(),
            index_checksum: crc32c::crc32c(index).into(),
            checksum: U32::ZERO,
            magic: TRAILER_MAGIC,
        };
        trailer.checksum = trailer.expected_checksum().into();
        trailer
    }

    pub(crate) fn read(bytes: &[u8], name: SegmentName) -> Result<Self, TrailerFault> {
        let trailer = Self::read_from_bytes(bytes).map_err(|_| TrailerFault::Damaged)?;
        if trailer.magic != TRAILER_MAGIC || trailer.checksum.get() != trailer.expected_checksum() {
            return Err(TrailerFault::Damaged);
        }
        if trailer.version.get() != VERSION {
            return Err(TrailerFault::Version(trailer.version.get()));
        }
        let is_of_name = trailer.number.get() == name.number && trailer.slot.get() == u32::from(name.slot.0);
        if is_of_name { Ok(trailer) } else { Err(TrailerFault::Damaged) }
    }

    pub(crate) fn index_offset(&self) -> u64 {
        self.index_offset.get()
    }

    pub(crate) fn index_bytes(&self) -> u64 {
        self.index_bytes.get()
    }

    pub(crate) fn index_is_intact(&self, index: &[u8]) -> bool {
        crc32c::crc32c(index) == self.index_checksum.get()
    }

    fn expected_checksum(&self) -> u32 {
        crc32c::crc32c(self.as_bytes().get(..36).unwrap_or_default())
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("a segment has fewer than 2^32 blocks, schemas and names");
    out.extend_from_slice(&count.to_le_bytes());
}

fn take_count(rest: &mut &[u8]) -> Option<usize> {
    let (count, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*count)).ok()
}

fn take_name(rest: &mut &[u8]) -> Option<Arc<str>> {
    let bytes = take_count(rest)?;
    let (name, after) = rest.split_at_checked(bytes)?;
    *rest = after;
    std::str::from_utf8(name).ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_name_is_read_back() {
        let name = SegmentName { number: 42, slot: SlotId(3) };
        assert_eq!(name.to_string(), "s0003-n00000000000000000042.seg");
        assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        assert_eq!(SegmentName::parse("s0003-n00000000000000000042.seg.tmp"), None);
    }

    #[test]
    fn an_index_is_read_back_and_refused_when_cut_off() {
        let key = SeriesKey::new(SlotId(3), 9).unwrap();
        let entry =
            BlockEntry { key, offset: 16, first_ns: -4, last_ns: 8, bytes: 100, rows: 2, checksum: 77, schema: 1 };
        let index = Index { schemas: vec![vec![], vec!["value".into(), "é".into()]], entries: vec![entry] };
        let bytes = index.encode();
        let decoded = Index::decode(&bytes).unwrap();
        assert_eq!((&decoded.schemas, &decoded.entries), (&index.schemas, &index.entries));
        for length in 0..bytes.len() {
            assert!(Index::decode(&bytes[..length]).is_none(), "{length}");
        }
    }
}
