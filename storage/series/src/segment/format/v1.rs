//! Segment files of format 1: read, never written. Merges write their points anew.
//!
//! As format 2 but: blocks are plain points (see codec.rs); the index has no trims (its counts are schemas and entries) and
//! its entries are the first 48 bytes of today's; the trailer has 48 bytes: index offset 8, index bytes 8, number 8, slot 4,
//! format 4, index checksum 4, checksum of the 36 bytes before 4, magic 8.

use super::{BlockEntry, Footer, Index, SegmentName, TRAILER_MAGIC, take, take_count, take_schemas};
use model::SeriesKey;
use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const FORMAT: u32 = 1;
pub(crate) const TRAILER_BYTES: usize = size_of::<RawTrailer>();

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
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
struct RawTrailer {
    index_offset: U64,
    index_bytes: U64,
    number: U64,
    slot: U32,
    format: U32,
    index_checksum: U32,
    checksum: U32,
    magic: [u8; 8],
}

pub(crate) fn decode_footer(bytes: &[u8], name: SegmentName) -> Option<Footer> {
    let trailer = RawTrailer::read_from_bytes(bytes).ok()?;
    let checksum = crc32c::crc32c(trailer.as_bytes().get(..36).unwrap_or_default());
    let is_of_name = trailer.number.get() == name.first && trailer.slot.get() == u32::from(name.slot.0);
    let is_intact =
        trailer.magic == TRAILER_MAGIC && trailer.format.get() == FORMAT && trailer.checksum.get() == checksum;
    (is_of_name && is_intact).then_some(Footer {
        index_offset: trailer.index_offset.get(),
        index_bytes: trailer.index_bytes.get(),
        index_checksum: trailer.index_checksum.get(),
    })
}

pub(crate) fn decode_index(bytes: &[u8]) -> Option<Index> {
    let mut rest = bytes;
    let [schemas, entries] = [take_count(&mut rest)?, take_count(&mut rest)?];
    let schemas = take_schemas(schemas, &mut rest)?;
    let entries = (0..entries).map(|_| take::<RawEntry>(&mut rest).map(|raw| raw.entry())).collect::<Option<_>>()?;
    let index = Index { schemas, entries, trims: Vec::new() };
    (index.is_sorted() && rest.is_empty()).then_some(index)
}

impl RawEntry {
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
            is_buckets: false,
        }
    }
}
