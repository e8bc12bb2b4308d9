//! Which segments are alive, for the whole node. Readers take a snapshot; flushes, merges and retention put a new list in
//! its place. A file that was replaced goes with [`Catalog::sweep`], once no reader holds it.
//!
//! Rows must go for two reasons: their series was deleted ([`Catalog::forget`]), or a retention rule voided them (trims,
//! see [`super::format`]). Segments with such rows are due: [`Catalog::erase`] writes them anew without.

use super::SegmentError;
use super::build::flush;
use super::format::{SegmentName, TEMPORARY_SUFFIX, Trim};
use super::merge::{MergePlan, merge};
use super::plan::choose;
use super::read::Segment;
use crate::disk::{Disk, Op};
use crate::ring::Frozen;
use model::{SeriesKey, SlotId};
use rustc_hash::FxHashSet;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// A segment is rewritten for its void rows once they are this part of its bytes: they are invisible at once, and a rule
/// that moves on every day would else rewrite the same file every day.
const VOID_SHARE_MIN: u64 = 4;
/// Smaller segments count as not merged yet.
const SMALL_BYTES: u64 = 8 << 20;

pub struct Catalog {
    dir: PathBuf,
    /// Ascending by slot and flush: later ones of a slot win.
    live: RwLock<Arc<Vec<Arc<Segment>>>>,
    state: Mutex<State>,
    /// One merge at a time.
    merging: Mutex<()>,
}

#[derive(Default)]
struct State {
    number_last: u64,
    /// Flushes on their way: no merge may take segments on both sides of one.
    in_flight: BTreeSet<u64>,
    /// Deleted since the start, or found without a holder then.
    dead: FxHashSet<SeriesKey>,
    /// Live segments that hold rows which must go.
    due: BTreeSet<SegmentName>,
    /// Replaced, their files not removed yet; oldest first.
    retired: Vec<Arc<Segment>>,
    /// Files that have their names and must not count, since what came behind their rename failed. They go before the next
    /// merge: a start would take them for what their names say.
    spoiled: Vec<PathBuf>,
    totals: MergeTotals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeTotals {
    pub merges: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogStats {
    pub segments: usize,
    pub bytes: u64,
    pub rows: u64,
    /// Segments that hold rows which must go.
    pub due: usize,
    /// Files that were replaced and are still held by readers.
    pub retired: usize,
    pub since_start: MergeTotals,
}

/// What one merge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeReport {
    pub slot: SlotId,
    pub inputs: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub rows_before: u64,
    pub rows_after: u64,
}

/// The number of a flush. Until it is done, or given up, merges stay below it.
pub(super) struct Flight<'a> {
    catalog: &'a Catalog,
    pub(super) number: u64,
}

impl Catalog {
    /// Opens all segments of the folder; removes incomplete ones, and those that were merged into others.
    pub fn open(dir: &Path, disk: &mut dyn Disk) -> Result<Self, SegmentError> {
        // A killed process may have left names in memory only: what counts from now on must count after a power cut, too,
        // before anything is removed that it stands for.
        disk.execute(Op::SyncDir { path: dir })?;
        let mut names = Vec::new();
        let mut obsolete = Vec::new();
        for file in disk.list(dir)? {
            if let Some(name) = SegmentName::parse(&file) {
                names.push(name);
            } else if file.ends_with(TEMPORARY_SUFFIX) {
                obsolete.push(dir.join(file));
            }
        }
        let mut live: Vec<Arc<Segment>> = Vec::new();
        for name in without_replaced(dir, names, &mut obsolete)? {
            live.push(Arc::new(Segment::open(dir, name, disk)?));
        }
        for path in &obsolete {
            disk.execute(Op::Remove { path })?;
        }
        if !obsolete.is_empty() {
            disk.execute(Op::SyncDir { path: dir })?;
        }
        let number_last = live.iter().map(|segment| segment.name().last.max(segment.name().version)).max();
        let mut state = State { number_last: number_last.unwrap_or(0), ..State::default() };
        state.mark_due(&live);
        Ok(Self {
            dir: dir.to_owned(),
            live: RwLock::new(Arc::new(live)),
            state: Mutex::new(state),
            merging: Mutex::default(),
        })
    }

    /// Writes the frozen ring as segments and makes them visible. Then call `Ingest::flushed`, then the checkpoint.
    pub fn flush(&self, frozen: &Frozen, disk: &mut dyn Disk) -> Result<Vec<Arc<Segment>>, SegmentError> {
        let flight = self.take_off();
        let dead: FxHashSet<SeriesKey> = {
            let state = self.state();
            frozen.ring.series.keys().filter(|key| state.dead.contains(key)).copied().collect()
        };
        let mut segments = Vec::new();
        if let Err(error) = flush(frozen, &|key| !dead.contains(&key), &self.dir, flight.number, disk, &mut segments) {
            self.spoil(&segments, disk);
            return Err(error);
        }
        self.replace(&[], segments.clone(), Some(flight));
        Ok(segments)
    }

    /// The segments that have points of the series in `[from_ns, to_ns)`, or void some; later ones win. Take the ring's
    /// view first.
    pub fn for_key(&self, key: SeriesKey, from_ns: i64, to_ns: i64) -> Vec<Arc<Segment>> {
        let Some(last_ns) = to_ns.checked_sub(1) else { return Vec::new() };
        let touches = |segment: &&Arc<Segment>| {
            !segment.blocks(key, from_ns, last_ns).is_empty() || !segment.trims_of(key).is_empty()
        };
        if self.state().dead.contains(&key) {
            return Vec::new();
        }
        let live = self.snapshot();
        of_slot(&live, key.slot()).iter().filter(touches).map(Arc::clone).collect()
    }

    /// These series are deleted: their rows will not be written to segments any more, and go from those that have them
    /// with [`Catalog::erase`].
    pub fn forget(&self, keys: &[SeriesKey]) {
        let live = self.snapshot();
        let mut state = self.state();
        for key in keys {
            state.dead.insert(*key);
            let holders = of_slot(&live, key.slot()).iter().filter(|segment| !segment.all_blocks(*key).is_empty());
            state.due.extend(holders.map(|segment| segment.name()));
        }
    }

    /// At start: series without a holder event are deleted ones whose rows have not gone yet.
    pub fn forget_all_but(&self, alive: &dyn Fn(SeriesKey) -> bool) {
        let mut dead: Vec<SeriesKey> = self.snapshot().iter().flat_map(|segment| segment.keys()).collect();
        dead.retain(|key| !alive(*key));
        dead.sort_unstable();
        dead.dedup();
        self.forget(&dead);
    }

    /// Segments that hold rows which must go.
    pub fn due(&self) -> Vec<SegmentName> {
        self.state().due.iter().copied().collect()
    }

    /// Merges the neighbours of one slot that want it most. `None`: nothing wants to be merged.
    pub fn merge_once(&self, segment_bytes_max: u64, disk: &mut dyn Disk) -> Result<Option<MergeReport>, SegmentError> {
        let _alone = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        self.run(self.plan_merge(segment_bytes_max), disk)
    }

    /// Writes a segment anew without the rows that must go. `None`: it was merged, or written anew, since it was due.
    ///
    /// Go through [`Catalog::due`] once: with deletions all the time, what was written anew may be due again at once.
    pub fn erase(&self, name: SegmentName, disk: &mut dyn Disk) -> Result<Option<MergeReport>, SegmentError> {
        let _alone = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        self.run(self.plan_erasure(name), disk)
    }

    /// Removes the files that were replaced and that no reader holds. Gives how many are still held.
    pub fn sweep(&self, disk: &mut dyn Disk) -> Result<usize, SegmentError> {
        loop {
            // One at a time and in order: what a crash leaves is never a trim's file gone before the rows that it voids.
            let next = {
                let state = self.state();
                let held: FxHashSet<SlotId> = state.retired.iter().filter(|one| is_held(one)).map(slot_of).collect();
                let mut free = state.retired.iter().filter(|one| !held.contains(&slot_of(one)));
                match free.next() {
                    Some(segment) => Arc::clone(segment),
                    None => return Ok(state.retired.len()),
                }
            };
            match disk.execute(Op::Remove { path: next.path() }) {
                // Removed before, when the sync of the folder failed.
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => disk.execute(Op::SyncDir { path: &self.dir })?,
            };
            self.state().retired.retain(|one| !Arc::ptr_eq(one, &next));
        }
    }

    pub fn snapshot(&self) -> Arc<Vec<Arc<Segment>>> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn stats(&self) -> CatalogStats {
        let segments = self.snapshot();
        let state = self.state();
        CatalogStats {
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.bytes()).sum(),
            rows: segments.iter().map(|segment| segment.rows()).sum(),
            due: state.due.len(),
            retired: state.retired.len(),
            since_start: state.totals,
        }
    }

    /// The most small segments that any slot has: how far merges lag behind.
    pub fn unmerged(&self) -> usize {
        let live = self.snapshot();
        let slots = live.chunk_by(|a, b| slot_of(a) == slot_of(b));
        slots.map(|slot| slot.iter().filter(|segment| segment.bytes() < SMALL_BYTES).count()).max().unwrap_or(0)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A number that was never given, noted as in flight.
    pub(super) fn take_off(&self) -> Flight<'_> {
        let mut state = self.state();
        let number = state.next_number();
        state.in_flight.insert(number);
        Flight { catalog: self, number }
    }

    /// The list without `old` and with `new`, which readers see at once. What is due follows.
    pub(super) fn replace(&self, old: &[Arc<Segment>], new: Vec<Arc<Segment>>, flight: Option<Flight<'_>>) {
        {
            let mut state = self.state();
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            let mut list = Vec::clone(&live);
            list.retain(|segment| !old.iter().any(|one| Arc::ptr_eq(one, segment)));
            list.extend(new.iter().map(Arc::clone));
            list.sort_unstable_by_key(|segment| segment.name());
            for segment in old {
                state.due.remove(&segment.name());
            }
            state.retired.extend(old.iter().map(Arc::clone));
            state.mark_due_again(&list, &new);
            *live = Arc::new(list);
        }
        // Only now: merges may take what is in the list.
        drop(flight);
    }

    /// These were written, and are not in use. Their space is free at once, if the disk lets it be.
    pub(super) fn spoil(&self, segments: &[Arc<Segment>], disk: &mut dyn Disk) {
        for segment in segments {
            // Tried again, and synced, before the next merge.
            let _ = disk.execute(Op::Remove { path: segment.path() });
            self.state().spoiled.push(segment.path().to_owned());
        }
    }

    pub(super) fn remove_spoiled(&self, disk: &mut dyn Disk) -> Result<(), SegmentError> {
        let spoiled = self.state().spoiled.clone();
        for path in &spoiled {
            match disk.execute(Op::Remove { path }) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        if !spoiled.is_empty() {
            disk.execute(Op::SyncDir { path: &self.dir })?;
            self.state().spoiled.retain(|path| !spoiled.contains(path));
        }
        Ok(())
    }

    /// Nothing in flight has a lower number.
    pub(super) fn is_first_in_flight(&self, number: u64) -> bool {
        self.state().in_flight.first().is_none_or(|first| *first >= number)
    }

    fn plan_merge(&self, segment_bytes_max: u64) -> Option<MergePlan> {
        let live = self.snapshot();
        let mut state = self.state();
        let settled_before = state.in_flight.first().copied().unwrap_or(u64::MAX);
        let slots: BTreeSet<SlotId> = live.iter().map(slot_of).collect();
        for slot in slots {
            let segments = of_slot(&live, slot);
            let settled = segments.partition_point(|segment| segment.name().last < settled_before);
            let sizes: Vec<u64> = segments.iter().take(settled).map(|segment| segment.bytes()).collect();
            if let Some(window) = choose(&sizes, segment_bytes_max) {
                return state.plan(segments, window);
            }
        }
        None
    }

    fn plan_erasure(&self, name: SegmentName) -> Option<MergePlan> {
        let live = self.snapshot();
        let mut state = self.state();
        let segments = of_slot(&live, name.slot);
        let position = segments.iter().position(|segment| segment.name() == name)?;
        state.plan(segments, position..position + 1)
    }

    fn run(&self, plan: Option<MergePlan>, disk: &mut dyn Disk) -> Result<Option<MergeReport>, SegmentError> {
        let Some(plan) = plan else { return Ok(None) };
        self.remove_spoiled(disk)?;
        let merged = merge(&plan, &self.dir, disk)?.map(Arc::new);
        if let Some(merged) = &merged
            && let Err(error) = disk.execute(Op::SyncDir { path: &self.dir })
        {
            self.spoil(std::slice::from_ref(merged), disk);
            return Err(error.into());
        }
        let sum = |segments: &[Arc<Segment>], of: fn(&Segment) -> u64| segments.iter().map(|one| of(one)).sum();
        let report = MergeReport {
            slot: plan.name.slot,
            inputs: plan.inputs.len(),
            bytes_before: sum(&plan.inputs, Segment::bytes),
            bytes_after: merged.as_ref().map_or(0, |merged| merged.bytes()),
            rows_before: sum(&plan.inputs, Segment::rows),
            rows_after: merged.as_ref().map_or(0, |merged| merged.rows()),
        };
        self.replace(&plan.inputs, merged.into_iter().collect(), None);
        let totals = &mut self.state().totals;
        totals.merges += 1;
        totals.bytes_read += report.bytes_before;
        totals.bytes_written += report.bytes_after;
        Ok(Some(report))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.number_last += 1;
        self.number_last
    }

    fn plan(&mut self, segments: &[Arc<Segment>], window: std::ops::Range<usize>) -> Option<MergePlan> {
        let inputs = segments.get(window.clone())?.to_vec();
        let (first, last) = (inputs.first()?.name(), inputs.last()?.name());
        let dead = inputs.iter().flat_map(|input| input.keys()).filter(|key| self.dead.contains(key)).collect();
        let newer = segments.get(window.end..).unwrap_or_default();
        // A file that nothing took the place of comes back with a crash until it is removed.
        let retired = self.retired.iter().filter(|one| slot_of(one) == first.slot && one.name() < first);
        let older = segments.iter().take(window.start).chain(retired).map(Arc::clone).collect();
        Some(MergePlan {
            dead,
            newer_trims: newer.iter().flat_map(|segment| segment.trims().iter().copied()).collect(),
            older,
            name: SegmentName { slot: first.slot, first: first.first, last: last.last, version: self.next_number() },
            inputs,
        })
    }

    /// `new` may hold rows of series that were deleted while it was written, or that later segments void; and it may
    /// void rows of earlier ones.
    fn mark_due_again(&mut self, live: &[Arc<Segment>], new: &[Arc<Segment>]) {
        let has_trims = new.iter().any(|segment| !segment.trims().is_empty());
        if has_trims {
            return self.mark_due(live);
        }
        for segment in new {
            let later = of_slot(live, segment.name().slot).iter().filter(|one| one.name() > segment.name());
            let trims: Vec<Trim> = later.flat_map(|one| one.trims().iter().copied()).collect();
            self.mark_segment(segment, &trims);
        }
    }

    fn mark_due(&mut self, live: &[Arc<Segment>]) {
        for slot in live.chunk_by(|a, b| slot_of(a) == slot_of(b)) {
            let mut later: Vec<Trim> = Vec::new();
            for segment in slot.iter().rev() {
                self.mark_segment(segment, &later);
                later.extend_from_slice(segment.trims());
            }
        }
    }

    fn mark_segment(&mut self, segment: &Segment, later_trims: &[Trim]) {
        let has_dead = !self.dead.is_empty() && segment.keys().any(|key| self.dead.contains(&key));
        if has_dead || void_bytes(segment, later_trims) > segment.bytes() / VOID_SHARE_MIN {
            self.due.insert(segment.name());
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.catalog.state().in_flight.remove(&self.number);
    }
}

/// Bytes of the blocks of which nothing is left.
fn void_bytes(segment: &Segment, trims: &[Trim]) -> u64 {
    let void = trims.iter().filter_map(|trim| {
        let blocks = segment.blocks(trim.key, trim.from_ns, trim.before_ns.checked_sub(1)?);
        let covered = blocks.iter().filter(|block| trim.from_ns <= block.first_ns && block.last_ns < trim.before_ns);
        Some(covered.map(|block| u64::from(block.bytes)).sum::<u64>())
    });
    void.sum()
}

fn slot_of(segment: &Arc<Segment>) -> SlotId {
    segment.name().slot
}

/// Somebody besides the list of retired ones.
fn is_held(segment: &Arc<Segment>) -> bool {
    Arc::strong_count(segment) > 1
}

pub(super) fn of_slot(live: &[Arc<Segment>], slot: SlotId) -> &[Arc<Segment>] {
    let start = live.partition_point(|segment| slot_of(segment) < slot);
    let end = live.partition_point(|segment| slot_of(segment) <= slot);
    live.get(start..end).unwrap_or_default()
}

/// The segments that count, ascending; the paths of the others go to `obsolete`.
fn without_replaced(
    dir: &Path,
    mut names: Vec<SegmentName>,
    obsolete: &mut Vec<PathBuf>,
) -> Result<Vec<SegmentName>, SegmentError> {
    // A replacing file comes before what it replaces.
    names.sort_unstable_by_key(|name| (name.slot, name.first, std::cmp::Reverse((name.last, name.version))));
    let mut kept: Vec<SegmentName> = Vec::with_capacity(names.len());
    for name in names {
        match kept.last() {
            Some(before) if before.replaces(&name) => obsolete.push(name.path(dir)),
            Some(before) if before.overlaps(&name) => {
                return Err(SegmentError::Overlap { file: name.path(dir), other: before.path(dir) });
            }
            _ => kept.push(name),
        }
    }
    Ok(kept)
}
