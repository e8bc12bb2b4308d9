//! The event: a typed, timestamped item in one or more streams (Pryv: events).

use serde_json::{Map, Value};

use crate::id::SeriesKey;
use crate::time::{Seconds, number};

/// How long an event lasts. `Instant` is never shown; `Running` is `duration: null`.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Duration {
    #[default]
    Instant,
    Running,
    Seconds(f64),
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Event {
    pub id: String,
    pub stream_ids: Vec<String>,
    pub time: Seconds,
    pub duration: Duration,
    /// `class/format`, or `series:class/format`.
    pub kind: String,
    pub content: Option<Value>,
    pub description: Option<String>,
    pub client_data: Option<Map<String, Value>>,
    pub attachments: Vec<Attachment>,
    pub trashed: bool,
    pub integrity: Option<String>,
    pub created: Seconds,
    pub created_by: String,
    pub modified: Seconds,
    pub modified_by: String,
    /// Names the points of a `series:*` event; given by the store at creation, never on the wire.
    pub series_key: Option<SeriesKey>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    pub id: String,
    pub file_name: String,
    pub kind: String,
    pub size: u64,
    pub integrity: Option<String>,
}

/// What is left of a deleted event (Pryv: `eventDeletions`).
#[derive(Clone, Debug, PartialEq)]
pub struct EventDeletion {
    pub id: String,
    pub deleted: Seconds,
    pub integrity: Option<String>,
}

pub const SERIES_PREFIX: &str = "series:";

impl Event {
    /// The element type of a series event, `None` for an ordinary one.
    pub fn series_element(&self) -> Option<&str> {
        self.kind.strip_prefix(SERIES_PREFIX)
    }

    /// The end that time queries compare with; `None` for a running event.
    pub fn end_time(&self) -> Option<Seconds> {
        match self.duration {
            Duration::Instant => Some(self.time),
            Duration::Running => None,
            Duration::Seconds(length) => Some(self.time + length),
        }
    }

    /// The event as the API shows it: null or empty properties are left out, but `duration: null`.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("id".into(), self.id.clone().into());
        out.insert("streamIds".into(), self.stream_ids.clone().into());
        out.insert("time".into(), number(self.time));
        match self.duration {
            Duration::Instant => {}
            Duration::Running => drop(out.insert("duration".into(), Value::Null)),
            Duration::Seconds(0.0) => {}
            Duration::Seconds(length) => drop(out.insert("duration".into(), number(length))),
        }
        out.insert("type".into(), self.kind.clone().into());
        let mut optional = |key: &str, value: Option<Value>| {
            if let Some(value) = value.filter(|v| !v.is_null()) {
                out.insert(key.into(), value);
            }
        };
        optional("content", self.content.clone());
        optional("description", self.description.clone().map(Value::from));
        optional("clientData", self.client_data.clone().map(Value::from));
        if !self.attachments.is_empty() {
            optional("attachments", Some(self.attachments.iter().map(Attachment::to_json).collect()));
        }
        if self.trashed {
            optional("trashed", Some(true.into()));
        }
        out.insert("created".into(), number(self.created));
        out.insert("createdBy".into(), self.created_by.clone().into());
        out.insert("modified".into(), number(self.modified));
        out.insert("modifiedBy".into(), self.modified_by.clone().into());
        if let Some(integrity) = &self.integrity {
            out.insert("integrity".into(), integrity.clone().into());
        }
        out
    }
}

impl Attachment {
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("id".into(), self.id.clone().into());
        out.insert("fileName".into(), self.file_name.clone().into());
        out.insert("type".into(), self.kind.clone().into());
        out.insert("size".into(), self.size.into());
        if let Some(integrity) = &self.integrity {
            out.insert("integrity".into(), integrity.clone().into());
        }
        Value::Object(out)
    }
}

impl EventDeletion {
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("id".into(), self.id.clone().into());
        out.insert("deleted".into(), number(self.deleted));
        if let Some(integrity) = &self.integrity {
            out.insert("integrity".into(), integrity.clone().into());
        }
        Value::Object(out)
    }
}
