//! Rows to items.

use model::{Access, Stream};
use tokio_postgres::Row;

use super::text::{optional_text, text};
use crate::StoreError;
use crate::stored::access;
use crate::stored::event::{EventRow, duration};

pub(super) const EVENT_COLUMNS: &str = "e.row, e.id, e.streams, e.time, e.end_time, e.duration, e.kind, e.content, \
     e.description, e.client_data, e.attachments, e.trashed, e.created, e.created_by, e.modified, e.modified_by, \
     e.integrity, e.series";
pub(super) const ACCESS_COLUMNS: &str = "id, token, kind, name, device, permissions, expires, client_data, alias, \
     last_used, calls, integrity, created, created_by, modified, modified_by, deleted, serial";
pub(super) const STREAM_COLUMNS: &str =
    "id, name, parent, client_data, trashed, created, created_by, modified, modified_by";

/// A row that holds [`EVENT_COLUMNS`] from column `first` on.
pub(super) fn event(row: &Row, first: usize) -> Result<EventRow<'_>, StoreError> {
    Ok(EventRow {
        id: text(row, first + 1)?,
        streams: row.try_get(first + 2)?,
        time: row.try_get(first + 3)?,
        duration: duration(row.try_get(first + 4)?, row.try_get(first + 5)?),
        kind: text(row, first + 6)?,
        content: row.try_get(first + 7)?,
        description: optional_text(row, first + 8)?,
        client_data: row.try_get(first + 9)?,
        attachments: row.try_get(first + 10)?,
        trashed: row.try_get(first + 11)?,
        created: row.try_get(first + 12)?,
        created_by: text(row, first + 13)?,
        modified: row.try_get(first + 14)?,
        modified_by: text(row, first + 15)?,
        integrity: row.try_get(first + 16)?,
        series: row.try_get(first + 17)?,
    })
}

/// A row of [`ACCESS_COLUMNS`].
pub(super) fn access(row: &Row) -> Result<Access, StoreError> {
    let serial = row.try_get::<_, Option<i32>>(17)?.map(u32::try_from).transpose();
    Ok(Access {
        id: text(row, 0)?.into_owned(),
        token: text(row, 1)?.into_owned(),
        kind: access::kind(row.try_get(2)?)?,
        name: text(row, 3)?.into_owned(),
        device_name: optional_text(row, 4)?.map(Into::into),
        permissions: access::permissions(&serde_json::from_str(row.try_get(5)?)?)?,
        expires: row.try_get(6)?,
        client_data: optional_json(row, 7)?,
        alias: optional_text(row, 8)?.map(Into::into),
        last_used: row.try_get(9)?,
        calls: serde_json::from_str(row.try_get(10)?)?,
        integrity: row.try_get(11)?,
        created: row.try_get(12)?,
        created_by: text(row, 13)?.into_owned(),
        modified: row.try_get(14)?,
        modified_by: text(row, 15)?.into_owned(),
        deleted: row.try_get(16)?,
        serial: serial.map_err(|_| StoreError::Corrupt("a negative serial of an access".into()))?,
    })
}

/// A row of [`STREAM_COLUMNS`].
pub(super) fn stream(row: &Row) -> Result<Stream, StoreError> {
    Ok(Stream {
        id: text(row, 0)?.into_owned(),
        name: text(row, 1)?.into_owned(),
        parent_id: optional_text(row, 2)?.map(Into::into),
        client_data: optional_json(row, 3)?,
        trashed: row.try_get(4)?,
        created: row.try_get(5)?,
        created_by: text(row, 6)?.into_owned(),
        modified: row.try_get(7)?,
        modified_by: text(row, 8)?.into_owned(),
    })
}

fn optional_json<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Result<Option<T>, StoreError> {
    Ok(row.try_get::<_, Option<&str>>(column)?.map(serde_json::from_str).transpose()?)
}
