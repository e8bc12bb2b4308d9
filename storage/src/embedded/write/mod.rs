//! The commands, run one by one in the writer's open transaction, each in its savepoint.

mod accesses;
mod account;
pub(super) mod audit;
mod events;
mod linked;
mod streams;

#[cfg(test)]
pub(super) use linked::linked_events_sql;

use std::sync::Arc;

use model::{Grant, SlotId};
use rusqlite::Connection;

use super::Settings;
use super::users::Users;
use crate::StoreError;
use crate::base::{Write, WriteCall, Written};

/// The writer's side of a slot: its connection and what it remembers between commands.
pub(super) struct Desk {
    pub connection: Connection,
    pub users: Users,
    pub settings: Arc<Settings>,
    pub slot: SlotId,
    /// Highest series counter ever given, also by commands that were rolled back.
    last_series: u64,
}

/// What a command needs beside its own data: whose rows, who acts, when.
struct Act<'a> {
    user: i64,
    user_id: &'a str,
    author: &'a str,
    stamp: f64,
}

impl Desk {
    pub(super) fn new(connection: Connection, settings: Arc<Settings>, slot: SlotId) -> Self {
        Self { connection, users: Users::default(), settings, slot, last_series: 0 }
    }

    /// Runs one command in a savepoint: all of it or nothing.
    pub(super) fn run(&mut self, call: WriteCall) -> Result<Written, StoreError> {
        let WriteCall { grant, write, audit, now, batch: _ } = call;
        if !grant.may_write() || grant.slot() != self.slot {
            return Err(StoreError::NotGranted);
        }
        let user_id = grant.user().as_str().to_owned();
        let version = self.users.version(&user_id);
        self.connection.prepare_cached("SAVEPOINT command")?.execute([])?;
        let outcome = self.apply(&grant, write, now).and_then(|written| {
            if let Some(record) = audit {
                self.audit_write(&user_id, record, &written)?;
            }
            Ok(written)
        });
        if outcome.is_err() {
            self.users.rolled_back(&user_id, version);
            if !self.connection.is_autocommit() {
                self.connection.prepare_cached("ROLLBACK TO command")?.execute([])?;
            }
        }
        if !self.connection.is_autocommit() {
            self.connection.prepare_cached("RELEASE command")?.execute([])?;
        }
        outcome
    }

    fn apply(&mut self, grant: &Grant, write: Write, now: f64) -> Result<Written, StoreError> {
        if let Write::CreateAccount(account) = write {
            return self.create_account(grant, *account, now);
        }
        let user_id = grant.user().as_str();
        let user = self.users.find(&self.connection, user_id)?;
        let row = user.row;
        if grant.space_version().is_some_and(|seen| seen != user.version) {
            return Err(StoreError::Stale);
        }
        let changes_space = write.changes_space();
        let stamp = self.users.stamp(&self.connection, user_id, now)?;
        let act = Act { user: row, user_id, author: grant.author().as_str(), stamp };
        let written = match write {
            Write::CreateAccount(_) => return Err(StoreError::NotGranted),
            Write::EraseAccount { keep_audit } => return self.erase_account(&act, keep_audit),
            Write::SetPassword { password } => self.set_password(&act, &password),
            Write::OpenSession { session, access } => self.open_session(&act, &session, *access),
            Write::CloseSession { token } => self.close_session(&act, &token),
            Write::CreateEvent { event } => self.create_event(&act, *event),
            Write::UpdateEvent { event, expected_modified } => self.update_event(&act, *event, expected_modified),
            Write::DeleteEvent { id, expected_modified } => self.delete_event(&act, &id, expected_modified),
            Write::ExtendSeries { holders } => self.extend_series(&act, &holders),
            Write::CreateStream { stream } => self.create_stream(&act, *stream),
            Write::UpdateStream { stream } => self.update_stream(&act, *stream),
            Write::DeleteStreams { ids, linked } => self.delete_streams(&act, &ids, &linked),
            Write::CreateAccess { access } => self.create_access(&act, *access),
            Write::UpdateAccess { access, expected_modified } => self.update_access(&act, *access, expected_modified),
            Write::DeleteAccesses { ids } => self.delete_accesses(&act, &ids),
            Write::Usage { accesses, sessions } => self.add_usage(&act, &accesses, &sessions),
            Write::SetProfile { set, value } => self.set_profile(&act, &set, &value),
            Write::SetAccountField { name, event } => self.set_account_field(&act, &name, *event),
        }?;
        if changes_space && !matches!(written, Written::LinkedEventsExist) {
            self.users.bump_version(&self.connection, user_id)?;
        }
        Ok(written)
    }
}
