//! The one thread beside the shards: merges, erasure of what must go, retention, removal of replaced files.

use std::sync::Arc;

use model::SlotId;
use series::{Catalog, Disk, MergeReport, Retain, SegmentError};

use super::Life;
use crate::sim::counts::Event;
use crate::sim::ground::{Ground, SEGMENTS};

/// An upkeep that goes on for longer than this never ends.
const UPKEEP_ROUNDS_MAX: u32 = 200;
/// Segments of less than [`NOT_SMALL_BYTES`] in a slot when all is merged that wants to be.
const SMALL_PER_SLOT_MAX: u64 = 4;
const NOT_SMALL_BYTES: u64 = 64 << 10;

type Act = fn(&Catalog, u64, &mut dyn Disk) -> Result<Option<MergeReport>, SegmentError>;

impl Life<'_> {
    /// Whether there was something to do.
    pub(super) fn merge(&mut self) -> bool {
        self.rewrite(Event::Merged, |catalog, segment_bytes_max, disk| catalog.merge_once(segment_bytes_max, disk))
    }

    pub(super) fn erase(&mut self) -> bool {
        self.rewrite(Event::Erased, |catalog, _, disk| match catalog.due().first() {
            Some(name) => catalog.erase(*name, disk),
            None => Ok(None),
        })
    }

    fn rewrite(&mut self, event: Event, act: Act) -> bool {
        if self.process.is_upkeeping {
            return false;
        }
        self.process.is_upkeeping = true;
        self.ground.disk.tell(|| format!("{event:?}"));
        let (catalog, segment_bytes_max) = (Arc::clone(&self.process.catalog), self.process.segment_bytes_max);
        let mut disk = self.disk();
        let result = act(&catalog, segment_bytes_max, &mut disk);
        let is_interleaved = disk.interruptions > 0;
        self.process.is_upkeeping = false;
        let counts = &mut self.ground.counts;
        match result {
            Ok(None) => return false,
            Ok(Some(_)) => {
                self.process.changes += 1;
                counts.one(event);
                counts.add(Event::MergeInterleaved, u64::from(is_interleaved));
            }
            Err(_) => counts.one(Event::MergeFailed),
        }
        true
    }

    pub(super) fn sweep(&mut self) {
        if self.process.is_upkeeping {
            return;
        }
        self.process.is_upkeeping = true;
        self.ground.disk.tell(|| "sweep".to_owned());
        let catalog = Arc::clone(&self.process.catalog);
        let retired = catalog.stats().retired;
        let held = catalog.sweep(&mut self.disk());
        self.process.is_upkeeping = false;
        if let Ok(held) = held {
            let removed = retired.saturating_sub(held);
            self.ground.counts.add(Event::SegmentFilesRemoved, u64::try_from(removed).unwrap_or(0));
            self.ground.counts.add(Event::SegmentFilesHeld, u64::from(held > 0));
        }
    }

    /// A retention rule for some series of a slot.
    pub(super) fn retain_any(&mut self) {
        if self.process.is_upkeeping {
            return;
        }
        self.flush_all();
        let live = self.ground.model.live();
        let Some(slot) = self.ground.random.pick(&live).map(|key| key.slot()) else { return };
        let is_in_flight = self.process.shards.iter().any(|shard| shard.is_flushing);
        let mut asked = Vec::new();
        for key in live.into_iter().filter(|key| key.slot() == slot) {
            // What is in the ring yet is newer than the reduction, and the model does not know where a row is.
            if is_in_flight || !self.ground.random.one_in(3) && self.is_ring_without(key) {
                let before_ns = self.any_bound(i64::MAX);
                let bucket_ns = self.ground.poster.bucket_ns(&mut self.ground.random);
                asked.push(Retain { key, before_ns, bucket_ns });
            }
        }
        if !asked.is_empty() {
            self.process.is_upkeeping = true;
            self.ground.disk.tell(|| format!("retention: {asked:?}"));
            self.retain(slot, &asked, is_in_flight);
            self.process.is_upkeeping = false;
        }
    }

    fn retain(&mut self, slot: SlotId, asked: &[Retain], is_in_flight: bool) {
        let act = (!is_in_flight).then(|| self.ground.model.begin_reduction(asked));
        let catalog = Arc::clone(&self.process.catalog);
        let result = catalog.retain(slot, asked, &mut self.disk());
        let Ground { model, counts, .. } = &mut *self.ground;
        match (result, act) {
            (Ok(Some(_)), Some(act)) => {
                model.acknowledge(act);
                counts.one(Event::Retained);
                self.process.changes += 1;
            }
            (Ok(None), act) => {
                act.into_iter().for_each(|act| model.give_up(act));
                counts.one(Event::RetentionWaits);
            }
            (Ok(Some(_)), None) => self.ground.fail("retention did not wait for the flush on its way".to_owned()),
            (Err(_), _) => counts.one(Event::RetentionFailed),
        }
    }

    /// All that is due, on a disk that works and without readers: few files are left, and nothing of what must go.
    pub(super) fn upkeep_all(&mut self) {
        let mut rounds = 0;
        while rounds < UPKEEP_ROUNDS_MAX && (self.merge() || self.erase()) {
            rounds += 1;
        }
        self.ground.check(rounds < UPKEEP_ROUNDS_MAX, || "the upkeep never ends".to_owned());
        self.sweep();
        let stats = self.process.catalog.stats();
        self.ground.check(stats.due == 0 && stats.retired == 0, || format!("the upkeep left something: {stats:?}"));
        let catalog = Arc::clone(&self.process.catalog);
        let model = &self.ground.model;
        let dead = catalog.snapshot().iter().flat_map(|segment| segment.keys()).find(|key| !model.is_alive(*key));
        self.ground.check(dead.is_none(), || format!("{dead:?} is deleted and still on the disk"));
        let files = self.ground.files_in(SEGMENTS).len();
        let is_clean = files == stats.segments || self.process.has_seen_failures(self.ground);
        self.ground.check(is_clean, || format!("{files} files for {} segments", stats.segments));
        // Small ones are merged as soon as there are enough of them, whatever else there is.
        let few = SMALL_PER_SLOT_MAX * self.ground.poster.slots() + stats.bytes / NOT_SMALL_BYTES;
        let count = u64::try_from(stats.segments).unwrap_or(u64::MAX);
        self.ground.check(count <= few, || format!("{count} segments of {} bytes, at most {few}", stats.bytes));
    }
}
