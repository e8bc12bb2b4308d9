//! A slot as its callers see it: the queue of its writer and its pool of reading connections.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use model::SlotId;
use rusqlite::Connection;

use super::writer::{Job, Writer};
use super::{Answerer, Look, Settings, read, schema};
use crate::StoreError;
use crate::base::{Answer, ReadCall};

pub(super) struct Slot {
    shared: Arc<Shared>,
    writer: Mutex<WriterState>,
}

enum WriterState {
    Unused,
    Running { queue: SyncSender<Job>, thread: JoinHandle<()> },
    Closed,
}

/// What the writer thread and the reading jobs share.
pub(super) struct Shared {
    pub id: SlotId,
    pub path: PathBuf,
    pub settings: Arc<Settings>,
    /// Set by the writer when the file is open and up to date, or cannot be.
    pub opened: OnceLock<Result<(), StoreError>>,
    readers: Mutex<Vec<Connection>>,
}

impl Slot {
    pub(super) fn new(id: SlotId, path: PathBuf, settings: &Arc<Settings>) -> Self {
        let shared = Arc::new(Shared::new(id, path, Arc::clone(settings)));
        Self { shared, writer: Mutex::new(WriterState::Unused) }
    }

    pub(super) fn send(&self, job: Job) {
        let queue = match self.queue() {
            Ok(queue) => queue,
            Err(error) => return job.refuse(error),
        };
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => job.refuse(StoreError::Busy),
            Err(TrySendError::Disconnected(job)) => job.refuse(stopped()),
        }
    }

    /// Runs in the lane, on a pooled connection.
    pub(super) fn read(&self, call: ReadCall, answer: Answerer<Answer>) {
        if let Err(error) = self.queue() {
            return drop(answer.send(Err(error)));
        }
        let shared = Arc::clone(&self.shared);
        // The answer is taken back if the lane is full.
        let answer = Arc::new(Mutex::new(Some(answer)));
        let taken = Arc::clone(&answer);
        let job = Box::new(move || {
            let outcome = shared.with_reader(|connection| read::answer(connection, &call));
            reply(&taken, outcome);
        });
        if self.shared.settings.lane.submit(job).is_err() {
            reply(&answer, Err(StoreError::Busy));
        }
    }

    /// A look at the whole file by the caller's own thread; a slot without a file is empty.
    pub(super) fn look<T: Default>(&self, ask: Look<T>) -> Result<T, StoreError> {
        if !self.shared.path.exists() {
            return Ok(T::default());
        }
        self.queue()?;
        self.shared.with_reader(ask)
    }

    pub(super) fn close(&self) {
        let state = std::mem::replace(&mut *lock(&self.writer), WriterState::Closed);
        if let WriterState::Running { queue, thread } = state {
            drop(queue.send(Job::Close));
            if thread.join().is_err() {
                tracing::error!(slot = self.shared.id.0, "the writer of a slot had panicked");
            }
        }
        lock(&self.shared.readers).clear();
    }

    /// The writer's queue; the first use starts it.
    fn queue(&self) -> Result<SyncSender<Job>, StoreError> {
        let mut state = lock(&self.writer);
        match &*state {
            WriterState::Running { queue, .. } => Ok(queue.clone()),
            WriterState::Closed => Err(stopped()),
            WriterState::Unused => {
                let (queue, jobs) = sync_channel(self.shared.settings.queue);
                let shared = Arc::clone(&self.shared);
                let thread = std::thread::Builder::new()
                    .name(format!("slot-{:02}", shared.id.0))
                    .spawn(move || Writer::run(&shared, jobs))
                    .map_err(|error| StoreError::Unavailable(format!("no thread for the writer: {error}")))?;
                *state = WriterState::Running { queue: queue.clone(), thread };
                Ok(queue)
            }
        }
    }
}

impl Shared {
    pub(super) fn new(id: SlotId, path: PathBuf, settings: Arc<Settings>) -> Self {
        Self { id, path, settings, opened: OnceLock::new(), readers: Mutex::default() }
    }

    fn with_reader<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.opened.wait().clone()?;
        let pooled = lock(&self.readers).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => schema::open_reader(&self.path, self.settings.reader_cache_kib)?,
        };
        let outcome = ask(&connection);
        let mut readers = lock(&self.readers);
        if readers.len() < self.settings.readers_per_slot {
            readers.push(connection);
        }
        outcome
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

fn reply(answer: &Mutex<Option<Answerer<Answer>>>, outcome: Result<Answer, StoreError>) {
    if let Some(answer) = lock(answer).take() {
        drop(answer.send(outcome));
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
