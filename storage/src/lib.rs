//! Where data rests: the contracts of the engines, and the engines.

pub mod base;
pub mod embedded;
mod erase;
pub mod files;
pub mod platform;
pub mod postgres;
mod stored;

use std::collections::BTreeMap;

use tokio::sync::oneshot;

/// An answer that comes from another thread. Dropped by the store = the store is gone.
pub type Reply<T> = oneshot::Receiver<Result<T, StoreError>>;

/// Why a store did not do what was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    #[error("the store's queue is full; try again")]
    Busy,
    #[error("the grant or the item changed since it was read; run the method again")]
    Stale,
    #[error("no such item")]
    NotFound,
    /// What is taken, by its API name: `{"id": "..."}`, `{"username": "...", "email": "..."}`.
    #[error("already taken: {0:?}")]
    Taken(BTreeMap<String, serde_json::Value>),
    #[error("no space left on the device; free some, writes resume by themselves")]
    NoSpace,
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    #[error("a grant that does not allow this reached the store (a defect: report it)")]
    NotGranted,
    #[error("stored data does not read back: {0}")]
    Corrupt(String),
    #[error("the storage engine failed: {0}")]
    Engine(String),
}
