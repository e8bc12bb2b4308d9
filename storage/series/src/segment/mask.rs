//! Rows that retention has voided: ranges of time that newer segments take out of older ones.

use super::format::{BlockEntry, Trim};
use super::read::Segment;
use crate::points::Points;
use crate::rows::RowBuilder;
use model::SeriesKey;
use std::sync::Arc;

/// What is void of one series in one segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mask {
    /// `[from, before)`; any order, they may overlap.
    ranges: Vec<(i64, i64)>,
}

impl Mask {
    /// Nothing of the block is left.
    pub(crate) fn covers(&self, block: &BlockEntry) -> bool {
        self.ranges.iter().any(|(from, before)| *from <= block.first_ns && block.last_ns < *before)
    }

    /// A time that the first row left is not before. `None`: nothing is left.
    pub(crate) fn first_left(&self, block: &BlockEntry) -> Option<i64> {
        let mut first_ns = block.first_ns;
        while let Some((_, before)) = self.ranges.iter().find(|(from, before)| *from <= first_ns && first_ns < *before)
        {
            first_ns = *before;
        }
        (first_ns <= block.last_ns).then_some(first_ns)
    }

    pub(crate) fn touches(&self, block: &BlockEntry) -> bool {
        self.ranges.iter().any(|(from, before)| *from <= block.last_ns && block.first_ns < *before)
    }

    /// The rows that are left.
    pub(crate) fn apply(&self, points: Points) -> Points {
        let is_void = |time_ns: i64| self.ranges.iter().any(|(from, before)| *from <= time_ns && time_ns < *before);
        let void: Vec<bool> = points.times_ns.iter().map(|time_ns| is_void(*time_ns)).collect();
        if !void.contains(&true) {
            return points;
        }
        let mut left = RowBuilder::default();
        let mut start = 0;
        for run in void.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            if run.first() == Some(&false) {
                left.push_run(0, &points, start..end);
            }
            start = end;
        }
        left.take()
    }

    fn add<'a>(&mut self, trims: impl Iterator<Item = &'a Trim>) {
        self.ranges.extend(trims.map(|trim| (trim.from_ns, trim.before_ns)));
    }
}

/// The mask of each of these segments (ascending by flush): what the ones behind it void, and `newer` besides.
pub(crate) fn masks(key: SeriesKey, segments: &[Arc<Segment>], newer: &[Trim]) -> Vec<Mask> {
    let mut so_far = Mask::default();
    so_far.add(newer.iter().filter(|trim| trim.key == key));
    let mut masks: Vec<Mask> = segments
        .iter()
        .rev()
        .map(|segment| {
            let mask = so_far.clone();
            so_far.add(segment.trims_of(key).iter());
            mask
        })
        .collect();
    masks.reverse();
    masks
}
