//! What writes of points do to their holder events: `duration`, `modified`, `modifiedBy`, some time after the last
//! write (spec 08, section 7). Seconds, not the reference's nanoseconds; the access id, not its token.

use std::cell::RefCell;
use std::rc::Rc;

use model::{Grant, Right, ServerTask, SlotId, UserEntry, UserId};
use rustc_hash::FxHashMap;
use storage::StoreError;
use storage::base::{SeriesExtent, Write, WriteCall};

use crate::node::Shard;
use crate::reply::now;

/// An update is applied this long after the last write to the event...
const COOLDOWN_S: f64 = 10.0;
/// ...but no later than this after the first write that is not applied yet.
const STALE_S: f64 = 300.0;
/// Events that may wait on a shard; beyond it the oldest are applied at the next look, whatever their time.
const WAITING_MAX: usize = 100_000;

pub struct Extent {
    pub last_ns: i64,
    /// Access id, and caller id if any.
    pub author: String,
    pub written: f64,
}

struct Waiting {
    entry: UserEntry,
    extent: Extent,
    first_written: f64,
}

#[derive(Default)]
pub struct Extents {
    waiting: RefCell<FxHashMap<(UserId, String), Waiting>>,
}

impl Extents {
    /// Updates of one event are merged: the widest extent, the latest author and time.
    pub fn note(&self, entry: &UserEntry, event_id: String, extent: Extent) {
        let mut waiting = self.waiting.borrow_mut();
        let known = waiting.entry((entry.user.clone(), event_id)).or_insert_with(|| Waiting {
            entry: entry.clone(),
            first_written: extent.written,
            extent: Extent { last_ns: extent.last_ns, author: String::new(), written: extent.written },
        });
        known.extent.last_ns = known.extent.last_ns.max(extent.last_ns);
        known.extent.author = extent.author;
        known.extent.written = known.extent.written.max(extent.written);
    }

    /// Takes what is due, by user.
    fn take_due(&self, now: f64, all: bool) -> Vec<(UserEntry, Vec<SeriesExtent>)> {
        let mut waiting = self.waiting.borrow_mut();
        let all = all || waiting.len() > WAITING_MAX;
        let is_due =
            |item: &Waiting| all || now >= item.extent.written + COOLDOWN_S || now >= item.first_written + STALE_S;
        let mut due: FxHashMap<UserId, (UserEntry, Vec<SeriesExtent>)> = FxHashMap::default();
        waiting.retain(|(user, event_id), item| {
            if !is_due(item) {
                return true;
            }
            let (_, holders) = due.entry(user.clone()).or_insert_with(|| (item.entry.clone(), Vec::new()));
            holders.push(SeriesExtent {
                event_id: event_id.clone(),
                duration: seconds(item.extent.last_ns),
                modified: item.extent.written,
                modified_by: Some(item.extent.author.clone()),
            });
            false
        });
        due.into_values().collect()
    }
}

impl Shard {
    /// Applies what is due (all of it at stop). A failure is logged: the points are safe, the next write tells again.
    pub async fn apply_extents(self: &Rc<Self>, all: bool) {
        for (entry, holders) in self.points.extents.take_due(now(), all) {
            match self.node.base.write(extend(entry.user, entry.slot, holders)).await {
                Ok(Ok(_)) | Ok(Err(StoreError::NotFound)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the duration of series events was not updated"),
                Err(_) => tracing::warn!("the storage engine stopped before the duration of series events was updated"),
            }
        }
    }
}

pub(super) fn extend(user: UserId, slot: SlotId, holders: Vec<SeriesExtent>) -> WriteCall {
    let grant = Grant::server_itself(ServerTask::Bookkeeping, user, slot, Right::Write);
    WriteCall { grant, write: Write::ExtendSeries { holders }, audit: None, batch: None, now: now() }
}

#[allow(clippy::cast_precision_loss, reason = "a duration keeps a double's 15 digits")]
pub(super) fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(last_ns: i64, author: &str, written: f64) -> Extent {
        Extent { last_ns, author: author.into(), written }
    }

    fn entry() -> UserEntry {
        UserEntry { user: UserId::new("u1"), slot: SlotId(0), username: "alice".into() }
    }

    #[test]
    fn writes_of_one_event_are_merged_and_due_ten_seconds_after_the_last() {
        let extents = Extents::default();
        extents.note(&entry(), "e1".into(), extent(2_500_000_000, "a1", 100.0));
        extents.note(&entry(), "e1".into(), extent(1_000_000_000, "a2", 105.0));
        assert!(extents.take_due(112.0, false).is_empty());
        let due = extents.take_due(115.0, false);
        let modified_by = Some("a2".into());
        let expected = SeriesExtent { event_id: "e1".into(), duration: 2.5, modified: 105.0, modified_by };
        assert_eq!(due[0].1, vec![expected]);
        assert!(extents.take_due(1000.0, true).is_empty());
    }

    #[test]
    fn continuous_writes_are_applied_within_five_minutes() {
        let extents = Extents::default();
        for second in 0..301 {
            extents.note(&entry(), "e1".into(), extent(1, "a", f64::from(second)));
        }
        assert_eq!(extents.take_due(300.0, false).len(), 1);
    }
}
