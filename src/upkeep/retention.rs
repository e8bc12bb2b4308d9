//! `series.retention`: which series have points older than a rule keeps, and what became of them. The reduction itself is
//! `series::Catalog::retain`.

use std::time::Duration;

use model::id::fresh_item_id;
use model::{AuditRecord, SeriesKey, SlotId, UserId};
use rustc_hash::FxHashMap;
use serde_json::json;
use series::{Catalog, Disk, Retain, Retained, SegmentError};
use storage::base::{BaseStore, SeriesHolder};

use crate::config::{RetentionRule, Then};
use crate::node::Node;
use crate::reply::now;

const NS_PER_S: f64 = 1e9;
const S_PER_DAY: f64 = 86_400.0;
/// A flush that is on its way is waited for this often and this long; the next run comes in any case.
const FLIGHT_POLL: Duration = Duration::from_millis(50);
const FLIGHT_POLLS_MAX: u32 = 200;
const AUDIT_ACTION: &str = "series.retention";

/// Points of one user that a run has reduced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reduced {
    pub series: u64,
    pub points_before: u64,
    pub points_after: u64,
}

/// The series of a slot that a rule matches, each with what it asks.
pub struct Asked {
    pub slot: SlotId,
    retain: Vec<Retain>,
    user_of: FxHashMap<SeriesKey, UserId>,
}

/// All slots, one after the other; what could not be looked up or was in the way waits for the next run.
pub fn apply(node: &Node, disk: &mut dyn Disk) -> Result<(), SegmentError> {
    if node.config.series.retention.is_empty() {
        return Ok(());
    }
    for slot in 0..node.base.slots() {
        let asked = match Asked::of(node.base.as_ref(), SlotId(slot), &node.config.series.retention) {
            Ok(asked) => asked,
            Err(error) => {
                tracing::warn!(%error, slot, "the series of a slot could not be listed for retention");
                continue;
            }
        };
        let Some(retained) = settled(&node.segments, &asked, disk)? else { continue };
        let reduced = asked.by_user(&retained);
        if !reduced.is_empty() {
            record(node, asked.slot, &reduced);
        }
    }
    Ok(())
}

/// Tries again while a flush is on its way.
fn settled(catalog: &Catalog, asked: &Asked, disk: &mut dyn Disk) -> Result<Option<Vec<Retained>>, SegmentError> {
    for _ in 0..FLIGHT_POLLS_MAX {
        if let Some(retained) = catalog.retain(asked.slot, &asked.retain, disk)? {
            return Ok(Some(retained));
        }
        std::thread::sleep(FLIGHT_POLL);
    }
    tracing::info!(slot = asked.slot.0, "retention waits for a quieter moment");
    Ok(None)
}

impl Asked {
    pub fn of(base: &dyn BaseStore, slot: SlotId, rules: &[RetentionRule]) -> Result<Self, storage::StoreError> {
        let now = now();
        let (mut retain, mut user_of) = (Vec::new(), FxHashMap::default());
        for holder in base.series_holders(slot)? {
            let Some(rule) = rules.iter().find(|rule| rule.matches(&holder.kind, &holder.stream_ids)) else { continue };
            retain.push(of_rule(&holder, rule, now));
            user_of.insert(holder.key, holder.user);
        }
        Ok(Self { slot, retain, user_of })
    }

    /// What a run would do; changes nothing.
    pub fn preview(&self, catalog: &Catalog, disk: &mut dyn Disk) -> Result<Vec<(UserId, Reduced)>, SegmentError> {
        Ok(self.by_user(&catalog.preview_retention(self.slot, &self.retain, disk)?))
    }

    fn by_user(&self, retained: &[Retained]) -> Vec<(UserId, Reduced)> {
        let mut users: FxHashMap<&UserId, Reduced> = FxHashMap::default();
        for Retained { key, rows_before, rows_after } in retained {
            let Some(user) = self.user_of.get(key) else { continue };
            let reduced = users.entry(user).or_default();
            reduced.series += 1;
            reduced.points_before += rows_before;
            reduced.points_after += rows_after;
        }
        let mut users: Vec<_> = users.into_iter().map(|(user, reduced)| (user.clone(), reduced)).collect();
        users.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        users
    }
}

/// The age of a point is that of its own time: the event's plus its delta.
fn of_rule(holder: &SeriesHolder, rule: &RetentionRule, now: f64) -> Retain {
    #[allow(clippy::cast_precision_loss, reason = "days of a century")]
    let keep_s = rule.keep_days as f64 * S_PER_DAY;
    #[allow(clippy::cast_possible_truncation, reason = "a float is cut to the range of the integer")]
    let before_ns = ((now - keep_s - holder.time) * NS_PER_S) as i64;
    let bucket_ns = match rule.then {
        Then::Nothing => None,
        Then::Buckets { seconds } => Some(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000)),
    };
    Retain { key: holder.key, before_ns, bucket_ns }
}

/// The audit of each user tells what became of its points.
fn record(node: &Node, slot: SlotId, reduced: &[(UserId, Reduced)]) {
    if !node.config.audit.active || !node.audit_filter.accepts(AUDIT_ACTION) {
        return;
    }
    let records = reduced.iter().map(|(user, reduced)| {
        let detail = json!({
            "source": { "name": "internal" },
            "series": reduced.series,
            "pointsBefore": reduced.points_before,
            "pointsAfter": reduced.points_after,
        });
        let record = AuditRecord {
            id: fresh_item_id(),
            time: now(),
            access_id: "system".to_owned(),
            access_serial: None,
            action: AUDIT_ACTION.to_owned(),
            error: None,
            detail: detail.as_object().cloned().unwrap_or_default(),
        };
        (user.clone(), record)
    });
    match node.base.audit(slot, records.collect()).blocking_recv() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "retention was applied, and its audit records could not be stored"),
        Err(_) => tracing::error!("retention was applied, and the engine stopped before its audit records were stored"),
    }
}
