//! Hashes of items (Pryv: integrity), computed by the writer for what it is about to store.

use std::sync::Arc;

use serde_json::{Map, Value};

/// Computes `integrity` for an item as the API shows it (`model::integrity`, given by the configuration).
pub trait Seal: Send + Sync + 'static {
    /// `EVENT:0:...` of an event, a deletion or a reduced head.
    fn event(&self, shown: &Map<String, Value>) -> String;
    /// `ACCESS:0:...`
    fn access(&self, shown: &Map<String, Value>) -> String;
}

#[derive(Clone, Default)]
pub struct Seals {
    pub events: Option<Arc<dyn Seal>>,
    pub accesses: Option<Arc<dyn Seal>>,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seals {{ events: {}, accesses: {} }}", self.events.is_some(), self.accesses.is_some())
    }
}

impl Seals {
    pub(super) fn event(&self, shown: impl FnOnce() -> Map<String, Value>) -> Option<String> {
        self.events.as_ref().map(|seal| seal.event(&shown()))
    }

    pub(super) fn access(&self, shown: impl FnOnce() -> Map<String, Value>) -> Option<String> {
        self.accesses.as_ref().map(|seal| seal.access(&shown()))
    }
}
