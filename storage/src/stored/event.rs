//! Events: the texts of their columns, rows to events, rows to finished JSON.

use std::borrow::Cow;

use model::event::Attachment;
use model::{Duration, Event, SeriesKey};
use serde_json::{Map, Value};

use super::page::{put_attachments, put_key, put_number, put_text};
use super::{map_text, missing};
use crate::StoreError;
use crate::base::FilePlace;

/// The JSON columns of an event, ready to be put into pages as they are.
pub(crate) struct Texts {
    pub streams: String,
    pub content: Option<String>,
    pub client_data: Option<String>,
    pub attachments: Option<String>,
}

impl Texts {
    pub(crate) fn of(event: &Event) -> Result<Self, StoreError> {
        let attachments = if event.attachments.is_empty() {
            None
        } else {
            Some(Value::Array(event.attachments.iter().map(Attachment::to_json).collect()).to_string())
        };
        Ok(Self {
            streams: serde_json::to_string(&event.stream_ids)?,
            content: event.content.as_ref().filter(|value| !value.is_null()).map(Value::to_string),
            client_data: map_text(event.client_data.as_ref())?,
            attachments,
        })
    }
}

/// The length that rests beside the end.
pub(crate) fn length(event: &Event) -> Option<f64> {
    match event.duration {
        Duration::Seconds(length) => Some(length),
        Duration::Instant | Duration::Running => None,
    }
}

pub(crate) fn duration(end: Option<f64>, length: Option<f64>) -> Duration {
    match (end, length) {
        (None, _) => Duration::Running,
        (Some(_), None) => Duration::Instant,
        (Some(_), Some(length)) => Duration::Seconds(length),
    }
}

/// The integers of SQL are signed; the 64 bits of the key are kept.
pub(crate) fn series_key(raw: i64) -> SeriesKey {
    SeriesKey::from_u64(raw.cast_unsigned())
}

pub(crate) fn series_column(key: SeriesKey) -> i64 {
    key.as_u64().cast_signed()
}

/// An event as its row holds it, borrowed. `streams`, `content`, `client_data`, `attachments` are JSON.
pub(crate) struct EventRow<'a> {
    pub id: Cow<'a, str>,
    pub streams: &'a str,
    pub time: f64,
    pub duration: Duration,
    pub kind: Cow<'a, str>,
    pub content: Option<&'a str>,
    pub description: Option<Cow<'a, str>>,
    pub client_data: Option<&'a str>,
    pub attachments: Option<&'a str>,
    pub trashed: bool,
    pub created: f64,
    pub created_by: Cow<'a, str>,
    pub modified: f64,
    pub modified_by: Cow<'a, str>,
    pub integrity: Option<&'a str>,
    pub series: Option<i64>,
}

impl EventRow<'_> {
    pub(crate) fn into_event(self) -> Result<Event, StoreError> {
        Ok(Event {
            id: self.id.into_owned(),
            stream_ids: serde_json::from_str(self.streams)?,
            time: self.time,
            duration: self.duration,
            kind: self.kind.into_owned(),
            content: self.content.map(serde_json::from_str).transpose()?,
            description: self.description.map(Cow::into_owned),
            client_data: self.client_data.map(serde_json::from_str).transpose()?,
            attachments: match self.attachments {
                Some(list) => attachments(&serde_json::from_str::<Vec<Value>>(list)?)?,
                None => Vec::new(),
            },
            trashed: self.trashed,
            integrity: self.integrity.map(str::to_owned),
            created: self.created,
            created_by: self.created_by.into_owned(),
            modified: self.modified,
            modified_by: self.modified_by.into_owned(),
            series_key: self.series.map(series_key),
        })
    }

    /// Exactly the JSON of [`Event::to_json`]; stored JSON goes through as it is. `files` gets the places of attachments.
    pub(crate) fn put(&self, out: &mut Vec<u8>, files: &mut Vec<FilePlace>) -> Result<(), StoreError> {
        put_key(out, "{\"id\":");
        put_text(out, &self.id)?;
        put_key(out, ",\"streamIds\":");
        put_key(out, self.streams);
        put_key(out, ",\"time\":");
        put_number(out, self.time)?;
        match self.duration {
            Duration::Instant | Duration::Seconds(0.0) => {}
            Duration::Running => put_key(out, ",\"duration\":null"),
            Duration::Seconds(length) => {
                put_key(out, ",\"duration\":");
                put_number(out, length)?;
            }
        }
        put_key(out, ",\"type\":");
        put_text(out, &self.kind)?;
        if let Some(content) = self.content {
            put_key(out, ",\"content\":");
            put_key(out, content);
        }
        if let Some(description) = &self.description {
            put_key(out, ",\"description\":");
            put_text(out, description)?;
        }
        if let Some(data) = self.client_data {
            put_key(out, ",\"clientData\":");
            put_key(out, data);
        }
        if let Some(list) = self.attachments {
            put_key(out, ",\"attachments\":");
            put_attachments(out, files, list)?;
        }
        if self.trashed {
            put_key(out, ",\"trashed\":true");
        }
        put_key(out, ",\"created\":");
        put_number(out, self.created)?;
        put_key(out, ",\"createdBy\":");
        put_text(out, &self.created_by)?;
        put_key(out, ",\"modified\":");
        put_number(out, self.modified)?;
        put_key(out, ",\"modifiedBy\":");
        put_text(out, &self.modified_by)?;
        if let Some(integrity) = self.integrity {
            put_key(out, ",\"integrity\":");
            put_text(out, integrity)?;
        }
        out.push(b'}');
        Ok(())
    }
}

/// The ids of a `streams` column, borrowed where they need no unescaping.
pub(crate) fn borrowed_ids(text: &str) -> Result<Vec<Cow<'_, str>>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Id<'a>(#[serde(borrow)] Cow<'a, str>);
    let ids: Vec<Id<'_>> = serde_json::from_str(text)?;
    Ok(ids.into_iter().map(|id| id.0).collect())
}

/// A stored version of an event: [`Event::to_json`], plus the series key.
pub(crate) fn doc(event: &Event) -> String {
    let mut doc = event.to_json();
    if let Some(key) = event.series_key {
        doc.insert("series".into(), key.as_u64().into());
    }
    Value::Object(doc).to_string()
}

pub(crate) fn of_doc(doc: &str) -> Result<Event, StoreError> {
    let mut map: Map<String, Value> = serde_json::from_str(doc)?;
    let number = |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_f64).unwrap_or_default();
    let duration = match map.get("duration") {
        None => Duration::Instant,
        Some(Value::Null) => Duration::Running,
        Some(length) => Duration::Seconds(length.as_f64().unwrap_or_default()),
    };
    let (time, created, modified) = (number(&map, "time"), number(&map, "created"), number(&map, "modified"));
    let attachments = match map.get("attachments").and_then(Value::as_array) {
        Some(list) => attachments(list)?,
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

fn attachments(list: &[Value]) -> Result<Vec<Attachment>, StoreError> {
    list.iter().map(attachment).collect()
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
