//! What a really deleted event leaves, and what becomes of events when their streams are deleted.

use model::time::number;
use model::{Event, EventDeletion};
use serde_json::Map;

use super::{Seals, event};
use crate::base::LinkedEvents;

/// What a really deleted event leaves (Pryv: `versioning.deletionMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeletionMode {
    #[default]
    KeepNothing,
    KeepAuthors,
    KeepEverything,
}

/// The row that stands for a deleted event.
pub(crate) struct Tombstone {
    pub deletion: EventDeletion,
    pub modified: Option<f64>,
    pub modified_by: Option<String>,
    pub doc: Option<String>,
}

impl Tombstone {
    pub(crate) fn of(event: &Event, mode: DeletionMode, seals: Seals, stamp: f64, author: &str) -> Self {
        let mut left = Map::new();
        if mode == DeletionMode::KeepEverything {
            left = event.to_json();
            left.shift_remove("integrity");
        }
        left.insert("id".into(), event.id.clone().into());
        if mode != DeletionMode::KeepNothing {
            left.insert("modified".into(), number(stamp));
            left.insert("modifiedBy".into(), author.into());
        }
        left.insert("deleted".into(), number(stamp));
        let authors = (mode != DeletionMode::KeepNothing).then_some((stamp, author.to_owned()));
        let mut kept = event.clone();
        (kept.modified, kept.modified_by) = (stamp, author.to_owned());
        let (modified, modified_by) = authors.unzip();
        Self {
            deletion: EventDeletion { id: event.id.clone(), deleted: stamp, integrity: seals.event(|| left) },
            modified,
            modified_by,
            doc: (mode == DeletionMode::KeepEverything).then(|| event::doc(&kept)),
        }
    }
}

/// What the deletion of streams means for an event in them.
pub(crate) enum Unlinked {
    /// It goes on with these streams; the word is the API's.
    Stays(&'static str, Vec<String>),
    Deleted,
}

/// Pryv: streams.delete, second call.
pub(crate) fn unlink(event: &Event, deleted: &[String], choice: &LinkedEvents) -> Unlinked {
    let mut left: Vec<String> = event.stream_ids.iter().filter(|id| !deleted.contains(id)).cloned().collect();
    match choice {
        LinkedEvents::MergeWithParent { parent_id } => {
            if !left.contains(parent_id) {
                left.push(parent_id.clone());
            }
            Unlinked::Stays("mergedToParent", left)
        }
        LinkedEvents::Refuse | LinkedEvents::Delete if left.is_empty() => Unlinked::Deleted,
        LinkedEvents::Refuse | LinkedEvents::Delete => Unlinked::Stays("updatedStreamIds", left),
    }
}
