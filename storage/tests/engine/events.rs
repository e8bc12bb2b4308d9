//! Creating events: stamps, conflicts, stale grants, audit, texts of every kind.

use std::collections::BTreeSet;

use model::permission::{AccountStreams, Caller, StreamTree};
use model::{AccessKind, Duration, Event, Grant, Right, SlotId, UserId};
use serde_json::{Value, json};
use storage::StoreError;
use storage::base::{Read, Write, WriteCall, Written};

use crate::common::{NOW, access, call, event, every, grant, ids, record, wait};
use crate::home::Home;

pub(crate) fn full(id: &str) -> Event {
    Event {
        duration: Duration::Seconds(3.5),
        content: Some(json!({ "z": [1, 2.5, null], "a": "é\"\\", "1": 1e300 })),
        description: Some("line\n\"two\" \\0 \u{1F600}".into()),
        client_data: json!({ "k": { "n": 1 } }).as_object().cloned(),
        attachments: vec![model::Attachment {
            id: "f1".into(),
            file_name: "ä.txt".into(),
            kind: "text/plain".into(),
            size: 3,
            integrity: Some("sha256-x".into()),
        }],
        ..event(id, 12.25, &["a", "b"])
    }
}

pub(crate) fn reads_back(home: &Home) {
    home.create_user("u1");
    let running = Event { duration: Duration::Running, ..event("running", 0.1 + 0.2, &["a"]) };
    let trashed = Event { trashed: true, ..event("trashed", -7.0, &[]) };
    for made in [full("full"), running, trashed] {
        let written = home.create_event("u1", made.clone());
        assert_eq!((written.created, written.modified), (written.modified, written.created));
        assert_eq!((written.created_by.as_str(), written.modified_by.as_str()), ("system", "system"));
        assert!(written.integrity.is_some() && written.content == made.content);
        assert_eq!(home.event("u1", &made.id).unwrap(), written);
    }
    assert!(home.event("u1", "unknown").is_none());
}

pub(crate) fn audited(home: &Home) {
    home.create_user("u1");
    let create = |audit_id: &str| {
        let write = Write::CreateEvent { event: Box::new(event("a", 1.0, &["s"])) };
        let audit = Some(record(audit_id, "acc", "events.create", 10.0));
        wait(home.store.write(WriteCall { audit, ..call("u1", write) }))
    };
    create("r1").unwrap();
    create("r2").unwrap_err();
    let stored = home.event("u1", "a").unwrap();
    let records = home.audit("u1", &every());
    assert_eq!(ids(&records), [":_audit:r1"]);
    assert_eq!(records[0]["content"]["record"]["key"], format!("EVENT:0:a:{}", stored.modified));
    assert_eq!(records[0]["content"]["record"]["integrity"], json!(stored.integrity));
}

pub(crate) fn stamps(home: &Home) {
    home.create_user("u1");
    let stamps: Vec<f64> =
        ["a", "b", "c"].iter().map(|id| home.create_event("u1", event(id, 1.0, &["s"])).modified).collect();
    assert_eq!(stamps[0], NOW);
    assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
}

pub(crate) fn taken(home: &Home) {
    home.create_user("u1");
    home.create_event("u1", event("a", 1.0, &["s"]));
    let again = home.write("u1", Write::CreateEvent { event: Box::new(event("a", 2.0, &["s"])) });
    assert_eq!(again.unwrap_err(), StoreError::Taken([("id".to_owned(), json!("a"))].into()));
    assert_eq!(home.event("u1", "a").unwrap().time, 1.0);
}

fn checked_at(space_version: u64) -> Grant {
    let caller = Caller {
        user: &UserId::new("u1"),
        slot: SlotId(0),
        access: &access("acc", "t", AccessKind::Personal, "app"),
        caller_id: Some("me"),
        tree: &StreamTree::default(),
        account_streams: &AccountStreams::default(),
        space_version,
        audit_active: true,
    };
    caller.own_account().unwrap()
}

pub(crate) fn stale(home: &Home) {
    home.create_user("u1");
    home.create_stream("u1", "s", None).unwrap();
    let version = home.space("u1").version;
    let make = |id: &str, space_version| {
        let write = Write::CreateEvent { event: Box::new(event(id, 1.0, &["s"])) };
        wait(home.store.write(WriteCall { grant: checked_at(space_version), ..call("u1", write) }))
    };
    assert_eq!(make("a", version - 1).unwrap_err(), StoreError::Stale);
    match make("b", version).unwrap() {
        Written::Event(event) => assert_eq!(event.created_by, "acc me"),
        other => panic!("{other:?}"),
    }
    home.create_stream("u1", "t", None).unwrap();
    assert_eq!(make("c", version).unwrap_err(), StoreError::Stale);
    assert_eq!(ids(&home.events("u1", &every())), ["b"]);
}

pub(crate) fn not_granted(home: &Home) {
    home.create_user("u1");
    let write = Write::CreateEvent { event: Box::new(event("a", 1.0, &["s"])) };
    let call = WriteCall { grant: grant("u1", Right::Read), ..call("u1", write) };
    assert_eq!(wait(home.store.write(call)).unwrap_err(), StoreError::NotGranted);
    assert!(home.event("u1", "a").is_none());
}

pub(crate) fn isolated(home: &Home) {
    for user in ["u1", "u2"] {
        home.create_user(user);
        home.create_stream(user, "s", None).unwrap();
    }
    home.create_event("u1", event("a", 1.0, &["s"]));
    assert!(home.event("u2", "a").is_none());
    assert_eq!(home.events("u2", &every()).len(), 0);
    home.create_event("u2", event("a", 2.0, &["s"]));
    assert_eq!(home.event("u1", "a").unwrap().time, 1.0);
    assert_eq!(home.read("nobody", Read::Space).unwrap_err(), StoreError::NotFound);
    assert_eq!(home.create_stream("nobody", "s", None).unwrap_err(), StoreError::NotFound);
}

pub(crate) fn odd_texts(home: &Home) {
    home.create_user("u1");
    let odd = "a\0b\\0\\\\ \u{FFFF} \u{10FFFF}'\";--";
    home.write("u1", Write::CreateStream { stream: Box::new(crate::common::stream("s", odd, None)) }).unwrap();
    let mut access = access("acc", "t", AccessKind::App, odd);
    access.device_name = Some(odd.into());
    home.write("u1", Write::CreateAccess { access: Box::new(access) }).unwrap();
    let made = Event { description: Some(odd.into()), content: Some(json!({ odd: odd })), ..event("a", 1.0, &["s"]) };
    let written = home.create_event("u1", made);
    assert_eq!(home.event("u1", "a").unwrap(), written);
    assert_eq!(home.events("u1", &every()), [Value::Object(written.to_json())]);
    let space = home.space("u1");
    assert_eq!((space.streams[0].name.as_str(), space.accesses[0].name.as_str()), (odd, odd));
    assert_eq!(space.accesses[0].device_name.as_deref(), Some(odd));
    // Names longer than a page of an index.
    let long = "n".repeat(20_000);
    let stream = crate::common::stream("long", &long, None);
    home.write("u1", Write::CreateStream { stream: Box::new(stream) }).unwrap();
    let access = crate::common::access("long", &long, AccessKind::App, &long);
    home.write("u1", Write::CreateAccess { access: Box::new(access) }).unwrap();
}

pub(crate) fn series(home: &Home) {
    home.create_user("u1");
    let holder = |id: &str| Event { kind: "series:mass/kg".into(), ..event(id, 1.0, &["s"]) };
    let first = home.create_event("u1", holder("a")).series_key.unwrap();
    // A command that fails after it drew a key leaves a gap at most.
    home.write("u1", Write::CreateEvent { event: Box::new(holder("a")) }).unwrap_err();
    let second = home.create_event("u1", holder("b")).series_key.unwrap();
    assert!(second > first && second.slot() == SlotId(0));
    assert_eq!(home.event("u1", "b").unwrap().series_key, Some(second));
    assert_eq!(home.store.live_series(SlotId(0)).unwrap(), [first, second]);
}

pub(crate) fn concurrent(home: &Home) {
    home.create_user("u1");
    let replies: Vec<_> = (0..200)
        .map(|n| {
            let event = Box::new(event(&format!("e{n}"), f64::from(n), &["s"]));
            home.store.write(call("u1", Write::CreateEvent { event }))
        })
        .collect();
    let stamps: BTreeSet<u64> = replies
        .into_iter()
        .map(|reply| match wait(reply).unwrap() {
            Written::Event(event) => event.modified.to_bits(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(stamps.len(), 200);
    assert_eq!(home.events("u1", &every()).len(), 200);
}
