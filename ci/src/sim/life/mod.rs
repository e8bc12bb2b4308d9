//! The life of one process, action by action. There are no threads: what a thread would do next is an action, and while
//! one works on the disk, others happen between its operations.

mod read;
mod upkeep;
mod write;

use std::collections::BTreeMap;

use model::SeriesKey;
use series::{Disk, DiskError, Op, Output};

use super::counts::Event;
use super::ground::{Ground, LOG, SEGMENTS};
use super::process::{Process, Shard};
use super::rows::Row;

/// Actions inside of actions.
const DEPTH_MAX: u32 = 2;

pub(super) struct Life<'g> {
    pub(super) ground: &'g mut Ground,
    process: Process,
    depth: u32,
}

/// The disk of an action that others interrupt.
struct Between<'a, 'g> {
    life: &'a mut Life<'g>,
    interruptions: u64,
}

impl<'g> Life<'g> {
    pub(super) fn new(ground: &'g mut Ground, process: Process) -> Self {
        Self { ground, process, depth: 0 }
    }

    /// Something happens.
    pub(super) fn act(&mut self) {
        if self.ground.violation.is_some() {
            return;
        }
        match self.ground.random.below(100) {
            0..29 => self.post(),
            29..32 => self.burst(),
            32..52 => self.step_any(),
            52..58 => self.freeze_any(),
            58..67 => self.flush_any(),
            67..74 => self.read_whole(),
            74..79 => self.open_read(),
            79..90 => self.read_page(),
            90 | 91 => drop(self.merge()),
            92 => drop(self.erase()),
            93 => self.retain_any(),
            94 => self.sweep(),
            95 => self.delete_any(),
            96 => self.post_to_the_dead(),
            _ => self.free_space(),
        }
    }

    /// What the recovery has made of the disk, against what it may have made of it.
    pub(super) fn compare(&mut self) {
        let logs = self.ground.files_in(LOG);
        self.ground.check(logs.is_empty(), || format!("a start has left {logs:?} in the folder of the log"));
        let on_disk = self.ground.files_in(SEGMENTS);
        let live = self.process.catalog.snapshot().len();
        self.ground.check(on_disk.len() == live, || format!("{live} segments are in use, on the disk are {on_disk:?}"));
        let may_tear = self.ground.disk.take_log_sync_failed();
        match self.read_all() {
            Ok(found) => {
                self.check_extents(&found);
                if let Err(what) = self.ground.model.settle(found, may_tear, &mut self.ground.counts) {
                    self.ground.fail(format!("after a start: {what}"));
                }
            }
            Err(error) => self.ground.fail(format!("a read failed on a disk that works: {error}")),
        }
    }

    /// What the holder events are told of the replayed points must be true.
    fn check_extents(&mut self, found: &BTreeMap<SeriesKey, BTreeMap<i64, Row>>) {
        let is_there =
            |(key, last_ns): &(&SeriesKey, &i64)| found.get(key).is_some_and(|rows| rows.contains_key(last_ns));
        let missing = self.process.extents.iter().find(|extent| !is_there(extent));
        let what =
            missing.map(|(key, last_ns)| format!("{last_ns} was replayed of {:x}, and is not there", key.as_u64()));
        self.ground.check(what.is_none(), || what.unwrap_or_default());
    }

    pub(super) fn into_ground(self) -> &'g mut Ground {
        self.ground
    }

    /// The orderly end on a disk that works: everything goes into segments, and the upkeep does all that is due. Whether
    /// there is no log.
    pub(super) fn stop(&mut self) -> bool {
        // Nobody else is there any more.
        self.depth = DEPTH_MAX;
        self.process.reads.clear();
        self.flush_all();
        self.upkeep_all();
        let is_sound = self.process.shards.iter().all(Shard::is_sound);
        let logs = self.ground.files_in(LOG).iter().filter(|name| name.ends_with(".log")).count();
        self.ground.check(!is_sound || logs == 0, || format!("{logs} files of log are left after all was flushed"));
        is_sound
    }

    /// Whatever a shard has in its ring becomes segments.
    fn flush_now(&mut self) {
        let shard = self.any_shard();
        self.step(shard);
        self.freeze(shard);
        self.flush(shard);
    }

    fn flush_all(&mut self) {
        for shard in 0..self.process.shards.len() {
            // The frozen ring first, then what is active behind it.
            for _ in 0..2 {
                self.step(shard);
                self.freeze(shard);
                self.flush(shard);
            }
            // One that has failed before is tried again.
            self.checkpoint(shard);
        }
    }

    fn between(&mut self) -> bool {
        let happens = self.depth < DEPTH_MAX && self.ground.random.one_in(self.process.interrupted_every);
        if happens {
            self.depth += 1;
            // Flushes and merges have more to fear of each other than of anything else.
            match self.ground.random.below(10) {
                0 => self.flush_now(),
                1 => drop(self.merge()),
                _ => self.act(),
            }
            self.depth -= 1;
        }
        happens
    }

    /// The disk for an action, which the random walk goes on beside.
    fn disk(&mut self) -> Between<'_, 'g> {
        Between { life: self, interruptions: 0 }
    }

    fn any_shard(&mut self) -> usize {
        self.ground.random.below(self.process.shards.len())
    }

    fn free_space(&mut self) {
        if self.ground.disk.memory().is_full() {
            self.ground.counts.one(Event::DiskFull);
            self.ground.disk.tell(|| "there is space again".to_owned());
            self.ground.disk.memory().free_space();
        }
    }
}

impl Disk for Between<'_, '_> {
    fn execute(&mut self, op: Op<'_>) -> Result<Output, DiskError> {
        self.interruptions += u64::from(self.life.between());
        self.life.ground.disk.execute(op)
    }
}
