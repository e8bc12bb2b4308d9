//! Start and stop, in an order with reasons.
//!
//! Start: lock the folder (one writer) -> secrets -> epoch (no chain is ever written twice) -> platform -> slots ->
//! event types (those on this machine; the network is not waited for) -> segments -> half-made users (names must be
//! right before the first registration) -> replay of all log chains (their points must be readable, and the chains
//! gone, before the first new ack) -> listen -> upkeep of segments, fetching of event types -> ready.
//! Stop: no new connections -> requests in flight -> rings to segments, usage, audit -> upkeep -> slots -> platform.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use model::SeriesKey;
use rustc_hash::FxHashSet;
use series::{Catalog, Ingest, IngestLimits, LogOptions, RealDisk, RecoveryOptions};
use shards::log_writer::{Log, QUEUE_MAX};
use shards::{DriverChoice, Lane, Pool, PoolConfig, Running, ShardHandle, SocketLimits};
use storage::base::BaseStore;
use storage::embedded::{DeletionMode, EmbeddedConfig, EmbeddedStore, Seals};
use storage::files::LocalFiles;
use storage::platform::EmbeddedPlatform;
use storage::platform::PlatformStore;

use crate::audit::AuditFilter;
use crate::config::{Config, settings};
use crate::data_folder::DataFolder;
use crate::event_types::{self, EventTypes, Refresher};
use crate::files_sweep::{self, Sweep};
use crate::metrics::Metrics;
use crate::node::{Message, Node, Shard};
use crate::platform::registration;
use crate::points::{Points, resume};
use crate::upkeep;

/// Requests in flight get this long to finish at a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the server did not start. Its text is for the operator.
pub type BootError = Box<dyn std::error::Error + Send + Sync>;

/// A server at work.
pub struct Server {
    running: Running,
    upkeep: std::thread::JoinHandle<()>,
    refresher: Refresher,
    files_sweep: Sweep,
    node: Arc<Node>,
    directory: Arc<EmbeddedPlatform>,
    folder: DataFolder,
    /// Made at this start: to be shown once.
    pub new_admin_key: Option<String>,
}

pub fn start(mut config: Config) -> Result<Server, BootError> {
    let started = Instant::now();
    let started_at = SystemTime::now();
    raise_descriptor_limit();
    let folder = DataFolder::open(&config.storages.data_dir)?;
    let is_new = config.ensure_secrets()?;
    let new_admin_key = is_new.then(|| config.auth.admin_access_key.expose().to_owned());
    let epoch = folder.next_epoch()?;
    let pool = Pool::start(pool_config(&config))?;
    let directory = EmbeddedPlatform::open(&config.storages.data_dir)?;
    let platform: Arc<dyn PlatformStore> = Arc::clone(&directory) as _;
    let base = open_base(&config, &pool)?;
    let event_types = Arc::new(EventTypes::open(&config.event_types.url, &config.storages.data_dir));
    let mut disk = RealDisk::new();
    let segments = Arc::new(Catalog::open(&folder.join("series"), &mut disk)?);
    let files = LocalFiles::open(&folder.join("files"))?;
    let node = Arc::new(Node {
        base,
        platform,
        pool: pool.clone(),
        event_types,
        registration: registration::schema(&config.account_streams),
        segments,
        files,
        upkeep: upkeep::Upkeep::new(config.cluster.shards),
        metrics: Metrics::new(config.cluster.shards),
        audit_filter: AuditFilter { include: config.audit.include.clone(), exclude: config.audit.exclude.clone() },
        started,
        is_ready: AtomicBool::new(false),
        is_series_read_only: AtomicBool::new(false),
        shards_without_space: AtomicUsize::new(0),
        config,
    });
    let swept = registration::sweep(&node)?;
    if swept > 0 {
        tracing::info!(swept, "half-made users of an interrupted registration were settled");
    }
    replay(&node, &folder.join("log"), &mut disk)?;
    let running = listen(&node, folder.join("log"), epoch, pool)?;
    let upkeep = upkeep::start(Arc::clone(&node))?;
    let files_sweep = files_sweep::start(Arc::clone(&node), started_at)?;
    let refresher = event_types::start(Arc::clone(&node.event_types), node.config.event_types.refresh_every)?;
    node.is_ready.store(true, Ordering::Release);
    Ok(Server { running, upkeep, refresher, files_sweep, node, directory, folder, new_admin_key })
}

/// A connection is a descriptor, and so is each file: the soft limit that a shell sets (1,024 often) is raised to the
/// hard one. What is left of it is the operator's to raise.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is: raise it (`ulimit -n`) for many connections");
    }
}

fn open_base(config: &Config, pool: &Pool) -> Result<Arc<dyn BaseStore>, BootError> {
    Ok(EmbeddedStore::open(slots_config(config)?, Arc::new(DbLane(pool.clone())))?)
}

/// The users' data for a command beside the server; the caller holds the lock of the folder.
pub fn open_slots(config: &Config) -> Result<(Arc<dyn BaseStore>, Pool), BootError> {
    let pool = Pool::start(pool_config(config))?;
    Ok((open_base(config, &pool)?, pool))
}

/// The series that have a holder event; points of others are dropped.
pub fn live_series(base: &dyn BaseStore) -> Result<FxHashSet<SeriesKey>, BootError> {
    let mut live = FxHashSet::default();
    for slot in 0..base.slots() {
        live.extend(base.live_series(model::SlotId(slot))?);
    }
    Ok(live)
}

fn pool_config(config: &Config) -> PoolConfig {
    let pool = &config.cluster.pool;
    PoolConfig {
        db_threads: pool.db_threads,
        cpu_threads: pool.cpu_threads,
        file_threads: pool.file_threads,
        queue_max: pool.jobs_max,
    }
}

fn slots_config(config: &Config) -> Result<EmbeddedConfig, BootError> {
    let mut slots = EmbeddedConfig::new(&config.storages.data_dir);
    slots.slots = u16::try_from(config.storages.slots)?;
    slots.cache_bytes = config.storages.cache_bytes;
    slots.content_indexes.clone_from(&config.storages.content_indexes);
    slots.keep_history = config.versioning.force_keep_history;
    slots.deletion_mode = match config.versioning.deletion_mode {
        settings::DeletionMode::Nothing => DeletionMode::KeepNothing,
        settings::DeletionMode::Authors => DeletionMode::KeepAuthors,
        settings::DeletionMode::Everything => DeletionMode::KeepEverything,
    };
    slots.seals = Seals { events: config.event_integrity(), accesses: config.access_integrity() };
    Ok(slots)
}

/// The db lane of the pool, as the storage engine knows it.
struct DbLane(Pool);

impl storage::embedded::Lane for DbLane {
    fn submit(&self, job: storage::embedded::Job) -> Result<(), storage::embedded::LaneFull> {
        self.0.submit(Lane::Db, job).map_err(|_| storage::embedded::LaneFull)
    }
}

/// Points that were acknowledged but not yet in a segment when the last process ended.
fn replay(node: &Node, log_dir: &std::path::Path, disk: &mut RealDisk) -> Result<(), BootError> {
    let live = live_series(node.base.as_ref())?;
    node.segments.forget_all_but(&|key| live.contains(&key));
    let options = RecoveryOptions { memory_bytes_max: node.config.series.ring_bytes_max, salvage: false };
    let report = series::recover(disk, log_dir, &node.segments, &|key| live.contains(&key), options)?;
    if report.log_files > 0 {
        tracing::info!(
            files = report.log_files,
            posts = report.posts,
            points = report.points,
            dropped = report.points_dropped,
            "the series log was replayed"
        );
    }
    if let Err(error) = resume::extents(node.base.as_ref(), &report.extents) {
        tracing::warn!(%error, "the duration of some series events stays behind their points until the next post to them");
    }
    Ok(())
}

fn listen(node: &Arc<Node>, log_dir: PathBuf, epoch: u64, pool: Pool) -> Result<Running, BootError> {
    let config = &node.config;
    let limits = &config.http.limits;
    let mut socket_limits = SocketLimits {
        head_timeout: limits.head_timeout,
        idle_timeout: limits.idle_timeout,
        body_progress_timeout: limits.body_progress_timeout,
        write_timeout: limits.write_timeout,
        progress_bytes_min: limits.progress_bytes_min,
        connections_max: limits.connections_max,
        ..SocketLimits::default()
    };
    socket_limits.http1.head_bytes_max = limits.head_bytes_max;
    socket_limits.http1.header_count_max = limits.header_count_max;
    let shard_config = shards::Config {
        shard_count: config.cluster.shards,
        main: vec![SocketAddr::new(config.http.ip, config.http.port)],
        hfs: config.cluster.hfs.then(|| SocketAddr::new(config.http.ip, config.http.hfs_port)),
        driver: match config.cluster.driver {
            settings::Driver::Auto => DriverChoice::Auto,
            settings::Driver::Epoll => DriverChoice::Epoll,
        },
        limits: socket_limits,
        pin: config.cluster.pin,
        mailbox_capacity: config.cluster.mailbox_messages_max,
    };
    let node = Arc::clone(node);
    let factory = move |handle: ShardHandle<Message>| make_shard(&node, handle, &log_dir, epoch);
    Ok(shards::run::<Shard>(shard_config, pool, factory)?)
}

/// Runs on the shard's own thread.
fn make_shard(node: &Arc<Node>, handle: ShardHandle<Message>, log_dir: &std::path::Path, epoch: u64) -> Rc<Shard> {
    let chain = u32::try_from(handle.index).expect("a machine has fewer than 2^32 cores");
    let shards = u64::try_from(handle.count.max(1)).expect("a machine has fewer than 2^64 cores");
    let series = &node.config.series;
    let limits = IngestLimits {
        ring_bytes_max: series.ring_bytes_max,
        flush_bytes: series.flush_bytes.min(series.ring_bytes_max / 2),
    };
    let options = LogOptions {
        dir: log_dir.to_owned(),
        epoch,
        chain,
        file_bytes: series.log_file_bytes,
        next_spare: shards::log_spares::spares(log_dir, chain, series.log_file_bytes),
        next_file_id: Box::new(random_u64),
    };
    tracing::debug!(chain, shards, "a shard opens its log");
    let log = Log::start(options, Box::new(RealDisk::new()), QUEUE_MAX).expect("the log's thread can be started");
    let shard = Rc::new(Shard::new(Arc::clone(node), handle, Points::new(Ingest::new(limits, epoch, chain), log)));
    shards::rt::spawn(Rc::clone(&shard).pump_log());
    shard
}

fn random_u64() -> u64 {
    getrandom::u64().expect("the kernel gives random numbers")
}

impl Server {
    pub fn addresses(&self) -> &shards::Addresses {
        self.running.addresses()
    }

    pub fn driver(&self) -> &shards::Driver {
        self.running.driver()
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Drains, flushes and closes everything; the lock of the folder goes last.
    pub fn stop(self) {
        let Self { running, upkeep, refresher, files_sweep, node, directory, folder, .. } = self;
        node.is_ready.store(false, Ordering::Release);
        refresher.stop();
        running.stop(DRAIN);
        node.upkeep.stop(upkeep);
        files_sweep.stop();
        node.base.close();
        directory.close();
        node.pool.shutdown();
        drop(node);
        drop(folder);
    }
}
