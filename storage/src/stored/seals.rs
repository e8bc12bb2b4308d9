//! Hashes of items (Pryv: integrity), computed by the writer for what it is about to store.

use model::integrity::Algorithm;
use serde_json::{Map, Value};

/// With what items are hashed; `None` where it is off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seals {
    pub events: Option<Algorithm>,
    pub accesses: Option<Algorithm>,
}

impl Seals {
    pub(crate) fn event(self, shown: impl FnOnce() -> Map<String, Value>) -> Option<String> {
        self.events.map(|algorithm| algorithm.of_event(&shown()).hash)
    }

    pub(crate) fn access(self, shown: impl FnOnce() -> Map<String, Value>) -> Option<String> {
        self.accesses.map(|algorithm| algorithm.of_access(&shown()).hash)
    }
}
