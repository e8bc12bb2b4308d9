//! Audit records: with the write that they tell of, or by themselves (reads, refusals).

use model::{AuditRecord, UserId};

use crate::StoreError;
use crate::base::Written;
use crate::postgres::connection::Connection;
use crate::postgres::text::Text;
use crate::stored::audit::{Texts, seal};

/// The record of a write, with the key and hash of what was written.
pub(super) async fn insert(
    connection: &mut Connection,
    owner: i64,
    mut record: AuditRecord,
    written: &Written,
) -> Result<(), StoreError> {
    seal(&mut record, written);
    store(connection, owner, record).await
}

/// Records of unknown users are dropped.
pub(in crate::postgres) async fn insert_alone(
    connection: &mut Connection,
    user: &UserId,
    record: AuditRecord,
) -> Result<(), StoreError> {
    let sql = "SELECT row FROM account WHERE id = $1 AND NOT erased";
    match connection.optional(sql, &[&Text(user.as_str())]).await? {
        Some(row) => store(connection, row.try_get(0)?, record).await,
        None => Ok(()),
    }
}

async fn store(connection: &mut Connection, owner: i64, mut record: AuditRecord) -> Result<(), StoreError> {
    let Texts { kind, content } = Texts::take(&mut record)?;
    let AuditRecord { id, time, access_id, access_serial, action, .. } = record;
    let serial = access_serial.map(u32::cast_signed);
    connection
        .execute(
            "INSERT INTO audit (owner, time, id, access, serial, action, kind, content)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&owner, &time, &Text(&id), &Text(&access_id), &serial, &Text(&action), &kind, &content],
        )
        .await?;
    Ok(())
}
