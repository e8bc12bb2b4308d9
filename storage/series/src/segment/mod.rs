//! Segments: immutable files of sorted, compressed points. One flush makes one file per slot, holding many series, so the
//! number of files does not depend on the number of series. [`format`] draws the file and [`block`] what is in it,
//! [`build`] writes one, [`read`] reads one, [`plan`] says which to [`merge`], [`retain`] thins out old ones, [`catalog`] knows
//! which ones are alive.

pub mod block;
mod build;
pub mod catalog;
pub mod format;
pub(crate) mod mask;
mod merge;
pub mod plan;
pub mod read;
pub(crate) mod reduce;
pub mod retain;

use crate::codec::CodecError;
use crate::disk::DiskError;
use std::path::PathBuf;

/// Rows of a block: what a reader loads at once.
pub const BLOCK_ROWS_MAX: usize = 4096;
/// Rows with long strings make blocks of fewer rows.
pub const BLOCK_BYTES_AIM: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "the segment {file} is damaged at byte {offset}: restore it from a backup; reads of its series fail until then"
    )]
    Damaged { file: PathBuf, offset: u64 },
    #[error("the segment {file} is of format {version}, this server reads up to {expected}: start a newer coreward", expected = format::FORMAT)]
    Version { file: PathBuf, version: u32 },
    #[error("the segments {file} and {other} hold the same flushes in part: restore the folder from a backup")]
    Overlap { file: PathBuf, other: PathBuf },
    #[error("the segment {file} at byte {offset}: {source}")]
    Codec { file: PathBuf, offset: u64, source: CodecError },
}

impl SegmentError {
    pub fn is_no_space(&self) -> bool {
        matches!(self, SegmentError::Disk(error) if error.is_no_space())
    }
}
