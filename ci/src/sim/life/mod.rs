//! The life of one process, action by action. There are no threads: what a thread would do next is an action, and while
//! one works on the disk, others happen between its operations.

mod read;
mod write;

use series::{Disk, DiskError, Op, Output};

use super::counts::Event;
use super::ground::{Ground, LOG, SEGMENTS};
use super::process::{Process, Shard};

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
            0..34 => self.post(),
            34..56 => self.step_any(),
            56..61 => self.freeze_any(),
            61..68 => self.flush_any(),
            68..76 => self.read_whole(),
            76..81 => self.open_read(),
            81..95 => self.read_page(),
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
                if let Err(what) = self.ground.model.settle(found, may_tear, &mut self.ground.counts) {
                    self.ground.fail(format!("after a start: {what}"));
                }
            }
            Err(error) => self.ground.fail(format!("a read failed on a disk that works: {error}")),
        }
    }

    pub(super) fn into_ground(self) -> &'g mut Ground {
        self.ground
    }

    /// The orderly end: everything goes into segments. Whether it did, and the log is gone.
    pub(super) fn stop(&mut self) -> bool {
        for shard in 0..self.process.shards.len() {
            // The frozen ring first, then what is active behind it.
            for _ in 0..2 {
                self.step(shard);
                self.freeze(shard);
                self.flush(shard);
            }
        }
        let is_sound = self.process.shards.iter().all(Shard::is_sound);
        is_sound && self.ground.files_in(LOG).iter().all(|name| !name.ends_with(".log"))
    }

    fn between(&mut self) -> bool {
        let happens = self.depth < DEPTH_MAX && self.ground.random.one_in(8);
        if happens {
            self.depth += 1;
            self.act();
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
