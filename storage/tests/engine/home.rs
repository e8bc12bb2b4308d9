//! A store of one engine, and short ways to ask it.

use std::sync::Arc;

use model::integrity::Algorithm;
use model::{Event, EventsQuery, NewAccount, PasswordHash, Right, SlotId, UserId};
use serde_json::{Map, Value};
use storage::StoreError;
use storage::base::{Answer, BaseStore, Cursor, Found, Page, Read, ReadCall, SpaceData, Write, Written};
use storage::embedded::{EmbeddedConfig, EmbeddedStore, Seals, ThreadLane};
use storage::postgres::{PostgresConfig, PostgresStore};
use tempfile::TempDir;

use crate::common::{call, grant, in_batch, items, stream, wait};
use crate::server::{self, Database, TokioThread};

pub(crate) struct Home {
    pub(crate) store: Arc<dyn BaseStore>,
    /// Where another store can be opened beside this one.
    pub(crate) place: Place,
    keep_history: bool,
}

pub(crate) enum Place {
    Folder(TempDir),
    Schema(Arc<Database>, String),
}

fn seals() -> Seals {
    Seals { events: Some(Algorithm::Sha256), accesses: Some(Algorithm::Sha256) }
}

impl Home {
    pub(crate) fn embedded() -> Self {
        Self::open(Place::Folder(TempDir::new().unwrap()), false)
    }

    /// None where no server can be started.
    pub(crate) fn postgres() -> Option<Self> {
        let database = server::shared()?;
        let schema = database.fresh_schema();
        Some(Self::open(Place::Schema(database, schema), false))
    }

    /// Another empty home of the same engine, that keeps former states of events.
    pub(crate) fn with_history(&self) -> Self {
        let place = match &self.place {
            Place::Folder(_) => Place::Folder(TempDir::new().unwrap()),
            Place::Schema(database, _) => Place::Schema(Arc::clone(database), database.fresh_schema()),
        };
        Self::open(place, true)
    }

    /// The same data after the store was closed.
    pub(crate) fn reopened(self) -> Self {
        self.store.close();
        Self::open(self.place, self.keep_history)
    }

    pub(crate) fn open(place: Place, keep_history: bool) -> Self {
        let store: Arc<dyn BaseStore> = match &place {
            Place::Folder(folder) => {
                let mut config = EmbeddedConfig::new(folder.path());
                (config.slots, config.keep_history, config.seals) = (1, keep_history, seals());
                EmbeddedStore::open(config, ThreadLane::start(2, 256).unwrap()).unwrap()
            }
            Place::Schema(database, schema) => {
                let config = PostgresConfig { keep_history, seals: seals(), ..database.config(schema) };
                PostgresStore::open(&config, TokioThread::start()).unwrap()
            }
        };
        Self { store, place, keep_history }
    }

    pub(crate) fn create_user(&self, id: &str) {
        let account = NewAccount {
            username: format!("name-{id}"),
            password: PasswordHash("hash".into()),
            fields: Map::new(),
            session: None,
        };
        self.write(id, Write::CreateAccount(Box::new(account))).unwrap();
    }

    pub(crate) fn write(&self, user: &str, write: Write) -> Result<Written, StoreError> {
        wait(self.store.write(call(user, write)))
    }

    pub(crate) fn read(&self, user: &str, read: Read) -> Result<Answer, StoreError> {
        wait(self.store.read(ReadCall { grant: grant(user, Right::Read), read, batch: None }))
    }

    pub(crate) fn create_event(&self, user: &str, event: Event) -> Event {
        match self.write(user, Write::CreateEvent { event: Box::new(event) }).unwrap() {
            Written::Event(event) => *event,
            other => panic!("{other:?}"),
        }
    }

    /// Many events in few commits.
    pub(crate) fn create_events(&self, user: &str, events: impl Iterator<Item = Event>) {
        let batch = wait(self.store.batch(SlotId(0))).unwrap();
        for event in events {
            let write = Write::CreateEvent { event: Box::new(event) };
            wait(self.store.write(in_batch(call(user, write), batch))).unwrap();
        }
        wait(self.store.batch_end(SlotId(0), batch)).unwrap();
    }

    pub(crate) fn create_stream(&self, user: &str, id: &str, parent: Option<&str>) -> Result<Written, StoreError> {
        self.write(user, Write::CreateStream { stream: Box::new(stream(id, id, parent)) })
    }

    pub(crate) fn event(&self, user: &str, id: &str) -> Option<Event> {
        match self.read(user, Read::Event { id: id.into() }).unwrap() {
            Answer::Event(Some(Found::Event(event))) => Some(*event),
            Answer::Event(_) => None,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn space(&self, user: &str) -> SpaceData {
        match self.read(user, Read::Space).unwrap() {
            Answer::Space(space) => *space,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn page(&self, user: &str, query: &EventsQuery, after: Option<Cursor>) -> Page {
        match self.read(user, Read::EventsPage { query: Box::new(query.clone()), after }).unwrap() {
            Answer::Page(page) => page,
            other => panic!("{other:?}"),
        }
    }

    /// All pages of a query, as values.
    pub(crate) fn events(&self, user: &str, query: &EventsQuery) -> Vec<Value> {
        let (mut out, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(user, query, after);
            out.extend(items(&page));
            match page.next {
                Some(cursor) => after = Some(cursor),
                None => return out,
            }
        }
    }

    pub(crate) fn audit(&self, user: &str, query: &EventsQuery) -> Vec<Value> {
        match self.read(user, Read::AuditPage { query: Box::new(query.clone()), after: None }).unwrap() {
            Answer::Page(page) => items(&page),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn accounts(home: &Home) {
    assert_eq!(home.store.accounts(SlotId(0)).unwrap(), []);
    for user in ["u1", "u2"] {
        home.create_user(user);
    }
    let told = home.store.accounts(SlotId(0)).unwrap();
    assert_eq!(told, [("u1", "name-u1"), ("u2", "name-u2")].map(|(id, name)| (UserId::new(id), name.to_owned())));
    assert_eq!(home.store.live_series(SlotId(0)).unwrap(), []);
}

pub(crate) fn closed(home: &Home) {
    home.create_user("u1");
    home.store.close();
    assert!(matches!(home.read("u1", Read::Space), Err(StoreError::Unavailable(_))));
    assert!(matches!(home.create_stream("u1", "s", None), Err(StoreError::Unavailable(_))));
}
