//! What happened in the simulation: a run that never met a power cut in a recovery has tested nothing of it.

use std::collections::BTreeMap;

/// Something that can happen to a simulated node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Acknowledged,
    NoSpace,
    Poisoned,
    RingFull,
    RowsWritten,
    RowsRead,
    Flushed,
    FlushFailed,
    FlushInterleaved,
    LogFilesRemoved,
    Merged,
    MergeFailed,
    MergeInterleaved,
    Erased,
    Retained,
    RetentionFailed,
    RetentionWaits,
    SegmentFilesRemoved,
    SegmentFilesHeld,
    Deleted,
    StalePost,
    ReadFinished,
    ReadAcrossChanges,
    ReadFailed,
    DiskOperation,
    DiskFailure,
    DiskFull,
    ReadOnly,
    PowerCut,
    Kill,
    Stop,
    Start,
    StartFailed,
    StartCut,
    Replayed,
    OpenPostSurvived,
    OpenPostLost,
}

/// Every event, as the summary names it. All of them must have happened over all seeds of a run.
pub(super) const EVENTS: &[(Event, &str)] = &[
    (Event::Acknowledged, "posts acknowledged"),
    (Event::NoSpace, "posts refused for want of space"),
    (Event::Poisoned, "posts refused or left open by a failed log"),
    (Event::RingFull, "posts refused by a full ring"),
    (Event::RowsWritten, "rows written"),
    (Event::RowsRead, "rows read and compared"),
    (Event::Flushed, "flushes"),
    (Event::FlushFailed, "failed flushes"),
    (Event::FlushInterleaved, "flushes with other work in between"),
    (Event::LogFilesRemoved, "log files removed behind a checkpoint"),
    (Event::Merged, "merges"),
    (Event::MergeFailed, "failed merges and erasures"),
    (Event::MergeInterleaved, "merges and erasures with other work in between"),
    (Event::Erased, "segments rewritten without what must go"),
    (Event::Retained, "reductions by retention"),
    (Event::RetentionFailed, "failed reductions"),
    (Event::RetentionWaits, "reductions that gave way to a flush"),
    (Event::SegmentFilesRemoved, "replaced segments removed"),
    (Event::SegmentFilesHeld, "sweeps that left files to their readers"),
    (Event::Deleted, "series deleted"),
    (Event::StalePost, "posts refused because their series was deleted before"),
    (Event::ReadFinished, "reads finished"),
    (Event::ReadAcrossChanges, "reads held open across changes"),
    (Event::ReadFailed, "reads that met a failing disk"),
    (Event::DiskOperation, "disk operations"),
    (Event::DiskFailure, "disk operations failed"),
    (Event::DiskFull, "times the disk was full"),
    (Event::ReadOnly, "lives that ended on a read-only file system"),
    (Event::PowerCut, "power cuts"),
    (Event::Kill, "kills"),
    (Event::Stop, "orderly stops"),
    (Event::Start, "starts"),
    (Event::StartFailed, "starts that a failing disk refused"),
    (Event::StartCut, "starts that ended by a power cut or a kill"),
    (Event::Replayed, "posts replayed from logs"),
    (Event::OpenPostSurvived, "unanswered posts that survived"),
    (Event::OpenPostLost, "unanswered posts that were lost"),
];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts(BTreeMap<Event, u64>);

impl Counts {
    pub(super) fn add(&mut self, event: Event, times: u64) {
        *self.0.entry(event).or_default() += times;
    }

    pub(super) fn one(&mut self, event: Event) {
        self.add(event, 1);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(event, times)| self.add(*event, *times));
    }

    pub(super) fn of(&self, event: Event) -> u64 {
        self.0.get(&event).copied().unwrap_or(0)
    }
}
