//! The write-ahead log of a slot's file, lengthened ahead of its use.
//!
//! A sync of bytes that lengthen a file waits for the file system's journal as well; a sync of bytes that were written
//! before does not. So zeroes are appended to the log when a slot is opened: SQLite takes bytes behind its last frame for
//! nothing (its frames are told by salts and checksums), and overwrites them. The log keeps this length, because SQLite
//! starts it anew in place.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How far the log is lengthened at a time: a little more than the pages after which a checkpoint is asked for (4,000
/// of 4 KiB).
pub(super) const STEP_BYTES: u64 = 20 << 20;
/// It is lengthened again when less than this is left.
const LEFT_BYTES_MIN: u64 = 4 << 20;
/// A page with its header.
const FRAME_BYTES: u64 = 4096 + 24;
const PIECE_BYTES: usize = 1 << 20;

pub(super) fn path_of(slot: &Path) -> PathBuf {
    let mut name = slot.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// How long the log is now. It keeps its length over restarts, so it does not grow with their number.
pub(super) fn length(slot: &Path) -> u64 {
    std::fs::metadata(path_of(slot)).map_or(0, |metadata| metadata.len())
}

/// Whether a log of this length wants to be longer, now that so many of its pages are in use.
pub(super) fn is_short(length_bytes: u64, pages: u32) -> bool {
    length_bytes < u64::from(pages) * FRAME_BYTES + LEFT_BYTES_MIN
}

/// Gives the new length. Only for the writer's thread, and not within a transaction: nobody else appends to the log.
pub(super) fn lengthen(slot: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).open(path_of(slot))?;
    let zeroes = vec![0_u8; PIECE_BYTES];
    let mut length = file.metadata()?.len();
    let wanted = length + STEP_BYTES;
    while length < wanted {
        file.write_all_at(&zeroes, length)?;
        length += u64::try_from(PIECE_BYTES).unwrap_or(STEP_BYTES);
    }
    file.sync_all()?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_lengthened_in_steps_as_it_fills() {
        let folder = tempfile::tempdir().unwrap();
        let slot = folder.path().join("slot-00.sqlite");
        std::fs::write(path_of(&slot), b"frames").unwrap();
        assert!(is_short(6, 0));
        let length = lengthen(&slot).unwrap();
        assert!(length >= STEP_BYTES && !is_short(length, 3_900));
        assert!(is_short(length, 4_200));
        assert!(lengthen(&slot).unwrap() >= 2 * STEP_BYTES);
        assert!(std::fs::read(path_of(&slot)).unwrap().starts_with(b"frames\0\0"));
    }
}
