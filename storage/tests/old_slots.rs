//! Slot files of earlier versions are brought up to date and read for ever: `fixtures/slot-vN.sql` is a file as version N
//! wrote it, `slot-vN.json` what that version read from it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::fmt::Write as _;
use std::path::PathBuf;

use common::*;
use model::integrity::Algorithm;
use model::query::TrashState;
use model::{AccessKind, Attachment, Duration, Event, EventsQuery, Session, SlotId, UserId};
use rusqlite::Connection;
use serde_json::{Map, Value, json};
use storage::base::{AccessUsage, Answer, BaseStore, Found, LinkedEvents, Read, Write, WriteCall};
use storage::embedded::{DeletionMode, EmbeddedConfig, EmbeddedStore, ThreadLane};

const USER: &str = "u1";
const VERSIONS: &[&str] = &["v1"];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn with_everything_kept(config: &mut EmbeddedConfig) {
    config.keep_history = true;
    config.deletion_mode = DeletionMode::KeepEverything;
    config.seals.events = Some(Algorithm::Sha256);
}

#[test]
fn an_old_slot_reads_as_its_own_version_read_it() {
    for version in VERSIONS {
        let expected = std::fs::read_to_string(fixture(&format!("slot-{version}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        assert_eq!(all_that_is_read(&old_home(version)), expected, "{version}");
    }
}

#[test]
fn an_old_slot_is_written_on_and_read_after_another_start() {
    for version in VERSIONS {
        let mut home = old_home(version);
        let changed = Event { content: Some(json!("after")), ..home.event(USER, "full").unwrap() };
        let expected_modified = changed.modified;
        home.write(USER, Write::UpdateEvent { event: Box::new(changed), expected_modified }).unwrap();
        home.create_event(USER, event("new", 99.0, &["body"]));
        home.reopen();
        assert_eq!(home.event(USER, "full").unwrap().content, Some(json!("after")), "{version}");
        assert!(ids(&home.events(USER, &every())).contains(&"new"), "{version}");
        home.write(USER, Write::EraseAccount { keep_audit: false }).unwrap();
        assert_eq!(home.store.accounts(SlotId(0)).unwrap().len(), 1, "{version}");
    }
}

/// A store on a copy of the stored file.
fn old_home(version: &str) -> Home {
    let mut home = Home::with(with_everything_kept);
    home.store.close();
    let sql = std::fs::read_to_string(fixture(&format!("slot-{version}.sql"))).unwrap();
    Connection::open(home.slot_file()).unwrap().execute_batch(&sql).unwrap();
    home.store = EmbeddedStore::open(home.config.clone(), ThreadLane::start(2, 256).unwrap()).unwrap();
    home
}

/// Every read of the contract, as JSON.
fn all_that_is_read(home: &Home) -> Value {
    let all = EventsQuery { state: TrashState::All, ..every() };
    let changed = EventsQuery { modified_since: Some(NOW), ascending: true, ..all.clone() };
    let running = EventsQuery { only_running: true, ..all.clone() };
    let space = home.space(USER);
    json!({
        "accounts": home.store.accounts(SlotId(0)).unwrap().iter().map(|(id, name)| json!([id.as_str(), name])).collect::<Value>(),
        "username": space.username,
        "fields": space.fields,
        "version": space.version,
        "streams": space.streams.iter().map(|stream| Value::Object(stream.to_json())).collect::<Value>(),
        "accesses": space.accesses.iter().map(access_json).collect::<Value>(),
        "sessions": space.sessions.iter().map(|s| json!([s.token, s.app_id, s.expires])).collect::<Value>(),
        "events": home.events(USER, &all),
        "changed": ids(&home.events(USER, &changed)),
        "running": ids(&home.events(USER, &running)),
        "series": home.store.live_series(SlotId(0)).unwrap().iter().map(|key| key.as_u64()).collect::<Value>(),
        "deletedEvent": read(home, Read::Event { id: "deleted".into() }),
        "history": read(home, Read::EventHistory { id: "full".into() }),
        "eventDeletions": read(home, Read::EventDeletions { since: 0.0, ascending: true, limit: None, skip: 0 }),
        "streamDeletions": read(home, Read::StreamDeletions { since: 0.0 }),
        "accessDeletions": read(home, Read::AccessDeletions),
        "accessHistory": read(home, Read::AccessHistory { id: "app".into() }),
        "audit": read(home, Read::AuditPage { query: Box::new(every()), after: None }),
        "auditStreams": read(home, Read::AuditStreams { actions: true }),
        "password": read(home, Read::Password),
        "profile": read(home, Read::Profile { set: "private".into() }),
    })
}

fn read(home: &Home, read: Read) -> Value {
    match home.read(USER, read).unwrap() {
        Answer::Password(password) => json!(password.map(|hash| hash.0)),
        Answer::Profile(set) => set.into(),
        Answer::Event(Some(Found::Kept(deletion, event))) => json!([deletion.to_json(), event.to_json()]),
        Answer::Events(events) => events.iter().map(|event| Value::Object(event.to_json())).collect(),
        Answer::Page(page) => items(&page).into(),
        Answer::EventDeletions(list) => list.iter().map(model::EventDeletion::to_json).collect(),
        Answer::StreamDeletions(list) => list.iter().map(model::StreamDeletion::to_json).collect(),
        Answer::Accesses(list) => list.iter().map(access_json).collect(),
        Answer::Names(names) => names.into(),
        other => panic!("{other:?}"),
    }
}

/// With what the API does not show.
fn access_json(access: &model::Access) -> Value {
    let mut shown = access.to_json();
    shown.insert("stored".into(), json!([access.last_used, access.calls, access.deleted, access.serial]));
    shown.into()
}

/// Run by hand before a change of the schema, with the version that is about to become old:
/// `SLOT_VERSION=v2 cargo test -p storage --test old_slots -- --ignored`.
#[test]
#[ignore = "writes the fixture of the present version"]
fn write_the_fixture_of_this_version() {
    let version = std::env::var("SLOT_VERSION").unwrap();
    let home = Home::with(with_everything_kept);
    fill(&home);
    let read = serde_json::to_string_pretty(&all_that_is_read(&home)).unwrap();
    home.store.close();
    let sql = dump(&Connection::open(home.slot_file()).unwrap());
    std::fs::write(fixture(&format!("slot-{version}.sql")), sql).unwrap();
    std::fs::write(fixture(&format!("slot-{version}.json")), read + "\n").unwrap();
}

/// A row in every table.
fn fill(home: &Home) {
    home.create_user(USER);
    home.create_user("u2");
    home.create_event("u2", event("full", 1.0, &["other"]));
    fill_streams(home);
    fill_events(home);
    fill_accesses(home);
    let value = json!({ "theme": "dark" }).as_object().cloned().unwrap();
    home.write(USER, Write::SetProfile { set: "private".into(), value }).unwrap();
    home.write(USER, set_field("email", Some("a@example.com"))).unwrap();
}

fn fill_streams(home: &Home) {
    for (id, parent) in [("body", None), ("heart", Some("body")), ("gone", None)] {
        home.create_stream(USER, id, parent).unwrap();
    }
    let mut trashed = stream("trash", "Trash", None);
    trashed.client_data = json!({ "color": "é" }).as_object().cloned();
    trashed.trashed = true;
    home.write(USER, Write::CreateStream { stream: Box::new(trashed) }).unwrap();
    home.write(USER, Write::DeleteStreams { ids: vec!["gone".into()], linked: LinkedEvents::Refuse }).unwrap();
}

fn fill_events(home: &Home) {
    let full = Event {
        duration: Duration::Seconds(3.5),
        content: Some(json!({ "z": [1, 2.5, null], "a": "é\"'" })),
        description: Some("line\n\"two\"".into()),
        client_data: json!({ "k": { "n": 1 } }).as_object().cloned(),
        attachments: vec![Attachment {
            id: "f1".into(),
            file_name: "ä.txt".into(),
            kind: "text/plain".into(),
            size: 3,
            integrity: Some("sha256-x".into()),
        }],
        ..event("full", 12.25, &["body", "heart"])
    };
    let first = home.create_event(USER, full);
    let expected_modified = first.modified;
    let second = Event { description: None, trashed: true, ..first };
    home.write(USER, Write::UpdateEvent { event: Box::new(second), expected_modified }).unwrap();
    home.create_event(USER, Event { duration: Duration::Running, ..event("running", 1.0, &["body"]) });
    home.create_event(USER, Event { kind: "series:mass/kg".into(), content: None, ..event("series", 2.0, &["heart"]) });
    home.create_event(
        USER,
        Event { kind: "mass/kg".into(), content: Some(json!(71.5)), ..event("mass", 3.0, &["body"]) },
    );
    let deleted = home.create_event(USER, event("deleted", 4.0, &["body"]));
    home.write(USER, Write::DeleteEvent { id: deleted.id, expected_modified: deleted.modified }).unwrap();
}

fn fill_accesses(home: &Home) {
    let session = Session { token: "session-token".into(), app_id: "web".into(), expires: 9e9 };
    let personal = access("personal", "session-token", AccessKind::Personal, "web");
    home.write(USER, Write::OpenSession { session, access: Box::new(personal) }).unwrap();
    let permissions = vec![
        model::Permission::Stream { stream_id: "body".into(), level: model::Level::Read },
        model::Permission::Feature { feature: "selfRevoke".into(), setting: "forbidden".into() },
    ];
    let first = model::Access { permissions, expires: Some(8e9), ..access("app", "app-token", AccessKind::App, "app") };
    home.write(USER, Write::CreateAccess { access: Box::new(first) }).unwrap();
    let first = home.space(USER).accesses.into_iter().find(|access| access.id == "app").unwrap();
    let expected_modified = first.modified;
    let second = model::Access { device_name: Some("phone".into()), serial: Some(1), ..first };
    home.write(USER, Write::UpdateAccess { access: Box::new(second), expected_modified }).unwrap();
    let shared = access("shared", "shared-token", AccessKind::Shared, "friend");
    home.write(USER, Write::CreateAccess { access: Box::new(shared) }).unwrap();
    home.write(USER, Write::DeleteAccesses { ids: vec!["shared".into()] }).unwrap();
    let usage =
        AccessUsage { access_id: "app".into(), last_used: NOW + 5.0, calls: vec![("events:get".to_owned(), 3)] };
    home.write(USER, Write::Usage { accesses: vec![usage], sessions: vec![] }).unwrap();
    let records = ["events.get", "streams.create"]
        .map(|action| (UserId::new(USER), record(&format!("audit-{action}"), "app", action, NOW)));
    wait(home.store.audit(SlotId(0), records.to_vec())).unwrap();
    let audited = WriteCall {
        audit: Some(record("audit-3", "personal", "profile.update", NOW + 1.0)),
        ..call(USER, Write::SetProfile { set: "public".into(), value: Map::new() })
    };
    wait(home.store.write(audited)).unwrap();
}

/// The file as SQL: what the schema says, then every row.
fn dump(connection: &Connection) -> String {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let mut out = format!("PRAGMA journal_mode = WAL;\nPRAGMA user_version = {version};\nBEGIN;\n");
    let mut schema = connection
        .prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type = 'index', rowid")
        .unwrap();
    let parts: Vec<(String, String, String)> =
        schema.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap().map(Result::unwrap).collect();
    for (_, _, sql) in &parts {
        writeln!(out, "{sql};").unwrap();
    }
    for (_, table, _) in parts.iter().filter(|(kind, ..)| kind == "table") {
        let mut query = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = query.column_count();
        let mut rows = query.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns).map(|index| literal(row.get_ref(index).unwrap())).collect();
            writeln!(out, "INSERT INTO {table} VALUES ({});", values.join(", ")).unwrap();
        }
    }
    out + "COMMIT;\n"
}

fn literal(value: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) => format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''")),
        ValueRef::Blob(bytes) => format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}
