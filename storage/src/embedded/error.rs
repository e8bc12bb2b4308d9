//! What SQLite's and serde's errors mean for the contract.

use std::collections::BTreeMap;

use rusqlite::ErrorCode;
use serde_json::Value;

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

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

pub(crate) fn taken<const N: usize>(pairs: [(&str, Value); N]) -> StoreError {
    StoreError::Taken(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

/// After a failed sync nobody knows what the disk holds: the slot takes no more writes.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    const DIRECTORY: i32 = rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC;
    const FILE: i32 = rusqlite::ffi::SQLITE_IOERR_FSYNC;
    matches!(error.sqlite_error(), Some(found) if [DIRECTORY, FILE].contains(&found.extended_code))
}
