//! Where attachments rest: bytes by user, event and file. What an event has is told by the event itself, in its slot;
//! a file that no event lists is an orphan, and may be removed.

pub mod local;

pub use local::{LocalFiles, ReceivedFile, StoredFile, Upload};

/// Why a file was not stored or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    #[error("no space left for files; free some, uploads go on by themselves")]
    NoSpace,
    /// An id that cannot be a file's name: nothing is stored under it.
    #[error("{0:?} names neither a user, an event nor a file")]
    BadName(String),
    #[error("{what}: {cause}; check the folder `files` of the data folder")]
    Io { what: String, cause: String },
}
