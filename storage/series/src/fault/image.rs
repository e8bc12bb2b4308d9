//! The content of one file in memory: what the process sees, what a power cut leaves, and what lies between.

use super::random::Random;
use std::collections::BTreeMap;

pub(super) const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
pub(super) struct FileImages {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync, each with what it held in between, oldest first: the kernel may have
    /// written out any of these.
    unsynced: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// Which of the unsynced sectors a power cut leaves. Each at random alone would, in a large file, never leave all, none
/// or all but one.
#[derive(Clone, Copy)]
enum Survivors {
    None,
    All,
    /// Those before this place in the order of the file.
    Before(usize),
    From(usize),
    AllBut(usize),
    Only(usize),
    Each,
}

impl FileImages {
    /// A file whose content is on the platter.
    pub(super) fn synced(content: Vec<u8>) -> Self {
        Self { cached: content.clone(), durable: content, unsynced: BTreeMap::new() }
    }

    pub(super) fn cached(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn durable_bytes(&self) -> usize {
        self.durable.len()
    }

    /// Everything that this sector may be after a power cut.
    pub(super) fn versions(&self, sector: usize) -> impl Iterator<Item = &[u8]> {
        let unsynced = self.unsynced.get(&sector);
        let written = unsynced.map(|_| of_sector(&self.cached, sector));
        let between = unsynced.into_iter().flatten().map(Vec::as_slice);
        std::iter::once(of_sector(&self.durable, sector)).chain(written).chain(between)
    }

    /// Writes, and lengthens the file with zeroes up to `start`.
    pub(super) fn write(&mut self, start: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = start + bytes.len();
        self.lengthen(start);
        self.touch(start, end);
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        if let Some(place) = self.cached.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
    }

    /// Zeroes over the first `bytes` bytes.
    pub(super) fn write_zeroes(&mut self, bytes: usize) {
        let overwritten = self.cached.len().min(bytes);
        self.touch(0, overwritten);
        if let Some(place) = self.cached.get_mut(..overwritten) {
            place.fill(0);
        }
        self.lengthen(bytes);
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.cached.len(), 0);
        for sector in std::mem::take(&mut self.unsynced).into_keys() {
            self.save(sector, None);
        }
    }

    /// Some of the unsynced sectors get to the platter; none is remembered as unsynced.
    pub(super) fn save_some(&mut self, random: &mut Random) {
        let unsynced = std::mem::take(&mut self.unsynced);
        if unsynced.is_empty() {
            return;
        }
        let survivors = Survivors::any(unsynced.len(), random);
        for (position, (sector, versions)) in unsynced.into_iter().enumerate() {
            if survivors.holds(position, random) {
                let version = random.below(versions.len() * 2 + 1);
                self.save(sector, versions.get(version).map(Vec::as_slice));
            }
        }
        // The length is the file system's own business: it may be ahead of the content, which then is zeroes.
        if self.durable.len() < self.cached.len() && random.below(4) == 0 {
            self.durable.resize(self.cached.len(), 0);
        }
    }

    /// What was not saved is gone.
    pub(super) fn forget_unsynced(&mut self) {
        self.unsynced.clear();
        self.cached.clone_from(&self.durable);
    }

    fn lengthen(&mut self, bytes: usize) {
        let before = self.cached.len();
        if before < bytes {
            self.touch(before, bytes);
            self.cached.resize(bytes, 0);
        }
    }

    /// Notes the sectors of these bytes as unsynced, and what they hold now if they were that already.
    fn touch(&mut self, start: usize, end: usize) {
        if start >= end {
            return;
        }
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let (first, last) = bounds(sector, self.cached.len());
            let now = self.cached.get(first..last).unwrap_or_default();
            match self.unsynced.get_mut(&sector) {
                Some(versions) => versions.push(now.to_vec()),
                None => drop(self.unsynced.insert(sector, Vec::new())),
            }
        }
    }

    /// Puts a sector on the platter: an earlier version, or what it holds now.
    fn save(&mut self, sector: usize, version: Option<&[u8]>) {
        let (first, last) = bounds(sector, self.cached.len());
        let bytes = version.or_else(|| self.cached.get(first..last)).unwrap_or_default();
        let end = first + bytes.len();
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        if let Some(place) = self.durable.get_mut(first..end) {
            place.copy_from_slice(bytes);
        }
    }
}

impl Survivors {
    fn any(sectors: usize, random: &mut Random) -> Self {
        let place = random.below(sectors);
        match random.below(8) {
            0 => Self::None,
            1 => Self::All,
            2 => Self::Before(place),
            3 => Self::From(place),
            4 => Self::AllBut(place),
            5 => Self::Only(place),
            _ => Self::Each,
        }
    }

    fn holds(self, position: usize, random: &mut Random) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Before(place) => position < place,
            Self::From(place) => position >= place,
            Self::AllBut(place) => position != place,
            Self::Only(place) => position == place,
            Self::Each => random.below(2) == 1,
        }
    }
}

fn of_sector(image: &[u8], sector: usize) -> &[u8] {
    let (first, last) = bounds(sector, image.len());
    image.get(first..last).unwrap_or_default()
}

fn bounds(sector: usize, length: usize) -> (usize, usize) {
    let first = sector * SECTOR_BYTES;
    (first.min(length), (first + SECTOR_BYTES).min(length))
}
