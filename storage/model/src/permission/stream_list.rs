//! The streams that a caller may list, as JSON trees (Pryv: streams.get).

use serde_json::{Map, Value};

use super::account_streams::{ACCOUNT_ROOT, SYSTEM_STREAM_TIME, system_stream};
use super::caller::{Caller, Refused};
use super::level::{Levels, audit_parent, audit_stream_exists};
use super::reserved::{AUDIT_ROOT, CMC_INTERNAL, EMAILS_ROOT, SHARED_SECRETS_ROOT, Store, in_store};
use super::tree::STREAM_DEPTH_MAX;
use crate::access::{Level, Permission};
use crate::query::TrashState;
use crate::stream::Stream;
use crate::time::Seconds;

/// The pseudo-root of the audit store differs by a second, in the reference and so here.
const AUDIT_ROOT_CREATED: Seconds = 10_000_001.000_000_01;

#[derive(Clone, Copy, Debug, Default)]
pub struct ListStreams<'a> {
    /// Only the children of this stream.
    pub parent_id: Option<&'a str>,
    /// Only this stream.
    pub id: Option<&'a str>,
    /// `All` adds the trash.
    pub state: TrashState,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ListRefused {
    /// Pryv: invalid-request-structure (400).
    #[error("Do not mix \"parentId\" and \"id\" parameter in request")]
    BothIdAndParent,
    /// Pryv: forbidden (403).
    #[error("{0}")]
    Forbidden(String),
    /// Pryv: unknown-referenced-resource (400), `data: {<parameter>: <id>}`.
    #[error("Unknown referenced stream \"{id}\"")]
    UnknownStream { parameter: &'static str, id: String },
    /// Pryv: unknown-resource (404).
    #[error("Unknown data store \"{0}\"")]
    UnknownStore(String),
}

impl Caller<'_> {
    pub fn list_streams(&self, request: ListStreams<'_>) -> Result<Vec<Value>, ListRefused> {
        let list = Lister { caller: self, levels: Levels::new(self), with_trash: request.state != TrashState::Default };
        match (request.id, request.parent_id) {
            (Some(_), Some(_)) => Err(ListRefused::BothIdAndParent),
            (Some(id), None) => {
                list.check("id", id)?;
                list.one(id).map(|stream| vec![stream]).ok_or_else(|| unknown("id", id))
            }
            (None, Some(id)) => {
                list.check("parentId", id)?;
                list.children_of(id).ok_or_else(|| unknown("parentId", id))
            }
            (None, None) => Ok(list.roots()),
        }
    }
}

fn unknown(parameter: &'static str, id: &str) -> ListRefused {
    ListRefused::UnknownStream { parameter, id: id.to_owned() }
}

struct Lister<'a> {
    caller: &'a Caller<'a>,
    levels: Levels<'a>,
    with_trash: bool,
}

impl Lister<'_> {
    fn check(&self, parameter: &'static str, id: &str) -> Result<(), ListRefused> {
        match Store::of(id) {
            Store::Unknown(store) => return Err(ListRefused::UnknownStore(store.to_owned())),
            Store::Audit if !self.caller.audit_active => return Err(ListRefused::UnknownStore("_audit".into())),
            _ => {}
        }
        // Without a personal token an unknown stream answers like a forbidden one; under `*` it is told.
        let is_stranger = !self.caller.is_personal() && !self.levels.star().is_some_and(Level::can_list);
        if !self.is_listable(id) || (is_stranger && !self.exists(id)) {
            return Err(ListRefused::Forbidden(Refused::stream("list streams", id).to_string()));
        }
        if self.exists(id) { Ok(()) } else { Err(unknown(parameter, id)) }
    }

    fn exists(&self, id: &str) -> bool {
        match Store::of(id) {
            Store::Local => self.caller.tree.contains(id) || id == EMAILS_ROOT,
            Store::Account => self.caller.account_streams.contains(id),
            Store::Audit => audit_stream_exists(in_store(id)),
            Store::Unknown(_) => false,
        }
    }

    fn is_listable(&self, id: &str) -> bool {
        // The root of the e-mail list is named to whoever lists everything (observed), and opens nothing.
        let level = if id == EMAILS_ROOT { self.levels.star() } else { self.levels.of(id) };
        level.is_some_and(Level::can_list) && !id.starts_with(CMC_INTERNAL)
    }

    fn one(&self, id: &str) -> Option<Value> {
        let mut stream = match Store::of(id) {
            Store::Local => self.local(id)?,
            Store::Account => self.account(id)?,
            Store::Audit => audit_stream(in_store(id), true),
            Store::Unknown(_) => return None,
        };
        self.hide_parent(&mut stream);
        Some(stream)
    }

    fn children_of(&self, id: &str) -> Option<Vec<Value>> {
        match Store::of(id) {
            Store::Local => {
                let own_trash = self.caller.tree.get(id).is_some_and(|stream| stream.trashed);
                (self.with_trash || !own_trash).then(|| self.local_children(Some(id), 1))
            }
            Store::Account => Some(self.caller.account_streams.children_json(id, &self.shown_account())),
            Store::Audit => Some(audit_children(in_store(id))),
            Store::Unknown(_) => None,
        }
    }

    fn roots(&self) -> Vec<Value> {
        if self.levels.star().is_some_and(Level::can_list) { self.whole_tree() } else { self.granted_entries() }
    }

    /// For the user and for a permission on `*`: stores, the local roots by name, the account last.
    fn whole_tree(&self) -> Vec<Value> {
        let mut out = Vec::new();
        if self.caller.audit_active {
            out.push(audit_stream("", false));
        }
        out.extend(self.local_children(None, 1));
        // Streams that a permission opens inside a part that is closed.
        out.extend(self.entries().filter(|id| self.is_below_closed(id)).filter_map(|id| self.entry(id)));
        out.extend(self.own_secrets());
        if !self.caller.is_personal() {
            out.extend(self.own_audit_entry());
        }
        out.extend(self.whole_account());
        out
    }

    /// With `*` the account tree is listed by name, though none of its events can be read (observed).
    fn whole_account(&self) -> Option<Value> {
        let streams = self.caller.account_streams;
        streams.tree_json(ACCOUNT_ROOT, &|id| !streams.is_hidden(id))
    }

    /// One entry per permission, in their order, then what every access sees.
    fn granted_entries(&self) -> Vec<Value> {
        let granted = self.entries().filter_map(|id| self.entry(id));
        granted.chain(self.own_secrets()).chain(self.own_audit_entry()).collect()
    }

    fn entries(&self) -> impl Iterator<Item = &str> {
        let ids = self.caller.access.permissions.iter().filter_map(Permission::stream_id);
        ids.filter(|id| *id != "*" && !id.starts_with(SHARED_SECRETS_ROOT))
    }

    fn entry(&self, id: &str) -> Option<Value> {
        let in_trash = !self.with_trash && self.caller.tree.is_trashed_or_under_trashed(id);
        let in_closed_store = Store::of(id) == Store::Audit && !self.caller.audit_active;
        let hidden = self.caller.account_streams.is_hidden(id);
        if in_trash || in_closed_store || hidden || !self.is_listable(id) || !self.exists(id) {
            return None;
        }
        self.one(id)
    }

    /// Listable, though its parent is not: it would be lost in the pruned tree.
    fn is_below_closed(&self, id: &str) -> bool {
        let parent = self.caller.tree.get(id).and_then(|stream| stream.parent_id.as_deref());
        parent.is_some_and(|parent| !self.is_listable(parent))
    }

    fn own_secrets(&self) -> Option<Value> {
        if self.caller.is_personal() {
            return None;
        }
        self.entry(&format!("{SHARED_SECRETS_ROOT}{}", self.caller.access.id))
    }

    fn own_audit_entry(&self) -> Option<Value> {
        self.caller.own_audit_stream().and_then(|id| self.entry(&id))
    }

    fn local(&self, id: &str) -> Option<Value> {
        match self.caller.tree.get(id) {
            Some(stream) if stream.trashed && !self.with_trash => None,
            Some(stream) => Some(self.local_json(stream, 1)),
            None => (id == EMAILS_ROOT).then(emails_root),
        }
    }

    fn local_json(&self, stream: &Stream, depth: usize) -> Value {
        let mut out = stream.to_json();
        out.insert("children".into(), self.local_children(Some(&stream.id), depth + 1).into());
        Value::Object(out)
    }

    fn local_children(&self, parent: Option<&str>, depth: usize) -> Vec<Value> {
        if depth > STREAM_DEPTH_MAX {
            return Vec::new();
        }
        let shown = |stream: &&Stream| (self.with_trash || !stream.trashed) && self.is_listable(&stream.id);
        let streams = self.caller.tree.children(parent).filter(shown);
        let mut out: Vec<Value> = streams.map(|stream| self.local_json(stream, depth)).collect();
        let lacks_emails = parent.is_none() && !self.caller.tree.contains(EMAILS_ROOT);
        if lacks_emails && self.is_listable(EMAILS_ROOT) {
            let root = emails_root();
            let name = |stream: &Value| stream.get("name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            let place = out.partition_point(|stream| name(stream) < name(&root));
            out.insert(place, root);
        }
        out
    }

    fn account(&self, id: &str) -> Option<Value> {
        self.caller.account_streams.tree_json(id, &self.shown_account())
    }

    fn shown_account(&self) -> impl Fn(&str) -> bool {
        |id| !self.caller.account_streams.is_hidden(id) && self.is_listable(id)
    }

    /// A root of the answer does not name a parent that the caller may not list.
    fn hide_parent(&self, stream: &mut Value) {
        let parent = stream.get("parentId").and_then(Value::as_str);
        let hidden = parent.is_some_and(|parent| !self.is_listable(parent));
        if let (true, Some(shown)) = (hidden, stream.get_mut("parentId")) {
            *shown = Value::Null;
        }
    }
}

/// Every account has it from the start, without tracking fields.
fn emails_root() -> Value {
    let mut out = Map::new();
    out.insert("id".into(), EMAILS_ROOT.into());
    out.insert("name".into(), "Emails".into());
    out.insert("parentId".into(), Value::Null);
    out.insert("clientData".into(), serde_json::json!({ "emails": { "kind": "reserved", "autoProvisioned": true } }));
    out.insert("children".into(), Value::Array(Vec::new()));
    Value::Object(out)
}

/// `open`: with its children; otherwise they are only announced.
fn audit_stream(name: &str, open: bool) -> Value {
    let id = format!("{AUDIT_ROOT}{name}");
    let parent = match audit_parent(name) {
        Some(parent) => Some(format!("{AUDIT_ROOT}{parent}")),
        None => (!name.is_empty()).then(|| AUDIT_ROOT.to_owned()),
    };
    let title = match name {
        "" => "Audit",
        "accesses" => "Accesses",
        "actions" => "Actions",
        other => other,
    };
    let created = if name.is_empty() { AUDIT_ROOT_CREATED } else { SYSTEM_STREAM_TIME };
    let children = if open { audit_children(name) } else { Vec::new() };
    let mut out = system_stream(&id, title, parent.as_deref(), created, children);
    if let (false, Value::Object(map)) = (open, &mut out) {
        map.insert("childrenHidden".into(), true.into());
    }
    out
}

/// The streams of single accesses and actions are not enumerated: they exist as soon as they are named.
fn audit_children(name: &str) -> Vec<Value> {
    match name {
        "" => vec![audit_stream("accesses", false), audit_stream("actions", false)],
        _ => Vec::new(),
    }
}
