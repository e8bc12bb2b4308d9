//! What SQLite's errors mean for the contract.

use rusqlite::ErrorCode;

use crate::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error.to_string()),
            _ => Self::Engine(error.to_string()),
        }
    }
}

/// After a failed sync nobody knows what the disk holds: the slot takes no more writes.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    const DIRECTORY: i32 = rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC;
    const FILE: i32 = rusqlite::ffi::SQLITE_IOERR_FSYNC;
    matches!(error.sqlite_error(), Some(found) if [DIRECTORY, FILE].contains(&found.extended_code))
}
