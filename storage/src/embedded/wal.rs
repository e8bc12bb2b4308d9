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

/// A little more than the pages after which a checkpoint is asked for (4,000 of 4 KiB).
pub(super) const WAL_BYTES_AHEAD: u64 = 20 << 20;
const PIECE_BYTES: usize = 1 << 20;

pub(super) fn path_of(slot: &Path) -> PathBuf {
    let mut name = slot.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Only for the writer's thread, and not within a transaction: nobody else appends to the log.
pub(super) fn lengthen(slot: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path_of(slot))?;
    let zeroes = vec![0_u8; PIECE_BYTES];
    let mut length = file.metadata()?.len();
    while length < WAL_BYTES_AHEAD {
        file.write_all_at(&zeroes, length)?;
        length += u64::try_from(PIECE_BYTES).unwrap_or(WAL_BYTES_AHEAD);
    }
    file.sync_all()
}
