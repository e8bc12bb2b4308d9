//! What the writer keeps in memory about users: row keys, the space version and the last stamp.

use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashMap;

use crate::StoreError;
use crate::stored::next_stamp;

/// Users kept; beyond it the cache is emptied after the next commit.
const USERS_MAX: usize = 20_000;
/// Types and streams kept per user.
const KEYS_MAX: usize = 2_000;

#[derive(Default)]
pub(super) struct Users {
    known: FxHashMap<String, User>,
    dirty: Vec<String>,
}

pub(super) struct User {
    pub row: i64,
    pub version: u64,
    pub stamp: f64,
    dirty: bool,
    kinds: FxHashMap<String, i64>,
    streams: FxHashMap<String, i64>,
}

impl Users {
    pub(super) fn find(&mut self, connection: &Connection, id: &str) -> Result<&mut User, StoreError> {
        if !self.known.contains_key(id) {
            let found = connection
                .prepare_cached(
                    "SELECT u.row, c.version, c.stamp FROM user u JOIN user_clock c ON c.user = u.row
                     WHERE u.id = ?1 AND u.erased = 0",
                )?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let (row, version, stamp): (i64, i64, f64) = found.ok_or(StoreError::NotFound)?;
            self.known.insert(id.to_owned(), User::new(row, version.cast_unsigned(), stamp));
        }
        self.known.get_mut(id).ok_or(StoreError::NotFound)
    }

    /// The next stamp of a user: `now`, or just after the last one.
    pub(super) fn stamp(&mut self, connection: &Connection, id: &str, now: f64) -> Result<f64, StoreError> {
        let user = self.find(connection, id)?;
        user.stamp = next_stamp(user.stamp, now);
        let stamp = user.stamp;
        self.mark(id);
        Ok(stamp)
    }

    pub(super) fn bump_version(&mut self, connection: &Connection, id: &str) -> Result<(), StoreError> {
        self.find(connection, id)?.version += 1;
        self.mark(id);
        Ok(())
    }

    fn mark(&mut self, id: &str) {
        if let Some(user) = self.known.get_mut(id)
            && !user.dirty
        {
            user.dirty = true;
            self.dirty.push(id.to_owned());
        }
    }

    /// Writes stamps and versions of the users that changed; part of their transaction.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut update = connection.prepare_cached("UPDATE user_clock SET version = ?2, stamp = ?3 WHERE user = ?1")?;
        for id in self.dirty.drain(..) {
            if let Some(user) = self.known.get_mut(&id) {
                user.dirty = false;
                update.execute(params![user.row, user.version.cast_signed(), user.stamp])?;
            }
        }
        Ok(())
    }

    /// A command was rolled back: what it may have put here is not in the file.
    pub(super) fn rolled_back(&mut self, id: &str, version: Option<u64>) {
        let Some(version) = version else {
            self.known.remove(id);
            return;
        };
        if let Some(user) = self.known.get_mut(id) {
            user.version = version;
            user.kinds.clear();
            user.streams.clear();
        }
    }

    pub(super) fn version(&self, id: &str) -> Option<u64> {
        self.known.get(id).map(|user| user.version)
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.known.remove(id);
    }

    /// The transaction failed as a whole.
    pub(super) fn forget_all(&mut self) {
        self.known.clear();
        self.dirty.clear();
    }

    pub(super) fn trim(&mut self) {
        if self.known.len() > USERS_MAX {
            self.forget_all();
        }
    }
}

impl User {
    fn new(row: i64, version: u64, stamp: f64) -> Self {
        Self { row, version, stamp, dirty: false, kinds: FxHashMap::default(), streams: FxHashMap::default() }
    }

    pub(super) fn kind(&mut self, connection: &Connection, name: &str) -> Result<i64, StoreError> {
        const FIND: &str = "SELECT row FROM kind WHERE user = ?1 AND name = ?2";
        const MAKE: &str = "INSERT INTO kind (user, name) VALUES (?1, ?2)";
        key(connection, &mut self.kinds, self.row, name, (FIND, MAKE))
    }

    pub(super) fn stream_key(&mut self, connection: &Connection, id: &str) -> Result<i64, StoreError> {
        const FIND: &str = "SELECT row FROM stream_key WHERE user = ?1 AND id = ?2";
        const MAKE: &str = "INSERT INTO stream_key (user, id) VALUES (?1, ?2)";
        key(connection, &mut self.streams, self.row, id, (FIND, MAKE))
    }
}

fn key(
    connection: &Connection,
    known: &mut FxHashMap<String, i64>,
    user: i64,
    name: &str,
    (find, make): (&str, &str),
) -> Result<i64, StoreError> {
    if let Some(row) = known.get(name) {
        return Ok(*row);
    }
    let found = connection.prepare_cached(find)?.query_row(params![user, name], |row| row.get(0)).optional()?;
    let row = match found {
        Some(row) => row,
        None => connection.prepare_cached(make)?.insert(params![user, name])?,
    };
    if known.len() >= KEYS_MAX {
        known.clear();
    }
    known.insert(name.to_owned(), row);
    Ok(row)
}
