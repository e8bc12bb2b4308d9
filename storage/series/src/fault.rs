//! A disk in memory that fails and loses power on command, for tests and the simulator.
//!
//! Three images of everything: what the process sees (cached), what a power cut leaves (durable), and which 512-byte
//! sectors and names lie between. It is harsher than a real disk: after a crash each unsynced sector and each unsynced
//! change of a name survives or not, at random; a failed sync drops what it should have saved, so that a second sync
//! "succeeds" without it.

use crate::disk::{Disk, DiskError, Op, Output};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR_BYTES: usize = 512;

/// What happens to the n-th operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO, once. A write may have happened in part; a sync loses data.
    Io,
    /// ENOSPC, once. A write may have happened in part.
    NoSpace,
    /// ENOSPC from here on for everything that takes space, until [`MemoryDisk::free_space`].
    Full,
    /// The power goes: this and all later operations fail until [`MemoryDisk::restart`].
    PowerCut,
}

/// Cloned handles are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, FileImages>,
    cached_names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    next_file: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    is_full: bool,
    is_off: bool,
    random: Random,
}

#[derive(Default, Clone)]
struct FileImages {
    cached: Vec<u8>,
    durable: Vec<u8>,
    unsynced_sectors: BTreeSet<usize>,
}

#[derive(Clone)]
enum NameChange {
    Add(PathBuf, u64),
    Rename(PathBuf, PathBuf, u64),
    Remove(PathBuf),
}

impl MemoryDisk {
    pub fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.lock().random = Random(seed);
        disk
    }

    /// Operations so far, over all handles.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The operation after `after` more of them meets this fault.
    pub fn fail_after(&self, after: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.operations + after, fault));
    }

    pub fn free_space(&self) {
        self.lock().is_full = false;
    }

    /// The power goes and comes back: what was not synced survives in part, chosen by the seed.
    pub fn restart(&self, seed: u64) {
        let mut state = self.lock();
        state.random = Random(seed);
        state.lose_power();
        state.fault = None;
        state.is_full = false;
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
        let file = state.cached_names.get(path)?;
        state.files.get(file).map(|images| images.cached.clone())
    }

    /// Puts this content in place, synced: a bit flipped, an end cut off.
    pub fn replace(&self, path: &Path, content: Vec<u8>) {
        let mut state = self.lock();
        let file = state.create(path);
        state.files.insert(file, FileImages { cached: content.clone(), durable: content, ..FileImages::default() });
        state.durable_names.insert(path.to_owned(), file);
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().cached_names.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn execute(&mut self, op: Op<'_>) -> Result<Output, DiskError> {
        let mut state = self.lock();
        let (action, path) = describe(&op);
        let path = path.to_owned();
        state.execute(op).map_err(|kind| DiskError::new(action, &path, kind.into()))
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
        if self.is_off {
            return Err(io::ErrorKind::Other);
        }
        let fault = self.fault.filter(|(at, _)| *at == self.operations).map(|(_, fault)| fault);
        self.operations += 1;
        match fault {
            Some(fault) => self.fail(op, fault),
            None if self.is_full && takes_space(&op) => self.fail(op, Fault::NoSpace),
            None => self.perform(op),
        }
    }

    /// The operation fails, but a part of it may have happened.
    fn fail(&mut self, op: Op<'_>, fault: Fault) -> Result<Output, io::ErrorKind> {
        match op {
            Op::WriteAt { path, offset, bytes } => {
                let part = self.random.below(bytes.len() + 1);
                let part = bytes.get(..part).unwrap_or_default();
                self.perform(Op::WriteAt { path, offset, bytes: part })?;
            }
            Op::Sync { path } => {
                let file = self.file(path)?;
                self.save_some_sectors(file);
            }
            Op::SyncDir { path } => {
                let changes = self.take_changes_of(path);
                self.save_some_names(changes);
            }
            _ => {}
        }
        match fault {
            Fault::Io => Err(io::ErrorKind::Other),
            Fault::NoSpace => Err(io::ErrorKind::StorageFull),
            Fault::Full => {
                self.is_full = true;
                Err(io::ErrorKind::StorageFull)
            }
            Fault::PowerCut => {
                self.is_off = true;
                Err(io::ErrorKind::Other)
            }
        }
    }

    fn perform(&mut self, op: Op<'_>) -> Result<Output, io::ErrorKind> {
        match op {
            Op::Create { path } => {
                let file = self.create(path);
                self.unsynced_names.push(NameChange::Add(path.to_owned(), file));
            }
            Op::Allocate { path, bytes } => self.write(path, bytes, &[])?,
            Op::WriteAt { path, offset, bytes } => self.write(path, offset, bytes)?,
            Op::Sync { path } => {
                let file = self.file(path)?;
                let images = self.files.entry(file).or_default();
                images.durable.clone_from(&images.cached);
                images.unsynced_sectors.clear();
            }
            Op::SyncDir { path } => {
                for change in self.take_changes_of(path) {
                    self.save_name(change);
                }
            }
            Op::Rename { from, to } => {
                let file = self.file(from)?;
                self.cached_names.remove(from);
                self.cached_names.insert(to.to_owned(), file);
                self.unsynced_names.push(NameChange::Rename(from.to_owned(), to.to_owned(), file));
            }
            Op::Remove { path } => {
                self.file(path)?;
                self.cached_names.remove(path);
                self.unsynced_names.push(NameChange::Remove(path.to_owned()));
            }
            Op::List { path } => {
                let in_folder = self.cached_names.keys().filter(|name| name.parent() == Some(path));
                let names = in_folder.filter_map(|name| name.file_name()?.to_str().map(str::to_owned));
                return Ok(Output::Names(names.collect()));
            }
            Op::ReadAt { path, offset, into } => {
                let images = self.files.get(&self.file(path)?).ok_or(io::ErrorKind::NotFound)?;
                let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
                let bytes = images.cached.get(start..start.saturating_add(into.len()));
                into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
            Op::Length { path } => {
                let images = self.files.get(&self.file(path)?).ok_or(io::ErrorKind::NotFound)?;
                return Ok(Output::Length(u64::try_from(images.cached.len()).unwrap_or(u64::MAX)));
            }
        }
        Ok(Output::Done)
    }

    fn create(&mut self, path: &Path) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, FileImages::default());
        self.cached_names.insert(path.to_owned(), self.next_file);
        self.next_file
    }

    fn file(&self, path: &Path) -> Result<u64, io::ErrorKind> {
        self.cached_names.get(path).copied().ok_or(io::ErrorKind::NotFound)
    }

    /// Writes, and lengthens the file with zeroes up to `offset`.
    fn write(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), io::ErrorKind> {
        let file = self.file(path)?;
        let images = self.files.entry(file).or_default();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start + bytes.len();
        let length_before = images.cached.len();
        if length_before < end {
            images.cached.resize(end, 0);
            images.unsynced_sectors.extend(length_before / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
        }
        images.cached.get_mut(start..end).ok_or(io::ErrorKind::Other)?.copy_from_slice(bytes);
        if !bytes.is_empty() {
            images.unsynced_sectors.extend(start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
        }
        Ok(())
    }

    fn lose_power(&mut self) {
        let files: Vec<u64> = self.files.keys().copied().collect();
        for file in files {
            self.save_some_sectors(file);
            let images = self.files.entry(file).or_default();
            images.cached.clone_from(&images.durable);
        }
        let changes = std::mem::take(&mut self.unsynced_names);
        self.save_some_names(changes);
        self.cached_names.clone_from(&self.durable_names);
    }

    /// Each unsynced sector gets to the platter or not; none is remembered as unsynced.
    fn save_some_sectors(&mut self, file: u64) {
        let Some(images) = self.files.get_mut(&file) else { return };
        for sector in std::mem::take(&mut images.unsynced_sectors) {
            if self.random.below(2) == 0 {
                continue;
            }
            let start = sector * SECTOR_BYTES;
            let end = (start + SECTOR_BYTES).min(images.cached.len());
            let Some(bytes) = images.cached.get(start..end) else { continue };
            if images.durable.len() < end {
                images.durable.resize(end, 0);
            }
            if let Some(saved) = images.durable.get_mut(start..end) {
                saved.copy_from_slice(bytes);
            }
        }
    }

    fn take_changes_of(&mut self, folder: &Path) -> Vec<NameChange> {
        let changes = std::mem::take(&mut self.unsynced_names);
        let (of_folder, others) = changes.into_iter().partition(|change| change.path().parent() == Some(folder));
        self.unsynced_names = others;
        of_folder
    }

    fn save_some_names(&mut self, changes: Vec<NameChange>) {
        for change in changes {
            if self.random.below(2) == 1 {
                self.save_name(change);
            }
        }
    }

    fn save_name(&mut self, change: NameChange) {
        match change {
            NameChange::Add(path, file) => {
                self.durable_names.insert(path, file);
            }
            NameChange::Rename(from, to, file) => {
                self.durable_names.remove(&from);
                self.durable_names.insert(to, file);
            }
            NameChange::Remove(path) => {
                self.durable_names.remove(&path);
            }
        }
    }
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            NameChange::Add(path, _) | NameChange::Rename(path, _, _) | NameChange::Remove(path) => path,
        }
    }
}

fn takes_space(op: &Op<'_>) -> bool {
    matches!(op, Op::Create { .. } | Op::Allocate { .. } | Op::WriteAt { .. })
}

/// splitmix64: the same seed, the same faults.
#[derive(Default)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}
