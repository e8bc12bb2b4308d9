//! Batches: a task each, so that the commands of one batch run in their order, in a transaction of their own that is
//! committed in parts (the writes of a user wait for each other, and a silent client must not hold them up).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::transaction::Transaction;
use super::{Answerer, Engine};
use crate::StoreError;
use crate::base::{Answer, BatchId, ReadCall, WriteCall, Written};

/// How long a transaction stays open for a batch.
const BATCH_HOLD: Duration = Duration::from_millis(100);
/// Commands of a batch in one transaction.
const BATCH_COMMANDS_MAX: usize = 500;
/// A batch that nobody speaks to is closed.
const BATCH_IDLE_MAX: Duration = Duration::from_secs(10);
const BATCHES_MAX: usize = 256;
/// Commands waiting in one batch; callers send one after the other.
const BATCH_QUEUE_MAX: usize = 64;

pub(super) enum Job {
    Write(Box<WriteCall>, Answerer<Written>),
    Read(Box<ReadCall>, Answerer<Answer>),
    End(Answerer<()>),
}

impl Job {
    fn refuse(self, error: StoreError) {
        match self {
            Self::Write(_, answer) => drop(answer.send(Err(error))),
            Self::Read(_, answer) => drop(answer.send(Err(error))),
            Self::End(answer) => drop(answer.send(Err(error))),
        }
    }
}

/// The batches that are open.
#[derive(Default)]
pub(super) struct Batches {
    open: Mutex<FxHashMap<u64, mpsc::Sender<Job>>>,
    last: AtomicU64,
}

impl Batches {
    /// The task of the new batch; it runs until the batch's end.
    pub(super) fn open(&self, engine: &Arc<Engine>) -> Result<(BatchId, Batch), StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= BATCHES_MAX {
            return Err(StoreError::Busy);
        }
        let id = BatchId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let (queue, jobs) = mpsc::channel(BATCH_QUEUE_MAX);
        open.insert(id.0, queue);
        Ok((id, Batch { engine: Arc::clone(engine), id, jobs, part: None, failed: None }))
    }

    pub(super) fn send(&self, id: BatchId, job: Job) {
        let queue = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id.0).cloned();
        let Some(queue) = queue else { return job.refuse(no_such_batch()) };
        match queue.try_send(job) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(job)) => job.refuse(StoreError::Busy),
            Err(mpsc::error::TrySendError::Closed(job)) => job.refuse(no_such_batch()),
        }
    }

    fn forget(&self, id: BatchId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id.0);
    }
}

pub(super) struct Batch {
    engine: Arc<Engine>,
    id: BatchId,
    jobs: mpsc::Receiver<Job>,
    part: Option<Part>,
    /// A part of it was lost: all that follows says so.
    failed: Option<StoreError>,
}

struct Part {
    transaction: Transaction,
    begun: Instant,
    command_count: usize,
    has_written: bool,
}

impl Part {
    fn is_full(&self) -> bool {
        self.command_count >= BATCH_COMMANDS_MAX || self.begun.elapsed() >= BATCH_HOLD
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.engine.batches.forget(self.id);
    }
}

impl Batch {
    pub(super) async fn run(mut self) {
        while let Some(job) = self.next().await {
            match job {
                Job::Write(call, answer) => {
                    let outcome = self.write(*call).await;
                    drop(answer.send(outcome));
                }
                Job::Read(call, answer) => {
                    let outcome = self.read(&call).await;
                    drop(answer.send(outcome));
                }
                Job::End(answer) => {
                    self.commit_part().await;
                    drop(answer.send(self.failed.take().map_or(Ok(()), Err)));
                    return;
                }
            }
            if self.part.as_ref().is_some_and(Part::is_full) {
                self.commit_part().await;
            }
        }
        // Nobody ended it: what it answered is kept, as in a part that was cut.
        self.commit_part().await;
    }

    /// The next command; meanwhile the open part is committed when its time is over. `None`: the batch is given up.
    async fn next(&mut self) -> Option<Job> {
        loop {
            let until = match &self.part {
                Some(part) => part.begun + BATCH_HOLD,
                None => Instant::now() + BATCH_IDLE_MAX,
            };
            match timeout_at(until, self.jobs.recv()).await {
                Ok(job) => return job,
                Err(_) if self.part.is_some() => self.commit_part().await,
                Err(_) => return None,
            }
        }
    }

    async fn write(&mut self, call: WriteCall) -> Result<Written, StoreError> {
        let mut part = self.take_part().await?;
        part.command_count += 1;
        let outcome = part.transaction.write(&self.engine.settings, call).await;
        part.has_written |= outcome.is_ok();
        self.put_part(part, outcome)
    }

    async fn read(&mut self, call: &ReadCall) -> Result<Answer, StoreError> {
        let mut part = self.take_part().await?;
        part.command_count += 1;
        let outcome = part.transaction.read(call).await;
        self.put_part(part, outcome)
    }

    async fn take_part(&mut self) -> Result<Part, StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.part.take() {
            Some(part) => Ok(part),
            None => {
                let transaction = Transaction::begin(&self.engine.pool).await?;
                Ok(Part { transaction, begun: Instant::now(), command_count: 0, has_written: false })
            }
        }
    }

    /// With a lost transaction goes what it had answered.
    fn put_part<T>(&mut self, part: Part, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if !part.transaction.is_lost() {
            self.part = Some(part);
        } else if part.has_written {
            self.failed = outcome.as_ref().err().cloned();
        }
        outcome
    }

    async fn commit_part(&mut self) {
        if let Some(part) = self.part.take()
            && let Err(error) = part.transaction.commit().await
            && part.has_written
        {
            self.failed = Some(error);
        }
    }
}

fn no_such_batch() -> StoreError {
    StoreError::Unavailable("the batch is not open (10 s without a command close it): run it again".into())
}
