//! Retention: rows before a moment become buckets, or nothing. What is left is written as a segment of its own, which also
//! voids the rows that it stands for: one rename, so that a crash leaves the one or the other. The void rows leave the disk
//! with the rewriting of their segments ([`Catalog::erase`]) or the next merge.

use super::block::Effort;
use super::build::{SegmentBuilder, write_segment};
use super::catalog::{Catalog, of_slot};
use super::format::{SegmentName, Trim};
use super::mask::masks;
use super::read::Segment;
use super::reduce::Reducer;
use super::{BLOCK_ROWS_MAX, SegmentError};
use crate::disk::{Disk, Op};
use crate::page::Page;
use crate::query::ReadPlan;
use model::{SeriesKey, SlotId};
use std::sync::Arc;

/// What a rule asks of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retain {
    pub key: SeriesKey,
    /// Rows before this are reduced (whole buckets only).
    pub before_ns: i64,
    /// The length of a bucket; `None`: nothing stays.
    pub bucket_ns: Option<i64>,
}

/// What became of one series that had something to reduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retained {
    pub key: SeriesKey,
    pub rows_before: u64,
    pub rows_after: u64,
}

impl Catalog {
    /// Reduces these series of one slot. `None`: a flush is on its way whose points would be voided unseen; try again.
    pub fn retain(
        &self,
        slot: SlotId,
        asked: &[Retain],
        disk: &mut dyn Disk,
    ) -> Result<Option<Vec<Retained>>, SegmentError> {
        self.remove_spoiled(disk)?;
        let flight = self.take_off();
        if !self.is_first_in_flight(flight.number) {
            return Ok(None);
        }
        // After the look at the flights: whatever has a lower number is in it.
        let live = self.snapshot();
        let segments = of_slot(&live, slot);
        let mut retained = Vec::new();
        let name = SegmentName::of_flush(slot, flight.number);
        let written = write_segment(self.dir(), name, Effort::Merge, disk, |builder, disk| {
            for range in ranges(segments, asked) {
                let done = range.reduce(segments, disk, &mut |step, disk| range.write(step, builder, disk))?;
                retained.extend(done);
            }
            Ok(())
        })?;
        if let Some(segment) = written.map(Arc::new) {
            if let Err(error) = disk.execute(Op::SyncDir { path: self.dir() }) {
                self.spoil(&[segment], disk);
                return Err(error.into());
            }
            self.replace(&[], vec![segment], Some(flight));
        }
        Ok(Some(retained))
    }

    /// What [`Catalog::retain`] would do; writes nothing.
    pub fn preview_retention(
        &self,
        slot: SlotId,
        asked: &[Retain],
        disk: &mut dyn Disk,
    ) -> Result<Vec<Retained>, SegmentError> {
        let live = self.snapshot();
        let segments = of_slot(&live, slot);
        let mut retained = Vec::new();
        for range in ranges(segments, asked) {
            retained.extend(range.reduce(segments, disk, &mut |_, _| Ok(()))?);
        }
        Ok(retained)
    }
}

/// The part of a series that is to be reduced.
struct Range {
    trim: Trim,
    bucket_ns: Option<i64>,
}

/// What comes out of a reduction, in this order.
enum Step<'a> {
    Rows(&'a crate::points::Points),
    Done,
}

impl Range {
    /// Reads the rows, gives what they become to `out`. `None`: there were none.
    fn reduce(
        &self,
        segments: &[Arc<Segment>],
        disk: &mut dyn Disk,
        out: &mut dyn FnMut(Step<'_>, &mut dyn Disk) -> Result<(), SegmentError>,
    ) -> Result<Option<Retained>, SegmentError> {
        let Trim { key, from_ns, before_ns } = self.trim;
        let mut plan = ReadPlan::of_segments(key, segments, &[], from_ns, before_ns.saturating_sub(1));
        let mut reducer = self.bucket_ns.map(Reducer::new);
        let mut retained = Retained { key, rows_before: 0, rows_after: 0 };
        let mut emit = |points: crate::points::Points, retained: &mut Retained, disk: &mut dyn Disk| {
            retained.rows_after += u64::try_from(points.rows()).expect("a usize fits");
            if points.is_empty() { Ok(()) } else { out(Step::Rows(&points), disk) }
        };
        while let Some(page) = plan.next_page(disk, BLOCK_ROWS_MAX)? {
            retained.rows_before += rows_of(&page);
            let Some(reducer) = &mut reducer else { continue };
            reducer.push(&page);
            if reducer.rows() >= BLOCK_ROWS_MAX {
                emit(reducer.take(false), &mut retained, disk)?;
            }
        }
        if retained.rows_before == 0 {
            return Ok(None);
        }
        if let Some(reducer) = &mut reducer {
            emit(reducer.take(true), &mut retained, disk)?;
        }
        out(Step::Done, disk)?;
        Ok(Some(retained))
    }

    fn write(&self, step: Step<'_>, builder: &mut SegmentBuilder, disk: &mut dyn Disk) -> Result<(), SegmentError> {
        match step {
            Step::Rows(points) => builder.push_block(self.trim.key, points, true, disk),
            Step::Done => {
                builder.push_trim(self.trim);
                Ok(())
            }
        }
    }
}

fn rows_of(page: &Page) -> u64 {
    u64::try_from(page.rows()).expect("a usize fits")
}

/// What there is to reduce, ascending by series.
fn ranges(segments: &[Arc<Segment>], asked: &[Retain]) -> Vec<Range> {
    let mut ranges: Vec<Range> = asked.iter().filter_map(|retain| range(segments, *retain)).collect();
    ranges.sort_unstable_by_key(|range| range.trim.key);
    ranges
}

/// From the first row that is not reduced yet. `None`: all of them are.
fn range(segments: &[Arc<Segment>], retain: Retain) -> Option<Range> {
    let Retain { key, before_ns, bucket_ns } = retain;
    let align = |time_ns| bucket_ns.map_or(time_ns, |bucket_ns| Reducer::bucket_start(bucket_ns, time_ns));
    let before_ns = align(before_ns);
    let last_ns = before_ns.checked_sub(1)?;
    let mut from_ns: Option<i64> = None;
    for (segment, mask) in segments.iter().zip(masks(key, segments, &[])) {
        let raw =
            segment.blocks(key, i64::MIN, last_ns).iter().filter(|block| bucket_ns.is_none() || !block.is_buckets);
        let first = raw.filter_map(|block| mask.first_left(block)).min();
        from_ns = from_ns.into_iter().chain(first).min();
    }
    let from_ns = align(from_ns?);
    (from_ns < before_ns).then_some(Range { trim: Trim { key, from_ns, before_ns }, bucket_ns })
}
