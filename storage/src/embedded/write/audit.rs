//! Audit records: with the write that they tell of, or by themselves (reads, refusals).

use model::AuditRecord;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::Desk;
use crate::StoreError;
use crate::base::Written;

impl Desk {
    /// The record of a write, with the key and hash of what was written (Pryv: `content.record`).
    pub(super) fn audit_write(
        &mut self,
        user_id: &str,
        mut record: AuditRecord,
        written: &Written,
    ) -> Result<(), StoreError> {
        let sealed = match (record.action.as_str(), written) {
            ("events.create" | "events.update", Written::Event(event)) => {
                Some((format!("EVENT:0:{}:{}", event.id, model::time::number(event.modified)), &event.integrity))
            }
            ("accesses.create", Written::Access(access)) => {
                Some((format!("ACCESS:0:{}:{}", access.id, model::time::number(access.modified)), &access.integrity))
            }
            _ => None,
        };
        if let Some((key, Some(integrity))) = sealed {
            record.detail.insert("record".into(), json!({ "key": key, "integrity": integrity }));
        }
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

fn insert(connection: &Connection, user: i64, record: AuditRecord) -> Result<(), StoreError> {
    let kind = kind(&record);
    let AuditRecord { id, time, access_id, access_serial, action, error, detail } = record;
    let content = serde_json::to_string(&content(&action, error, detail))?;
    connection
        .prepare_cached(
            "INSERT INTO audit (user, time, id, access, serial, action, kind, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![user, time, id, access_id, access_serial, action, kind, content])?;
    Ok(())
}

fn kind(record: &AuditRecord) -> &'static str {
    if record.action.starts_with("oauth.") {
        "audit-log/oauth"
    } else if record.error.is_some() {
        "audit-log/pryv-api-error"
    } else {
        "audit-log/pryv-api"
    }
}

/// `source` first, then the action and the rest, as the reference shows it; nothing null.
fn content(action: &str, error: Option<(String, String)>, mut detail: Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    if let Some(source) = detail.shift_remove("source") {
        out.insert("source".into(), source);
    }
    out.insert("action".into(), action.into());
    out.extend(detail.into_iter().filter(|(_, value)| !value.is_null()));
    if let Some((id, message)) = error {
        out.insert("id".into(), id.into());
        out.insert("message".into(), message.into());
    }
    out
}
