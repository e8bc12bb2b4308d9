//! Flow 2 on a shard: its ring, its log, and what follows a write. `add` takes points in, `get` gives them out,
//! `extents` tells holder events how long their series have become, `resume` makes up at a start for what a crash cut off.

mod add;
mod columns;
mod extents;
mod get;
pub mod resume;
mod window;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::SeriesKey;
use rustc_hash::FxHashMap;
use series::{Frozen, Ingest, LogEvent, RealDisk};
use shards::Lane;
use shards::log_writer::Log;

use self::columns::Columns;
use self::extents::Extents;
use crate::edge::Auth;
use crate::error::{ApiError, ApiResult};
use crate::node::Shard;
use crate::router::Action;

/// How long a flush waits before it is tried again after a failure (no space, say).
const FLUSH_RETRY: Duration = Duration::from_secs(2);
/// A flush waits while more segments than this want to be merged: each costs every reader of its slot a look. Meanwhile the
/// ring fills, and then posts get 503.
const UNMERGED_MAX: usize = 512;
/// How often a frozen ring is looked at until the log has decided on its last posts.
const SETTLE_POLL: Duration = Duration::from_millis(2);

/// The series state of one shard.
pub struct Points {
    ingest: RefCell<Ingest>,
    log: Log,
    extents: Extents,
    /// Column lists by what holder events say of them, for this generation of the catalogue.
    schemas: RefCell<FxHashMap<String, Arc<Columns>>>,
    schemas_of: Cell<u64>,
    is_flushing: Cell<bool>,
    /// Since when there is something in the ring, and in the one that is being flushed.
    filling_since: Cell<Option<Instant>>,
    flushing_since: Cell<Option<Instant>>,
    /// The log was not shortened behind this: the next flush tries again.
    checkpoint_due: Cell<Option<u64>>,
    is_out_of_space: Cell<bool>,
}

impl Points {
    pub fn new(ingest: Ingest, log: Log) -> Self {
        Self {
            ingest: RefCell::new(ingest),
            log,
            extents: Extents::default(),
            schemas: RefCell::default(),
            schemas_of: Cell::new(0),
            is_flushing: Cell::new(false),
            filling_since: Cell::new(None),
            flushing_since: Cell::new(None),
            checkpoint_due: Cell::new(None),
            is_out_of_space: Cell::new(false),
        }
    }

    /// How long the oldest points have been in the ring.
    pub fn age(&self) -> Duration {
        let since = self.flushing_since.get().or_else(|| self.filling_since.get());
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Files and bytes of the log that a restart would replay.
    pub fn log_extent(&self) -> (u64, u64) {
        self.log.extent()
    }

    /// Deleted series: gone for readers at once. See [`Shard::forget_series`].
    pub fn forget(&self, keys: &[SeriesKey]) {
        let mut ingest = self.ingest.borrow_mut();
        for key in keys {
            ingest.forget(*key);
        }
    }

    pub fn stats(&self) -> series::IngestStats {
        self.ingest.borrow().stats()
    }
}

/// The refusal of a missing token comes first, and differs by verb (spec 08, sections 5 and 9).
pub fn check_token_present(action: &Action, auth: Option<&Auth>) -> ApiResult<()> {
    let status = match action {
        Action::GetPoints { .. } => 401,
        _ => 400,
    };
    match auth {
        Some(_) => Ok(()),
        None => Err(ApiError::new(status, "missing-header", "Missing expected header \"authorization\"")),
    }
}

/// The name under which a refused token is audited; posts and reads themselves are not (spec 08, section 13).
fn audit_action(action: &Action) -> &'static str {
    match action {
        Action::GetPoints { .. } => "hfs.get",
        Action::AddPointsBatch => "hfs.addBatch",
        _ => "hfs.add",
    }
}

impl Shard {
    /// Tells the ring what the log has decided; runs for the life of the shard.
    pub async fn pump_log(self: Rc<Self>) {
        self.points
            .log
            .pump(|event| {
                let mut ingest = self.points.ingest.borrow_mut();
                match event {
                    LogEvent::Durable(durable) => {
                        ingest.durable(durable);
                        if self.points.is_out_of_space.replace(false) {
                            self.node.shards_without_space.fetch_sub(1, Ordering::AcqRel);
                            tracing::warn!("there is space for the series log again");
                        }
                    }
                    LogEvent::NoSpace { refused, why } => {
                        // Said once, not for each post that is refused.
                        if !self.points.is_out_of_space.replace(true) {
                            self.node.shards_without_space.fetch_add(1, Ordering::AcqRel);
                            tracing::error!(%why, "no space for the series log: points are refused until there is some");
                        }
                        ingest.refused(refused);
                    }
                    LogEvent::Poisoned { why } => {
                        tracing::error!(%why, "the series log failed: series are read-only until a restart");
                        self.node.is_series_read_only.store(true, Ordering::Release);
                        ingest.poisoned(Arc::clone(why));
                    }
                }
            })
            .await;
    }

    /// Deleted series of users of this shard: gone for readers now, from the log and the segments with the upkeep.
    pub fn forget_series(&self, keys: &[SeriesKey]) {
        self.points.forget(keys);
        self.node.forget_series(keys);
    }

    /// Starts a flush when the ring is due for one and none is running.
    fn flush_if_due(self: &Rc<Self>) {
        if self.points.ingest.borrow().flush_due() {
            self.start_flush(None);
        }
    }

    /// Looked at with every tick: a ring that fills slowly is flushed by its age, or because the upkeep asks.
    pub fn flush_if_old(self: &Rc<Self>) {
        let is_empty = self.points.stats().active_bytes == 0;
        let since = self.points.filling_since.get().filter(|_| !is_empty);
        self.points.filling_since.set(if is_empty { None } else { since.or_else(|| Some(Instant::now())) });
        let wanted = self.node.upkeep.ring_wanted(self.handle.index);
        if wanted.is_some() || self.points.age() >= self.node.config.series.flush_after {
            self.start_flush(wanted);
        }
    }

    fn start_flush(self: &Rc<Self>, wanted: Option<u64>) {
        if self.points.is_flushing.replace(true) {
            return;
        }
        self.points.flushing_since.set(self.points.filling_since.take());
        let shard = Rc::clone(self);
        shards::rt::spawn(async move {
            match wanted {
                Some(call) => shard.flush_for_upkeep(call).await,
                None => drop(shard.flush_ring().await),
            }
            shard.points.flushing_since.set(None);
            shard.points.is_flushing.set(false);
        });
    }

    /// Nothing that is in the ring and the log now is in them afterwards: the log's file, too, goes with the checkpoint,
    /// which would else stay as long as posts go on.
    async fn flush_for_upkeep(self: &Rc<Self>, call: u64) {
        if self.points.log.cut().await.is_ok() && self.flush_ring().await {
            self.node.upkeep.ring_flushed(self.handle.index, call);
        }
    }

    /// Ring -> segment -> catalog -> checkpoint. Tried again until it succeeds; false when the log has failed.
    async fn flush_ring(self: &Rc<Self>) -> bool {
        if !self.points.ingest.borrow_mut().freeze() && self.points.ingest.borrow().frozen_ready().is_none() {
            return self.shorten_log(self.points.checkpoint_due.get()).await;
        }
        let Some(frozen) = self.settled_ring().await else { return false };
        loop {
            if self.node.segments.unmerged() > UNMERGED_MAX {
                tracing::warn!("merges lag behind: a flush waits for them");
                shards::rt::sleep(FLUSH_RETRY).await;
                continue;
            }
            match self.write_segments(Arc::clone(&frozen)).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(%error, "points could not be flushed to a segment; trying again");
                    shards::rt::sleep(FLUSH_RETRY).await;
                }
            }
        }
        self.points.ingest.borrow_mut().flushed(frozen.through());
        self.node.upkeep.flushed();
        self.shorten_log(Some(frozen.through())).await
    }

    /// Removes log files behind a flush; what fails is tried again with the next one.
    async fn shorten_log(&self, through: Option<u64>) -> bool {
        let Some(sequence) = through else { return true };
        let done = self.points.log.checkpoint(sequence).await;
        self.points.checkpoint_due.set(through.filter(|_| done.is_err()));
        if let Err(error) = &done {
            tracing::warn!(%error, "the series log was not shortened");
        }
        done.is_ok()
    }

    async fn settled_ring(&self) -> Option<Arc<Frozen>> {
        loop {
            {
                let ingest = self.points.ingest.borrow();
                if let Some(frozen) = ingest.frozen_ready() {
                    return Some(frozen);
                }
                if ingest.stats().is_poisoned {
                    return None;
                }
            }
            shards::rt::sleep(SETTLE_POLL).await;
        }
    }

    async fn write_segments(&self, frozen: Arc<Frozen>) -> Result<(), String> {
        let catalog = Arc::clone(&self.node.segments);
        let job = move || catalog.flush(&frozen, &mut RealDisk::new()).map(|_| ());
        match self.node.pool.run(Lane::File, job).await {
            Ok(flushed) => flushed.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// At stop: what is in the ring goes into segments, so that the next start has nothing to replay.
    pub async fn close_points(self: &Rc<Self>) {
        while self.points.is_flushing.get() {
            shards::rt::sleep(SETTLE_POLL).await;
        }
        self.flush_ring().await;
        self.points.log.close().await;
    }
}
