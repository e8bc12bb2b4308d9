//! Rows to items and items to the texts that rows hold.

use model::event::Attachment;
use model::{Access, AccessKind, Duration, Event, Level, Permission, SeriesKey, Stream};
use rusqlite::Row;
use serde_json::{Map, Value};

use crate::StoreError;

pub(super) const EVENT_COLUMNS: &str = "e.row, e.id, e.streams, e.time, e.end_time, e.duration, e.kind, e.content, \
     e.description, e.client_data, e.attachments, e.trashed, e.created, e.created_by, e.modified, e.modified_by, \
     e.integrity, e.series";
pub(super) const ACCESS_COLUMNS: &str = "id, token, kind, name, device, permissions, expires, client_data, alias, \
     last_used, calls, integrity, created, created_by, modified, modified_by, deleted, serial";
pub(super) const STREAM_COLUMNS: &str =
    "id, name, parent, client_data, trashed, created, created_by, modified, modified_by";

/// A row of [`EVENT_COLUMNS`] and its type's name, which stands in another table.
pub(super) fn event(row: &Row<'_>, kind: String) -> Result<Event, StoreError> {
    let end: Option<f64> = row.get(4)?;
    let length: Option<f64> = row.get(5)?;
    Ok(Event {
        id: row.get(1)?,
        stream_ids: serde_json::from_str(row.get_ref(2)?.as_str().map_err(corrupt)?)?,
        time: row.get(3)?,
        duration: duration(end, length),
        kind,
        content: json(row, 7)?,
        description: row.get(8)?,
        client_data: json(row, 9)?,
        attachments: match json::<Vec<Value>>(row, 10)? {
            Some(list) => list.iter().map(attachment).collect::<Result<_, _>>()?,
            None => Vec::new(),
        },
        trashed: row.get(11)?,
        created: row.get(12)?,
        created_by: row.get(13)?,
        modified: row.get(14)?,
        modified_by: row.get(15)?,
        integrity: row.get(16)?,
        series_key: row.get::<_, Option<i64>>(17)?.map(series_key),
    })
}

pub(super) fn duration(end: Option<f64>, length: Option<f64>) -> Duration {
    match (end, length) {
        (None, _) => Duration::Running,
        (Some(_), None) => Duration::Instant,
        (Some(_), Some(length)) => Duration::Seconds(length),
    }
}

/// SQLite's integers are signed; the 64 bits of the key are kept.
pub(super) fn series_key(raw: i64) -> SeriesKey {
    SeriesKey::from_u64(raw.cast_unsigned())
}

pub(super) fn series_row(key: SeriesKey) -> i64 {
    key.as_u64().cast_signed()
}

fn attachment(value: &Value) -> Result<Attachment, StoreError> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Attachment {
        id: text("id").ok_or_else(|| missing("attachment id"))?,
        file_name: text("fileName").unwrap_or_default(),
        kind: text("type").unwrap_or_default(),
        size: value.get("size").and_then(Value::as_u64).unwrap_or_default(),
        integrity: text("integrity"),
    })
}

/// A stored version of an event: [`Event::to_json`], plus the series key.
pub(super) fn event_doc(event: &Event) -> String {
    let mut doc = event.to_json();
    if let Some(key) = event.series_key {
        doc.insert("series".into(), key.as_u64().into());
    }
    Value::Object(doc).to_string()
}

pub(super) fn event_of_doc(doc: &str) -> Result<Event, StoreError> {
    let mut map: Map<String, Value> = serde_json::from_str(doc)?;
    let number = |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_f64).unwrap_or_default();
    let duration = match map.get("duration") {
        None => Duration::Instant,
        Some(Value::Null) => Duration::Running,
        Some(length) => Duration::Seconds(length.as_f64().unwrap_or_default()),
    };
    let (time, created, modified) = (number(&map, "time"), number(&map, "created"), number(&map, "modified"));
    let attachments = match map.get("attachments").and_then(Value::as_array) {
        Some(list) => list.iter().map(attachment).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let trashed = map.get("trashed") == Some(&Value::Bool(true));
    let series_key = map.get("series").and_then(Value::as_u64).map(SeriesKey::from_u64);
    let stream_ids = map.remove("streamIds").map(serde_json::from_value).transpose()?.unwrap_or_default();
    let content = map.remove("content");
    let client_data = map.remove("clientData").map(serde_json::from_value).transpose()?;
    let mut text = |name: &str| match map.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    Ok(Event {
        id: text("id").unwrap_or_default(),
        stream_ids,
        time,
        duration,
        kind: text("type").unwrap_or_default(),
        content,
        description: text("description"),
        client_data,
        attachments,
        trashed,
        integrity: text("integrity"),
        created,
        created_by: text("createdBy").unwrap_or_default(),
        modified,
        modified_by: text("modifiedBy").unwrap_or_default(),
        series_key,
    })
}

/// A row of [`ACCESS_COLUMNS`].
pub(super) fn access(row: &Row<'_>) -> Result<Access, StoreError> {
    let kind: String = row.get(2)?;
    Ok(Access {
        id: row.get(0)?,
        token: row.get(1)?,
        kind: AccessKind::parse(&kind).ok_or_else(|| missing("access type"))?,
        name: row.get(3)?,
        device_name: row.get(4)?,
        permissions: permissions(&json::<Value>(row, 5)?.unwrap_or_default())?,
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

pub(super) fn permissions_text(permissions: &[Permission]) -> String {
    Value::Array(permissions.iter().map(Permission::to_json).collect()).to_string()
}

fn permissions(list: &Value) -> Result<Vec<Permission>, StoreError> {
    let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut out = Vec::new();
    for item in list.as_array().into_iter().flatten() {
        out.push(match text(item, "streamId") {
            Some(stream_id) => Permission::Stream {
                stream_id,
                level: text(item, "level")
                    .and_then(|level| Level::parse(&level))
                    .ok_or_else(|| missing("permission level"))?,
            },
            None => Permission::Feature {
                feature: text(item, "feature").ok_or_else(|| missing("permission feature"))?,
                setting: text(item, "setting").unwrap_or_default(),
            },
        });
    }
    Ok(out)
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

pub(super) fn map_text(map: Option<&Map<String, Value>>) -> Result<Option<String>, StoreError> {
    Ok(map.map(serde_json::to_string).transpose()?)
}

pub(super) fn corrupt(error: rusqlite::types::FromSqlError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

fn missing(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a stored {what} is missing or unknown"))
}
