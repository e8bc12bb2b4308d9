//! Reads a series: segments and ring merged in the order of time, page by page.
//!
//! Sources are ranked by age; where two have the same time the younger one's row wins as a whole. In memory are the
//! ring's shared chunks, one block of each segment that is being read, and the page.

use crate::disk::Disk;
use crate::page::Page;
use crate::points::Points;
use crate::ring::{Chunk, RingView};
use crate::rows::RowBuilder;
use crate::segment::SegmentError;
use crate::segment::format::Trim;
use crate::segment::mask::{Mask, masks};
use crate::segment::read::Segment;
use crate::segment::reduce::{has_bucket_columns, winner};
use model::SeriesKey;
use rustc_hash::FxHashSet;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

/// A query on its way. `Send`: it may go to a thread that may block on the disk.
pub struct ReadPlan {
    from_ns: i64,
    /// Inclusive.
    last_ns: i64,
    columns: Vec<Arc<str>>,
    /// The rank is the position: higher ones win.
    sources: Vec<Source>,
    /// (a time that the source's next row is not before, rank): earliest first, then the highest rank.
    heap: BinaryHeap<Reverse<(i64, Reverse<usize>)>>,
    emitted_ns: Option<i64>,
    loads: u64,
    /// A row may be a bucket of retention: a later point of the same time does not replace it.
    has_buckets: bool,
}

struct Source {
    rest: Rest,
    loaded: Option<Loaded>,
}

/// What the source has not loaded yet.
enum Rest {
    Chunk(Option<Arc<Chunk>>),
    /// Positions in the segment's index, so that a long series costs a plan no more than a short one.
    Blocks {
        segment: Arc<Segment>,
        positions: Range<usize>,
        mask: Mask,
    },
}

struct Loaded {
    /// Different for every load: tells the row builder when dictionaries change.
    number: u64,
    points: LoadedPoints,
    /// Rows not emitted yet that lie in the range.
    rows: Range<usize>,
}

enum LoadedPoints {
    Chunk(Arc<Chunk>),
    Block(Points),
}

impl ReadPlan {
    /// `[from_ns, to_ns)` of the view's series. `segments` ascending as [`crate::Catalog::for_key`] gives them.
    pub fn new(view: RingView, segments: Vec<Arc<Segment>>, from_ns: i64, to_ns: i64) -> Self {
        match to_ns.checked_sub(1) {
            Some(last_ns) => Self::inclusive(view, &segments, &[], from_ns, last_ns),
            None => Self::inclusive(RingView::empty(view.key()), &[], &[], from_ns, to_ns),
        }
    }

    /// A frozen ring's chunks, all of them.
    pub(crate) fn of_everything(view: RingView) -> Self {
        Self::inclusive(view, &[], &[], i64::MIN, i64::MAX)
    }

    /// What these segments hold in `[from_ns, last_ns]` and neither they themselves nor `newer_trims` void.
    pub(crate) fn of_segments(
        key: SeriesKey,
        segments: &[Arc<Segment>],
        newer_trims: &[Trim],
        from_ns: i64,
        last_ns: i64,
    ) -> Self {
        Self::inclusive(RingView::empty(key), segments, newer_trims, from_ns, last_ns)
    }

    fn inclusive(view: RingView, segments: &[Arc<Segment>], newer_trims: &[Trim], from_ns: i64, last_ns: i64) -> Self {
        let mut plan = Self {
            from_ns,
            last_ns,
            columns: Vec::new(),
            sources: Vec::new(),
            heap: BinaryHeap::new(),
            emitted_ns: None,
            loads: 0,
            has_buckets: false,
        };
        for (segment, mask) in segments.iter().zip(masks(view.key, segments, newer_trims)) {
            let mut schemas = FxHashSet::default();
            for block in segment.blocks(view.key, from_ns, last_ns).iter().filter(|block| !mask.covers(block)) {
                if schemas.insert(block.schema) {
                    plan.has_buckets |= has_bucket_columns(segment.names_of(block));
                    plan.note_columns(segment.names_of(block).iter());
                }
            }
            let positions = segment.positions(view.key, from_ns, last_ns);
            let rest = Rest::Blocks { segment: Arc::clone(segment), positions, mask };
            if let Some(first_ns) = rest.first_ns() {
                plan.add_source(first_ns, rest);
            }
        }
        for chunk in view.chunks {
            let (Some(first), Some(last)) = (chunk.points.times_ns.first(), chunk.points.times_ns.last()) else {
                continue;
            };
            if *first <= last_ns && *last >= from_ns {
                plan.note_columns(chunk.points.columns.iter().map(|column| &column.name));
                plan.add_source(*first, Rest::Chunk(Some(chunk)));
            }
        }
        plan
    }

    /// The names that have a value in the blocks and chunks that overlap the range.
    pub fn columns(&self) -> &[Arc<str>] {
        &self.columns
    }

    /// The next rows, at most `rows_max` (at least 1 is taken); `None` at the end.
    pub fn next_page(&mut self, disk: &mut dyn Disk, rows_max: usize) -> Result<Option<Page>, SegmentError> {
        let rows_max = rows_max.max(1);
        let mut page = RowBuilder::default();
        while page.rows() < rows_max {
            let Some(Reverse((bound_ns, Reverse(rank)))) = self.heap.pop() else { break };
            let next_ns = self.heap.peek().map(|Reverse((time_ns, _))| *time_ns);
            let from_ns = self.unread_from_ns();
            let Some(source) = self.sources.get_mut(rank) else { continue };
            let Some(loaded) = source.load(from_ns, self.last_ns, &mut self.loads, disk)? else { continue };
            let Some(time_ns) = loaded.next_time_ns() else { continue };
            if self.has_buckets && time_ns == bound_ns && next_ns == Some(time_ns) {
                let row = winner(self.take_rows_at(time_ns, rank, disk)?);
                self.loads += 1;
                page.push_run(self.loads, &row, 0..row.rows());
                self.emitted_ns = Some(time_ns);
                continue;
            }
            let is_still_first = time_ns == bound_ns || next_ns.is_none_or(|next_ns| time_ns < next_ns);
            if is_still_first {
                let run = loaded.run_before(next_ns, rows_max - page.rows());
                self.emitted_ns = run.end.checked_sub(1).and_then(|row| loaded.times_ns().get(row).copied());
                page.push_run(loaded.number, loaded.points(), run.clone());
                loaded.rows.start = run.end;
            }
            if let Some(bound_ns) = source.bound_ns() {
                self.heap.push(Reverse((bound_ns, Reverse(rank))));
            }
        }
        let points = page.take();
        Ok((!points.is_empty()).then_some(Page { times_ns: points.times_ns, columns: points.columns }))
    }

    /// The rows of this time, the latest first: `rank`'s and those of the sources that say they may have one.
    fn take_rows_at(&mut self, time_ns: i64, rank: usize, disk: &mut dyn Disk) -> Result<Vec<Points>, SegmentError> {
        let mut ranks = vec![rank];
        while self.heap.peek().is_some_and(|Reverse((bound_ns, _))| *bound_ns == time_ns) {
            ranks.extend(self.heap.pop().map(|Reverse((_, Reverse(rank)))| rank));
        }
        let from_ns = self.unread_from_ns();
        let mut rows = Vec::new();
        for rank in ranks {
            let Some(source) = self.sources.get_mut(rank) else { continue };
            if let Some(loaded) = source.load(from_ns, self.last_ns, &mut self.loads, disk)?
                && loaded.next_time_ns() == Some(time_ns)
            {
                let start = loaded.rows.start;
                let mut row = RowBuilder::default();
                row.push_run(loaded.number, loaded.points(), start..start + 1);
                rows.push(row.take());
                loaded.rows.start += 1;
            }
            if let Some(bound_ns) = source.bound_ns() {
                self.heap.push(Reverse((bound_ns, Reverse(rank))));
            }
        }
        Ok(rows)
    }

    /// Rows before this are out of range, or were emitted, or were overwritten by one that was.
    fn unread_from_ns(&self) -> i64 {
        // An append refuses i64::MAX as a time, so this never saturates.
        self.emitted_ns.map_or(self.from_ns, |emitted_ns| emitted_ns.saturating_add(1))
    }

    fn add_source(&mut self, first_ns: i64, rest: Rest) {
        self.heap.push(Reverse((first_ns, Reverse(self.sources.len()))));
        self.sources.push(Source { rest, loaded: None });
    }

    fn note_columns<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>) {
        for name in names {
            if !self.columns.iter().any(|known| Arc::ptr_eq(known, name) || known == name) {
                self.columns.push(Arc::clone(name));
            }
        }
    }
}

impl Source {
    /// Loads until there is a row at or behind `from_ns`. `None`: the source has no more rows in the range.
    fn load(
        &mut self,
        from_ns: i64,
        last_ns: i64,
        loads: &mut u64,
        disk: &mut dyn Disk,
    ) -> Result<Option<&mut Loaded>, SegmentError> {
        loop {
            let has_rows = self.loaded.as_mut().is_some_and(|loaded| loaded.skip_before(from_ns));
            if has_rows {
                return Ok(self.loaded.as_mut());
            }
            self.loaded = None;
            let Some(points) = self.rest.next(from_ns, disk)? else { return Ok(None) };
            *loads += 1;
            let times_ns = &points.get().times_ns;
            let end = times_ns.partition_point(|time_ns| *time_ns <= last_ns);
            self.loaded = Some(Loaded { number: *loads, rows: 0..end, points });
        }
    }

    /// A time that the next row is not before; `None` when there is no next row.
    fn bound_ns(&self) -> Option<i64> {
        self.loaded.as_ref().and_then(Loaded::next_time_ns).or_else(|| self.rest.first_ns())
    }
}

impl Rest {
    fn next(&mut self, from_ns: i64, disk: &mut dyn Disk) -> Result<Option<LoadedPoints>, SegmentError> {
        match self {
            Rest::Chunk(chunk) => Ok(chunk.take().map(LoadedPoints::Chunk)),
            Rest::Blocks { segment, positions, mask } => {
                while let Some(block) = positions.next().and_then(|position| segment.block_at(position)) {
                    if block.last_ns < from_ns || mask.covers(block) {
                        continue;
                    }
                    let points = segment.read_block(block, disk)?;
                    return Ok(Some(LoadedPoints::Block(if mask.touches(block) {
                        mask.apply(points)
                    } else {
                        points
                    })));
                }
                Ok(None)
            }
        }
    }

    fn first_ns(&self) -> Option<i64> {
        match self {
            Rest::Chunk(chunk) => chunk.as_ref().and_then(|chunk| chunk.points.times_ns.first().copied()),
            Rest::Blocks { segment, positions, mask } => {
                let mut blocks = positions.clone().filter_map(|position| segment.block_at(position));
                blocks.find(|block| !mask.covers(block)).map(|block| block.first_ns)
            }
        }
    }
}

impl Loaded {
    fn points(&self) -> &Points {
        self.points.get()
    }

    fn times_ns(&self) -> &[i64] {
        &self.points().times_ns
    }

    fn next_time_ns(&self) -> Option<i64> {
        self.times_ns().get(self.rows.clone())?.first().copied()
    }

    /// Steps over rows before `from_ns`; whether any are left.
    fn skip_before(&mut self, from_ns: i64) -> bool {
        let rest = self.times_ns().get(self.rows.clone()).unwrap_or_default();
        if rest.first().is_some_and(|first| *first < from_ns) {
            self.rows.start += rest.partition_point(|time_ns| *time_ns < from_ns);
        }
        !self.rows.is_empty()
    }

    /// The next row, and all after it that come before the other sources' next.
    fn run_before(&self, next_ns: Option<i64>, rows_max: usize) -> Range<usize> {
        let start = self.rows.start;
        let rest = self.times_ns().get(self.rows.clone()).unwrap_or_default();
        let rest = rest.get(..rows_max).unwrap_or(rest);
        let before = match next_ns {
            Some(next_ns) => rest.partition_point(|time_ns| *time_ns < next_ns),
            None => rest.len(),
        };
        start..start + before.max(1).min(rest.len())
    }
}

impl LoadedPoints {
    fn get(&self) -> &Points {
        match self {
            LoadedPoints::Chunk(chunk) => &chunk.points,
            LoadedPoints::Block(points) => points,
        }
    }
}
