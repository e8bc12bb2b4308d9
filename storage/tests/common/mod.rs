//! What the behaviour tests share: a store in a temporary folder, and short ways to ask it.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "helpers of tests; each file uses its part")]

use std::sync::Arc;

use model::query::{StreamFilter, TrashState};
use model::{
    Access, AccessKind, AuditRecord, Event, EventsQuery, Grant, NewAccount, PasswordHash, Right, ServerTask, SlotId,
    Stream, UserId,
};
use serde_json::{Map, Value, json};
use storage::base::{
    Answer, BaseStore, BatchId, Cursor, Found, Page, Read, ReadCall, SpaceData, Write, WriteCall, Written,
};
use storage::embedded::{EmbeddedConfig, EmbeddedStore, ThreadLane};
use storage::{Reply, StoreError};
use tempfile::TempDir;

pub struct Home {
    pub dir: TempDir,
    pub config: EmbeddedConfig,
    pub store: Arc<EmbeddedStore>,
}

pub const NOW: f64 = 1_700_000_000.5;

impl Home {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut EmbeddedConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = EmbeddedConfig::new(dir.path());
        config.slots = 1;
        change(&mut config);
        let store = open(&config);
        Self { dir, config, store }
    }

    pub fn reopen(&mut self) {
        self.store.close();
        self.store = open(&self.config);
    }

    pub fn create_user(&self, id: &str) {
        let account = NewAccount {
            username: format!("name-{id}"),
            password: PasswordHash("hash".into()),
            fields: Map::new(),
            session: None,
        };
        self.write(id, Write::CreateAccount(Box::new(account))).unwrap();
    }

    pub fn write(&self, user: &str, write: Write) -> Result<Written, StoreError> {
        wait(self.store.write(call(user, write)))
    }

    pub fn read(&self, user: &str, read: Read) -> Result<Answer, StoreError> {
        wait(self.store.read(ReadCall { grant: grant(user, Right::Read), read, batch: None }))
    }

    pub fn create_event(&self, user: &str, event: Event) -> Event {
        match self.write(user, Write::CreateEvent { event: Box::new(event) }).unwrap() {
            Written::Event(event) => *event,
            other => panic!("{other:?}"),
        }
    }

    pub fn event(&self, user: &str, id: &str) -> Option<Event> {
        match self.read(user, Read::Event { id: id.into() }).unwrap() {
            Answer::Event(Some(Found::Event(event))) => Some(*event),
            Answer::Event(_) => None,
            other => panic!("{other:?}"),
        }
    }

    pub fn create_stream(&self, user: &str, id: &str, parent: Option<&str>) -> Result<Written, StoreError> {
        self.write(user, Write::CreateStream { stream: Box::new(stream(id, id, parent)) })
    }

    pub fn space(&self, user: &str) -> SpaceData {
        match self.read(user, Read::Space).unwrap() {
            Answer::Space(space) => *space,
            other => panic!("{other:?}"),
        }
    }

    pub fn page(&self, user: &str, query: &EventsQuery, after: Option<Cursor>) -> Page {
        match self.read(user, Read::EventsPage { query: Box::new(query.clone()), after }).unwrap() {
            Answer::Page(page) => page,
            other => panic!("{other:?}"),
        }
    }

    /// All pages of a query, as values.
    pub fn events(&self, user: &str, query: &EventsQuery) -> Vec<Value> {
        let (mut out, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(user, query, after);
            let items = items(&page);
            assert_eq!(items.len() as u64, page.item_count);
            out.extend(items);
            match page.next {
                Some(cursor) => after = Some(cursor),
                None => return out,
            }
        }
    }

    pub fn slot_file(&self) -> std::path::PathBuf {
        self.dir.path().join("slots/slot-00.sqlite")
    }
}

fn open(config: &EmbeddedConfig) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(config.clone(), ThreadLane::start(2, 256).unwrap()).unwrap()
}

pub fn items(page: &Page) -> Vec<Value> {
    serde_json::from_str(&format!("[{}]", std::str::from_utf8(&page.json).unwrap())).unwrap()
}

pub fn wait<T>(reply: Reply<T>) -> Result<T, StoreError> {
    reply.blocking_recv().expect("the store answers")
}

pub fn grant(user: &str, right: Right) -> Grant {
    Grant::server_itself(ServerTask::Operator, UserId::new(user), SlotId(0), right)
}

pub fn call(user: &str, write: Write) -> WriteCall {
    WriteCall { grant: grant(user, Right::Write), write, audit: None, batch: None, now: NOW }
}

pub fn in_batch(mut call: WriteCall, batch: BatchId) -> WriteCall {
    call.batch = Some(batch);
    call
}

pub fn event(id: &str, time: f64, streams: &[&str]) -> Event {
    Event {
        id: id.into(),
        stream_ids: streams.iter().map(|&s| s.to_owned()).collect(),
        time,
        kind: "note/txt".into(),
        content: Some(json!(format!("text of {id}"))),
        ..Event::default()
    }
}

/// No value removes the field.
pub fn set_field(name: &str, value: Option<&str>) -> Write {
    let id = format!(":system:{name}");
    let event = Event { content: value.map(Into::into), ..event(&id, 0.0, &[&id]) };
    Write::SetAccountField { name: name.into(), event: Box::new(event) }
}

pub fn stream(id: &str, name: &str, parent: Option<&str>) -> Stream {
    Stream { id: id.into(), name: name.into(), parent_id: parent.map(str::to_owned), ..Stream::default() }
}

pub fn access(id: &str, token: &str, kind: AccessKind, name: &str) -> Access {
    Access {
        id: id.into(),
        token: token.into(),
        kind,
        name: name.into(),
        device_name: None,
        permissions: vec![],
        expires: None,
        client_data: None,
        alias: None,
        last_used: None,
        calls: Map::new(),
        integrity: None,
        created: 0.0,
        created_by: String::new(),
        modified: 0.0,
        modified_by: String::new(),
        deleted: None,
        serial: None,
    }
}

pub fn record(id: &str, access_id: &str, action: &str, time: f64) -> AuditRecord {
    AuditRecord {
        id: id.into(),
        time,
        access_id: access_id.into(),
        access_serial: None,
        action: action.into(),
        error: None,
        detail: json!({ "query": { "limit": "1" }, "source": { "name": "http", "ip": "::1" } })
            .as_object()
            .unwrap()
            .clone(),
    }
}

pub fn every() -> EventsQuery {
    EventsQuery {
        streams: StreamFilter::All { not: vec![] },
        from: None,
        to: None,
        later_than: None,
        running_pass_from: false,
        only_running: false,
        types: vec![],
        content: vec![],
        client_data: vec![],
        ascending: false,
        skip: 0,
        limit: None,
        state: TrashState::Default,
        modified_since: None,
    }
}

pub fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}
