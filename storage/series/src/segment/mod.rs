//! Segments: immutable files of sorted points. One flush makes one file per slot, holding many series, so the number of
//! files does not depend on the number of series. [`format`] draws the file, [`build`] writes it, [`read`] reads it,
//! [`catalog`] knows which ones are alive.

pub mod block;
pub mod build;
pub mod catalog;
pub mod format;
pub mod read;

use crate::codec::CodecError;
use crate::disk::DiskError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "the segment {file} is damaged at byte {offset}: restore it from a backup; reads of its series fail until then"
    )]
    Damaged { file: PathBuf, offset: u64 },
    #[error("the segment {file} is of version {version}, this server reads {expected}: start a newer coreward", expected = format::VERSION)]
    Version { file: PathBuf, version: u32 },
    #[error("the segment {file} at byte {offset}: {source}")]
    Codec { file: PathBuf, offset: u64, source: CodecError },
}

impl SegmentError {
    pub fn is_no_space(&self) -> bool {
        matches!(self, SegmentError::Disk(error) if error.is_no_space())
    }
}
