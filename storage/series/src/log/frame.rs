//! One frame = one post = one atomic group: a single checksum covers all its series, so a torn post yields nothing.
//!
//! ```text
//! offset  bytes  all little-endian
//!      0      4  magic "CWFR"
//!      4      4  checksum: crc32c of bytes 8..48, seeded by the file's id
//!      8      8  epoch
//!     16      8  sequence, rising strictly within a chain (gaps: posts refused for want of space)
//!     24      8  synced: offset in this file below which all was synced when this frame was written
//!     32      4  body bytes
//!     36      4  body checksum: crc32c of the body
//!     40      4  chain
//!     44      4  entries
//!     48         body, then zeroes to a multiple of 8
//! an entry of the body:
//!      0      8  series key
//!      8      4  bytes of points
//!     12      4  zero
//!     16         points (see codec.rs)
//! ```
//! The seed keeps the bytes of a recycled file from coming back to life. `synced` tells damage from a torn tail: a
//! broken frame below the `synced` of a later one had been acknowledged.

use crate::codec::{CodecError, decode, encode, encoded_bytes};
use crate::points::Points;
use model::SeriesKey;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const MAGIC: [u8; 4] = *b"CWFR";
pub(crate) const HEADER_BYTES: usize = size_of::<FrameHeader>();
pub(crate) const ALIGNMENT: u64 = 8;
const ENTRY_HEADER_BYTES: usize = 16;
/// A body must be countable by the header's `u32`, with its padding.
pub const BODY_BYTES_MAX: usize = 1 << 31;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct FrameHeader {
    magic: [u8; 4],
    checksum: U32,
    epoch: U64,
    sequence: U64,
    synced: U64,
    body_bytes: U32,
    body_checksum: U32,
    chain: U32,
    entries: U32,
}

/// A post, encoded and ready for the log; the writer adds what depends on the file.
#[derive(Debug)]
pub struct FrameGroup {
    sequence: u64,
    /// Header (not sealed yet), body, padding.
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the post is larger than {BODY_BYTES_MAX} bytes when encoded: send it in parts")]
pub struct FrameTooLarge;

pub(crate) struct GroupBuilder {
    epoch: u64,
    chain: u32,
    sequence: u64,
    entries: u32,
    bytes: Vec<u8>,
}

impl GroupBuilder {
    pub(crate) fn new(epoch: u64, chain: u32, sequence: u64) -> Self {
        Self { epoch, chain, sequence, entries: 0, bytes: Vec::new() }
    }

    pub(crate) fn reserve<'a>(&mut self, all: impl Iterator<Item = &'a Points>) {
        let body: usize = all.map(|points| ENTRY_HEADER_BYTES + encoded_bytes(points)).sum();
        self.bytes.reserve_exact(HEADER_BYTES + body.min(BODY_BYTES_MAX) + 8);
        self.bytes.resize(HEADER_BYTES, 0);
    }

    pub(crate) fn push(&mut self, key: SeriesKey, points: &Points) {
        // Beyond the maximum nothing is copied any more; `finish` refuses.
        let bytes = encoded_bytes(points);
        let fits = self.bytes.len().saturating_add(bytes) < BODY_BYTES_MAX;
        let (Ok(points_bytes), true) = (u32::try_from(bytes), fits) else {
            self.entries = u32::MAX;
            return;
        };
        self.entries = self.entries.saturating_add(1);
        self.bytes.extend_from_slice(&key.as_u64().to_le_bytes());
        self.bytes.extend_from_slice(&points_bytes.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        encode(points, &mut self.bytes);
    }

    pub(crate) fn finish(mut self) -> Result<FrameGroup, FrameTooLarge> {
        if self.entries == u32::MAX {
            return Err(FrameTooLarge);
        }
        let body = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        let header = FrameHeader {
            magic: MAGIC,
            checksum: U32::ZERO,
            epoch: self.epoch.into(),
            sequence: self.sequence.into(),
            synced: U64::ZERO,
            body_bytes: u32::try_from(body.len()).map_err(|_| FrameTooLarge)?.into(),
            body_checksum: crc32c::crc32c(body).into(),
            chain: self.chain.into(),
            entries: self.entries.into(),
        };
        header.write_to_prefix(&mut self.bytes).expect("room for the header was made first");
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        Ok(FrameGroup { sequence: self.sequence, bytes: self.bytes })
    }
}

impl FrameGroup {
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What the group takes in the log.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.len()).expect("a usize fits")
    }

    /// The bytes as they go into the file with this seed.
    pub(crate) fn seal(&mut self, seed: u32, synced: u64) -> &[u8] {
        let (header, _) = FrameHeader::mut_from_prefix(&mut self.bytes).expect("a group begins with its header");
        header.synced = synced.into();
        header.checksum = header.expected_checksum(seed).into();
        &self.bytes
    }
}

impl FrameHeader {
    /// The header in these bytes, if it is one of the file with this seed.
    pub(crate) fn read(bytes: &[u8], seed: u32) -> Option<Self> {
        let (header, _) = Self::read_from_prefix(bytes).ok()?;
        let is_valid = header.magic == MAGIC && header.checksum.get() == header.expected_checksum(seed);
        is_valid.then_some(header)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    pub(crate) fn chain(&self) -> u32 {
        self.chain.get()
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.get()
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        u64::from(self.body_bytes.get())
    }

    /// Header, body and padding.
    pub(crate) fn frame_bytes(&self) -> u64 {
        u64::try_from(HEADER_BYTES).expect("48 fits") + self.body_bytes().next_multiple_of(ALIGNMENT)
    }

    pub(crate) fn body_is_intact(&self, body: &[u8]) -> bool {
        crc32c::crc32c(body) == self.body_checksum.get()
    }

    fn expected_checksum(&self, seed: u32) -> u32 {
        crc32c::crc32c_append(seed, self.as_bytes().get(8..).unwrap_or_default())
    }
}

/// What seeds the checksums of a file's frames.
pub(crate) fn seed_of(file_id: u64) -> u32 {
    crc32c::crc32c(&file_id.to_le_bytes())
}

/// The series of a frame's body, in order.
pub(crate) fn entries(body: &[u8]) -> Result<Vec<(SeriesKey, &[u8])>, CodecError> {
    let mut entries = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (header, after) = rest.split_first_chunk::<ENTRY_HEADER_BYTES>().ok_or(CodecError::CUT_OFF)?;
        let (key, sizes) = header.split_first_chunk::<8>().ok_or(CodecError::CUT_OFF)?;
        let (points_bytes, _) = sizes.split_first_chunk::<4>().ok_or(CodecError::CUT_OFF)?;
        let points_bytes = usize::try_from(u32::from_le_bytes(*points_bytes)).map_err(|_| CodecError::CUT_OFF)?;
        let (points, remainder) = after.split_at_checked(points_bytes).ok_or(CodecError::CUT_OFF)?;
        entries.push((SeriesKey::from_u64(u64::from_le_bytes(*key)), points));
        rest = remainder;
    }
    Ok(entries)
}

pub(crate) fn points_of(bytes: &[u8]) -> Result<Points, CodecError> {
    let points = decode(bytes)?;
    points.check_shape().map_err(|_| CodecError::SHAPE)?;
    Ok(points)
}
