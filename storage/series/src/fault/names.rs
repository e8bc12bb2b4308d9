//! The names of the files in memory: which file the process finds under a name, which one a power cut leaves there.

use super::random::Random;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A file, whatever it is called.
pub(super) type FileId = u64;

#[derive(Clone, Default)]
pub(super) struct Names {
    // Paths compare part by part, strings at once.
    cached: BTreeMap<OsString, FileId>,
    durable: BTreeMap<OsString, FileId>,
    /// Since the last sync of their folder, in their order.
    unsynced: Vec<NameChange>,
}

#[derive(Clone)]
enum NameChange {
    Add(PathBuf, FileId),
    Rename(PathBuf, PathBuf, FileId),
    Remove(PathBuf),
}

impl Names {
    pub(super) fn find(&self, path: &Path) -> Option<FileId> {
        self.cached.get(path.as_os_str()).copied()
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.cached.keys().map(Path::new)
    }

    /// All files that have a name, or had one that a power cut may bring back.
    pub(super) fn reachable(&self) -> impl Iterator<Item = FileId> {
        self.cached.values().chain(self.durable.values()).copied()
    }

    pub(super) fn add(&mut self, path: &Path, file: FileId) {
        self.cached.insert(path.into(), file);
        self.unsynced.push(NameChange::Add(path.to_owned(), file));
    }

    /// As if it had been there for long.
    pub(super) fn add_synced(&mut self, path: &Path, file: FileId) {
        self.cached.insert(path.into(), file);
        self.durable.insert(path.into(), file);
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, file: FileId) {
        self.cached.remove(from.as_os_str());
        self.cached.insert(to.into(), file);
        self.unsynced.push(NameChange::Rename(from.to_owned(), to.to_owned(), file));
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.cached.remove(path.as_os_str());
        self.unsynced.push(NameChange::Remove(path.to_owned()));
    }

    pub(super) fn sync(&mut self, folder: &Path) {
        for change in take_changes_of(&mut self.unsynced, folder) {
            self.save(change);
        }
    }

    /// What was not saved is gone, except for some.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        let changes = std::mem::take(&mut self.unsynced);
        self.save_some(changes, random);
        self.cached.clone_from(&self.durable);
    }

    /// None, all, those up to one of them, or each or not: no order is promised between names.
    fn save_some(&mut self, changes: Vec<NameChange>, random: &mut Random) {
        let until = match random.below(4) {
            0 => Some(0),
            1 => Some(changes.len()),
            2 => Some(random.below(changes.len() + 1)),
            _ => None,
        };
        for (position, change) in changes.into_iter().enumerate() {
            if until.map_or_else(|| random.below(2) == 1, |until| position < until) {
                self.save(change);
            }
        }
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// What a power cut leaves that keeps these of the unsynced changes, by their position.
    pub(super) fn after_keeping(&self, is_kept: impl Fn(usize) -> bool) -> BTreeMap<PathBuf, FileId> {
        let mut names = self.durable.clone();
        let kept = self.unsynced.iter().enumerate().filter(|(position, _)| is_kept(*position));
        kept.for_each(|(_, change)| change.apply(&mut names));
        names.into_iter().map(|(name, file)| (name.into(), file)).collect()
    }

    fn save(&mut self, change: NameChange) {
        change.apply(&mut self.durable);
    }
}

fn take_changes_of(changes: &mut Vec<NameChange>, folder: &Path) -> Vec<NameChange> {
    let (of_folder, others) =
        std::mem::take(changes).into_iter().partition(|change| change.path().parent() == Some(folder));
    *changes = others;
    of_folder
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<OsString, FileId>) {
        match self {
            NameChange::Add(path, file) => drop(names.insert(path.into(), *file)),
            NameChange::Rename(from, to, file) => {
                names.remove(from.as_os_str());
                names.insert(to.into(), *file);
            }
            NameChange::Remove(path) => drop(names.remove(path.as_os_str())),
        }
    }

    fn path(&self) -> &Path {
        match self {
            NameChange::Add(path, _) | NameChange::Rename(path, _, _) | NameChange::Remove(path) => path,
        }
    }
}
