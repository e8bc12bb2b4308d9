//! The writer of a slot: a thread that takes all waiting commands into one transaction, commits once
//! (synced), then answers all. Batches see their own commands at once and keep the transaction open, in bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use model::{AuditRecord, UserId};
use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::slot::Shared;
use super::wal;
use super::write::Desk;
use super::{Answerer, content_index, error, read, schema};
use crate::StoreError;
use crate::base::{Answer, BatchId, ReadCall, WriteCall, Written};

/// How long a transaction stays open for batches.
const BATCH_HOLD: Duration = Duration::from_millis(100);
/// The same while other callers wait for their answer.
const BATCH_HOLD_OTHERS_WAIT: Duration = Duration::from_millis(10);
/// Commands of batches in one transaction.
const BATCH_COMMANDS_MAX: usize = 500;
/// A batch that nobody speaks to is closed.
const BATCH_IDLE_MAX: Duration = Duration::from_secs(10);
const BATCHES_MAX: usize = 256;
/// Pages in the log after which a checkpoint is asked of the lane, and after which the writer makes it.
const CHECKPOINT_PAGES: u32 = 4_000;
const WAL_PAGES_MAX: u32 = 16_000;
/// Quiet time after which the rest of the log is checkpointed.
const IDLE_BEFORE_CHECKPOINT: Duration = Duration::from_secs(1);
const TRUNCATE_RETRY: Duration = Duration::from_millis(200);
const NOTHING_TO_DO: Duration = Duration::from_secs(3600);

pub(super) enum Job {
    Write(Box<WriteCall>, Answerer<Written>),
    /// Inside a batch only.
    Read(Box<ReadCall>, Answerer<Answer>),
    OpenBatch(Answerer<BatchId>),
    EndBatch(BatchId, Answerer<()>),
    Audit(Vec<(UserId, AuditRecord)>, Answerer<()>),
    Close,
}

impl Job {
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Write(_, answer) => drop(answer.send(Err(error))),
            Self::Read(_, answer) => drop(answer.send(Err(error))),
            Self::OpenBatch(answer) => drop(answer.send(Err(error))),
            Self::EndBatch(_, answer) => drop(answer.send(Err(error))),
            Self::Audit(_, answer) => drop(answer.send(Err(error))),
            Self::Close => {}
        }
    }
}

/// An answer that is given after the commit.
enum Waiting {
    Written(Written, Answerer<Written>),
    Done(Answerer<()>),
}

struct Batch {
    last_use: Instant,
    /// Wrote in the transaction that is open now.
    in_transaction: bool,
    /// A part of it was lost: its end will say so.
    failed: Option<StoreError>,
}

pub(super) struct Writer {
    desk: Desk,
    shared: Arc<Shared>,
    waiting: Vec<Waiting>,
    batches: FxHashMap<u64, Batch>,
    next_batch: u64,
    /// When the open transaction began.
    begun: Option<Instant>,
    batch_commands: usize,
    /// Set after a failed sync: nothing is written any more.
    stopped: Option<StoreError>,
    /// Deleted bytes are still in the log.
    truncate: bool,
    wal_pages: Arc<AtomicU32>,
    /// How long the log is, zeroes ahead included.
    wal_bytes: u64,
    checkpointing: Arc<AtomicBool>,
    /// Length of the log at the last checkpoint that was asked for. The log starts anew only when no reader holds it,
    /// so under load its length alone would ask for one checkpoint after the other.
    checkpointed_at_pages: u32,
}

impl Writer {
    /// The thread's whole life.
    pub(super) fn run(shared: &Arc<Shared>, jobs: Receiver<Job>) {
        let mut writer = match Self::open(shared) {
            Ok(writer) => writer,
            Err(error) => {
                tracing::error!(path = %shared.path.display(), %error, "a slot file cannot be opened");
                drop(shared.opened.set(Err(error.clone())));
                return jobs.into_iter().for_each(|job| job.refuse(error.clone()));
            }
        };
        drop(shared.opened.set(Ok(())));
        writer.lengthen_wal_if_short();
        while writer.serve_group(&jobs) {}
        writer.commit();
    }

    fn open(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let mut connection = schema::open_writer(&shared.path, shared.settings.writer_cache_kib)?;
        content_index::adjust(&mut connection, &shared.settings.content_indexes)?;
        let wal_pages = Arc::new(AtomicU32::new(0));
        watch_wal(&mut connection, &wal_pages);
        Ok(Self {
            desk: Desk::new(connection, Arc::clone(&shared.settings), shared.id),
            shared: Arc::clone(shared),
            waiting: Vec::new(),
            batches: FxHashMap::default(),
            next_batch: 1,
            begun: None,
            batch_commands: 0,
            stopped: None,
            truncate: false,
            wal_pages,
            wal_bytes: wal::length(&shared.path),
            checkpointing: Arc::new(AtomicBool::new(false)),
            checkpointed_at_pages: 0,
        })
    }

    /// Takes what waits, then commits unless a batch holds the transaction open. False: closed.
    fn serve_group(&mut self, jobs: &Receiver<Job>) -> bool {
        let mut next = match jobs.recv_timeout(self.patience()) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => None,
        };
        if next.is_none() && self.begun.is_none() {
            self.idle();
        }
        let mut room = self.shared.settings.max_group;
        while let Some(job) = next {
            if matches!(job, Job::Close) {
                return false;
            }
            self.take(job);
            room -= 1;
            next = if room == 0 { None } else { jobs.try_recv().ok() };
        }
        self.close_idle_batches();
        if self.begun.is_some_and(|begun| self.must_commit(begun)) {
            self.commit();
        }
        true
    }

    fn patience(&self) -> Duration {
        if let Some(begun) = self.begun {
            self.hold().saturating_sub(begun.elapsed())
        } else if self.truncate {
            TRUNCATE_RETRY
        } else if !self.batches.is_empty() || self.wal_pages.load(Ordering::Relaxed) > 0 {
            IDLE_BEFORE_CHECKPOINT
        } else {
            NOTHING_TO_DO
        }
    }

    fn hold(&self) -> Duration {
        if self.waiting.is_empty() { BATCH_HOLD } else { BATCH_HOLD_OTHERS_WAIT }
    }

    fn must_commit(&self, begun: Instant) -> bool {
        let held = self.batches.values().any(|batch| batch.in_transaction);
        !held || begun.elapsed() >= self.hold() || self.batch_commands >= BATCH_COMMANDS_MAX
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Write(call, answer) => self.write(*call, answer),
            Job::Read(call, answer) => {
                let outcome = self.read(&call);
                drop(answer.send(outcome));
            }
            Job::OpenBatch(answer) => {
                let outcome = self.open_batch();
                drop(answer.send(outcome));
            }
            Job::EndBatch(id, answer) => self.end_batch(id, answer),
            Job::Audit(records, answer) => self.audit(records, answer),
            Job::Close => {}
        }
    }

    fn write(&mut self, call: WriteCall, answer: Answerer<Written>) {
        let batch = call.batch;
        if let Err(error) = batch.map_or(Ok(()), |id| self.use_batch(id)).and_then(|()| self.begin()) {
            return drop(answer.send(Err(error)));
        }
        let outcome = self.desk.run(call);
        if let Some(id) = batch {
            self.batch_commands += 1;
            if let Some(batch) = self.batches.get_mut(&id.0) {
                batch.in_transaction |= outcome.is_ok();
            }
        }
        if self.desk.connection.is_autocommit() {
            let error = outcome.err().unwrap_or_else(|| StoreError::Engine("the transaction was lost".into()));
            self.lose_group(&error);
            return drop(answer.send(Err(error)));
        }
        self.truncate |= matches!(outcome, Ok(Written::Erased { .. }));
        match (outcome, batch) {
            (Ok(written), None) => self.waiting.push(Waiting::Written(written, answer)),
            (outcome, _) => drop(answer.send(outcome)),
        }
    }

    fn read(&mut self, call: &ReadCall) -> Result<Answer, StoreError> {
        if let Some(id) = call.batch {
            self.use_batch(id)?;
        }
        if self.begun.is_some() {
            self.desk.users.flush(&self.desk.connection)?;
        }
        read::answer(&self.desk.connection, call)
    }

    fn audit(&mut self, records: Vec<(UserId, AuditRecord)>, answer: Answerer<()>) {
        let outcome = self.begin().and_then(|()| {
            records.into_iter().try_for_each(|(user, record)| self.desk.audit_alone(user.as_str(), record))
        });
        match outcome {
            Ok(()) => self.waiting.push(Waiting::Done(answer)),
            Err(error) => {
                if self.begun.is_some() && self.desk.connection.is_autocommit() {
                    self.lose_group(&error);
                }
                drop(answer.send(Err(error)));
            }
        }
    }

    fn open_batch(&mut self) -> Result<BatchId, StoreError> {
        if self.batches.len() >= BATCHES_MAX {
            return Err(StoreError::Busy);
        }
        let id = self.next_batch;
        self.next_batch += 1;
        self.batches.insert(id, Batch { last_use: Instant::now(), in_transaction: false, failed: None });
        Ok(BatchId(id))
    }

    fn use_batch(&mut self, id: BatchId) -> Result<(), StoreError> {
        let batch = self.batches.get_mut(&id.0).ok_or_else(no_such_batch)?;
        batch.last_use = Instant::now();
        batch.failed.clone().map_or(Ok(()), Err)
    }

    fn end_batch(&mut self, id: BatchId, answer: Answerer<()>) {
        match self.batches.remove(&id.0) {
            None => drop(answer.send(Err(no_such_batch()))),
            Some(Batch { failed: Some(error), .. }) => drop(answer.send(Err(error))),
            Some(Batch { in_transaction: false, .. }) => drop(answer.send(Ok(()))),
            Some(_) => self.waiting.push(Waiting::Done(answer)),
        }
    }

    fn close_idle_batches(&mut self) {
        self.batches.retain(|_, batch| batch.last_use.elapsed() < BATCH_IDLE_MAX);
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.stopped {
            return Err(error.clone());
        }
        if self.begun.is_none() {
            self.desk.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            self.begun = Some(Instant::now());
        }
        Ok(())
    }

    /// One synced commit for all, then all answers.
    fn commit(&mut self) {
        if self.begun.is_none() {
            return;
        }
        let flushed = self.desk.users.flush(&self.desk.connection);
        let committed = flushed.and_then(|()| {
            let outcome = self.desk.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
            outcome.map(drop).map_err(|failure| self.commit_failed(failure))
        });
        if let Err(error) = committed {
            return self.lose_group(&error);
        }
        self.begun = None;
        self.batch_commands = 0;
        self.batches.values_mut().for_each(|batch| batch.in_transaction = false);
        self.desk.users.trim();
        if self.truncate {
            self.truncate_wal();
        }
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Written(written, answer) => drop(answer.send(Ok(written))),
                Waiting::Done(answer) => drop(answer.send(Ok(()))),
            }
        }
        self.checkpoint_if_due();
        self.lengthen_wal_if_short();
    }

    fn commit_failed(&mut self, failure: rusqlite::Error) -> StoreError {
        if error::is_failed_sync(&failure) {
            let error = StoreError::Unavailable(format!("a sync failed ({failure}): check the disk, then restart"));
            tracing::error!(slot = self.shared.id.0, %error, "the slot takes no more writes");
            self.stopped = Some(error.clone());
            return error;
        }
        failure.into()
    }

    /// The open transaction is gone: everybody in it learns so.
    fn lose_group(&mut self, error: &StoreError) {
        if !self.desk.connection.is_autocommit()
            && let Err(failure) = self.desk.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(slot = self.shared.id.0, %failure, "a failed transaction cannot be rolled back");
        }
        self.desk.users.forget_all();
        self.begun = None;
        self.batch_commands = 0;
        for batch in self.batches.values_mut().filter(|batch| batch.in_transaction) {
            batch.in_transaction = false;
            batch.failed = Some(error.clone());
        }
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Written(_, answer) => drop(answer.send(Err(error.clone()))),
                Waiting::Done(answer) => drop(answer.send(Err(error.clone()))),
            }
        }
    }

    fn idle(&mut self) {
        if self.truncate {
            self.truncate_wal();
        } else if self.wal_pages.load(Ordering::Relaxed) > 0 && !self.checkpointing.load(Ordering::Acquire) {
            self.checkpoint_here();
        }
    }

    /// Overwrites what erased rows left in the log; readers that are still open make it wait for the next try.
    fn truncate_wal(&mut self) {
        let outcome = self.desk.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match outcome {
            Ok(0) => {
                self.truncate = false;
                self.wal_pages.store(0, Ordering::Relaxed);
                self.wal_bytes = 0;
            }
            Ok(_) => {}
            Err(failure) => tracing::warn!(slot = self.shared.id.0, %failure, "the log could not be truncated yet"),
        }
    }

    /// Between transactions only. A failure costs speed, nothing else; it is not tried again at once.
    fn lengthen_wal_if_short(&mut self) {
        if !wal::is_short(self.wal_bytes, self.wal_pages.load(Ordering::Relaxed)) {
            return;
        }
        match wal::lengthen(&self.shared.path) {
            Ok(bytes) => self.wal_bytes = bytes,
            Err(error) => {
                self.wal_bytes += wal::STEP_BYTES;
                tracing::warn!(slot = self.shared.id.0, %error, "the slot's log could not be lengthened ahead");
            }
        }
    }

    fn checkpoint_if_due(&mut self) {
        let pages = self.wal_pages.load(Ordering::Relaxed);
        if pages < self.checkpointed_at_pages {
            self.checkpointed_at_pages = 0;
        }
        if pages > WAL_PAGES_MAX {
            self.checkpoint_here();
        } else if pages.saturating_sub(self.checkpointed_at_pages) > CHECKPOINT_PAGES
            && !self.checkpointing.swap(true, Ordering::AcqRel)
        {
            self.checkpointed_at_pages = pages;
            let (shared, running) = (Arc::clone(&self.shared), Arc::clone(&self.checkpointing));
            let job = Box::new(move || {
                if let Err(error) = schema::checkpoint(&shared.path) {
                    tracing::warn!(slot = shared.id.0, %error, "a checkpoint failed; it will be tried again");
                }
                running.store(false, Ordering::Release);
            });
            if self.shared.settings.lane.submit(job).is_err() {
                self.checkpointing.store(false, Ordering::Release);
            }
        }
    }

    fn checkpoint_here(&mut self) {
        match self.desk.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            Ok(()) => self.wal_pages.store(0, Ordering::Relaxed),
            Err(failure) => tracing::warn!(slot = self.shared.id.0, %failure, "a checkpoint failed"),
        }
    }
}

/// Keeps the number of pages in the log at hand; replaces SQLite's own checkpoint inside commits.
fn watch_wal(connection: &mut Connection, pages_now: &Arc<AtomicU32>) {
    let pages_now = Arc::clone(pages_now);
    let hook = move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
        pages_now.store(pages.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    };
    if let Err(error) = connection.wal_hook(Some(hook)) {
        tracing::warn!(%error, "the log's size is not known; it is checkpointed when idle only");
    }
}

fn no_such_batch() -> StoreError {
    StoreError::Unavailable("the batch is not open (10 s without a command close it): run it again".into())
}

#[cfg(test)]
mod tests;
