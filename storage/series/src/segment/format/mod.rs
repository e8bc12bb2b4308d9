//! The bytes of a segment file, format 2; format 1 is in [`v1`], the file's name in [`name`].
//!
//! ```text
//! offset  bytes  all little-endian
//!      0      8  magic "CWSEGMNT"
//!      8      4  format, 2
//!     12      4  zero
//!     16         blocks (see block.rs): points sorted by time, each time once; those of a series in order of time
//! then the index:
//!      0      4  schemas
//!      4      4  entries
//!      8      4  trims
//!     12         each schema: 4 names, then each name: 4 bytes of it, the name
//!                each entry, sorted by (key, first time), 52 bytes:
//!                  0  8  series key            32  4  bytes of the block
//!                  8  8  offset of the block   36  4  rows
//!                 16  8  first time, i64 ns    40  4  checksum: crc32c of the block, seeded by crc32c of the key
//!                 24  8  last time, i64 ns     44  4  schema: the names that have a value in this block
//!                                              48  4  flags: 1 = all rows are buckets made by a retention rule
//!                each trim, sorted by (key, from), 24 bytes: rows of this series in [from, before) are void in all
//!                segments of earlier flushes
//!                  0  8  series key    8  8  from, i64 ns    16  8  before, i64 ns
//! then the trailer, the last 64 bytes of the file:
//!      0      8  offset of the index
//!      8      8  bytes of the index
//!     16      8  first flush   24  8  last flush   32  8  version    (as in the file's name)
//!     40      4  slot
//!     44      4  format, 2
//!     48      4  checksum of the index, crc32c
//!     52      4  checksum of bytes 0..52 of the trailer, crc32c
//!     56      8  magic "CWSEGEND"
//! ```

pub(crate) mod name;
pub(crate) mod v1;

pub use name::SegmentName;

use model::SeriesKey;
use std::sync::Arc;
use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const MAGIC: [u8; 8] = *b"CWSEGMNT";
pub(crate) const TRAILER_MAGIC: [u8; 8] = *b"CWSEGEND";
/// The format that is written.
pub const FORMAT: u32 = 2;
pub(crate) const HEADER_BYTES: usize = size_of::<Header>();
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";
const FLAG_BUCKETS: u32 = 1;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    magic: [u8; 8],
    format: U32,
    zero: [u8; 4],
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
    /// All its rows were made by a retention rule: it is not to be reduced again.
    pub(crate) is_buckets: bool,
}

/// Rows of this series in `[from_ns, before_ns)` are void in all segments of earlier flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trim {
    pub(crate) key: SeriesKey,
    pub(crate) from_ns: i64,
    pub(crate) before_ns: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) schemas: Vec<Vec<Arc<str>>>,
    /// Sorted by key, then time.
    pub(crate) entries: Vec<BlockEntry>,
    /// Sorted by key, then time.
    pub(crate) trims: Vec<Trim>,
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
    flags: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTrim {
    key: U64,
    from_ns: I64,
    before_ns: I64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTrailer {
    index_offset: U64,
    index_bytes: U64,
    first: U64,
    last: U64,
    version: U64,
    slot: U32,
    format: U32,
    index_checksum: U32,
    checksum: U32,
    magic: [u8; 8],
}

pub(crate) const TRAILER_BYTES: usize = size_of::<RawTrailer>();

/// Where the index is, as the trailer of either format says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footer {
    pub(crate) index_offset: u64,
    pub(crate) index_bytes: u64,
    pub(crate) index_checksum: u32,
}

/// The key is the seed: a block that was read for another series is refused.
pub(crate) fn block_checksum(key: SeriesKey, block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&key.as_u64().to_le_bytes()), block)
}

impl Header {
    pub(crate) fn new() -> Self {
        Self { magic: MAGIC, format: FORMAT.into(), zero: [0; 4] }
    }

    /// The format; `None`: not a segment at all.
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Option<u32> {
        let header = Self::read_from_bytes(bytes).ok()?;
        (header.magic == MAGIC).then_some(header.format.get())
    }
}

impl Index {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for count in [self.schemas.len(), self.entries.len(), self.trims.len()] {
            put_count(&mut out, count);
        }
        for schema in &self.schemas {
            put_count(&mut out, schema.len());
            for name in schema {
                put_count(&mut out, name.len());
                out.extend_from_slice(name.as_bytes());
            }
        }
        self.entries.iter().for_each(|entry| out.extend_from_slice(RawEntry::of(entry).as_bytes()));
        for trim in &self.trims {
            let Trim { key, from_ns, before_ns } = *trim;
            let raw = RawTrim { key: key.as_u64().into(), from_ns: from_ns.into(), before_ns: before_ns.into() };
            out.extend_from_slice(raw.as_bytes());
        }
        out
    }

    /// `None`: intact by its checksum, yet no index.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [schemas, entries, trims] = [take_count(&mut rest)?, take_count(&mut rest)?, take_count(&mut rest)?];
        let index = Self {
            schemas: take_schemas(schemas, &mut rest)?,
            entries: (0..entries).map(|_| take::<RawEntry>(&mut rest).map(|raw| raw.entry())).collect::<Option<_>>()?,
            trims: (0..trims).map(|_| take::<RawTrim>(&mut rest).map(|raw| raw.trim())).collect::<Option<_>>()?,
        };
        let is_sorted = index.is_sorted() && index.trims.is_sorted_by_key(|trim| (trim.key, trim.from_ns));
        (is_sorted && rest.is_empty()).then_some(index)
    }

    /// By series, then time; the blocks of a series do not overlap, and none ends before it begins.
    pub(crate) fn is_sorted(&self) -> bool {
        let follows = |a: &BlockEntry, b: &BlockEntry| a.key < b.key || a.key == b.key && a.last_ns < b.first_ns;
        self.entries.is_sorted_by(follows) && self.entries.iter().all(|entry| entry.first_ns <= entry.last_ns)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.trims.is_empty()
    }
}

impl RawEntry {
    fn of(entry: &BlockEntry) -> Self {
        Self {
            key: entry.key.as_u64().into(),
            offset: entry.offset.into(),
            first_ns: entry.first_ns.into(),
            last_ns: entry.last_ns.into(),
            bytes: entry.bytes.into(),
            rows: entry.rows.into(),
            checksum: entry.checksum.into(),
            schema: entry.schema.into(),
            flags: if entry.is_buckets { FLAG_BUCKETS } else { 0 }.into(),
        }
    }

    fn entry(&self) -> BlockEntry {
        BlockEntry {
            key: SeriesKey::from_u64(self.key.get()),
            offset: self.offset.get(),
            first_ns: self.first_ns.get(),
            last_ns: self.last_ns.get(),
            bytes: self.bytes.get(),
            rows: self.rows.get(),
            checksum: self.checksum.get(),
            schema: self.schema.get(),
            is_buckets: self.flags.get() & FLAG_BUCKETS != 0,
        }
    }
}

impl RawTrim {
    fn trim(&self) -> Trim {
        let key = SeriesKey::from_u64(self.key.get());
        Trim { key, from_ns: self.from_ns.get(), before_ns: self.before_ns.get() }
    }
}

impl Footer {
    /// The trailer that says so.
    pub(crate) fn encode(&self, name: SegmentName) -> [u8; TRAILER_BYTES] {
        let mut trailer = RawTrailer {
            index_offset: self.index_offset.into(),
            index_bytes: self.index_bytes.into(),
            first: name.first.into(),
            last: name.last.into(),
            version: name.version.into(),
            slot: u32::from(name.slot.0).into(),
            format: FORMAT.into(),
            index_checksum: self.index_checksum.into(),
            checksum: U32::ZERO,
            magic: TRAILER_MAGIC,
        };
        trailer.checksum = trailer.expected_checksum().into();
        let mut bytes = [0; TRAILER_BYTES];
        bytes.copy_from_slice(trailer.as_bytes());
        bytes
    }

    /// `None`: damaged, or not the trailer of the file of this name.
    pub(crate) fn decode(bytes: &[u8], name: SegmentName) -> Option<Self> {
        let trailer = RawTrailer::read_from_bytes(bytes).ok()?;
        let is_of_name = trailer.first.get() == name.first
            && trailer.last.get() == name.last
            && trailer.version.get() == name.version
            && trailer.slot.get() == u32::from(name.slot.0);
        let is_intact = trailer.magic == TRAILER_MAGIC
            && trailer.format.get() == FORMAT
            && trailer.checksum.get() == trailer.expected_checksum();
        (is_of_name && is_intact).then_some(Self {
            index_offset: trailer.index_offset.get(),
            index_bytes: trailer.index_bytes.get(),
            index_checksum: trailer.index_checksum.get(),
        })
    }
}

impl RawTrailer {
    fn expected_checksum(&self) -> u32 {
        crc32c::crc32c(self.as_bytes().get(..52).unwrap_or_default())
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("a segment has fewer than 2^32 blocks, schemas and names");
    out.extend_from_slice(&count.to_le_bytes());
}

pub(crate) fn take_count(rest: &mut &[u8]) -> Option<usize> {
    let (count, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*count)).ok()
}

pub(crate) fn take<T: FromBytes>(rest: &mut &[u8]) -> Option<T> {
    let (raw, after) = T::read_from_prefix(rest).ok()?;
    *rest = after;
    Some(raw)
}

pub(crate) fn take_schemas(count: usize, rest: &mut &[u8]) -> Option<Vec<Vec<Arc<str>>>> {
    let mut schemas = Vec::new();
    for _ in 0..count {
        let names = take_count(rest)?;
        let schema: Option<Vec<Arc<str>>> = (0..names).map(|_| take_name(rest)).collect();
        schemas.push(schema?);
    }
    Some(schemas)
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
    use model::SlotId;

    #[test]
    fn an_index_is_read_back_and_refused_when_cut_off() {
        let key = SeriesKey::new(SlotId(3), 9).unwrap();
        let entry = BlockEntry {
            key,
            offset: 16,
            first_ns: -4,
            last_ns: 8,
            bytes: 100,
            rows: 2,
            checksum: 77,
            schema: 1,
            is_buckets: true,
        };
        let trim = Trim { key, from_ns: i64::MIN, before_ns: 3 };
        let schemas = vec![vec![], vec!["value".into(), "é".into()]];
        let index = Index { schemas, entries: vec![entry], trims: vec![trim] };
        let bytes = index.encode();
        let decoded = Index::decode(&bytes).unwrap();
        assert_eq!(
            (&decoded.schemas, &decoded.entries, &decoded.trims),
            (&index.schemas, &index.entries, &index.trims)
        );
        for length in 0..bytes.len() {
            assert!(Index::decode(&bytes[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn a_trailer_of_another_name_or_with_any_flipped_bit_is_refused() {
        let name = SegmentName { slot: SlotId(3), first: 4, last: 9, version: 11 };
        let bytes = Footer { index_offset: 1000, index_bytes: 200, index_checksum: 7 }.encode(name);
        assert!(Footer::decode(&bytes, name).is_some());
        assert!(Footer::decode(&bytes, SegmentName { version: 12, ..name }).is_none());
        for bit in 0..TRAILER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&flipped, name).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn an_index_whose_blocks_overlap_or_end_before_they_begin_is_refused() {
        let key = SeriesKey::new(SlotId(3), 9).unwrap();
        let entry = |first_ns, last_ns| BlockEntry {
            key,
            offset: 16,
            first_ns,
            last_ns,
            bytes: 1,
            rows: 2,
            checksum: 0,
            schema: 0,
            is_buckets: false,
        };
        let decodes = |entries| Index::decode(&Index { entries, ..Index::default() }.encode()).is_some();
        assert!(decodes(vec![entry(1, 2), entry(3, 3)]));
        assert!(!decodes(vec![entry(1, 3), entry(3, 4)]));
        assert!(!decodes(vec![entry(3, 4), entry(1, 2)]));
        assert!(!decodes(vec![entry(2, 1)]));
    }
}
