//! Audit records: as they rest, and as the store `:_audit:` shows them.

use std::borrow::Cow;

use model::AuditRecord;
use model::query::TypeFilter;
use serde_json::{Map, Value, json};

use super::page::{put_key, put_number, put_text};
use super::streams::Streams;
use crate::StoreError;
use crate::base::Written;

const ACCESS_PREFIX: &str = "access-";

/// Adds the key and hash of what was written (Pryv: `content.record`).
pub(crate) fn seal(record: &mut AuditRecord, written: &Written) {
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
}

/// The columns of a record that are made of others.
pub(crate) struct Texts {
    /// The type under which it is shown.
    pub kind: &'static str,
    pub content: String,
}

impl Texts {
    /// Empties the record's detail.
    pub(crate) fn take(record: &mut AuditRecord) -> Result<Self, StoreError> {
        Ok(Self { kind: kind(record), content: serde_json::to_string(&content(record))? })
    }
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
fn content(record: &mut AuditRecord) -> Map<String, Value> {
    let mut detail = std::mem::take(&mut record.detail);
    let mut out = Map::new();
    if let Some(source) = detail.shift_remove("source") {
        out.insert("source".into(), source);
    }
    out.insert("action".into(), record.action.clone().into());
    out.extend(detail.into_iter().filter(|(_, value)| !value.is_null()));
    if let Some((id, message)) = record.error.take() {
        out.insert("id".into(), id.into());
        out.insert("message".into(), message.into());
    }
    out
}

/// A record as an event of the store.
pub(crate) struct Shown<'a> {
    pub id: Cow<'a, str>,
    pub time: f64,
    pub kind: Cow<'a, str>,
    pub content: Cow<'a, str>,
    pub streams: Vec<String>,
}

/// `access-<base>`, perhaps `access-<base>:<serial>`, `action-<method>`.
pub(crate) fn shown_streams(access: &str, serial: Option<u32>, action: &str) -> Vec<String> {
    let mut streams = vec![format!("{ACCESS_PREFIX}{access}")];
    streams.extend(serial.map(|serial| format!("{ACCESS_PREFIX}{access}:{serial}")));
    streams.push(format!("action-{action}"));
    streams
}

impl Shown<'_> {
    pub(crate) fn stream_ids(&self) -> Vec<&str> {
        self.streams.iter().map(String::as_str).collect()
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let prefixed = |id: &str| format!(":_audit:{id}");
        put_key(out, "{\"id\":");
        put_text(out, &prefixed(&self.id))?;
        put_key(out, ",\"type\":");
        put_text(out, &self.kind)?;
        put_key(out, ",\"time\":");
        put_number(out, self.time)?;
        put_key(out, ",\"streamIds\":");
        let ids: Vec<Value> = self.streams.iter().map(|id| prefixed(id).into()).collect();
        serde_json::to_writer(&mut *out, &ids)?;
        put_key(out, ",\"content\":");
        put_key(out, &self.content);
        for (time, by) in [(",\"created\":", ",\"createdBy\":"), (",\"modified\":", ",\"modifiedBy\":")] {
            put_key(out, time);
            put_number(out, self.time)?;
            put_key(out, by);
            put_key(out, "\"system\"");
        }
        out.push(b'}');
        Ok(())
    }
}

/// The one access of which records are wanted.
pub(crate) fn one_access(streams: &Streams<'_>) -> Option<String> {
    let wanted = streams.wanted()?;
    let mut ids = wanted.iter();
    let (Some(id), None) = (ids.next(), ids.next()) else { return None };
    let access = id.strip_prefix(ACCESS_PREFIX)?;
    let base = access.split_once(':').map_or(access, |(base, _)| base);
    Some(base.to_owned())
}

pub(crate) fn types_pass(kind: &str, types: &[TypeFilter]) -> bool {
    types.is_empty()
        || types.iter().any(|filter| match filter {
            TypeFilter::Exact(wanted) => kind == wanted,
            TypeFilter::Class(class) => kind.starts_with(class.as_str()),
        })
}
