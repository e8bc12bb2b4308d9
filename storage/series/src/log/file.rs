//! Log files: names `e0000000007-c03-n000001.log` (epoch, chain, number) and the header in front of the frames.
//!
//! ```text
//! offset  bytes  all little-endian
//!      0      8  magic "CWSERLOG"
//!      8      4  version, 1
//!     12      4  checksum: crc32c of bytes 16..64
//!     16      8  epoch
//!     24      8  number, from 1
//!     32      8  file id, random: seeds the checksums of all frames
//!     40      8  previous end: where the frames of the file before (number - 1) end; all of them were synced
//!     48      4  chain
//!     52      4  zero
//!     56      8  length of the file, preallocated: a shorter one was cut off
//!     64         frames; behind the last one the zeroes of the preallocation
//! ```
//! A file is made under a temporary name, preallocated, synced and only then renamed: a file of the final name has a
//! valid header, or is damaged.

use std::path::{Path, PathBuf};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const MAGIC: [u8; 8] = *b"CWSERLOG";
const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = size_of::<FileHeader>();
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// What a log file's name says. Ordered as the files are replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    pub epoch: u64,
    pub chain: u32,
    pub number: u64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct FileHeader {
    magic: [u8; 8],
    version: U32,
    checksum: U32,
    epoch: U64,
    number: U64,
    file_id: U64,
    previous_end: U64,
    chain: U32,
    zero: [u8; 4],
    length: U64,
}

impl FileName {
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".log")?.split('-');
        let epoch = parts.next()?.strip_prefix('e')?.parse().ok()?;
        let chain = parts.next()?.strip_prefix('c')?.parse().ok()?;
        let number = parts.next()?.strip_prefix('n')?.parse().ok()?;
        parts.next().is_none().then_some(Self { epoch, chain, number })
    }

    pub(crate) fn is_of_chain(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.chain == other.chain
    }

    /// The next file of the same chain.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        self.is_of_chain(before) && self.number == before.number + 1
    }

    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("e{:010}-c{:02}-n{:06}.log", self.epoch, self.chain, self.number))
    }
}

impl FileHeader {
    pub(crate) fn new(name: FileName, file_id: u64, previous_end: u64, length: u64) -> Self {
        let mut header = Self {
            magic: MAGIC,
            version: VERSION.into(),
            checksum: U32::ZERO,
            epoch: name.epoch.into(),
            number: name.number.into(),
            file_id: file_id.into(),
            previous_end: previous_end.into(),
            chain: name.chain.into(),
            zero: [0; 4],
            length: length.into(),
        };
        header.checksum = header.expected_checksum().into();
        header
    }

    /// `None`: damaged, of another version, or not the file its name says.
    pub(crate) fn read(bytes: &[u8], name: FileName) -> Option<Self> {
        let (header, _) = Self::read_from_prefix(bytes).ok()?;
        let is_valid = header.magic == MAGIC
            && header.version.get() == VERSION
            && header.checksum.get() == header.expected_checksum()
            && header.epoch.get() == name.epoch
            && header.chain.get() == name.chain
            && header.number.get() == name.number;
        is_valid.then_some(header)
    }

    pub(crate) fn file_id(&self) -> u64 {
        self.file_id.get()
    }

    pub(crate) fn previous_end(&self) -> u64 {
        self.previous_end.get()
    }

    pub(crate) fn length(&self) -> u64 {
        self.length.get()
    }

    fn expected_checksum(&self) -> u32 {
        crc32c::crc32c(self.as_bytes().get(16..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_sorts_by_epoch_chain_number() {
        let name = FileName { epoch: 7, chain: 3, number: 1 };
        assert_eq!(name.path(Path::new("/log")), Path::new("/log/e0000000007-c03-n000001.log"));
        assert_eq!(FileName::parse("e0000000007-c03-n000001.log"), Some(name));
        assert_eq!(FileName::parse("e0000000007-c03-n000001.log.tmp"), None);
        assert_eq!(FileName::parse("e7-c3-n1-x.log"), None);
        assert!(name < FileName { epoch: 8, chain: 0, number: 1 });
    }

    #[test]
    fn a_header_of_another_name_or_with_any_flipped_bit_is_refused() {
        let name = FileName { epoch: 7, chain: 3, number: 9 };
        let header = FileHeader::new(name, 0xfeed, 640, 1 << 20);
        assert!(FileHeader::read(header.as_bytes(), name).is_some());
        assert!(FileHeader::read(header.as_bytes(), FileName { number: 8, ..name }).is_none());
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::read(&bytes, name).is_none(), "bit {bit}");
        }
    }
}
