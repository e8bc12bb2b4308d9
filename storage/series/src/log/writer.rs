//! The writer's side of group commit: all waiting posts, one write run, one sync, then one [`Durable`].
//!
//! Lives on the shard's writer thread. It does I/O only through the [`Disk`] it is given, so the simulator runs the same
//! code. Three ways out of a step: durable; refused (no space, nothing acknowledged, goes on by itself); poisoned (a
//! write or a sync failed: never tried again, for a sync that failed once may lie the second time).

use super::file::{FileHeader, FileName, HEADER_BYTES, TEMPORARY_SUFFIX};
use super::frame::{FrameGroup, seed_of};
use super::{Durable, Refused};
use crate::disk::{Disk, DiskError, Op};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zerocopy::IntoBytes;

/// Preallocated size of a log file unless configured.
pub const FILE_BYTES_DEFAULT: u64 = 32 << 20;
/// Small groups are gathered up to here before they are written.
const STAGING_BYTES_MAX: usize = 1 << 20;
/// From here on a group is written from its own buffer.
const DIRECT_BYTES_MIN: u64 = 64 << 10;

pub struct LogOptions {
    pub dir: PathBuf,
    pub epoch: u64,
    pub chain: u32,
    /// Preallocated size of a file; a larger group gets a file of its own size.
    pub file_bytes: u64,
    /// A file that [`prepare_spare`] made elsewhere, of `file_bytes` bytes. `None`: the writer makes the file itself, and
    /// the posts that wait for it wait longer.
    pub next_spare: Box<dyn FnMut() -> Option<PathBuf> + Send>,
    /// Random and new at each call: a file's id seeds its checksums.
    pub next_file_id: Box<dyn FnMut() -> u64 + Send>,
}

pub struct LogWriter {
    options: LogOptions,
    queue: VecDeque<FrameGroup>,
    current: Option<CurrentFile>,
    /// Full files, oldest first, until a checkpoint passes them.
    closed: VecDeque<ClosedFile>,
    number_last: u64,
    /// Where the frames of the file `number_last` end, once it is closed.
    closed_end: u64,
    refused_last: u64,
    staging: Vec<u8>,
    poisoned: Option<Arc<str>>,
}

/// What a step did, in the order in which it must be told to [`crate::Ingest`].
#[derive(Debug, Clone)]
pub enum LogEvent {
    Durable(Durable),
    /// No space: these posts get 507.
    NoSpace {
        refused: Refused,
        why: Arc<str>,
    },
    /// The log is at its end: all posts without a [`Durable`] get 503, the node is read-only until a restart.
    Poisoned {
        why: Arc<str>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("the log has failed ({0}): its files stay for the recovery at the next start")]
    Poisoned(Arc<str>),
    #[error("a log file behind the checkpoint could not be removed, it is tried again at the next one: {0}")]
    Disk(#[from] DiskError),
}

struct CurrentFile {
    path: PathBuf,
    seed: u32,
    length: u64,
    /// Where the next frame goes.
    end: u64,
    /// Below it all is synced.
    synced: u64,
    sequence_last: u64,
}

struct ClosedFile {
    path: PathBuf,
    length: u64,
    sequence_last: u64,
}

enum StepError {
    NoSpace(Arc<str>),
    Poison(Arc<str>),
}

/// Makes a file that a [`LogWriter`] can take as its next one (see [`LogOptions::next_spare`]): zeroed, synced, under a
/// temporary name that the recovery removes. For a thread that nobody waits for.
pub fn prepare_spare(
    dir: &Path,
    chain: u32,
    number: u64,
    bytes: u64,
    disk: &mut dyn Disk,
) -> Result<PathBuf, DiskError> {
    let path = dir.join(format!("spare-c{chain:02}-{number:06}{TEMPORARY_SUFFIX}"));
    let made = make_zeroed(&path, bytes, disk).and_then(|()| disk.execute(Op::Sync { path: &path }));
    if let Err(error) = made {
        // Best effort: the recovery removes what stays.
        let _ = disk.execute(Op::Remove { path: &path });
        return Err(error);
    }
    Ok(path)
}

fn make_zeroed(path: &Path, bytes: u64, disk: &mut dyn Disk) -> Result<(), DiskError> {
    disk.execute(Op::Create { path })?;
    disk.execute(Op::Allocate { path, bytes }).map(drop)
}

impl LogWriter {
    /// The folder must exist, and its old chains must have been retired by the recovery.
    pub fn new(options: LogOptions) -> Self {
        Self {
            options,
            queue: VecDeque::new(),
            current: None,
            closed: VecDeque::new(),
            number_last: 0,
            closed_end: 0,
            refused_last: 0,
            staging: Vec::new(),
            poisoned: None,
        }
    }

    pub fn push(&mut self, group: FrameGroup) {
        self.queue.push_back(group);
    }

    /// Files that a restart would replay, and their length together.
    pub fn extent(&self) -> (u64, u64) {
        let current = self.current.as_ref().map(|current| current.length);
        let lengths = self.closed.iter().map(|file| file.length).chain(current);
        lengths.fold((0, 0), |(files, bytes), length| (files + 1, bytes + length))
    }

    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    pub fn is_poisoned(&self) -> bool {
        self.poisoned.is_some()
    }

    /// Files of the chain on disk.
    pub fn file_count(&self) -> usize {
        self.closed.len() + usize::from(self.current.is_some())
    }

    /// Writes all that was pushed, with one sync (one more for each file that fills up on the way).
    pub fn step(&mut self, disk: &mut dyn Disk) -> Vec<LogEvent> {
        let mut events = Vec::new();
        while self.has_work() && self.poisoned.is_none() {
            match self.commit_one_file(disk) {
                Ok(durable) => events.push(LogEvent::Durable(durable)),
                Err(StepError::NoSpace(why)) => {
                    events.extend(self.refuse_queue().map(|refused| LogEvent::NoSpace { refused, why }));
                }
                Err(StepError::Poison(why)) => self.poisoned = Some(why),
            }
        }
        if let Some(why) = &self.poisoned {
            self.queue.clear();
            events.push(LogEvent::Poisoned { why: Arc::clone(why) });
        }
        events
    }

    /// Ends the current file, so that a checkpoint can remove all that was written until now although posts go on: they
    /// begin another file.
    pub fn cut(&mut self) {
        if let Some(current) = self.current.take_if(|current| current.end == current.synced) {
            self.close(current);
        }
    }

    /// All posts up to `through` are in segments: whole files behind it go, oldest first. Each removal is synced before
    /// the next, so that what a crash leaves is always a suffix of the chain, which replays to the same points.
    pub fn checkpoint(&mut self, through: u64, disk: &mut dyn Disk) -> Result<usize, CheckpointError> {
        if let Some(why) = &self.poisoned {
            return Err(CheckpointError::Poisoned(Arc::clone(why)));
        }
        if self.current.as_ref().is_some_and(|current| current.sequence_last <= through) {
            self.cut();
        }
        let mut removed = 0;
        while let Some(oldest) = self.closed.front().filter(|file| file.sequence_last <= through) {
            disk.execute(Op::Remove { path: &oldest.path })?;
            self.closed.pop_front();
            removed += 1;
            if let Err(error) = disk.execute(Op::SyncDir { path: &self.options.dir }) {
                // A folder whose sync failed cannot be trusted with the name of a next file either.
                self.poisoned = Some(error.to_string().into());
                return Err(error.into());
            }
        }
        Ok(removed)
    }

    fn commit_one_file(&mut self, disk: &mut dyn Disk) -> Result<Durable, StepError> {
        let Some(first) = self.queue.front() else { return Err(StepError::Poison("an empty step".into())) };
        let first_bytes = first.bytes();
        let mut current = match self.current.take() {
            Some(current) if current.fits(first_bytes) => current,
            full => self.next_file(full, first_bytes, disk)?,
        };
        let result = self.write_run(&mut current, disk);
        self.current = Some(current);
        let through = result?;
        let LogOptions { epoch, chain, .. } = self.options;
        Ok(Durable { epoch, chain, after: self.refused_last, through })
    }

    /// Writes the groups that fit into the file and syncs once. Only then do they leave the queue.
    fn write_run(&mut self, current: &mut CurrentFile, disk: &mut dyn Disk) -> Result<u64, StepError> {
        let mut end = current.end;
        let mut staged_at = end;
        let mut written = 0;
        let mut through = current.sequence_last;
        self.staging.clear();
        for group in &mut self.queue {
            let bytes = group.bytes();
            if end + bytes > current.length {
                break;
            }
            let sealed = group.seal(current.seed, current.synced);
            if bytes >= DIRECT_BYTES_MIN {
                write(disk, current, staged_at, &self.staging)?;
                write(disk, current, end, sealed)?;
                self.staging.clear();
                staged_at = end + bytes;
            } else {
                self.staging.extend_from_slice(sealed);
                if self.staging.len() >= STAGING_BYTES_MAX {
                    write(disk, current, staged_at, &self.staging)?;
                    self.staging.clear();
                    staged_at = end + bytes;
                }
            }
            end += bytes;
            written += 1;
            through = group.sequence();
        }
        write(disk, current, staged_at, &self.staging)?;
        disk.execute(Op::Sync { path: &current.path }).map_err(|error| StepError::Poison(error.to_string().into()))?;
        current.end = end;
        current.synced = end;
        current.sequence_last = through;
        self.queue.drain(..written);
        Ok(through)
    }

    /// Closes the full file (all of it is synced) and makes the next one. On failure the full one stays current.
    fn next_file(
        &mut self,
        full: Option<CurrentFile>,
        first_bytes: u64,
        disk: &mut dyn Disk,
    ) -> Result<CurrentFile, StepError> {
        let previous_end = full.as_ref().map_or(self.closed_end, |current| current.end);
        match self.create_file(previous_end, first_bytes, disk) {
            Ok(created) => {
                if let Some(full) = full {
                    self.close(full);
                }
                Ok(created)
            }
            Err(error) => {
                self.current = full;
                Err(error)
            }
        }
    }

    fn create_file(
        &mut self,
        previous_end: u64,
        first_bytes: u64,
        disk: &mut dyn Disk,
    ) -> Result<CurrentFile, StepError> {
        let LogOptions { epoch, chain, file_bytes, .. } = self.options;
        let name = FileName { epoch, chain, number: self.number_last + 1 };
        let file_id = (self.options.next_file_id)();
        let header_bytes = u64::try_from(HEADER_BYTES).expect("64 fits");
        let length = file_bytes.max(header_bytes + first_bytes);
        let header = FileHeader::new(name, file_id, previous_end, length);
        let path = name.path(&self.options.dir);
        let spare = if length == file_bytes { (self.options.next_spare)() } else { None };
        let is_spare = spare.is_some();
        let temporary =
            spare.unwrap_or_else(|| self.options.dir.join(format!("{}{TEMPORARY_SUFFIX}", file_name(&path))));
        let zeroed = if is_spare { Ok(()) } else { make_zeroed(&temporary, length, disk) };
        let prepared =
            zeroed.and_then(|()| disk.execute(Op::WriteAt { path: &temporary, offset: 0, bytes: header.as_bytes() }));
        if let Err(error) = prepared {
            // Best effort: what stays behind is emptied by the next try and removed at the next start.
            let _ = disk.execute(Op::Remove { path: &temporary });
            return Err(StepError::of(&error));
        }
        disk.execute(Op::Sync { path: &temporary })
            .and_then(|_| disk.execute(Op::Rename { from: &temporary, to: &path }))
            .and_then(|_| disk.execute(Op::SyncDir { path: &self.options.dir }))
            .map_err(|error| StepError::Poison(error.to_string().into()))?;
        self.number_last = name.number;
        let seed = seed_of(file_id);
        Ok(CurrentFile { path, seed, length, end: header_bytes, synced: header_bytes, sequence_last: 0 })
    }

    fn close(&mut self, file: CurrentFile) {
        self.closed_end = file.end;
        let CurrentFile { path, length, sequence_last, .. } = file;
        self.closed.push_back(ClosedFile { path, length, sequence_last });
    }

    fn refuse_queue(&mut self) -> Option<Refused> {
        let first = self.queue.front()?.sequence();
        let last = self.queue.back()?.sequence();
        self.queue.clear();
        self.refused_last = last;
        let LogOptions { epoch, chain, .. } = self.options;
        Some(Refused { epoch, chain, first, last })
    }
}

impl CurrentFile {
    fn fits(&self, bytes: u64) -> bool {
        self.end.saturating_add(bytes) <= self.length
    }
}

impl StepError {
    fn of(error: &DiskError) -> Self {
        let why = error.to_string().into();
        if error.is_no_space() { StepError::NoSpace(why) } else { StepError::Poison(why) }
    }
}

fn write(disk: &mut dyn Disk, current: &CurrentFile, offset: u64, bytes: &[u8]) -> Result<(), StepError> {
    if bytes.is_empty() {
        return Ok(());
    }
    disk.write_at(&current.path, offset, bytes).map_err(|error| StepError::of(&error))
}

fn file_name(path: &std::path::Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
