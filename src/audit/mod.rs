//! The record of each call: drafted when the call starts, stored with the call's own write, or else queued and
//! committed within [`FLUSH_MS`] (spec 07, section 5). It never holds a token, a password or a body.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use model::{AuditRecord, SlotId, UserEntry, UserId};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::edge::Source;
use crate::error::ApiError;
use crate::reply::now;

/// Records of reads and refusals wait at most this long for their commit.
pub const FLUSH_MS: u64 = 200;
/// Records that may wait on a shard; more calls are answered 503 rather than left out of the audit.
pub const QUEUE_MAX: usize = 20_000;

/// Access ids of calls without an access.
pub const ACCESS_INVALID: &str = "invalid";
pub const ACCESS_VALID_PASSWORD: &str = "valid-password";

#[derive(Clone, Debug)]
pub struct AuditDraft {
    pub action: &'static str,
    pub access_id: String,
    pub access_serial: Option<u32>,
    pub source: Source,
    pub caller_id: Option<String>,
    /// The raw query string, without `auth`. Bodies are never recorded.
    pub query: Map<String, Value>,
    /// Counters and scopes that a method adds.
    pub detail: Map<String, Value>,
    /// Committed with the method's own write.
    pub is_stored: bool,
}

impl AuditDraft {
    pub fn new(action: &'static str, access_id: &str, source: &Source) -> Self {
        Self {
            action,
            access_id: access_id.to_owned(),
            access_serial: None,
            source: source.clone(),
            caller_id: None,
            query: Map::new(),
            detail: Map::new(),
            is_stored: false,
        }
    }

    pub fn record(&self, error: Option<&ApiError>) -> AuditRecord {
        let mut detail = Map::new();
        detail.insert("source".into(), json!({ "name": self.source.name, "ip": self.source.ip }));
        if !self.query.is_empty() {
            detail.insert("query".into(), Value::Object(self.query.clone()));
        }
        if let Some(caller) = &self.caller_id {
            detail.insert("callerId".into(), caller.clone().into());
        }
        detail.extend(self.detail.clone());
        AuditRecord {
            id: model::id::fresh_item_id(),
            time: now(),
            access_id: self.access_id.clone(),
            access_serial: self.access_serial,
            action: self.action.to_owned(),
            error: error.map(|error| (error.id.to_owned(), error.message.clone().into_owned())),
            detail,
        }
    }
}

/// Records of one shard that wait for their commit.
#[derive(Default)]
pub struct AuditQueue {
    waiting: RefCell<Vec<(SlotId, UserId, AuditRecord)>>,
    /// Flushes on their way, by number.
    flights: RefCell<BTreeSet<u64>>,
    flight_last: Cell<u64>,
    landed: Notify,
}

/// A flush on its way. Begin it before [`AuditQueue::take`].
pub struct Flight<'a> {
    queue: &'a AuditQueue,
    number: u64,
}

impl Flight<'_> {
    /// The flush has stored what it took. Waits for those that began before it: what they took is stored, too.
    pub async fn land(self) {
        let (queue, number) = (self.queue, self.number);
        drop(self);
        loop {
            let landed = queue.landed.notified();
            let is_first = queue.flights.borrow().first().is_none_or(|first| *first > number);
            if is_first {
                return;
            }
            landed.await;
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.queue.flights.borrow_mut().remove(&self.number);
        self.queue.landed.notify_waiters();
    }
}

impl AuditQueue {
    pub fn take_off(&self) -> Flight<'_> {
        let number = self.flight_last.get() + 1;
        self.flight_last.set(number);
        self.flights.borrow_mut().insert(number);
        Flight { queue: self, number }
    }

    pub fn is_full(&self) -> bool {
        self.waiting.borrow().len() >= QUEUE_MAX
    }

    pub fn push(&self, entry: &UserEntry, record: AuditRecord) {
        self.waiting.borrow_mut().push((entry.slot, entry.user.clone(), record));
    }

    /// What waits, by slot.
    pub fn take(&self) -> Vec<(SlotId, Vec<(UserId, AuditRecord)>)> {
        let mut by_slot: Vec<(SlotId, Vec<(UserId, AuditRecord)>)> = Vec::new();
        for (slot, user, record) in self.waiting.borrow_mut().drain(..) {
            match by_slot.iter_mut().find(|(known, _)| *known == slot) {
                Some((_, records)) => records.push((user, record)),
                None => by_slot.push((slot, vec![(user, record)])),
            }
        }
        by_slot
    }

    /// Puts records back that could not be stored, for the next flush.
    pub fn put_back(&self, slot: SlotId, records: Vec<(UserId, AuditRecord)>) {
        self.waiting.borrow_mut().extend(records.into_iter().map(|(user, record)| (slot, user, record)));
    }
}

/// `audit.storage.filter.methods`: which calls are stored.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
}

impl AuditFilter {
    pub fn accepts(&self, action: &str) -> bool {
        let names = |list: &[String]| list.iter().any(|item| Self::item_matches(item, action));
        (self.include.is_empty() || names(&self.include)) && !names(&self.exclude)
    }

    fn item_matches(item: &str, action: &str) -> bool {
        match item.strip_suffix(".all") {
            Some(resource) => action.split('.').next() == Some(resource),
            None => item == "all" || item == action,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_flush_waits_for_those_that_began_before_it_and_for_no_later_ones() {
        let queue = AuditQueue::default();
        let (first, second, third) = (queue.take_off(), queue.take_off(), queue.take_off());
        let mut landing = pin!(second.land());
        let mut context = Context::from_waker(Waker::noop());
        assert!(landing.as_mut().poll(&mut context).is_pending());
        drop(third);
        let _fourth = queue.take_off();
        assert!(landing.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert!(landing.as_mut().poll(&mut context).is_ready());
    }

    fn filter(include: &[&str], exclude: &[&str]) -> AuditFilter {
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        AuditFilter { include: owned(include), exclude: owned(exclude) }
    }

    #[test]
    fn exclusions_win_over_inclusions_and_resources_stand_for_their_methods() {
        assert!(filter(&["all"], &[]).accepts("events.get"));
        assert!(!filter(&["all"], &["events.all"]).accepts("events.get"));
        assert!(filter(&["all"], &["events.all"]).accepts("streams.get"));
        assert!(!filter(&["streams.create"], &[]).accepts("streams.get"));
        assert!(filter(&[], &["streams.create"]).accepts("streams.get"));
    }
}
