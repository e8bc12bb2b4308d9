//! Streams: created, and really deleted with what becomes of their events.

use serde_json::json;
use storage::StoreError;
use storage::base::{Answer, LinkedEvents, Read, StreamsDeleted, Write, WriteCall, Written};

use crate::common::{call, event, every, ids, stream, wait};
use crate::home::Home;

fn delete(home: &Home, ids: &[&str], linked: LinkedEvents) -> Result<Written, StoreError> {
    home.write("u1", Write::DeleteStreams { ids: ids.iter().map(|&id| id.to_owned()).collect(), linked })
}

fn deleted(home: &Home, ids: &[&str], linked: LinkedEvents) -> StreamsDeleted {
    match delete(home, ids, linked).unwrap() {
        Written::StreamDeletion(deleted) => deleted,
        other => panic!("{other:?}"),
    }
}

fn into(parent: &str) -> LinkedEvents {
    LinkedEvents::MergeWithParent { parent_id: parent.into() }
}

/// A tree p > x > y, and o; three events.
fn tree(home: &Home) {
    home.create_user("u1");
    for (id, parent) in [("p", None), ("x", Some("p")), ("y", Some("x")), ("o", None)] {
        home.create_stream("u1", id, parent).unwrap();
    }
    home.create_event("u1", event("only", 1.0, &["x", "y"]));
    home.create_event("u1", event("other", 2.0, &["y", "o"]));
    home.create_event("u1", model::Event { trashed: true, ..event("trashed", 3.0, &["x"]) });
}

pub(crate) fn merged(home: &Home) {
    tree(home);
    let before = ["only", "other", "trashed"].map(|id| home.event("u1", id).unwrap());
    let version = home.space("u1").version;
    assert!(matches!(delete(home, &["x", "y"], LinkedEvents::Refuse).unwrap(), Written::LinkedEventsExist));
    assert_eq!(home.space("u1").version, version);
    let told = deleted(home, &["x", "y"], into("p"));
    assert_eq!(told.events, [("mergedToParent", "only".to_owned()), ("mergedToParent", "other".to_owned())]);
    assert_eq!(told.deletions.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    let after = ["only", "other", "trashed"].map(|id| home.event("u1", id).unwrap());
    assert_eq!(
        (after[0].stream_ids.as_slice(), after[1].stream_ids.as_slice()),
        (&["p".to_owned()][..], &["o", "p"].map(str::to_owned)[..])
    );
    for (before, after) in before.iter().zip(&after).take(2) {
        assert_eq!(before.modified, after.modified);
        assert_ne!(before.integrity, after.integrity);
    }
    assert_eq!(before[2], after[2]);
    let space = home.space("u1");
    assert_eq!((space.streams.len(), space.version), (2, version + 1));
    // Found by the new stream, by the old one no more.
    let by = |id: &str| super::pages::in_streams(&[id]);
    assert_eq!(ids(&home.events("u1", &by("p"))), ["other", "only"]);
    assert_eq!(home.events("u1", &by("y")).len(), 0);
    match home.read("u1", Read::StreamDeletions { since: 0.0 }).unwrap() {
        Answer::StreamDeletions(list) => assert_eq!(list.len(), 2),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn stripped(home: &Home) {
    tree(home);
    let told = deleted(home, &["x", "y"], LinkedEvents::Delete);
    assert_eq!(told.events, [("deleted", "only".to_owned()), ("updatedStreamIds", "other".to_owned())]);
    assert!(home.event("u1", "only").is_none());
    assert_eq!(home.event("u1", "other").unwrap().stream_ids, ["o"]);
    let again = home.write("u1", Write::CreateEvent { event: Box::new(event("only", 1.0, &["o"])) });
    assert_eq!(again.unwrap_err(), StoreError::Taken([("id".to_owned(), json!("only"))].into()));
    assert_eq!(delete(home, &["x"], LinkedEvents::Delete).unwrap_err(), StoreError::NotFound);
    assert_eq!(ids(&home.events("u1", &every())), ["other"]);
}

pub(crate) fn many(home: &Home) {
    home.create_user("u1");
    for (id, parent) in [("p", None), ("x", Some("p"))] {
        home.create_stream("u1", id, parent).unwrap();
    }
    home.create_events("u1", (0..2_100).map(|n| event(&format!("e{n}"), f64::from(n), &["x"])));
    assert_eq!(deleted(home, &["x"], into("p")).events.len(), 2_100);
    assert_eq!(home.events("u1", &super::pages::in_streams(&["p"])).len(), 2_100);
    home.create_stream("u1", "r", None).unwrap();
    assert_eq!(deleted(home, &["p"], into("r")).events.len(), 2_100);
    assert_eq!(deleted(home, &["r"], LinkedEvents::Delete).events.len(), 2_100);
    assert_eq!(home.events("u1", &every()).len(), 0);
}

pub(crate) fn history(home: &Home) {
    let home = home.with_history();
    tree(&home);
    let before = home.event("u1", "other").unwrap();
    deleted(&home, &["x", "y"], into("p"));
    assert_eq!(home.event("u1", "other").unwrap().stream_ids, ["o", "p"]);
    let versions = match home.read("u1", Read::EventHistory { id: "other".into() }).unwrap() {
        Answer::Events(versions) => versions,
        other => panic!("{other:?}"),
    };
    assert_eq!(versions, [before]);
}

pub(crate) fn unique(home: &Home) {
    home.create_user("u1");
    let taken = |name: &str, value: &str| StoreError::Taken([(name.to_owned(), json!(value))].into());
    let make = |id: &str, name: &str, parent: Option<&str>| {
        home.write("u1", Write::CreateStream { stream: Box::new(stream(id, name, parent)) })
    };
    make("a", "A", None).unwrap();
    assert_eq!(make("a", "A", None).unwrap_err(), taken("id", "a"));
    assert_eq!(make("b", "A", None).unwrap_err(), taken("name", "A"));
    make("b", "A", Some("a")).unwrap();
    make("c", "a", None).unwrap();
    // The id of a deleted stream is free again, and its deletion forgotten.
    deleted(home, &["c"], LinkedEvents::Refuse);
    make("c", "a", None).unwrap();
    match home.read("u1", Read::StreamDeletions { since: 0.0 }).unwrap() {
        Answer::StreamDeletions(list) => assert_eq!(list, []),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn versioned(home: &Home) {
    home.create_user("u1");
    let before = home.space("u1").version;
    home.create_stream("u1", "s", None).unwrap();
    assert_eq!(home.space("u1").version, before + 1);
    home.create_stream("u1", "s", None).unwrap_err();
    home.create_event("u1", event("a", 1.0, &["s"]));
    assert_eq!(home.space("u1").version, before + 1);
    let audit = Some(crate::common::record("r", "acc", "streams.create", 1.0));
    let write = Write::CreateStream { stream: Box::new(stream("t", "T", Some("s"))) };
    wait(home.store.write(WriteCall { audit, ..call("u1", write) })).unwrap();
    let space = home.space("u1");
    assert_eq!((space.version, space.username.as_str()), (before + 2, "name-u1"));
    assert_eq!(space.streams.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["s", "t"]);
}
