//! The PostgreSQL engine: users' data in a database that other nodes and programs may share. It proves the contract with a few
//! commands ([`not_yet`] answers the others) and is run by the tests only: no configuration selects it.
//!
//! Invariants of absence: no answer to a write comes before its commit (but inside a batch), no text of an error shows
//! stored values, no connection goes back to the pool in a transaction.

mod batch;
mod connection;
mod error;
mod read;
mod rows;
mod schema;
mod text;
mod transaction;
mod write;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::{AuditRecord, SeriesKey, SlotId, UserId};
use tokio::sync::{Semaphore, oneshot};

use self::batch::{Batches, Job};
use self::connection::Pool;
use self::transaction::Transaction;
use crate::base::{Answer, BaseStore, BatchId, ReadCall, SeriesHolder, WriteCall, Written};
use crate::stored::{DeletionMode, Seals};
use crate::{Reply, StoreError};

/// Where the engine's work runs: a tokio runtime with I/O and time, which the caller owns.
pub trait Runtime: Send + Sync + 'static {
    /// Runs the task to its end. One that finds no place is dropped; who waits for it learns that the store is gone.
    fn spawn(&self, task: Task);
}

pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// A name, an address, or the folder of a Unix socket.
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Password,
    /// The namespace of the tables inside the database: letters `a-z`, digits and `_`.
    pub schema: String,
    /// Fixed when the tables are made.
    pub slots: u16,
    pub connections_max: u32,
    /// Commands at work and waiting; beyond it callers get `Busy`.
    pub queue: usize,
    /// How long a command waits for a connection, or for a row that another one has locked, before it is told `Busy`.
    pub wait_timeout: Duration,
    pub statement_timeout: Duration,
    pub seals: Seals,
    pub deletion_mode: DeletionMode,
    /// Keep former states of events (Pryv: `versioning.forceKeepHistory`).
    pub keep_history: bool,
}

/// Shown nowhere.
#[derive(Clone, Default)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(hidden)")
    }
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 5432,
            database: "pryv-node".into(),
            user: "pryv".into(),
            password: Password::default(),
            schema: "coreward".into(),
            slots: 4,
            connections_max: 20,
            queue: 4096,
            wait_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            seals: Seals::default(),
            deletion_mode: DeletionMode::KeepNothing,
            keep_history: false,
        }
    }
}

impl PostgresConfig {
    /// What each connection is made with.
    fn session(&self) -> tokio_postgres::Config {
        /// The server ends a transaction that this program has forgotten; longer than a batch is held.
        const IDLE_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
        /// After so long without a sign the other end's machine is asked whether it is there.
        const KEEPALIVE: Duration = Duration::from_secs(30);
        let mut config = tokio_postgres::Config::new();
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE / 3).keepalives_retries(3);
        config.host(&self.host).port(self.port).dbname(&self.database).user(&self.user).application_name("coreward");
        if !self.password.0.is_empty() {
            config.password(&self.password.0);
        }
        config.options(format!(
            "-c search_path={} -c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
             -c synchronous_commit=on -c jit=off",
            self.schema,
            self.statement_timeout.as_millis(),
            self.wait_timeout.as_millis(),
            IDLE_TRANSACTION_TIMEOUT.as_millis(),
        ));
        config
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the PostgreSQL schema `{0}` is not a plain name: use 1 to 63 of a-z, 0-9 and _, a letter first")]
    SchemaName(String),
}

/// What commands need to know.
struct Settings {
    seals: Seals,
    deletion_mode: DeletionMode,
    keep_history: bool,
}

struct Engine {
    pool: Arc<Pool>,
    settings: Settings,
    batches: Batches,
}

pub struct PostgresStore {
    engine: Arc<Engine>,
    runtime: Arc<dyn Runtime>,
    places: Arc<Semaphore>,
    slots: u16,
}

type Answerer<T> = oneshot::Sender<Result<T, StoreError>>;

impl PostgresStore {
    /// Connects on first use, and again whenever it must: a server that is down now makes commands `Unavailable`.
    pub fn open(config: &PostgresConfig, runtime: Arc<dyn Runtime>) -> Result<Arc<Self>, OpenError> {
        if !is_plain_name(&config.schema) {
            return Err(OpenError::SchemaName(config.schema.clone()));
        }
        let settings =
            Settings { seals: config.seals, deletion_mode: config.deletion_mode, keep_history: config.keep_history };
        let engine = Arc::new(Engine { pool: Pool::new(config), settings, batches: Batches::default() });
        let places = Arc::new(Semaphore::new(config.queue.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Arc::new(Self { engine, runtime, places, slots: config.slots }))
    }

    /// Has the work done by the runtime, if there is a place.
    fn start<T, F>(&self, work: impl FnOnce(Arc<Engine>) -> F) -> Reply<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (answer, reply) = oneshot::channel();
        match Arc::clone(&self.places).try_acquire_owned() {
            Err(_) => drop(answer.send(Err(StoreError::Busy))),
            Ok(place) => {
                let work = work(Arc::clone(&self.engine));
                self.runtime.spawn(Box::pin(async move {
                    let outcome = work.await;
                    drop(place);
                    drop(answer.send(outcome));
                }));
            }
        }
        reply
    }

    fn send<T>(&self, batch: BatchId, job: impl FnOnce(Answerer<T>) -> Job) -> Reply<T> {
        let (answer, reply) = oneshot::channel();
        self.engine.batches.send(batch, job(answer));
        reply
    }

    /// For questions of the caller's own thread, which is none of the runtime's.
    fn wait<T>(reply: Reply<T>) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable("the thread of the PostgreSQL engine has stopped".into());
        reply.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl BaseStore for PostgresStore {
    fn write(&self, call: WriteCall) -> Reply<Written> {
        match call.batch {
            Some(batch) => self.send(batch, |answer| Job::Write(Box::new(call), answer)),
            None => self.start(|engine| async move { engine.write(call).await }),
        }
    }

    fn read(&self, call: ReadCall) -> Reply<Answer> {
        match call.batch {
            Some(batch) => self.send(batch, |answer| Job::Read(Box::new(call), answer)),
            None => self.start(|engine| async move { engine.read(&call).await }),
        }
    }

    /// A transaction is opened with the batch's first command only, so the slot does not matter.
    fn batch(&self, _slot: SlotId) -> Reply<BatchId> {
        let (answer, reply) = oneshot::channel();
        let opened = self.engine.batches.open(&self.engine).map(|(id, batch)| {
            self.runtime.spawn(Box::pin(batch.run()));
            id
        });
        drop(answer.send(opened));
        reply
    }

    fn batch_end(&self, _slot: SlotId, batch: BatchId) -> Reply<()> {
        self.send(batch, Job::End)
    }

    fn audit(&self, _slot: SlotId, records: Vec<(UserId, AuditRecord)>) -> Reply<()> {
        self.start(|engine| async move { engine.audit(records).await })
    }

    fn slots(&self) -> u16 {
        self.slots
    }

    fn live_series(&self, slot: SlotId) -> Result<Vec<SeriesKey>, StoreError> {
        Self::wait(self.start(move |engine| async move { read::live_series(&engine.pool, slot).await }))
    }

    fn series_holders(&self, _slot: SlotId) -> Result<Vec<SeriesHolder>, StoreError> {
        Err(not_yet())
    }

    fn accounts(&self, slot: SlotId) -> Result<Vec<(UserId, String)>, StoreError> {
        Self::wait(self.start(move |engine| async move { read::accounts(&engine.pool, slot).await }))
    }

    fn close(&self) {
        let (answer, reply) = oneshot::channel();
        let engine = Arc::clone(&self.engine);
        self.runtime.spawn(Box::pin(async move {
            engine.pool.close().await;
            drop(answer.send(Ok(())));
        }));
        if let Err(error) = Self::wait(reply) {
            tracing::warn!(%error, "the PostgreSQL engine could not be closed in order");
        }
    }
}

impl Engine {
    async fn write(&self, call: WriteCall) -> Result<Written, StoreError> {
        let mut transaction = Transaction::begin(&self.pool).await?;
        match transaction.write(&self.settings, call).await {
            Ok(written) => transaction.commit().await.map(|()| written),
            Err(error) => {
                transaction.roll_back().await;
                Err(error)
            }
        }
    }

    async fn read(&self, call: &ReadCall) -> Result<Answer, StoreError> {
        loop {
            let mut lease = self.pool.lease().await?;
            let outcome = read::answer_in_snapshot(lease.connection(), call).await;
            match outcome {
                Err(error) if lease.may_be_stale(&error) => {}
                Err(error @ StoreError::NotFound) => {
                    lease.give_back();
                    return Err(error);
                }
                // After other errors a snapshot may be open: the connection is dropped.
                Err(error) => return Err(error),
                Ok(answer) => {
                    lease.give_back();
                    return Ok(answer);
                }
            }
        }
    }

    async fn audit(&self, records: Vec<(UserId, AuditRecord)>) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(&self.pool).await?;
        for (user, record) in records {
            if let Err(error) = transaction.audit(&user, record).await {
                transaction.roll_back().await;
                return Err(error);
            }
        }
        transaction.commit().await
    }
}

/// Commands that prove nothing new about the contract.
fn not_yet() -> StoreError {
    StoreError::Engine("the PostgreSQL engine does not do this yet; select the engine sqlite".into())
}

fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 63 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(plain)
}
