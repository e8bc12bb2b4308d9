//! Start: what the logs of earlier epochs hold becomes segments, then the logs go. Before the first new append.
//!
//! Harmless when it is interrupted: the logs are removed only after all their points are in synced segments, oldest
//! first, and a replay of the rest of a chain writes the same points again under a higher number.

use crate::codec::CodecError;
use crate::disk::{Disk, DiskError, Op};
use crate::log::file::{FileName, TEMPORARY_SUFFIX};
use crate::log::frame::{entries, points_of};
use crate::log::reader::{LogReader, previous_end_of};
use crate::ring::{Chunk, Frozen, Ring};
use crate::segment::SegmentError;
use crate::segment::catalog::Catalog;
use model::SeriesKey;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug)]
pub struct RecoveryOptions {
    /// Points held in memory before they are written as a segment.
    pub memory_bytes_max: u64,
    /// `coreward series salvage`: step over damage and say what was stepped over, instead of refusing to start.
    pub salvage: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub log_files: usize,
    pub posts: u64,
    pub points: u64,
    /// Points of series that have no holder event any more.
    pub points_dropped: u64,
    pub segments: usize,
    /// The largest time of each series that was replayed: its holder event may not have learnt of it.
    pub extents: BTreeMap<SeriesKey, i64>,
    /// Only with `salvage`: what was stepped over.
    pub damage: Vec<Damage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    pub offset: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(
        "the series log {file} is damaged at byte {offset}, before its end: acknowledged points may be lost; copy the data \
         folder, then run `coreward series salvage` to keep all that is readable"
    )]
    Damaged { file: PathBuf, offset: u64 },
    #[error("the series log {file} misses the file before it: put the file back, or run `coreward series salvage`")]
    FileMissing { file: PathBuf },
    #[error(
        "a post in the series log {file} at byte {offset} cannot be read: {source}; or run `coreward series salvage`"
    )]
    Codec { file: PathBuf, offset: u64, source: CodecError },
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

/// Replays all chains of `log_dir` into segments of `catalog` and removes them. Points of keys for which `alive` says
/// no are dropped.
pub fn recover(
    disk: &mut dyn Disk,
    log_dir: &Path,
    catalog: &Catalog,
    alive: &dyn Fn(SeriesKey) -> bool,
    options: RecoveryOptions,
) -> Result<RecoveryReport, RecoveryError> {
    let (names, temporary) = list_logs(disk, log_dir)?;
    for path in temporary {
        disk.execute(Op::Remove { path: &path })?;
    }
    for name in &names {
        // What a killed process wrote may be in memory only. A post that is replayed now must still be there when the power
        // goes before the log is removed, or the next replay would put older rows over a part of it.
        disk.execute(Op::Sync { path: &name.path(log_dir) })?;
    }
    // The same goes for files that it has removed: one that came back would leave a gap behind it.
    disk.execute(Op::SyncDir { path: log_dir })?;
    let mut replay = Replay::new(Some(catalog), alive, options);
    replay.files(log_dir, &names, disk)?;
    replay.flush(disk)?;
    for name in &names {
        // One sync for each: what a crash leaves is the newest part of every chain, never a gap.
        disk.execute(Op::Remove { path: &name.path(log_dir) })?;
        disk.execute(Op::SyncDir { path: log_dir })?;
    }
    Ok(replay.report)
}

/// Reads all chains of `log_dir` as [`recover`] would, writes nothing, and notes every damage.
pub fn check(
    disk: &mut dyn Disk,
    log_dir: &Path,
    alive: &dyn Fn(SeriesKey) -> bool,
    memory_bytes_max: u64,
) -> Result<RecoveryReport, RecoveryError> {
    let (names, _) = list_logs(disk, log_dir)?;
    let mut replay = Replay::new(None, alive, RecoveryOptions { memory_bytes_max, salvage: true });
    replay.files(log_dir, &names, disk)?;
    Ok(replay.report)
}

/// The log files in the order of replay, and those that never got their final name.
fn list_logs(disk: &mut dyn Disk, log_dir: &Path) -> Result<(Vec<FileName>, Vec<PathBuf>), DiskError> {
    let (mut names, mut temporary) = (Vec::new(), Vec::new());
    for file in disk.list(log_dir)? {
        if let Some(name) = FileName::parse(&file) {
            names.push(name);
        } else if file.ends_with(TEMPORARY_SUFFIX) {
            temporary.push(log_dir.join(file));
        }
    }
    names.sort_unstable();
    Ok((names, temporary))
}

struct Replay<'a> {
    /// `None`: nothing is written.
    catalog: Option<&'a Catalog>,
    alive: &'a dyn Fn(SeriesKey) -> bool,
    options: RecoveryOptions,
    ring: Ring,
    sequence: u64,
    report: RecoveryReport,
}

/// Where a chain's file before ended.
struct FileEnd {
    name: FileName,
    sequence_last: u64,
}

impl<'a> Replay<'a> {
    fn new(catalog: Option<&'a Catalog>, alive: &'a dyn Fn(SeriesKey) -> bool, options: RecoveryOptions) -> Self {
        Self { catalog, alive, options, ring: Ring::default(), sequence: 0, report: RecoveryReport::default() }
    }

    fn files(&mut self, log_dir: &Path, names: &[FileName], disk: &mut dyn Disk) -> Result<(), RecoveryError> {
        let mut before: Option<FileEnd> = None;
        for (position, name) in names.iter().enumerate() {
            let next = names.get(position + 1).filter(|next| next.follows(name));
            let limit = match next {
                Some(next) => previous_end_of(&next.path(log_dir), *next, disk)?,
                None => None,
            };
            before = before.filter(|end| end.name.is_of_chain(name));
            before = Some(self.file(*name, &name.path(log_dir), before, limit, disk)?);
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: FileName,
        path: &Path,
        before: Option<FileEnd>,
        limit: Option<u64>,
        disk: &mut dyn Disk,
    ) -> Result<FileEnd, RecoveryError> {
        self.report.log_files += 1;
        if before.as_ref().is_some_and(|before| !name.follows(&before.name)) {
            self.refuse_or_note(RecoveryError::FileMissing { file: path.to_owned() }, path, 0)?;
        }
        let sequence_before = before.map_or(0, |before| before.sequence_last);
        let Some(mut reader) = LogReader::open(path, name, sequence_before, limit, disk)? else {
            self.damaged(path, 0)?;
            return Ok(FileEnd { name, sequence_last: sequence_before });
        };
        self.frames(path, &mut reader, disk)?;
        Ok(FileEnd { name, sequence_last: reader.sequence_last() })
    }

    fn frames(&mut self, path: &Path, reader: &mut LogReader, disk: &mut dyn Disk) -> Result<(), RecoveryError> {
        loop {
            while let Some(frame) = reader.next(disk)? {
                let offset = frame.offset;
                if let Err(source) = self.post(frame.body) {
                    let error = RecoveryError::Codec { file: path.to_owned(), offset, source };
                    self.refuse_or_note(error, path, offset)?;
                }
                if self.ring.bytes >= self.options.memory_bytes_max {
                    self.flush(disk)?;
                }
            }
            if !reader.is_damaged_here(disk)? {
                return Ok(());
            }
            self.damaged(path, reader.end())?;
            if !reader.skip_damage(disk)? {
                return Ok(());
            }
        }
    }

    /// All series of a post or none.
    fn post(&mut self, body: &[u8]) -> Result<(), CodecError> {
        let series: Vec<_> = entries(body)?
            .into_iter()
            .map(|(key, bytes)| points_of(bytes).map(|points| (key, points)))
            .collect::<Result<_, _>>()?;
        self.report.posts += 1;
        self.sequence += 1;
        for (key, points) in series {
            let rows = u64::try_from(points.rows()).expect("a usize fits");
            if (self.alive)(key) {
                let points = points.normalised();
                let Some(last_ns) = points.times_ns.last().copied() else { continue };
                self.report.points += rows;
                let extent = self.report.extents.entry(key).or_insert(last_ns);
                *extent = last_ns.max(*extent);
                self.ring.push(key, Chunk::new(self.sequence, points));
            } else {
                self.report.points_dropped += rows;
            }
        }
        Ok(())
    }

    fn flush(&mut self, disk: &mut dyn Disk) -> Result<(), RecoveryError> {
        if self.ring.is_empty() {
            return Ok(());
        }
        let frozen = Frozen::new(std::mem::take(&mut self.ring), self.sequence);
        if let Some(catalog) = self.catalog {
            self.report.segments += catalog.flush(&frozen, disk)?.len();
        }
        Ok(())
    }

    fn damaged(&mut self, path: &Path, offset: u64) -> Result<(), RecoveryError> {
        self.refuse_or_note(RecoveryError::Damaged { file: path.to_owned(), offset }, path, offset)
    }

    fn refuse_or_note(&mut self, error: RecoveryError, file: &Path, offset: u64) -> Result<(), RecoveryError> {
        if !self.options.salvage {
            return Err(error);
        }
        self.report.damage.push(Damage { file: file.to_owned(), offset });
        Ok(())
    }
}
