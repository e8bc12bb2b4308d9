//! Audit records: with the write that they tell of, or by themselves (reads, refusals).

use model::AuditRecord;
use rusqlite::{Connection, OptionalExtension, params};

use super::Desk;
use crate::StoreError;
use crate::base::Written;
use crate::stored::audit;

impl Desk {
    /// The record of a write, with the key and hash of what was written (Pryv: `content.record`).
    pub(super) fn audit_write(
        &mut self,
        user_id: &str,
        mut record: AuditRecord,
        written: &Written,
    ) -> Result<(), StoreError> {
        audit::seal(&mut record, written);
        match self.users.find(&self.connection, user_id) {
            Ok(user) => insert(&self.connection, user.row, record),
            // The account was erased by this very command.
            Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Records of one user that have no write of their own; those of unknown users are dropped.
    pub(in crate::embedded) fn audit_alone(&mut self, user_id: &str, record: AuditRecord) -> Result<(), StoreError> {
        let user = self
            .connection
            .prepare_cached("SELECT row FROM user WHERE id = ?1 AND erased = 0")?
            .query_row([user_id], |row| row.get(0))
            .optional()?;
        match user {
            Some(user) => insert(&self.connection, user, record),
            None => Ok(()),
        }
    }
}

fn insert(connection: &Connection, user: i64, mut record: AuditRecord) -> Result<(), StoreError> {
    let audit::Texts { kind, content } = audit::Texts::take(&mut record)?;
    let AuditRecord { id, time, access_id, access_serial, action, .. } = record;
    connection
        .prepare_cached(
            "INSERT INTO audit (user, time, id, access, serial, action, kind, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![user, time, id, access_id, access_serial, action, kind, content])?;
    Ok(())
}
