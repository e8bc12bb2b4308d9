//! Readers: at once, or page by page while the world goes on.

use std::collections::BTreeMap;

use model::SeriesKey;
use series::ReadPlan;

use super::{DEPTH_MAX, Life};
use crate::sim::counts::Event;
use crate::sim::ground::may_read;
use crate::sim::reads::{OpenRead, Progress};
use crate::sim::rows::{Row, row_of};

const OPEN_READS_MAX: usize = 6;
const SECOND_NS: i64 = 1_000_000_000;

impl Life<'_> {
    /// A reader who asks for all pages at once, and the world waits.
    pub(super) fn read_whole(&mut self) {
        let Some(mut read) = self.begin_read() else { return };
        let mut disk = self.ground.disk.clone();
        loop {
            match read.next_page(&mut disk) {
                Progress::More => {}
                progress => return self.end_read(&read, progress),
            }
        }
    }

    /// A reader who takes one page now and then.
    pub(super) fn open_read(&mut self) {
        if self.process.reads.len() < OPEN_READS_MAX
            && let Some(read) = self.begin_read()
        {
            self.process.reads.push(read);
        }
    }

    pub(super) fn read_page(&mut self) {
        if self.process.reads.is_empty() {
            return;
        }
        let position = self.ground.random.below(self.process.reads.len());
        let mut read = self.process.reads.swap_remove(position);
        if self.ground.random.one_in(40) {
            // The client has closed the connection.
            return;
        }
        match read.next_page(&mut self.disk()) {
            Progress::More => self.process.reads.push(read),
            progress => self.end_read(&read, progress),
        }
    }

    fn begin_read(&mut self) -> Option<OpenRead> {
        let live = self.ground.model.live();
        let key = *self.ground.random.pick(&live)?;
        let (from_ns, to_ns) = self.any_range();
        let expected = self.ground.model.read(key, from_ns, to_ns);
        let page_rows = 1 + self.ground.random.below(200);
        self.ground.disk.tell(|| format!("read of {:x} in {from_ns}..{to_ns}", key.as_u64()));
        let plan = self.plan(key, from_ns, to_ns)?;
        Some(OpenRead::new(key, plan, expected, page_rows, self.process.changes))
    }

    fn any_range(&mut self) -> (i64, i64) {
        match (self.any_bound(i64::MIN), self.any_bound(i64::MAX)) {
            (from_ns, to_ns) if from_ns <= to_ns => (from_ns, to_ns),
            (from_ns, to_ns) => (to_ns, from_ns),
        }
    }

    /// Somewhere among the times of the posts, or the end.
    pub(super) fn any_bound(&mut self, end: i64) -> i64 {
        let random = &mut self.ground.random;
        match random.below(4) {
            0 => end,
            1 => random.between(900, 1_300).cast_signed() * SECOND_NS,
            _ => random.between(0, 50).cast_signed() * SECOND_NS,
        }
    }

    fn plan(&mut self, key: SeriesKey, from_ns: i64, to_ns: i64) -> Option<ReadPlan> {
        let shard = self.process.shards.get(self.process.shard_of(key))?;
        // The ring first: what is flushed in between is seen twice then, and never missed.
        let view = shard.ingest.snapshot(&may_read(key), from_ns, to_ns)?;
        self.segments_change();
        Some(ReadPlan::new(view, self.process.catalog.for_key(key, from_ns, to_ns), from_ns, to_ns))
    }

    /// Now and then the segments change between the two looks of a reader, though not what is in them.
    fn segments_change(&mut self) {
        if self.depth > 0 || !self.ground.random.one_in(8) {
            return;
        }
        self.depth = DEPTH_MAX;
        match self.ground.random.one_in(2) {
            true => self.flush_any(),
            false => drop(self.merge()),
        }
        self.depth = 0;
    }

    fn end_read(&mut self, read: &OpenRead, progress: Progress) {
        let counts = &mut self.ground.counts;
        counts.add(Event::RowsRead, read.rows());
        match progress {
            Progress::Failed => counts.one(Event::ReadFailed),
            Progress::Wrong(what) => self.ground.fail(format!("a read of {:x}: {what}", read.key().as_u64())),
            Progress::More | Progress::Finished => {
                counts.one(Event::ReadFinished);
                counts.add(Event::ReadAcrossChanges, u64::from(read.began_at() != self.process.changes));
            }
        }
    }

    /// All rows of all live series, as a reader finds them. `Err`: a read failed.
    pub(in crate::sim) fn read_all(&mut self) -> Result<BTreeMap<SeriesKey, BTreeMap<i64, Row>>, String> {
        let mut all = BTreeMap::new();
        for key in self.ground.model.live() {
            let page_rows = 1 + self.ground.random.below(300);
            let Some(mut plan) = self.plan(key, i64::MIN, i64::MAX) else { continue };
            let mut rows = BTreeMap::new();
            while let Some(page) =
                plan.next_page(&mut self.ground.disk, page_rows).map_err(|error| error.to_string())?
            {
                let places = page.times_ns.iter().enumerate();
                rows.extend(places.map(|(position, time_ns)| (*time_ns, row_of(&page, position))));
            }
            all.insert(key, rows);
        }
        Ok(all)
    }

    /// Nothing of a deleted series is seen.
    pub(super) fn check_is_gone(&mut self, key: SeriesKey) {
        let Some(mut plan) = self.plan(key, i64::MIN, i64::MAX) else { return };
        let page = plan.next_page(&mut self.ground.disk, 1);
        self.ground.check(matches!(page, Ok(None)), || format!("{:x} is deleted and still seen", key.as_u64()));
    }

    /// All of the series is in segments.
    pub(super) fn is_ring_without(&mut self, key: SeriesKey) -> bool {
        let Some(shard) = self.process.shards.get(self.process.shard_of(key)) else { return false };
        let Some(view) = shard.ingest.snapshot(&may_read(key), i64::MIN, i64::MAX) else { return false };
        let mut plan = ReadPlan::new(view, Vec::new(), i64::MIN, i64::MAX);
        shard.waiting.is_empty() && matches!(plan.next_page(&mut self.ground.disk, 1), Ok(None))
    }
}
