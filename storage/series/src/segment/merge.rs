//! A merge: neighbouring segments of a slot become one, without what must go. The series follow each other by key, and each
//! is streamed block by block, so that memory does not depend on the size of the files.

use super::BLOCK_ROWS_MAX;
use super::SegmentError;
use super::block::Effort;
use super::build::{SegmentBuilder, rows_per_block, write_segment};
use super::format::{BlockEntry, SegmentName, Trim};
use super::mask::{Mask, masks};
use super::read::Segment;
use crate::disk::Disk;
use crate::query::ReadPlan;
use model::SeriesKey;
use rustc_hash::FxHashSet;
use std::path::Path;
use std::sync::Arc;

/// Blocks of at least this many rows are copied as they are, when no other block meets them.
const COPIED_ROWS_MIN: usize = BLOCK_ROWS_MAX / 2;

/// What becomes one segment.
pub(crate) struct MergePlan {
    /// Neighbours in sequence, ascending; one of them alone is rewritten for what must go.
    pub(crate) inputs: Vec<Arc<Segment>>,
    /// Series of the inputs that are deleted.
    pub(crate) dead: FxHashSet<SeriesKey>,
    /// Trims of later segments, which void rows of the inputs.
    pub(crate) newer_trims: Vec<Trim>,
    /// Segments of earlier flushes: a trim is kept as long as it voids something of theirs.
    pub(crate) older: Vec<Arc<Segment>>,
    pub(crate) name: SegmentName,
}

/// Writes the segment that takes the place of the inputs. `None`: nothing is left of them.
pub(crate) fn merge(plan: &MergePlan, dir: &Path, disk: &mut dyn Disk) -> Result<Option<Segment>, SegmentError> {
    write_segment(dir, plan.name, Effort::Merge, disk, |builder, disk| {
        for key in plan.keys() {
            plan.write_series(key, builder, disk)?;
            plan.trims_left(key).into_iter().for_each(|trim| builder.push_trim(trim));
        }
        Ok(())
    })
}

/// A block of one of the inputs.
struct Placed {
    input: usize,
    block: BlockEntry,
}

/// Blocks that go into new ones together: `[first_ns, last_ns]` of all inputs.
#[derive(Default)]
struct Pending {
    range: Option<(i64, i64)>,
    rows: usize,
    bytes: u64,
    is_buckets: bool,
}

impl MergePlan {
    fn keys(&self) -> Vec<SeriesKey> {
        let of_blocks = self.inputs.iter().flat_map(|input| input.keys());
        let of_trims = self.inputs.iter().flat_map(|input| input.trims().iter().map(|trim| trim.key));
        let mut keys: Vec<SeriesKey> = of_blocks.chain(of_trims).filter(|key| !self.dead.contains(key)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn write_series(
        &self,
        key: SeriesKey,
        builder: &mut SegmentBuilder,
        disk: &mut dyn Disk,
    ) -> Result<(), SegmentError> {
        let masks = masks(key, &self.inputs, &self.newer_trims);
        let blocks = self.blocks_of(key, &masks);
        let mut pending = Pending::default();
        let mut rest = blocks.as_slice();
        while let Some((group, behind)) = split_meeting(rest) {
            rest = behind;
            let is_buckets = group.iter().all(|placed| placed.block.is_buckets);
            if is_buckets != pending.is_buckets {
                self.write_pending(key, &mut pending, builder, disk)?;
                pending.is_buckets = is_buckets;
            }
            match group {
                [one] if self.is_copied(one, &masks) => {
                    self.write_pending(key, &mut pending, builder, disk)?;
                    let Some(input) = self.inputs.get(one.input) else { continue };
                    builder.copy_block(input, &one.block, disk)?;
                }
                _ => group.iter().for_each(|placed| pending.add(&placed.block)),
            }
        }
        self.write_pending(key, &mut pending, builder, disk)
    }

    /// The blocks of which something is left, in order of time.
    fn blocks_of(&self, key: SeriesKey, masks: &[Mask]) -> Vec<Placed> {
        let mut blocks = Vec::new();
        for (input, (segment, mask)) in self.inputs.iter().zip(masks).enumerate() {
            let left = segment.all_blocks(key).iter().filter(|block| !mask.covers(block));
            blocks.extend(left.map(|block| Placed { input, block: *block }));
        }
        blocks.sort_by_key(|placed| (placed.block.first_ns, placed.input));
        blocks
    }

    fn is_copied(&self, placed: &Placed, masks: &[Mask]) -> bool {
        let is_large = usize::try_from(placed.block.rows).is_ok_and(|rows| rows >= COPIED_ROWS_MIN);
        let is_current = self.inputs.get(placed.input).is_some_and(|input| input.is_current_format());
        is_large && is_current && masks.get(placed.input).is_some_and(|mask| !mask.touches(&placed.block))
    }

    fn write_pending(
        &self,
        key: SeriesKey,
        pending: &mut Pending,
        builder: &mut SegmentBuilder,
        disk: &mut dyn Disk,
    ) -> Result<(), SegmentError> {
        let Pending { range, rows, bytes, is_buckets } = std::mem::take(pending);
        let Some((first_ns, last_ns)) = range else { return Ok(()) };
        let plan = ReadPlan::of_segments(key, &self.inputs, &self.newer_trims, first_ns, last_ns);
        builder.push_rows(key, plan, rows_per_block(rows, bytes), is_buckets, disk)?;
        pending.is_buckets = is_buckets;
        Ok(())
    }

    /// The trims of the inputs that still void something of earlier segments, each time once.
    fn trims_left(&self, key: SeriesKey) -> Vec<Trim> {
        let mut trims: Vec<Trim> = self.inputs.iter().flat_map(|input| input.trims_of(key).iter().copied()).collect();
        trims.retain(|trim| {
            let Some(last_ns) = trim.before_ns.checked_sub(1) else { return false };
            self.older.iter().any(|older| !older.blocks(key, trim.from_ns, last_ns).is_empty())
        });
        trims.sort_unstable_by_key(|trim| trim.from_ns);
        let mut joined: Vec<Trim> = Vec::with_capacity(trims.len());
        for trim in trims {
            match joined.last_mut() {
                Some(last) if trim.from_ns <= last.before_ns => last.before_ns = last.before_ns.max(trim.before_ns),
                _ => joined.push(trim),
            }
        }
        joined
    }
}

impl Pending {
    fn add(&mut self, block: &BlockEntry) {
        let (first_ns, last_ns) = self.range.unwrap_or((block.first_ns, block.last_ns));
        self.range = Some((first_ns.min(block.first_ns), last_ns.max(block.last_ns)));
        self.rows += usize::try_from(block.rows).unwrap_or(BLOCK_ROWS_MAX);
        self.bytes += u64::from(block.bytes);
    }
}

/// The first blocks that overlap each other in time, one after the other, and the rest.
fn split_meeting(blocks: &[Placed]) -> Option<(&[Placed], &[Placed])> {
    let mut last_ns = blocks.first()?.block.last_ns;
    let meeting = blocks
        .iter()
        .take_while(|placed| {
            let meets = placed.block.first_ns <= last_ns;
            last_ns = last_ns.max(placed.block.last_ns);
            meets
        })
        .count();
    blocks.split_at_checked(meeting)
}
