//! The embedded engine: users' data in a few SQLite files ("slots"), one writer with group commit each.
//!
//! Invariants of absence: no command reaches rows of another user than its grant's, no answer to a write
//! comes before its commit (but inside a batch), no read waits for a writer.

mod content_index;
pub(crate) mod error;
mod holders;
mod lane;
mod read;
mod rows;
pub(crate) mod schema;
mod slot;
mod users;
mod wal;
mod write;
mod writer;

pub use content_index::{CONTENT_INDEXES_MAX, ContentIndex, IndexedField};
pub use lane::{Job, Lane, LaneFull, ThreadLane};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{AuditRecord, SeriesKey, SlotId, UserId};
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::slot::Slot;
use self::writer::Job as WriterJob;
use crate::base::{Answer, BaseStore, BatchId, ReadCall, SeriesHolder, WriteCall, Written};
use crate::stored::event::series_key;
pub use crate::stored::{DeletionMode, Seals};
use crate::{Reply, StoreError};

/// Slots that a data folder may have: each open one is a thread, a file and its connections.
pub const SLOTS_MAX: u16 = 256;
const SLOTS_FILE: &str = "slots.count";
/// Smallest cache of one connection.
const CACHE_KIB_MIN: u64 = 256;

#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The data folder; the files are in its `slots/`.
    pub dir: PathBuf,
    /// Fixed when the folder is created.
    pub slots: u16,
    /// Shared by all connections of all slots.
    pub cache_bytes: u64,
    /// With what `integrity` is computed.
    pub seals: Seals,
    pub deletion_mode: DeletionMode,
    /// Keep former states of events (Pryv: `versioning.forceKeepHistory`).
    pub keep_history: bool,
    /// At most [`CONTENT_INDEXES_MAX`]; made and removed when a slot's file is opened.
    pub content_indexes: Vec<ContentIndex>,
    /// Commands in one transaction at most.
    pub max_group: usize,
    /// Commands waiting for a slot's writer; beyond it callers get `Busy`.
    pub queue: usize,
    pub readers_per_slot: usize,
}

impl EmbeddedConfig {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            slots: 4,
            cache_bytes: 64 << 20,
            seals: Seals::default(),
            deletion_mode: DeletionMode::KeepNothing,
            keep_history: false,
            content_indexes: Vec::new(),
            max_group: 512,
            queue: 4096,
            readers_per_slot: 2,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("`storages.engines.sqlite.slots` is {wanted}, but the data folder was created with {found}: set it back")]
    SlotsChanged { found: u16, wanted: u16 },
    #[error("`storages.engines.sqlite.slots` is {0}: give a number from 1 to {SLOTS_MAX}")]
    SlotsOutOfRange(u16),
    #[error("{path}: {source}; check that the folder exists and may be written", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {text}; the file is damaged, restore it", path = path.display())]
    Damaged { path: PathBuf, text: String },
}

/// What the threads of all slots share.
pub(crate) struct Settings {
    pub(crate) seals: Seals,
    pub(crate) deletion_mode: DeletionMode,
    pub(crate) keep_history: bool,
    pub(crate) content_indexes: Vec<ContentIndex>,
    pub(crate) max_group: usize,
    pub(crate) queue: usize,
    pub(crate) readers_per_slot: usize,
    pub(crate) writer_cache_kib: u64,
    pub(crate) reader_cache_kib: u64,
    pub(crate) lane: Arc<dyn Lane>,
}

pub struct EmbeddedStore {
    slots: Vec<Slot>,
}

impl EmbeddedStore {
    /// Opens the folder; each slot's file is opened on first use.
    pub fn open(config: EmbeddedConfig, lane: Arc<dyn Lane>) -> Result<Arc<Self>, OpenError> {
        if config.slots == 0 || config.slots > SLOTS_MAX {
            return Err(OpenError::SlotsOutOfRange(config.slots));
        }
        let folder = config.dir.join("slots");
        make_folder(&folder)?;
        fix_slot_count(&folder, config.slots)?;
        let readers = u64::try_from(config.readers_per_slot.max(1)).unwrap_or(1);
        // Half for the writers, half for the readers.
        let writer_kib = config.cache_bytes / 1024 / 2 / u64::from(config.slots);
        let settings = Arc::new(Settings {
            seals: config.seals,
            deletion_mode: config.deletion_mode,
            keep_history: config.keep_history,
            content_indexes: config.content_indexes,
            max_group: config.max_group.max(1),
            queue: config.queue.max(1),
            readers_per_slot: config.readers_per_slot.max(1),
            writer_cache_kib: writer_kib.max(CACHE_KIB_MIN),
            reader_cache_kib: (writer_kib / readers).max(CACHE_KIB_MIN),
            lane,
        });
        let slots = (0..config.slots)
            .map(|number| Slot::new(SlotId(number), folder.join(format!("slot-{number:02}.sqlite")), &settings))
            .collect();
        Ok(Arc::new(Self { slots }))
    }

    fn slot(&self, slot: SlotId) -> Result<&Slot, StoreError> {
        self.slots
            .get(usize::from(slot.0))
            .ok_or_else(|| StoreError::Unavailable(format!("there is no slot {}; the user belongs elsewhere", slot.0)))
    }

    fn send<T>(&self, slot: SlotId, job: impl FnOnce(Answerer<T>) -> WriterJob) -> Reply<T> {
        let (sender, reply) = oneshot::channel();
        match self.slot(slot) {
            Ok(slot) => slot.send(job(sender)),
            Err(error) => drop(sender.send(Err(error))),
        }
        reply
    }
}

pub(crate) type Answerer<T> = oneshot::Sender<Result<T, StoreError>>;

impl BaseStore for EmbeddedStore {
    fn write(&self, call: WriteCall) -> Reply<Written> {
        self.send(call.grant.slot(), |answer| WriterJob::Write(Box::new(call), answer))
    }

    fn read(&self, call: ReadCall) -> Reply<Answer> {
        let slot = call.grant.slot();
        if call.batch.is_some() {
            return self.send(slot, |answer| WriterJob::Read(Box::new(call), answer));
        }
        let (sender, reply) = oneshot::channel();
        match self.slot(slot) {
            Ok(slot) => slot.read(call, sender),
            Err(error) => drop(sender.send(Err(error))),
        }
        reply
    }

    fn batch(&self, slot: SlotId) -> Reply<BatchId> {
        self.send(slot, WriterJob::OpenBatch)
    }

    fn batch_end(&self, slot: SlotId, batch: BatchId) -> Reply<()> {
        self.send(slot, |answer| WriterJob::EndBatch(batch, answer))
    }

    fn audit(&self, slot: SlotId, records: Vec<(UserId, AuditRecord)>) -> Reply<()> {
        self.send(slot, |answer| WriterJob::Audit(records, answer))
    }

    fn slots(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(SLOTS_MAX)
    }

    fn live_series(&self, slot: SlotId) -> Result<Vec<SeriesKey>, StoreError> {
        self.slot(slot)?.look(|connection| {
            let mut query = connection.prepare("SELECT series FROM event WHERE series IS NOT NULL ORDER BY series")?;
            let keys = query.query_map([], |row| row.get(0))?;
            Ok(keys.map(|raw| raw.map(series_key)).collect::<Result<_, _>>()?)
        })
    }

    fn series_holders(&self, slot: SlotId) -> Result<Vec<SeriesHolder>, StoreError> {
        self.slot(slot)?.look(holders::all)
    }

    fn accounts(&self, slot: SlotId) -> Result<Vec<(UserId, String)>, StoreError> {
        self.slot(slot)?.look(|connection| {
            let mut query = connection.prepare("SELECT id, username FROM user WHERE erased = 0 ORDER BY row")?;
            let found = query.query_map([], |row| Ok((UserId::new(row.get::<_, String>(0)?), row.get(1)?)))?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    fn close(&self) {
        for slot in &self.slots {
            slot.close();
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn make_folder(folder: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| OpenError::Io { path: folder.to_owned(), source })
}

/// The count is written once, synced, and compared for ever: users' places depend on it.
fn fix_slot_count(folder: &Path, wanted: u16) -> Result<(), OpenError> {
    use std::io::Write as _;
    let path = folder.join(SLOTS_FILE);
    let io = |source| OpenError::Io { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let found = text
                .trim()
                .parse()
                .map_err(|_| OpenError::Damaged { path: path.clone(), text: "not a number of slots".into() })?;
            if found == wanted { Ok(()) } else { Err(OpenError::SlotsChanged { found, wanted }) }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let draft = folder.join(format!("{SLOTS_FILE}.new"));
            let mut file = std::fs::File::create(&draft).map_err(io)?;
            writeln!(file, "{wanted}").map_err(io)?;
            file.sync_all().map_err(io)?;
            std::fs::rename(&draft, &path).map_err(io)?;
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

/// A question that is asked of a connection outside of any user's grant.
type Look<T> = fn(&Connection) -> Result<T, StoreError>;
