//! What a process of the node has in memory: a catalog of segments, and for each shard its ring and its log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::SeriesKey;
use series::{
    Catalog, FrameGroup, Ingest, IngestLimits, LogOptions, LogWriter, RecoveryOptions, RecoveryReport, Ticket,
    prepare_spare, recover,
};

use super::ground::{Ground, LOG, SEGMENTS};
use super::model::ActId;
use super::reads::OpenRead;

const SHARDS_MAX: u64 = 3;

pub(super) struct Process {
    pub(super) catalog: Arc<Catalog>,
    pub(super) shards: Vec<Shard>,
    pub(super) reads: Vec<OpenRead>,
    /// The largest time that was replayed, by series.
    pub(super) extents: BTreeMap<SeriesKey, i64>,
    /// Series deleted by this process.
    pub(super) deleted: Vec<SeriesKey>,
    /// The one thread that merges, erases, reduces and sweeps is at work.
    pub(super) is_upkeeping: bool,
    pub(super) segment_bytes_max: u64,
    /// Disk operations between two at which something else happens.
    pub(super) interrupted_every: usize,
    /// Failures of the disk before it began.
    failures: u64,
    /// Acknowledgements, flushes, merges and deletions so far: a read that sees it grow is held across changes.
    pub(super) changes: u64,
}

pub(super) struct Shard {
    pub(super) chain: u32,
    pub(super) ingest: Ingest,
    /// `None` while it is at work.
    pub(super) writer: Option<LogWriter>,
    /// What the writer will find when it comes back.
    pub(super) inbox: Vec<FrameGroup>,
    /// Posts without an answer yet.
    pub(super) waiting: Vec<(Ticket, ActId)>,
    /// Posts that got 507: no later commit may vouch for them.
    pub(super) refused: Vec<Ticket>,
    pub(super) is_flushing: bool,
    /// The log has failed, and the ring knows.
    pub(super) is_poisoned: bool,
    /// All up to here is in segments; the log should be cut.
    pub(super) checkpoint_due: Option<u64>,
}

impl Process {
    /// Starts on what the process before has left. `Err`: something does not let it.
    pub(super) fn start(ground: &mut Ground) -> Result<(Self, RecoveryReport), String> {
        ground.epoch += 1;
        let failures = ground.disk.failures();
        let mut disk = ground.disk.clone();
        let catalog = Catalog::open(Path::new(SEGMENTS), &mut disk).map_err(|error| error.to_string())?;
        let options = RecoveryOptions { memory_bytes_max: 1 << ground.random.between(9, 17), salvage: false };
        let alive = |key| ground.model.is_alive(key);
        catalog.forget_all_but(&alive);
        let report =
            recover(&mut disk, Path::new(LOG), &catalog, &alive, options).map_err(|error| error.to_string())?;
        let count = u32::try_from(ground.random.between(1, SHARDS_MAX + 1)).expect("a few shards");
        let shards = (0..count).map(|chain| Shard::new(chain, ground)).collect();
        ground.disk.tell(|| format!("-- epoch {}: {count} shards, {report:?}", ground.epoch));
        let segment_bytes_max = 1 << ground.random.between(20, 24);
        let process = Self {
            catalog: Arc::new(catalog),
            shards,
            reads: Vec::new(),
            extents: report.extents.clone(),
            deleted: Vec::new(),
            is_upkeeping: false,
            segment_bytes_max,
            interrupted_every: ground.random.pick(&[2, 4, 8, 16]).copied().unwrap_or(8),
            failures,
            changes: 0,
        };
        Ok((process, report))
    }

    pub(super) fn has_seen_failures(&self, ground: &Ground) -> bool {
        ground.disk.failures() > self.failures
    }

    pub(super) fn shard_of(&self, key: SeriesKey) -> usize {
        shard_of(key, self.shards.len())
    }
}

/// Where a key's posts go: fixed in a process, another with another number of shards.
pub(super) fn shard_of(key: SeriesKey, shards: usize) -> usize {
    let shards = u64::try_from(shards.max(1)).expect("a few shards");
    let hash = key.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    usize::try_from(hash % shards).expect("a few shards")
}

impl Shard {
    fn new(chain: u32, ground: &mut Ground) -> Self {
        let random = &mut ground.random;
        let ring_bytes_max = random.between(8 << 10, 256 << 10);
        let limits = IngestLimits { ring_bytes_max, flush_bytes: ring_bytes_max / random.between(2, 9) };
        let file_bytes = 1 << random.between(9, 17);
        let mut file_id = random.next();
        let options = LogOptions {
            dir: LOG.into(),
            epoch: ground.epoch,
            chain,
            file_bytes,
            next_spare: next_spare(chain, file_bytes, ground),
            next_file_id: Box::new(move || {
                file_id = file_id.wrapping_add(1);
                file_id
            }),
        };
        Self {
            chain,
            ingest: Ingest::new(limits, ground.epoch, chain),
            writer: Some(LogWriter::new(options)),
            inbox: Vec::new(),
            waiting: Vec::new(),
            refused: Vec::new(),
            is_flushing: false,
            is_poisoned: false,
            checkpoint_due: None,
        }
    }

    /// The log works, as far as its writer knows.
    pub(super) fn is_sound(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.is_poisoned())
    }

    pub(super) fn has_work(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| !self.inbox.is_empty() || writer.has_work())
    }
}

/// The thread that makes log files ahead; now and then it lags behind.
fn next_spare(
    chain: u32,
    file_bytes: u64,
    ground: &mut Ground,
) -> Box<dyn FnMut() -> Option<std::path::PathBuf> + Send> {
    let mut disk = ground.disk.clone();
    let mut random = crate::random::Random::new(ground.random.next());
    let mut number = 0;
    Box::new(move || {
        number += 1;
        if random.one_in(2) {
            return None;
        }
        prepare_spare(Path::new(LOG), chain, number, file_bytes, &mut disk).ok()
    })
}
