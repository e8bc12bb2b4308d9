//! The platform directory in one SQLite file, for one node. One thread does everything, several commands in one
//! synced commit; names that were found are kept in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use model::{SlotId, UserEntry, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use rustc_hash::FxHashMap;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Answer, Command, PlatformStore};
use crate::embedded::OpenError;
use crate::embedded::schema::migrate;
use crate::stored::taken;
use crate::{Reply, StoreError};

const QUEUE: usize = 1024;
/// Commands in one transaction at most.
const GROUP_MAX: usize = 128;
/// Names kept; beyond it they are forgotten and looked up again.
const NAMES_MAX: usize = 100_000;

const STEPS: &[&str] = &["
CREATE TABLE entry (user TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, slot INTEGER NOT NULL,
    confirmed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE alias (alias TEXT PRIMARY KEY, user TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX alias_user ON alias (user);
CREATE TABLE unique_field (field TEXT NOT NULL, value TEXT NOT NULL, user TEXT NOT NULL,
    PRIMARY KEY (field, value)) WITHOUT ROWID;
CREATE INDEX unique_field_user ON unique_field (user, field);
CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"];

pub struct EmbeddedPlatform {
    queue: Mutex<Option<(SyncSender<Job>, JoinHandle<()>)>>,
    names: Arc<Names>,
}

type Job = (Command, oneshot::Sender<Result<Answer, StoreError>>);
type Names = RwLock<FxHashMap<String, UserEntry>>;

impl EmbeddedPlatform {
    /// Opens (or makes) `platform/platform.sqlite` in the data folder.
    pub fn open(data_dir: &Path) -> Result<Arc<Self>, OpenError> {
        let folder = data_dir.join("platform");
        crate::embedded::make_folder(&folder)?;
        let path = folder.join("platform.sqlite");
        let connection =
            open_file(&path).map_err(|error| OpenError::Damaged { path: path.clone(), text: error.to_string() })?;
        let names = Arc::new(Names::default());
        let (queue, jobs) = sync_channel(QUEUE);
        let desk = Desk { connection, names: Arc::clone(&names) };
        let thread = std::thread::Builder::new()
            .name("platform".into())
            .spawn(move || desk.run(&jobs))
            .map_err(|source| OpenError::Io { path, source })?;
        Ok(Arc::new(Self { queue: Mutex::new(Some((queue, thread))), names }))
    }

    /// Commits what waits and closes the file.
    pub fn close(&self) {
        let running = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((queue, thread)) = running {
            drop(queue);
            if thread.join().is_err() {
                tracing::error!("the platform's thread had panicked");
            }
        }
    }
}

impl Drop for EmbeddedPlatform {
    fn drop(&mut self) {
        self.close();
    }
}

impl PlatformStore for EmbeddedPlatform {
    fn call(&self, command: Command) -> Reply<Answer> {
        let (sender, reply) = oneshot::channel();
        if let Command::FindUser { name } = &command
            && let Some(known) = self.names.read().unwrap_or_else(PoisonError::into_inner).get(name)
        {
            drop(sender.send(Ok(Answer::User(Some(known.clone())))));
            return reply;
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || StoreError::Unavailable("the platform directory is closed".into());
        match queue.as_ref().map(|(queue, _)| queue.try_send((command, sender))) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full((_, sender)))) => drop(sender.send(Err(StoreError::Busy))),
            Some(Err(TrySendError::Disconnected((_, sender)))) => drop(sender.send(Err(closed()))),
            None => tracing::debug!("a command came after the directory was closed"),
        }
        reply
    }
}

fn open_file(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", true)?;
    migrate(&mut connection, STEPS)?;
    Ok(connection)
}

struct Desk {
    connection: Connection,
    names: Arc<Names>,
}

impl Desk {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let group: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(GROUP_MAX)).collect();
            self.serve(group);
        }
        self.truncate_wal();
    }

    /// All commands in one transaction, one commit, then all answers.
    fn serve(&mut self, group: Vec<Job>) {
        let mut answers = Vec::with_capacity(group.len());
        let mut released = false;
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from);
        for (command, sender) in group {
            released |= matches!(command, Command::Release { .. });
            let outcome = begun.clone().and_then(|()| self.in_savepoint(command));
            answers.push((sender, outcome));
        }
        let committed = begun.and_then(|()| Ok(self.connection.execute_batch("COMMIT")?));
        if let Err(error) = &committed {
            tracing::error!(%error, "the platform directory could not commit");
            if !self.connection.is_autocommit() {
                drop(self.connection.execute_batch("ROLLBACK"));
            }
            self.forget_names();
        } else if released {
            self.truncate_wal();
        }
        for (sender, outcome) in answers {
            let outcome = committed.clone().and(outcome);
            // What was found before a release of the same group may be gone.
            if !released && let Ok(Answer::User(Some(entry))) = &outcome {
                self.keep_name(entry);
            }
            drop(sender.send(outcome));
        }
    }

    /// What was erased must not stay in the log.
    fn truncate_wal(&self) {
        if let Err(failure) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%failure, "the platform's log could not be truncated yet");
        }
    }

    fn in_savepoint(&mut self, command: Command) -> Result<Answer, StoreError> {
        self.connection.execute_batch("SAVEPOINT command")?;
        let outcome = self.apply(command);
        if outcome.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK TO command")?;
        }
        self.connection.execute_batch("RELEASE command")?;
        outcome
    }

    fn apply(&mut self, command: Command) -> Result<Answer, StoreError> {
        match command {
            Command::Reserve { entry, unique } => self.reserve(&entry, &unique),
            Command::Confirm { user } => self.confirm(&user),
            Command::Release { user } => self.release(&user),
            Command::FindUser { name } => Ok(Answer::User(self.find_user(&name)?)),
            Command::FindUnique { field, value } => Ok(Answer::User(self.find_unique(&field, &value)?)),
            Command::AddUnique { user, field, value } => self.add_unique(&user, &field, &value),
            Command::SetUnique { user, field, value } => self.set_unique(&user, &field, value.as_deref()),
            Command::HalfMade => self.entries("SELECT user, slot, username FROM entry WHERE confirmed = 0"),
            Command::DoubledUnique => self.doubled_unique(),
            Command::Users => {
                self.entries("SELECT user, slot, username FROM entry WHERE confirmed = 1 ORDER BY username")
            }
            Command::Get { key } => self.get(&key),
            Command::Set { key, value } => self.set(&key, value.as_ref()),
            Command::AddAlias { user, alias, slot: _ } => self.add_alias(&user, &alias),
            Command::RemoveAlias { alias } => self.remove_alias(&alias),
        }
    }

    /// Everything is checked before anything is written: the answer names all conflicts.
    fn reserve(&mut self, entry: &UserEntry, unique: &[(String, String)]) -> Result<Answer, StoreError> {
        let mut conflicts = BTreeMap::new();
        if self.name_is_taken(&entry.username)? {
            conflicts.insert("username".to_owned(), Value::from(entry.username.as_str()));
        }
        for (field, value) in unique {
            if self.owner(field, value)?.is_some() {
                conflicts.insert(field.clone(), Value::from(value.as_str()));
            }
        }
        if self.entry_exists(&entry.user)? {
            conflicts.insert("id".to_owned(), Value::from(entry.user.as_str()));
        }
        if !conflicts.is_empty() {
            return Err(StoreError::Taken(conflicts));
        }
        self.connection
            .prepare_cached("INSERT INTO entry (user, username, slot, confirmed) VALUES (?1, ?2, ?3, 0)")?
            .execute(params![entry.user.as_str(), entry.username, entry.slot.0])?;
        for (field, value) in unique {
            self.put_unique(&entry.user, field, value)?;
        }
        Ok(Answer::Done)
    }

    fn confirm(&mut self, user: &UserId) -> Result<Answer, StoreError> {
        let changed = self
            .connection
            .prepare_cached("UPDATE entry SET confirmed = 1 WHERE user = ?1")?
            .execute([user.as_str()])?;
        if changed == 1 { Ok(Answer::Done) } else { Err(StoreError::NotFound) }
    }

    fn release(&mut self, user: &UserId) -> Result<Answer, StoreError> {
        for sql in [
            "DELETE FROM alias WHERE user = ?1",
            "DELETE FROM unique_field WHERE user = ?1",
            "DELETE FROM entry WHERE user = ?1",
        ] {
            self.connection.prepare_cached(sql)?.execute([user.as_str()])?;
        }
        self.forget_names();
        Ok(Answer::Done)
    }

    fn find_user(&self, name: &str) -> Result<Option<UserEntry>, StoreError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT user, slot, username FROM entry WHERE confirmed = 1 AND username = ?1
                 UNION ALL SELECT e.user, e.slot, e.username FROM alias a JOIN entry e ON e.user = a.user
                 WHERE e.confirmed = 1 AND a.alias = ?1",
            )?
            .query_row([name], entry)
            .optional()?)
    }

    fn find_unique(&self, field: &str, value: &str) -> Result<Option<UserEntry>, StoreError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT e.user, e.slot, e.username FROM unique_field u JOIN entry e ON e.user = u.user
                 WHERE e.confirmed = 1 AND u.field = ?1 AND u.value = ?2",
            )?
            .query_row([field, value], entry)
            .optional()?)
    }

    fn add_unique(&mut self, user: &UserId, field: &str, value: &str) -> Result<Answer, StoreError> {
        if !self.entry_exists(user)? {
            return Err(StoreError::NotFound);
        }
        match self.owner(field, value)? {
            Some(owner) if owner != user.as_str() => return Err(taken([(field, value.into())])),
            Some(_) => {}
            None => self.put_unique(user, field, value)?,
        }
        Ok(Answer::Done)
    }

    fn doubled_unique(&self) -> Result<Answer, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT e.user, e.slot, e.username, u.field FROM unique_field u JOIN entry e ON e.user = u.user
             WHERE e.confirmed = 1 GROUP BY u.user, u.field HAVING count(*) > 1",
        )?;
        let found = query.query_map([], |row| Ok((entry(row)?, row.get(3)?)))?.collect::<Result<_, _>>()?;
        Ok(Answer::Fields(found))
    }

    fn set_unique(&mut self, user: &UserId, field: &str, value: Option<&str>) -> Result<Answer, StoreError> {
        if !self.entry_exists(user)? {
            return Err(StoreError::NotFound);
        }
        if let Some(value) = value
            && self.owner(field, value)?.is_some_and(|owner| owner != user.as_str())
        {
            return Err(taken([(field, value.into())]));
        }
        self.connection
            .prepare_cached("DELETE FROM unique_field WHERE user = ?1 AND field = ?2")?
            .execute([user.as_str(), field])?;
        if let Some(value) = value {
            self.put_unique(user, field, value)?;
        }
        Ok(Answer::Done)
    }

    fn put_unique(&self, user: &UserId, field: &str, value: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO unique_field (field, value, user) VALUES (?1, ?2, ?3)")?
            .execute([field, value, user.as_str()])?;
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Answer, StoreError> {
        let found: Option<String> = self
            .connection
            .prepare_cached("SELECT value FROM kv WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        Ok(Answer::Value(found.map(|text| serde_json::from_str(&text)).transpose()?))
    }

    fn set(&mut self, key: &str, value: Option<&Value>) -> Result<Answer, StoreError> {
        match value {
            Some(value) => self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO kv (key, value) VALUES (?1, ?2)")?
                .execute([key, value.to_string().as_str()])?,
            None => self.connection.prepare_cached("DELETE FROM kv WHERE key = ?1")?.execute([key])?,
        };
        Ok(Answer::Done)
    }

    fn add_alias(&mut self, user: &UserId, alias: &str) -> Result<Answer, StoreError> {
        if !self.entry_exists(user)? {
            return Err(StoreError::NotFound);
        }
        if self.name_is_taken(alias)? {
            return Err(taken([("alias", alias.into())]));
        }
        self.connection
            .prepare_cached("INSERT INTO alias (alias, user) VALUES (?1, ?2)")?
            .execute([alias, user.as_str()])?;
        Ok(Answer::Done)
    }

    fn remove_alias(&mut self, alias: &str) -> Result<Answer, StoreError> {
        let gone = self.connection.prepare_cached("DELETE FROM alias WHERE alias = ?1")?.execute([alias])?;
        self.forget_names();
        if gone == 1 { Ok(Answer::Done) } else { Err(StoreError::NotFound) }
    }

    /// User names and aliases share one space of names; reservations count.
    fn name_is_taken(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT 1 FROM entry WHERE username = ?1 UNION ALL SELECT 1 FROM alias WHERE alias = ?1")?
            .exists([name])?)
    }

    fn entry_exists(&self, user: &UserId) -> Result<bool, StoreError> {
        Ok(self.connection.prepare_cached("SELECT 1 FROM entry WHERE user = ?1")?.exists([user.as_str()])?)
    }

    fn owner(&self, field: &str, value: &str) -> Result<Option<String>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT user FROM unique_field WHERE field = ?1 AND value = ?2")?
            .query_row([field, value], |row| row.get(0))
            .optional()?)
    }

    fn entries(&self, sql: &str) -> Result<Answer, StoreError> {
        let mut query = self.connection.prepare_cached(sql)?;
        let found = query.query_map([], entry)?.collect::<Result<_, _>>()?;
        Ok(Answer::Users(found))
    }

    /// Canonical names only: an alias is looked up each time.
    fn keep_name(&self, entry: &UserEntry) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(entry.username.clone(), entry.clone());
    }

    fn forget_names(&self) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<UserEntry> {
    Ok(UserEntry { user: UserId::new(row.get::<_, String>(0)?), slot: SlotId(row.get(1)?), username: row.get(2)? })
}
