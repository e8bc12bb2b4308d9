//! Rows to items.

use model::{Access, Event, Stream};
use rusqlite::Row;
use serde_json::Value;

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

/// A row of [`EVENT_COLUMNS`] and its type's name, which stands in another table.
pub(super) fn event<'a>(row: &'a Row<'_>, kind: &'a str) -> Result<EventRow<'a>, StoreError> {
    let text = |index: usize| row.get_ref(index)?.as_str_or_null().map_err(corrupt);
    let required = |index: usize| row.get_ref(index)?.as_str().map_err(corrupt);
    Ok(EventRow {
        id: required(1)?.into(),
        streams: required(2)?,
        time: row.get(3)?,
        duration: duration(row.get(4)?, row.get(5)?),
        kind: kind.into(),
        content: text(7)?,
        description: text(8)?.map(Into::into),
        client_data: text(9)?,
        attachments: text(10)?,
        trashed: row.get(11)?,
        created: row.get(12)?,
        created_by: required(13)?.into(),
        modified: row.get(14)?,
        modified_by: required(15)?.into(),
        integrity: text(16)?,
        series: row.get(17)?,
    })
}

/// A row of [`EVENT_COLUMNS`] that is followed by its type's name.
pub(super) fn named_event(row: &Row<'_>) -> Result<Event, StoreError> {
    event(row, row.get_ref(18)?.as_str().map_err(corrupt)?)?.into_event()
}

/// A row of [`ACCESS_COLUMNS`].
pub(super) fn access(row: &Row<'_>) -> Result<Access, StoreError> {
    Ok(Access {
        id: row.get(0)?,
        token: row.get(1)?,
        kind: access::kind(row.get_ref(2)?.as_str().map_err(corrupt)?)?,
        name: row.get(3)?,
        device_name: row.get(4)?,
        permissions: access::permissions(&json::<Value>(row, 5)?.unwrap_or_default())?,
        expires: row.get(6)?,
        client_data: json(row, 7)?,
        alias: row.get(8)?,
        last_used: row.get(9)?,
        calls: json(row, 10)?.unwrap_or_default(),
        integrity: row.get(11)?,
        created: row.get(12)?,
        created_by: row.get(13)?,
        modified: row.get(14)?,
        modified_by: row.get(15)?,
        deleted: row.get(16)?,
        serial: row.get(17)?,
    })
}

/// A row of [`STREAM_COLUMNS`].
pub(super) fn stream(row: &Row<'_>) -> Result<Stream, StoreError> {
    Ok(Stream {
        id: row.get(0)?,
        name: row.get(1)?,
        parent_id: row.get(2)?,
        client_data: json(row, 3)?,
        trashed: row.get(4)?,
        created: row.get(5)?,
        created_by: row.get(6)?,
        modified: row.get(7)?,
        modified_by: row.get(8)?,
    })
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> Result<Option<T>, StoreError> {
    match row.get_ref(index)?.as_str_or_null().map_err(corrupt)? {
        Some(text) => Ok(Some(serde_json::from_str(text)?)),
        None => Ok(None),
    }
}

pub(super) fn corrupt(error: rusqlite::types::FromSqlError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
