//! The thread that keeps the segments in order, beside the shards: merges neighbours, writes segments anew without what was
//! deleted, applies retention, removes files that were replaced. Only one, so that it never takes more than one core.
//!
//! ```text
//! a flush       -> merge what wants to be merged
//! a deletion    -> after series.merge.eraseAfterS (at once for an account): every shard flushes its ring (and so cuts its
//!                  log), then each segment that holds a deleted series is written anew
//! every series.retentionEveryS -> retention
//! ```

pub mod retention;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use series::{Disk, DiskError, MergeReport, Op, Output, RealDisk, SegmentError};

use crate::node::Node;

/// A failed merge or erasure is tried again after this long; files that readers hold are looked at this often.
const RETRY: Duration = Duration::from_secs(5);
/// Shards get this long to flush their rings before an erasure goes on without them (a log that failed never flushes).
const RINGS_MAX: Duration = Duration::from_secs(30);
const RINGS_POLL: Duration = Duration::from_millis(20);
/// After an erasure the next one waits this many times as long as it took: with deletions all the time, most of the time is
/// still left for merges.
const ERASE_REST: u32 = 4;
/// How much the thread gives way to the shards, which it shares the cores with.
const NICE: i32 = 5;

/// What shards and thread tell each other. Locked for a moment only.
pub struct Upkeep {
    news: Mutex<News>,
    changed: Condvar,
    is_stopping: Arc<AtomicBool>,
    /// Rises with every call on the shards to flush their rings.
    rings_asked: AtomicU64,
    /// Up to which call each shard has done so.
    rings_done: Vec<AtomicU64>,
}

#[derive(Clone, Copy, Default)]
struct News {
    flushed: bool,
    deleted: bool,
    account_deleted: bool,
}

impl Upkeep {
    pub fn new(shards: usize) -> Self {
        Self {
            news: Mutex::default(),
            changed: Condvar::new(),
            is_stopping: Arc::default(),
            rings_asked: AtomicU64::new(0),
            rings_done: (0..shards).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A ring became segments.
    pub fn flushed(&self) {
        self.tell(|news| news.flushed = true);
    }

    /// Series were deleted.
    pub fn deleted(&self) {
        self.tell(|news| news.deleted = true);
    }

    /// The call that this shard has not followed yet.
    pub fn ring_wanted(&self, shard: usize) -> Option<u64> {
        let asked = self.rings_asked.load(Ordering::Acquire);
        let done = self.rings_done.get(shard)?.load(Ordering::Relaxed);
        (done < asked).then_some(asked)
    }

    /// All that was in the shard's ring at the time of this call is in segments.
    pub fn ring_flushed(&self, shard: usize, call: u64) {
        if let Some(done) = self.rings_done.get(shard) {
            done.fetch_max(call, Ordering::Release);
        }
    }

    /// A person's whole account was deleted.
    pub fn account_deleted(&self) {
        self.tell(|news| news.account_deleted = true);
    }

    /// Ends the thread: a merge on its way is given up, which costs nothing but its work.
    pub fn stop(&self, thread: JoinHandle<()>) {
        self.is_stopping.store(true, Ordering::Release);
        self.tell(|_| {});
        if thread.join().is_err() {
            tracing::error!(
                "the upkeep of segments ended with a panic; what it left undone is done after the next start"
            );
        }
    }

    fn tell(&self, what: impl FnOnce(&mut News)) {
        what(&mut self.lock());
        self.changed.notify_one();
    }

    /// Waits for news until then. `None`: it is time to stop.
    fn wait_until(&self, deadline: Instant) -> Option<News> {
        let mut news = self.lock();
        loop {
            if self.is_stopping.load(Ordering::Acquire) {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if news.flushed || news.deleted || news.account_deleted || left.is_zero() {
                return Some(std::mem::take(&mut *news));
            }
            news = self.changed.wait_timeout(news, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks every shard to flush its ring and waits for it, not for ever.
    fn flush_rings(&self) {
        let asked = self.rings_asked.fetch_add(1, Ordering::AcqRel) + 1;
        let end = Instant::now() + RINGS_MAX;
        let is_done = || self.rings_done.iter().all(|done| done.load(Ordering::Acquire) >= asked);
        while !is_done() && Instant::now() < end && !self.is_stopping.load(Ordering::Acquire) {
            std::thread::sleep(RINGS_POLL);
        }
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn start(node: Arc<Node>) -> std::io::Result<JoinHandle<()>> {
    shards::threads::spawn("coreward-upkeep".to_owned(), move || {
        if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
            tracing::debug!(%error, "the upkeep of segments runs at the priority of the shards");
        }
        let disk = Interruptible { disk: RealDisk::new(), is_stopping: Arc::clone(&node.upkeep.is_stopping) };
        let now = Instant::now();
        Worker { node, disk, erase_at: None, rested_at: now, retain_at: now }.run();
    })
}

struct Worker {
    node: Arc<Node>,
    disk: Interruptible,
    erase_at: Option<Instant>,
    /// No erasure before.
    rested_at: Instant,
    retain_at: Instant,
}

impl Worker {
    fn run(&mut self) {
        // What is due at the start was deleted before it, perhaps long before.
        let account_deleted = !self.node.segments.due().is_empty();
        let mut news = Some(News { account_deleted, ..News::default() });
        while let Some(News { deleted, account_deleted, .. }) = news {
            if account_deleted {
                self.erase_at = Some(self.rested_at);
            } else if deleted {
                let after = Instant::now() + self.node.config.series.erase_after;
                self.erase_at.get_or_insert(after.max(self.rested_at));
            }
            let done = self.round();
            if let Err(error) = &done
                && !self.disk.is_stopping()
            {
                tracing::warn!(%error, "segments could not be merged or rewritten; trying again");
            }
            let is_all_done = matches!(done, Ok(0));
            news = self.node.upkeep.wait_until(self.next_look(is_all_done));
        }
    }

    /// Gives how many files are still held by readers.
    fn round(&mut self) -> Result<usize, SegmentError> {
        let Self { node, disk, .. } = self;
        while let Some(report) = node.segments.merge_once(node.config.series.segment_bytes_max, disk)? {
            note("segments were merged", &report);
            node.segments.sweep(disk)?;
        }
        if self.erase_at.is_some_and(|at| at <= Instant::now()) {
            self.erase()?;
        }
        if self.retain_at <= Instant::now() {
            self.retain_at = Instant::now() + self.node.config.series.retention_every;
            retention::apply(&self.node, &mut self.disk)?;
            self.erase_due()?;
        }
        self.node.segments.sweep(&mut self.disk)
    }

    fn erase(&mut self) -> Result<(), SegmentError> {
        let started = Instant::now();
        self.node.upkeep.flush_rings();
        self.erase_due()?;
        self.erase_at = None;
        self.rested_at = Instant::now() + started.elapsed() * ERASE_REST;
        Ok(())
    }

    fn erase_due(&mut self) -> Result<(), SegmentError> {
        for name in self.node.segments.due() {
            if let Some(report) = self.node.segments.erase(name, &mut self.disk)? {
                note("a segment was written anew without what was deleted", &report);
            }
            self.node.segments.sweep(&mut self.disk)?;
        }
        Ok(())
    }

    fn next_look(&self, is_all_done: bool) -> Instant {
        let retry = (!is_all_done).then(|| Instant::now() + RETRY);
        let ahead = self.erase_at.filter(|at| is_all_done || *at > Instant::now());
        [Some(self.retain_at), ahead, retry].into_iter().flatten().min().unwrap_or(self.retain_at)
    }
}

fn note(what: &str, report: &MergeReport) {
    let MergeReport { slot, inputs, bytes_before, bytes_after, rows_before, rows_after } = report;
    tracing::debug!(slot = slot.0, inputs, bytes_before, bytes_after, rows_before, rows_after, "{what}");
}

/// A disk that fails once the server stops: whatever is on its way ends there, as after any failed operation.
pub struct Interruptible {
    disk: RealDisk,
    is_stopping: Arc<AtomicBool>,
}

impl Interruptible {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}

impl Disk for Interruptible {
    fn execute(&mut self, op: Op<'_>) -> Result<Output, DiskError> {
        if self.is_stopping() {
            let path = op.path().to_owned();
            return Err(DiskError::new("go on with", &path, std::io::ErrorKind::Interrupted.into()));
        }
        self.disk.execute(op)
    }
}
