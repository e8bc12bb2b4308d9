//! One connection: its statements are prepared once. And the pool that lends connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, RowStream, Statement};

use super::{PostgresConfig, schema};
use crate::StoreError;

/// Statements kept ready on a connection; beyond it all are forgotten.
const STATEMENTS_MAX: usize = 256;
/// Time to connect and log in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much later than the server's own limit an answer may come.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// Time for one step of a migration, and for other programs' migrations before it.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3600);
/// After a failed try nobody tries for this long; doubled with each failure.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long a closing store waits for commands at work.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];
/// A parameter of a statement that grows.
pub(super) type Param<'a> = Box<dyn ToSql + Sync + Send + 'a>;

pub(super) struct Connection {
    client: Client,
    statements: FxHashMap<String, Statement>,
    /// For each answer: a server that does not even end its own statements in time is given up.
    answer_timeout: Duration,
    is_given_up: bool,
}

impl Connection {
    /// Statements without parameters or answer, several at once.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        let answer = in_time(self.answer_timeout, self.is_given_up, self.client.batch_execute(sql)).await;
        self.note(answer)
    }

    pub(super) async fn execute(&mut self, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
        let statement = self.prepared(sql).await?;
        let answer = in_time(self.answer_timeout, self.is_given_up, self.client.execute(&statement, params)).await;
        self.note(answer)
    }

    pub(super) async fn query(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql).await?;
        let answer = in_time(self.answer_timeout, self.is_given_up, self.client.query(&statement, params)).await;
        self.note(answer)
    }

    pub(super) async fn optional(&mut self, sql: &str, params: Params<'_>) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Rows one by one, so that a reader may stop.
    pub(super) async fn stream(&mut self, sql: &str, params: Vec<Param<'_>>) -> Result<Rows<'_>, StoreError> {
        let statement = self.prepared(sql).await?;
        let answer = in_time(self.answer_timeout, self.is_given_up, self.client.query_raw(&statement, params)).await;
        let stream = Box::pin(self.note(answer)?);
        Ok(Rows { stream, connection: self })
    }

    async fn prepared(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let answer = in_time(self.answer_timeout, self.is_given_up, self.client.prepare(sql)).await;
        let statement = self.note(answer)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn note<T>(&mut self, answer: Option<Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
        match answer {
            Some(answer) => Ok(answer?),
            None => {
                self.is_given_up = true;
                Err(StoreError::Unavailable("PostgreSQL does not answer".into()))
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.is_given_up || self.client.is_closed()
    }
}

/// `None`: not in time.
async fn in_time<T>(limit: Duration, is_given_up: bool, answer: impl Future<Output = T>) -> Option<T> {
    if is_given_up { None } else { timeout(limit, answer).await.ok() }
}

/// The rows of a statement. What a reader leaves is thrown away as it comes.
pub(super) struct Rows<'a> {
    stream: Pin<Box<RowStream>>,
    connection: &'a mut Connection,
}

impl Rows<'_> {
    pub(super) async fn next(&mut self) -> Result<Option<Row>, StoreError> {
        let limit = self.connection.answer_timeout;
        let answer = in_time(limit, self.connection.is_given_up, self.stream.try_next()).await;
        self.connection.note(answer)
    }
}

pub(super) struct Pool {
    connect: tokio_postgres::Config,
    schema: String,
    slots: u16,
    connections_max: u32,
    wait_timeout: Duration,
    answer_timeout: Duration,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    /// Held by the one who connects: nobody else knocks at a server that is down.
    door: tokio::sync::Mutex<Door>,
}

#[derive(Default)]
struct Door {
    failures: u32,
    closed: Option<(Instant, StoreError)>,
    is_migrated: bool,
}

impl Pool {
    pub(super) fn new(config: &PostgresConfig) -> Arc<Self> {
        Arc::new(Self {
            connect: config.session(),
            schema: config.schema.clone(),
            slots: config.slots,
            connections_max: config.connections_max.max(1),
            wait_timeout: config.wait_timeout,
            answer_timeout: config.statement_timeout.saturating_add(ANSWER_GRACE),
            places: Arc::new(Semaphore::new(usize::try_from(config.connections_max.max(1)).unwrap_or(1))),
            idle: Mutex::default(),
            door: tokio::sync::Mutex::default(),
        })
    }

    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, StoreError> {
        let place = timeout(self.wait_timeout, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| StoreError::Busy)?.map_err(|_| closed())?;
        let idle = self.idle();
        let is_reused = idle.is_some();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lease { connection, is_reused, pool: Arc::clone(self), _place: place })
    }

    fn idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        // Whoever migrates may take long; the others do not wait for him longer than for anything else.
        let mut door = timeout(self.wait_timeout, self.door.lock()).await.map_err(|_| StoreError::Busy)?;
        door.check()?;
        let is_migrated = door.is_migrated;
        let made = async {
            let mut connection = connect(&self.connect).await?;
            if !is_migrated {
                schema::migrate(&mut connection, &self.schema, self.slots).await?;
            }
            connection.answer_timeout = self.answer_timeout;
            Ok(connection)
        };
        let outcome = made.await.map_err(as_unavailable);
        door.note(&outcome);
        outcome
    }

    /// Refuses what comes, waits for what is at work.
    pub(super) async fn close(&self) {
        let all = timeout(CLOSE_TIMEOUT, self.places.acquire_many(self.connections_max)).await;
        if all.is_err() {
            tracing::warn!("commands are still at work in PostgreSQL while the store closes");
        }
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Door {
    fn check(&self) -> Result<(), StoreError> {
        match &self.closed {
            Some((until, error)) if Instant::now() < *until => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn note(&mut self, outcome: &Result<Connection, StoreError>) {
        match outcome {
            Ok(_) => *self = Self { is_migrated: true, ..Self::default() },
            Err(error) => {
                let pause = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
                tracing::warn!(%error, pause_ms = pause.as_millis(), "no connection to PostgreSQL");
                self.failures += 1;
                self.closed = Some((Instant::now() + pause, error.clone()));
            }
        }
    }
}

async fn connect(config: &tokio_postgres::Config) -> Result<Connection, StoreError> {
    let too_late = || StoreError::Unavailable(format!("PostgreSQL did not answer in {CONNECT_TIMEOUT:?}"));
    let (client, driver) = timeout(CONNECT_TIMEOUT, config.connect(NoTls)).await.map_err(|_| too_late())??;
    // Ends with the connection: when the client is dropped, or the server goes away.
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::warn!(error = %StoreError::from(error), "a connection to PostgreSQL was lost");
        }
    });
    Ok(Connection { client, statements: FxHashMap::default(), answer_timeout: MIGRATION_TIMEOUT, is_given_up: false })
}

/// Whatever hinders a connection from being made, callers cannot help it.
fn as_unavailable(error: StoreError) -> StoreError {
    match error {
        StoreError::Engine(text) | StoreError::Corrupt(text) => StoreError::Unavailable(text),
        other => other,
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

/// A connection in use. Only [`Lease::give_back`] puts it back: dropped anywhere else, in the middle of a transaction or by a
/// panic, it is closed, and the server undoes what was not committed.
pub(super) struct Lease {
    connection: Connection,
    /// It had been idle: the server may have gone away unnoticed.
    is_reused: bool,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub(super) fn give_back(self) {
        if !self.connection.is_closed() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.connection);
        }
    }

    /// Whether the failure may be of the idle time, so that another connection may do.
    pub(super) fn may_be_stale(&self, error: &StoreError) -> bool {
        self.is_reused && matches!(error, StoreError::Unavailable(_)) && self.connection.is_closed()
    }
}
