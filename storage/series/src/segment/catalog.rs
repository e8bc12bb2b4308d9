//! Which segments are alive, for the whole node. Readers take a snapshot; a flush puts a new list in its place.

use super::SegmentError;
use super::build::flush;
use super::format::{SegmentName, TEMPORARY_SUFFIX};
use super::read::Segment;
use crate::disk::{Disk, Op};
use crate::ring::Frozen;
use model::SeriesKey;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

pub struct Catalog {
    dir: PathBuf,
    /// Ascending by number: later ones win.
    segments: RwLock<Arc<Vec<Arc<Segment>>>>,
    number_next: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogStats {
    pub segments: usize,
    pub bytes: u64,
    pub rows: u64,
}

impl Catalog {
    /// Opens all segments of the folder and removes incomplete ones. Before any flush.
    pub fn open(dir: &Path, disk: &mut dyn Disk) -> Result<Self, SegmentError> {
        let mut segments = Vec::new();
        let mut removed_any = false;
        for file in disk.list(dir)? {
            if let Some(name) = SegmentName::parse(&file) {
                segments.push(Arc::new(Segment::open(dir, name, disk)?));
            } else if file.ends_with(TEMPORARY_SUFFIX) {
                disk.execute(Op::Remove { path: &dir.join(file) })?;
                removed_any = true;
            }
        }
        if removed_any {
            disk.execute(Op::SyncDir { path: dir })?;
        }
        segments.sort_unstable_by_key(|segment| segment.name());
        let number_last = segments.last().map_or(0, |segment| segment.name().number);
        Ok(Self {
            dir: dir.to_owned(),
            segments: RwLock::new(Arc::new(segments)),
            number_next: AtomicU64::new(number_last + 1),
        })
    }

    /// Writes the frozen ring as segments and makes them visible. Then call `Ingest::flushed`, then the checkpoint.
    pub fn flush(&self, frozen: &Frozen, disk: &mut dyn Disk) -> Result<Vec<Arc<Segment>>, SegmentError> {
        let segments = flush(frozen, disk, &self.dir, self.next_number())?;
        self.add(&segments);
        Ok(segments)
    }

    /// A number for [`flush`]; never given twice.
    pub fn next_number(&self) -> u64 {
        self.number_next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn add(&self, segments: &[Arc<Segment>]) {
        let mut live = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let mut list = Vec::clone(&live);
        list.extend_from_slice(segments);
        list.sort_unstable_by_key(|segment| segment.name());
        *live = Arc::new(list);
    }

    /// The segments with points of the series in `[from_ns, to_ns)`, later ones win. Take the ring's view first.
    pub fn for_key(&self, key: SeriesKey, from_ns: i64, to_ns: i64) -> Vec<Arc<Segment>> {
        let Some(last_ns) = to_ns.checked_sub(1) else { return Vec::new() };
        let touches = |segment: &&Arc<Segment>| {
            segment.name().slot == key.slot() && !segment.blocks(key, from_ns, last_ns).is_empty()
        };
        self.snapshot().iter().filter(touches).map(Arc::clone).collect()
    }

    pub fn snapshot(&self) -> Arc<Vec<Arc<Segment>>> {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn stats(&self) -> CatalogStats {
        let segments = self.snapshot();
        CatalogStats {
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.bytes()).sum(),
            rows: segments.iter().map(|segment| segment.rows()).sum(),
        }
    }
}
