//! A disk in memory that fails and loses power on command, for tests and the simulator.
//!
//! Three images of everything: what the process sees (cached), what a power cut leaves (durable), and which 512-byte
//! sectors and names lie between. It is harsher than a real disk: after a crash each unsynced sector and each unsynced
//! change of a name survives or not, at random, and a sector that was written several times may be any of what it was; a
//! failed sync of a file drops what it should have saved, so that a second sync "succeeds" without it; after a failed sync of
//! a folder the file system takes no changes any more, as one does whose journal could not be written. That everything a real file
//! system was seen to leave is among what this one may leave: docs/decisions/0012.

mod image;
mod names;
mod outcome;
mod random;

use self::image::FileImages;
use self::names::{FileId, Names};
pub use self::outcome::Impossible;
use self::random::Random;
use crate::disk::{Disk, DiskError, Op, Output};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happens to the n-th operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO, once. A write may have happened in part; a sync loses data; the file system of a folder turns read-only.
    Io,
    /// ENOSPC, once. A write may have happened in part.
    NoSpace,
    /// ENOSPC from here on for everything that takes space, until [`MemoryDisk::free_space`].
    Full,
    /// The power goes, before, in or behind this operation: it and all later ones fail until [`MemoryDisk::restart`].
    PowerCut,
    /// The same for the process alone, until [`MemoryDisk::restart_process`].
    Kill,
}

/// Cloned handles are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<FileId, FileImages>,
    names: Names,
    file_last: FileId,
    operations: u64,
    fault: Option<Planned>,
    is_full: bool,
    is_read_only: bool,
    is_off: bool,
    random: Random,
}

/// The operations from the first to the last of these numbers meet this fault.
#[derive(Clone, Copy)]
struct Planned {
    first: u64,
    last: u64,
    fault: Fault,
}

impl MemoryDisk {
    pub fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.lock().random = Random::new(seed);
        disk
    }

    /// Operations so far, over all handles.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The operation after `after` more of them meets this fault.
    pub fn fail_after(&self, after: u64, fault: Fault) {
        self.fail_some_after(after, 1, fault);
    }

    /// The same for the `count` operations after `after` more of them: a disk is seldom ill for a moment only.
    pub fn fail_some_after(&self, after: u64, count: u64, fault: Fault) {
        let mut state = self.lock();
        let first = state.operations + after;
        state.fault = Some(Planned { first, last: first + count.saturating_sub(1), fault });
    }

    /// The planned fault is still to come.
    pub fn is_fault_ahead(&self) -> bool {
        let state = self.lock();
        state.fault.is_some_and(|planned| planned.last >= state.operations)
    }

    /// Power or process are gone: nothing works until a restart.
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    pub fn is_full(&self) -> bool {
        self.lock().is_full
    }

    /// Until [`MemoryDisk::restart`]: a file system that could not write its journal must be mounted anew.
    pub fn is_read_only(&self) -> bool {
        self.lock().is_read_only
    }

    pub fn free_space(&self) {
        self.lock().is_full = false;
    }

    /// No fault is ahead any more, and there is space.
    pub fn calm(&self) {
        let mut state = self.lock();
        state.fault = None;
        state.is_full = false;
    }

    /// The power goes and comes back: what was not synced survives in part, chosen by the seed.
    pub fn restart(&self, seed: u64) {
        let mut state = self.lock();
        state.random = Random::new(seed);
        state.lose_power();
        state.fault = None;
        state.is_full = false;
        state.is_read_only = false;
        state.is_off = false;
    }

    /// The process dies, the machine does not: nothing written is lost.
    pub fn restart_process(&self) {
        let mut state = self.lock();
        state.fault = None;
        state.is_off = false;
    }

    /// The content as a process sees it, for tests that look or break things.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        state.images(path).ok().map(|images| images.cached().to_vec())
    }

    /// Puts this content in place, synced: a bit flipped, an end cut off.
    pub fn replace(&self, path: &Path, content: Vec<u8>) {
        let mut state = self.lock();
        let file = state.add_file(FileImages::synced(content));
        state.names.add_synced(path, file);
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.paths().map(Path::to_owned).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn execute(&mut self, op: Op<'_>) -> Result<Output, DiskError> {
        let mut state = self.lock();
        let (action, path) = describe(&op);
        state.execute(op).map_err(|kind| DiskError::new(action, path, kind.into()))
    }
}

fn describe<'a>(op: &Op<'a>) -> (&'static str, &'a Path) {
    match *op {
        Op::Create { path } => ("create", path),
        Op::Allocate { path, .. } => ("preallocate", path),
        Op::WriteAt { path, .. } => ("write", path),
        Op::Sync { path } => ("sync", path),
        Op::SyncDir { path } => ("sync the folder", path),
        Op::Rename { from, .. } => ("rename", from),
        Op::Remove { path } => ("remove", path),
        Op::List { path } => ("list", path),
        Op::ReadAt { path, .. } => ("read", path),
        Op::Length { path } => ("measure", path),
    }
}

impl State {
    fn execute(&mut self, op: Op<'_>) -> Result<Output, io::ErrorKind> {
        if self.is_off || self.is_read_only && changes(&op) {
            return Err(io::ErrorKind::Other);
        }
        let number = self.operations;
        self.operations += 1;
        match self.fault.filter(|planned| (planned.first..=planned.last).contains(&number)) {
            Some(planned) => self.fail(op, planned.fault),
            None if self.is_full && takes_space(&op) => self.fail(op, Fault::NoSpace),
            None => self.perform(op),
        }
    }

    fn fail(&mut self, op: Op<'_>, fault: Fault) -> Result<Output, io::ErrorKind> {
        // Whoever waits for an answer when all ends does not learn that it was done.
        if ends(fault) && self.random.below(4) == 0 {
            self.perform(op)?;
        } else {
            self.perform_part(op, fault)?;
        }
        self.is_off |= ends(fault);
        self.is_full |= fault == Fault::Full;
        match fault {
            Fault::NoSpace | Fault::Full => Err(io::ErrorKind::StorageFull),
            Fault::Io | Fault::PowerCut | Fault::Kill => Err(io::ErrorKind::Other),
        }
    }

    /// What a failed operation may have done. When all ends, nobody will ask this process again: what a sync did not save is
    /// still there to be lost or kept.
    fn perform_part(&mut self, op: Op<'_>, fault: Fault) -> Result<(), io::ErrorKind> {
        match op {
            Op::WriteAt { path, offset, bytes } => {
                let part = self.random.below(bytes.len() + 1);
                let part = bytes.get(..part).unwrap_or_default();
                self.perform(Op::WriteAt { path, offset, bytes: part })?;
            }
            Op::Sync { path } if !ends(fault) => {
                let file = self.file(path)?;
                if let Some(images) = self.files.get_mut(&file) {
                    images.save_some(&mut self.random);
                }
            }
            Op::SyncDir { .. } => self.is_read_only |= fault == Fault::Io,
            _ => {}
        }
        Ok(())
    }

    fn perform(&mut self, op: Op<'_>) -> Result<Output, io::ErrorKind> {
        match op {
            Op::Create { path } => {
                let file = self.add_file(FileImages::default());
                self.names.add(path, file);
            }
            Op::Allocate { path, bytes } => self.images_mut(path)?.write_zeroes(size(bytes)?),
            Op::WriteAt { path, offset, bytes } => self.images_mut(path)?.write(size(offset)?, bytes),
            Op::Sync { path } => self.images_mut(path)?.sync(),
            Op::SyncDir { path } => self.names.sync(path),
            Op::Rename { from, to } => {
                let file = self.file(from)?;
                self.names.rename(from, to, file);
            }
            Op::Remove { path } => {
                self.file(path)?;
                self.names.remove(path);
            }
            Op::List { path } => {
                let in_folder = self.names.paths().filter(|name| name.parent() == Some(path));
                let names = in_folder.filter_map(|name| name.file_name()?.to_str().map(str::to_owned));
                return Ok(Output::Names(names.collect()));
            }
            Op::ReadAt { path, offset, into } => {
                let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
                let bytes = self.images(path)?.cached().get(start..start.saturating_add(into.len()));
                into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
            Op::Length { path } => {
                let length = self.images(path)?.cached().len();
                return Ok(Output::Length(u64::try_from(length).unwrap_or(u64::MAX)));
            }
        }
        Ok(Output::Done)
    }

    fn add_file(&mut self, images: FileImages) -> FileId {
        self.file_last += 1;
        self.files.insert(self.file_last, images);
        self.file_last
    }

    fn file(&self, path: &Path) -> Result<FileId, io::ErrorKind> {
        self.names.find(path).ok_or(io::ErrorKind::NotFound)
    }

    fn images(&self, path: &Path) -> Result<&FileImages, io::ErrorKind> {
        self.files.get(&self.file(path)?).ok_or(io::ErrorKind::NotFound)
    }

    fn images_mut(&mut self, path: &Path) -> Result<&mut FileImages, io::ErrorKind> {
        let file = self.file(path)?;
        self.files.get_mut(&file).ok_or(io::ErrorKind::NotFound)
    }

    fn lose_power(&mut self) {
        self.names.lose_power(&mut self.random);
        let reachable: BTreeSet<FileId> = self.names.reachable().collect();
        self.files.retain(|file, _| reachable.contains(file));
        for images in self.files.values_mut() {
            images.save_some(&mut self.random);
            images.forget_unsynced();
        }
    }
}

fn size(bytes: u64) -> Result<usize, io::ErrorKind> {
    usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)
}

fn ends(fault: Fault) -> bool {
    matches!(fault, Fault::PowerCut | Fault::Kill)
}

fn changes(op: &Op<'_>) -> bool {
    !matches!(op, Op::List { .. } | Op::ReadAt { .. } | Op::Length { .. })
}

fn takes_space(op: &Op<'_>) -> bool {
    matches!(op, Op::Create { .. } | Op::Allocate { .. } | Op::WriteAt { .. })
}
