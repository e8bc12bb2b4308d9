//! A segment file's name: `s0003-n000000000042-000000000057-v000000000060.seg` (slot, first and last flush, version).
//!
//! The name is the manifest: a file whose flushes all lie within another one's has been merged into it, and of two with
//! the same flushes the higher version replaces the lower. So the rename of a finished file is the commit of a merge.
//! Files of format 1 are named `s0003-n00000000000000000042.seg`: one flush, version 0.

use model::SlotId;
use std::path::{Path, PathBuf};

/// Ordered as the segments of a slot follow each other; a file that replaces others comes before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    pub slot: SlotId,
    /// The first and the last flush whose points are in it. Of two segments with the same time of the same series, the
    /// one with the later flushes wins.
    pub first: u64,
    pub last: u64,
    /// Never given twice; 0 for a file of format 1.
    pub version: u64,
}

impl SegmentName {
    pub(crate) fn of_flush(slot: SlotId, number: u64) -> Self {
        Self { slot, first: number, last: number, version: number }
    }

    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".seg")?.split('-');
        let slot = SlotId(parts.next()?.strip_prefix('s')?.parse().ok()?);
        let first = parts.next()?.strip_prefix('n')?.parse().ok()?;
        let Some(last) = parts.next() else { return Some(Self { slot, first, last: first, version: 0 }) };
        let last = last.parse().ok()?;
        let version = parts.next()?.strip_prefix('v')?.parse().ok()?;
        (parts.next().is_none() && first <= last).then_some(Self { slot, first, last, version })
    }

    /// All of `other`'s points are in this one, as they should be.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let holds = self.slot == other.slot && self.first <= other.first && other.last <= self.last;
        let is_wider = self.first < other.first || other.last < self.last;
        holds && (is_wider || self.version > other.version)
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.slot == other.slot && self.first <= other.last && other.first <= self.last
    }

    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { slot: SlotId(slot), first, last, version } = self;
        match version {
            0 => write!(f, "s{slot:04}-n{first:020}.seg"),
            _ => write!(f, "s{slot:04}-n{first:012}-{last:012}-v{version:012}.seg"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_name_is_read_back() {
        let name = SegmentName { slot: SlotId(3), first: 42, last: 57, version: 60 };
        assert_eq!(name.to_string(), "s0003-n000000000042-000000000057-v000000000060.seg");
        assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        let old = SegmentName { slot: SlotId(3), first: 42, last: 42, version: 0 };
        assert_eq!(old.to_string(), "s0003-n00000000000000000042.seg");
        assert_eq!(SegmentName::parse(&old.to_string()), Some(old));
        for other in ["s0003-n42-57-v60.seg.tmp", "s0003-n57-42-v60.seg", "s0003-n42-57.seg", "s3-n1-2-v3-4.seg"] {
            assert_eq!(SegmentName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_merged_file_replaces_those_within_it_and_a_newer_version_the_older() {
        let name = |first, last, version| SegmentName { slot: SlotId(3), first, last, version };
        assert!(name(4, 9, 10).replaces(&name(4, 4, 4)));
        assert!(name(4, 9, 10).replaces(&name(5, 9, 99)), "the wider one, whatever the versions");
        assert!(name(4, 9, 11).replaces(&name(4, 9, 10)));
        assert!(!name(4, 9, 10).replaces(&name(4, 9, 10)));
        assert!(!name(4, 9, 10).replaces(&name(9, 10, 10)) && name(4, 9, 10).overlaps(&name(9, 10, 10)));
        assert!(!name(4, 9, 10).replaces(&SegmentName { slot: SlotId(2), ..name(4, 4, 4) }));
    }
}
