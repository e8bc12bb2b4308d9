//! An erased account leaves no byte in the slot file nor in its log.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::*;
use model::{AccessKind, Right, Session, SlotId, UserId};
use serde_json::json;
use storage::StoreError;
use storage::base::{BaseStore, Read, ReadCall, Write, WriteCall, Written};

const MARKER: &str = "plantedmarker";

fn files_with_marker(home: &Home) -> Vec<String> {
    let folder = home.dir.path().join("slots");
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()) {
            out.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    out
}

fn plant(home: &Home, user: &str) {
    let mark = |what: &str| format!("{MARKER}-{what}");
    home.write(user, Write::CreateStream { stream: Box::new(stream(&mark("s"), &mark("name"), None)) }).unwrap();
    for n in 0..300 {
        let mut event = event(&mark(&format!("e{n}")), f64::from(n), &[&mark("s"), &mark("t")]);
        event.kind = if n == 0 { format!("series:{MARKER}/kg") } else { format!("{MARKER}/x{}", n % 3) };
        event.content = Some(json!({ "text": mark("content").repeat(40) }));
        event.description = Some(mark("description"));
        let call = WriteCall {
            audit: Some(record(&mark("audit"), &mark("access"), &mark("action"), 1.0)),
            ..call(user, Write::CreateEvent { event: Box::new(event) })
        };
        wait(home.store.write(call)).unwrap();
    }
    let first = home.event(user, &mark("e1")).unwrap();
    home.write(user, Write::DeleteEvent { id: first.id, expected_modified: first.modified }).unwrap();
    let access = access(&mark("a"), &mark("token"), AccessKind::App, &mark("app"));
    home.write(user, Write::CreateAccess { access: Box::new(access.clone()) }).unwrap();
    home.write(user, Write::DeleteAccesses { ids: vec![access.id] }).unwrap();
    let session = Session { token: mark("session"), app_id: mark("app"), expires: 9e9 };
    let personal = common::access(&mark("p"), &mark("session"), AccessKind::Personal, &mark("app"));
    home.write(user, Write::OpenSession { session, access: Box::new(personal) }).unwrap();
    let value = json!({ "x": MARKER }).as_object().cloned().unwrap();
    home.write(user, Write::SetProfile { set: mark("set"), value }).unwrap();
    home.write(user, common::set_field("email", Some(&mark("mail")))).unwrap();
}

#[test]
fn no_planted_marker_is_left_in_the_files() {
    let mut home = Home::with(|config| config.keep_history = true);
    let user = format!("{MARKER}-user");
    home.create_user(&user);
    home.create_user("other");
    plant(&home, &user);
    home.create_event("other", event("a", 1.0, &["s"]));
    // A connection that has read holds no old snapshot.
    assert_eq!(home.events(&user, &every()).len(), 299);
    assert!(!files_with_marker(&home).is_empty());

    let key = home.store.live_series(SlotId(0)).unwrap();
    match home.write(&user, Write::EraseAccount { keep_audit: false }).unwrap() {
        Written::Erased { series } => assert_eq!(series, key),
        other => panic!("{other:?}"),
    }
    assert_eq!(files_with_marker(&home), Vec::<String>::new());
    assert_eq!(home.read(&user, Read::Space).unwrap_err(), StoreError::NotFound);
    assert_eq!(home.store.accounts(SlotId(0)).unwrap(), [(UserId::new("other"), "name-other".to_owned())]);
    assert_eq!(home.events("other", &every()).len(), 1);
    home.reopen();
    assert_eq!(files_with_marker(&home), Vec::<String>::new());
}

#[test]
fn the_audit_may_be_kept_and_nothing_else() {
    let home = Home::new();
    home.create_user("gone");
    plant(&home, "gone");
    home.write("gone", Write::EraseAccount { keep_audit: true }).unwrap();
    assert_eq!(home.store.accounts(SlotId(0)).unwrap(), []);
    let read = ReadCall { grant: grant("gone", Right::Read), read: Read::Space, batch: None };
    assert_eq!(wait(home.store.read(read)).unwrap_err(), StoreError::NotFound);
    let file = rusqlite::Connection::open(home.slot_file()).unwrap();
    let count = |table: &str| -> i64 {
        file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("audit"), 300);
    let mut tables = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables.iter().filter(|name| !["audit", "user", "meta"].contains(&name.as_str())) {
        assert_eq!(count(table), 0, "{table}");
    }
}
