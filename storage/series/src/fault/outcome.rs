//! The reverse question: could a power cut now leave this? With it the rules of the simulated disk are compared with
//! what real power cuts have left (`cargo ci sim-calibrate`).

use super::image::FileImages;
use super::names::Names;
use super::{MemoryDisk, State};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Every subset of them is looked at.
const UNSYNCED_NAMES_MAX: usize = 20;

/// Why the simulated disk would never leave this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    #[error("no subset of the unsynced names gives {0:?}")]
    Names(Vec<PathBuf>),
    #[error(
        "{path}: {found_bytes} bytes that differ from all that the file may be, first in the sector at byte {offset} \
         (durable are {durable_bytes} bytes, written {cached_bytes})"
    )]
    Content { path: PathBuf, offset: u64, found_bytes: usize, durable_bytes: usize, cached_bytes: usize },
    #[error("{0} unsynced names, more than {UNSYNCED_NAMES_MAX}: sync the folder more often")]
    TooMany(usize),
}

impl MemoryDisk {
    /// A disk of its own in the same state.
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// What the process sees.
    pub fn written(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        state.names.paths().filter_map(|path| Some((path.into(), state.images(path).ok()?.cached().to_vec()))).collect()
    }

    /// What a power cut leaves when nothing survives that was not synced.
    pub fn synced(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        let names = state.names.after_keeping(|_| false).into_iter();
        names.filter_map(|(path, file)| Some((path, state.files.get(&file)?.durable().to_vec()))).collect()
    }

    /// How long the file is after a power cut, at least. `None`: there is no such file.
    pub fn synced_bytes(&self, path: &Path) -> Option<usize> {
        let state = self.lock();
        state.images(path).ok().map(|images| images.durable().len())
    }

    /// Whether a power cut at this moment may leave exactly these files.
    pub fn may_leave(&self, found: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), Impossible> {
        let state = self.lock();
        if state.names.unsynced() > UNSYNCED_NAMES_MAX {
            return Err(Impossible::TooMany(state.names.unsynced()));
        }
        let mut verdict = Impossible::Names(found.keys().cloned().collect());
        for names in state.names.outcomes() {
            match state.compare(&names, found) {
                None => {}
                Some(Ok(())) => return Ok(()),
                Some(Err(content)) => verdict = content,
            }
        }
        Err(verdict)
    }
}

impl State {
    /// `None`: other names than those found.
    fn compare(
        &self,
        names: &BTreeMap<PathBuf, super::FileId>,
        found: &BTreeMap<PathBuf, Vec<u8>>,
    ) -> Option<Result<(), Impossible>> {
        if !names.keys().eq(found.keys()) {
            return None;
        }
        let mut images = names.values().filter_map(|file| self.files.get(file)).zip(found);
        Some(images.try_for_each(|(images, (path, content))| images.compare(path, content)))
    }
}

impl FileImages {
    fn compare(&self, path: &Path, found: &[u8]) -> Result<(), Impossible> {
        let impossible = |offset: usize| Impossible::Content {
            path: path.to_owned(),
            offset: u64::try_from(offset).unwrap_or(u64::MAX),
            found_bytes: found.len(),
            durable_bytes: self.durable().len(),
            cached_bytes: self.cached().len(),
        };
        if !(self.durable().len()..=self.cached().len()).contains(&found.len()) {
            return Err(impossible(found.len()));
        }
        for (sector, bytes) in found.chunks(super::image::SECTOR_BYTES).enumerate() {
            if !self.versions(sector).any(|version| is_padded(bytes, version)) {
                return Err(impossible(sector * super::image::SECTOR_BYTES));
            }
        }
        Ok(())
    }
}

/// What is found of the version, and zeroes behind it.
fn is_padded(found: &[u8], version: &[u8]) -> bool {
    let (head, tail) = found.split_at(version.len().min(found.len()));
    version.starts_with(head) && tail.iter().all(|byte| *byte == 0)
}

impl Names {
    /// Each outcome of a power cut, some of them several times.
    fn outcomes(&self) -> impl Iterator<Item = BTreeMap<PathBuf, super::FileId>> {
        (0..1u32 << self.unsynced()).map(|kept| self.after_keeping(|position| kept >> position & 1 == 1))
    }
}
