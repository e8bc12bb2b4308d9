//! What a seed is about and outlives its processes: the disk, the truth, the clients, the dice.

use std::path::Path;

use model::{Grant, Right, SeriesKey, ServerTask, UserId};
use series::fault::{Fault, MemoryDisk};

use super::counts::{Counts, Event};
use super::disk::TracedDisk;
use super::model::Model;
use super::posts::Poster;
use crate::random::Random;

pub(super) const LOG: &str = "/log";
pub(super) const SEGMENTS: &str = "/series";

pub(super) struct Ground {
    pub(super) random: Random,
    pub(super) disk: TracedDisk,
    pub(super) model: Model,
    pub(super) poster: Poster,
    pub(super) counts: Counts,
    pub(super) epoch: u64,
    /// Anything may go wrong at any time.
    pub(super) has_faults: bool,
    /// The last fault that was planned: when all is off, it tells whether the machine is.
    fault: Fault,
    /// The first promise that was broken.
    pub(super) violation: Option<String>,
}

impl Ground {
    pub(super) fn new(seed: u64, told: bool) -> Self {
        let mut random = Random::new(seed);
        let disk = TracedDisk::new(MemoryDisk::new(random.next()), told);
        let mut model = Model::default();
        let poster = Poster::new(&mut random);
        poster.keys().for_each(|key| model.create(key));
        Self {
            random,
            disk,
            model,
            poster,
            counts: Counts::default(),
            epoch: 0,
            has_faults: false,
            fault: Fault::Kill,
            violation: None,
        }
    }

    pub(super) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what());
        }
    }

    pub(super) fn fail(&mut self, what: String) {
        self.disk.tell(|| format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    pub(super) fn plan_fault(&mut self, after: u64, count: u64, fault: Fault) {
        self.disk.tell(|| format!("in {after} operations {count} times: {fault:?}"));
        self.fault = fault;
        self.disk.memory().fail_some_after(after, count, fault);
    }

    /// The process is gone; the next one will find what it has left, or, when the power goes, what of it is durable.
    pub(super) fn end_process(&mut self, power_cut: bool) {
        let is_power_off = self.disk.memory().is_off() && self.fault == Fault::PowerCut;
        let seed = self.random.next();
        if power_cut || is_power_off {
            self.disk.tell(|| "== power cut".to_owned());
            self.counts.one(Event::PowerCut);
            self.disk.memory().restart(seed);
        } else {
            self.disk.tell(|| "== the process is gone".to_owned());
            self.counts.one(Event::Kill);
            self.disk.memory().restart_process();
        }
    }

    /// The names of the files in a folder, whatever the disk's state.
    pub(super) fn files_in(&self, folder: &str) -> Vec<String> {
        let paths = self.disk.memory().paths();
        let inside = paths.iter().filter(|path| path.parent() == Some(Path::new(folder)));
        inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    }
}

pub(super) fn may_write(key: SeriesKey) -> Grant {
    Grant::server_itself(ServerTask::Operator, UserId::new("u"), key.slot(), Right::WriteSeries(key))
}

pub(super) fn may_read(key: SeriesKey) -> Grant {
    Grant::server_itself(ServerTask::Operator, UserId::new("u"), key.slot(), Right::ReadSeries(key))
}
