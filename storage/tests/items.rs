//! Events, streams and accesses through the contract: conflicts, deletions, histories, isolation.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::*;
use model::integrity::Algorithm;
use model::{AccessKind, Duration, Session, SlotId};
use serde_json::json;
use storage::StoreError;
use storage::base::{
    AccessUsage, Answer, BaseStore, Found, LinkedEvents, Read, SeriesExtent, StreamsDeleted, Write, Written,
};
use storage::embedded::DeletionMode;

fn taken(pairs: &[(&str, serde_json::Value)]) -> StoreError {
    StoreError::Taken(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn delete(home: &Home, id: &str) -> Result<Written, StoreError> {
    let modified = home.event("u1", id).unwrap().modified;
    home.write("u1", Write::DeleteEvent { id: id.into(), expected_modified: modified })
}

#[test]
fn an_event_reads_back_as_it_was_written() {
    let mut home = Home::with(|config| config.seals.events = Some(Algorithm::Sha256));
    home.create_user("u1");
    let mut full = event("full", 12.25, &["a", "b"]);
    full.duration = Duration::Seconds(3.5);
    full.content = Some(json!({ "z": [1, 2.5, null], "a": "é\"" }));
    full.description = Some("line\n\"two\"".into());
    full.client_data = json!({ "k": { "n": 1 } }).as_object().cloned();
    full.attachments = vec![model::Attachment {
        id: "f1".into(),
        file_name: "ä.txt".into(),
        kind: "text/plain".into(),
        size: 3,
        integrity: Some("sha256-x".into()),
    }];
    full.trashed = true;
    let mut running = event("running", 1.0, &["a"]);
    running.duration = Duration::Running;
    let written = [home.create_event("u1", full), home.create_event("u1", running)];
    home.reopen();
    let mut query = every();
    query.state = model::query::TrashState::All;
    let shown = home.events("u1", &query);
    for (event, shown) in written.iter().zip(&shown) {
        assert_eq!(home.event("u1", &event.id).unwrap(), *event);
        assert_eq!(serde_json::Value::Object(event.to_json()).to_string(), shown.to_string());
        let mut hashed = event.to_json();
        hashed.shift_remove("integrity");
        assert_eq!(event.integrity.as_deref(), Some(Algorithm::Sha256.of_event(&hashed).hash.as_str()));
    }
}

#[test]
fn ids_of_deleted_events_stay_taken_those_of_streams_do_not() {
    let home = Home::new();
    home.create_user("u1");
    home.create_event("u1", event("a", 1.0, &["s"]));
    delete(&home, "a").unwrap();
    let again = home.write("u1", Write::CreateEvent { event: Box::new(event("a", 1.0, &["s"])) });
    assert_eq!(again.unwrap_err(), taken(&[("id", json!("a"))]));

    home.create_stream("u1", "s", None).unwrap();
    home.write("u1", Write::DeleteStreams { ids: vec!["s".into()], linked: LinkedEvents::Refuse }).unwrap();
    let deletions = |home: &Home| match home.read("u1", Read::StreamDeletions { since: 0.0 }).unwrap() {
        Answer::StreamDeletions(list) => list.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(deletions(&home), 1);
    home.create_stream("u1", "s", None).unwrap();
    assert_eq!(deletions(&home), 0);
}

#[test]
fn deletion_modes_leave_what_they_promise() {
    for mode in [DeletionMode::KeepNothing, DeletionMode::KeepAuthors, DeletionMode::KeepEverything] {
        let home = Home::with(|config| {
            config.deletion_mode = mode;
            config.keep_history = true;
            config.seals.events = Some(Algorithm::Sha256);
        });
        home.create_user("u1");
        let first = home.create_event("u1", event("a", 1.0, &["s"]));
        let mut changed = first.clone();
        changed.content = Some(json!("new"));
        home.write("u1", Write::UpdateEvent { event: Box::new(changed), expected_modified: first.modified }).unwrap();
        delete(&home, "a").unwrap();
        let Answer::Events(history) = home.read("u1", Read::EventHistory { id: "a".into() }).unwrap() else {
            panic!("history")
        };
        let found = match home.read("u1", Read::Event { id: "a".into() }).unwrap() {
            Answer::Event(Some(found)) => found,
            other => panic!("{other:?}"),
        };
        match (mode, found) {
            (DeletionMode::KeepNothing, Found::Deletion(deletion)) => {
                assert_eq!(history.len(), 0);
                let hash = Algorithm::Sha256.of_event(deletion.to_json().as_object().unwrap()).hash;
                assert_eq!(deletion.integrity, Some(hash));
            }
            (DeletionMode::KeepAuthors, Found::Deletion(_)) => {
                assert_eq!(history.len(), 2);
                assert!(history.iter().all(|v| v.content.is_none() && v.stream_ids.is_empty()));
                assert_eq!(history[0].modified, first.modified);
            }
            (DeletionMode::KeepEverything, Found::Kept(_, event)) => {
                assert_eq!(event.content, Some(json!("new")));
                assert_eq!(history[0], first);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(home.events("u1", &every()).len(), 0);
        match home.read("u1", Read::EventDeletions { since: 0.0, ascending: false, limit: None, skip: 0 }).unwrap() {
            Answer::EventDeletions(list) => assert_eq!(list.len(), 1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn stream_ids_and_sibling_names_are_unique_and_the_id_is_told_first() {
    let home = Home::new();
    home.create_user("u1");
    let make = |id: &str, name: &str, parent: Option<&str>| {
        home.write("u1", Write::CreateStream { stream: Box::new(stream(id, name, parent)) })
    };
    make("a", "A", None).unwrap();
    assert_eq!(make("a", "A", None).unwrap_err(), taken(&[("id", json!("a"))]));
    assert_eq!(make("b", "A", None).unwrap_err(), taken(&[("name", json!("A"))]));
    make("b", "A", Some("a")).unwrap();
    make("c", "a", None).unwrap();
    let rename = |id: &str, name: &str, parent: Option<&str>| {
        home.write("u1", Write::UpdateStream { stream: Box::new(stream(id, name, parent)) })
    };
    assert_eq!(rename("c", "A", None).unwrap_err(), taken(&[("name", json!("A"))]));
    assert_eq!(rename("c", "A", Some("a")).unwrap_err(), taken(&[("name", json!("A"))]));
    rename("a", "A", None).unwrap();
    assert_eq!(rename("nope", "N", None).unwrap_err(), StoreError::NotFound);
}

#[test]
fn a_stream_deletion_merges_strips_or_deletes_its_events() {
    for linked in [LinkedEvents::MergeWithParent { parent_id: "p".into() }, LinkedEvents::Delete] {
        let home = Home::with(|config| config.seals.events = Some(Algorithm::Sha256));
        home.create_user("u1");
        for (id, parent) in [("p", None), ("x", Some("p")), ("y", Some("x")), ("o", None)] {
            home.create_stream("u1", id, parent).unwrap();
        }
        let only = home.create_event("u1", event("only", 1.0, &["x", "y"]));
        let other = home.create_event("u1", event("other", 2.0, &["y", "o"]));
        let mut trashed = event("trashed", 3.0, &["x"]);
        trashed.trashed = true;
        let trashed = home.create_event("u1", trashed);
        let ids = vec!["x".to_owned(), "y".to_owned()];
        let refused = Write::DeleteStreams { ids: ids.clone(), linked: LinkedEvents::Refuse };
        assert!(matches!(home.write("u1", refused).unwrap(), Written::LinkedEventsExist));
        let merge = linked != LinkedEvents::Delete;
        let Written::StreamDeletion(StreamsDeleted { events, deletions, .. }) =
            home.write("u1", Write::DeleteStreams { ids, linked }).unwrap()
        else {
            panic!("a deletion")
        };
        assert_eq!(deletions.len(), 2);
        let after = home.event("u1", "other").unwrap();
        assert_eq!(after.modified, other.modified);
        assert_ne!(after.integrity, other.integrity);
        if merge {
            assert_eq!(events, [("mergedToParent", "only".to_owned()), ("mergedToParent", "other".to_owned())]);
            assert_eq!(home.event("u1", "only").unwrap().stream_ids, ["p"]);
            assert_eq!(after.stream_ids, ["o", "p"]);
            assert_eq!(home.event("u1", "only").unwrap().modified, only.modified);
        } else {
            assert_eq!(events, [("deleted", "only".to_owned()), ("updatedStreamIds", "other".to_owned())]);
            assert!(home.event("u1", "only").is_none());
            assert_eq!(after.stream_ids, ["o"]);
        }
        assert_eq!(home.event("u1", "trashed").unwrap(), trashed);
        assert_eq!(home.space("u1").streams.len(), 2);
    }
}

#[test]
fn tokens_and_the_triple_are_unique_among_live_accesses() {
    let home = Home::new();
    home.create_user("u1");
    let make = |id: &str, token: &str, kind: AccessKind, device: Option<&str>| {
        let mut access = access(id, token, kind, "app");
        access.device_name = device.map(str::to_owned);
        home.write("u1", Write::CreateAccess { access: Box::new(access) })
    };
    make("a", "t1", AccessKind::App, None).unwrap();
    assert_eq!(make("b", "t1", AccessKind::Shared, None).unwrap_err(), taken(&[("token", json!("(hidden)"))]));
    let (kind, name) = (("type", json!("app")), ("name", json!("app")));
    assert_eq!(make("b", "t2", AccessKind::App, None).unwrap_err(), taken(&[kind, name]));
    make("b", "t2", AccessKind::App, Some("phone")).unwrap();
    make("c", "t3", AccessKind::Shared, None).unwrap();
    let shared = [("type", json!("shared")), ("name", json!("app")), ("deviceName", json!(null))];
    assert_eq!(make("d", "t4", AccessKind::Shared, None).unwrap_err(), taken(&shared));
    home.write("u1", Write::DeleteAccesses { ids: vec!["a".into()] }).unwrap();
    make("e", "t1", AccessKind::App, None).unwrap();
    assert_eq!(home.space("u1").accesses.len(), 3);
    match home.read("u1", Read::AccessDeletions).unwrap() {
        Answer::Accesses(list) => assert!(list.len() == 1 && list[0].deleted.is_some() && list[0].token == "t1"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_access_keeps_its_versions_and_its_counters() {
    let home = Home::new();
    home.create_user("u1");
    let Written::Access(first) =
        home.write("u1", Write::CreateAccess { access: Box::new(access("a", "t1", AccessKind::App, "app")) }).unwrap()
    else {
        panic!("an access")
    };
    let usage = AccessUsage { access_id: "a".into(), last_used: 7.0, calls: vec![("events:get".into(), 2)] };
    for _ in 0..2 {
        home.write("u1", Write::Usage { accesses: vec![usage.clone()], sessions: vec![] }).unwrap();
    }
    let mut second = (*first).clone();
    (second.name, second.serial) = ("renamed".into(), Some(1));
    let update = Write::UpdateAccess { access: Box::new(second), expected_modified: first.modified };
    home.write("u1", update).unwrap();
    let head = home.space("u1").accesses.remove(0);
    assert_eq!((head.name.as_str(), head.serial, head.last_used), ("renamed", Some(1), Some(7.0)));
    assert_eq!(head.calls.get("events:get"), Some(&json!(4)));
    match home.read("u1", Read::AccessHistory { id: "a".into() }).unwrap() {
        Answer::Accesses(list) => assert!(list.len() == 1 && list[0].name == "app" && list[0].serial.is_none()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_session_of_an_app_takes_over_its_personal_access() {
    let home = Home::new();
    home.create_user("u1");
    let open = |token: &str, id: &str| {
        let session = Session { token: token.into(), app_id: "app".into(), expires: 9e9 };
        let access = Box::new(access(id, token, AccessKind::Personal, "app"));
        home.write("u1", Write::OpenSession { session, access }).unwrap();
    };
    open("t1", "a");
    open("t2", "b");
    let space = home.space("u1");
    assert_eq!((space.accesses.len(), space.accesses[0].id.as_str()), (1, "a"));
    assert_eq!(space.accesses[0].token, "t2");
    assert_eq!(space.sessions.iter().map(|s| s.token.as_str()).collect::<Vec<_>>(), ["t2"]);
    home.write("u1", Write::CloseSession { token: "t2".into() }).unwrap();
    let late = Session { token: "t2".into(), app_id: "app".into(), expires: 9e9 };
    home.write("u1", Write::Usage { accesses: vec![], sessions: vec![late] }).unwrap();
    assert!(home.space("u1").sessions.is_empty());
}

#[test]
fn series_keys_are_never_given_twice() {
    let mut home = Home::new();
    home.create_user("u1");
    let holder = |id: &str| {
        let mut event = event(id, 1.0, &["s"]);
        event.kind = "series:mass/kg".into();
        event
    };
    let first = home.create_event("u1", holder("a")).series_key.unwrap();
    assert_eq!(home.store.live_series(SlotId(0)).unwrap(), [first]);
    delete(&home, "a").unwrap();
    home.reopen();
    let second = home.create_event("u1", holder("b")).series_key.unwrap();
    assert!(second > first && second.slot() == SlotId(0));
    assert_eq!(home.store.live_series(SlotId(0)).unwrap(), [second]);
    let extent = SeriesExtent { event_id: "b".into(), duration: 60.0, modified: NOW, modified_by: Some("acc".into()) };
    home.write("u1", Write::ExtendSeries { holders: vec![extent] }).unwrap();
    let event = home.event("u1", "b").unwrap();
    assert_eq!((event.duration, event.modified_by.as_str()), (Duration::Seconds(60.0), "acc"));
    assert!(event.modified > event.created && event.series_key == Some(second));
}

#[test]
fn points_inside_the_known_range_leave_their_event_as_it_is() {
    let home = Home::new();
    home.create_user("u1");
    let mut holder = event("a", 1.0, &["s"]);
    holder.kind = "series:mass/kg".into();
    home.create_event("u1", holder);
    let extend = |duration: f64, by: Option<&str>| {
        let extent = SeriesExtent { event_id: "a".into(), duration, modified: NOW, modified_by: by.map(str::to_owned) };
        home.write("u1", Write::ExtendSeries { holders: vec![extent] }).unwrap();
        home.event("u1", "a").unwrap()
    };
    let longest = extend(60.0, Some("first"));
    assert_eq!(extend(20.0, Some("second")), longest);
    assert_eq!(extend(60.0, Some("third")), longest);
    assert_eq!(extend(61.0, Some("fourth")).modified_by, "fourth");
    let after_a_crash = extend(62.0, None);
    assert_eq!((after_a_crash.duration, after_a_crash.modified_by.as_str()), (Duration::Seconds(62.0), "fourth"));
}

#[test]
fn no_command_reaches_another_users_rows() {
    let home = Home::new();
    home.create_user("u1");
    home.create_user("u2");
    let event = home.create_event("u1", event("a", 1.0, &["s"]));
    home.create_stream("u1", "s", None).unwrap();
    let expected_modified = event.modified;
    let attempts = [
        Write::UpdateEvent { event: Box::new(event.clone()), expected_modified },
        Write::DeleteEvent { id: "a".into(), expected_modified },
        Write::UpdateStream { stream: Box::new(stream("s", "mine", None)) },
        Write::DeleteStreams { ids: vec!["s".into()], linked: LinkedEvents::Delete },
    ];
    for write in attempts {
        assert_eq!(home.write("u2", write).unwrap_err(), StoreError::NotFound);
    }
    assert!(home.event("u2", "a").is_none());
    assert!(home.events("u2", &every()).is_empty() && home.space("u2").streams.is_empty());
    let mut by_stream = every();
    by_stream.streams = model::query::StreamFilter::Any(vec![model::query::StreamClause {
        any: vec!["s".into()],
        ..Default::default()
    }]);
    assert!(home.events("u2", &by_stream).is_empty());
    // The same ids live side by side.
    home.create_event("u2", common::event("a", 2.0, &["s"]));
    assert_eq!(home.event("u1", "a").unwrap(), event);
}

#[test]
fn profiles_fields_and_passwords_are_kept() {
    let mut home = Home::new();
    home.create_user("u1");
    let value = json!({ "theme": "dark" }).as_object().cloned().unwrap();
    home.write("u1", Write::SetProfile { set: "app".into(), value: value.clone() }).unwrap();
    home.write("u1", common::set_field("email", Some("a@b.c"))).unwrap();
    home.write("u1", Write::SetPassword { password: model::PasswordHash("other".into()) }).unwrap();
    home.reopen();
    assert!(
        matches!(home.read("u1", Read::Profile { set: "app".into() }), Ok(Answer::Profile(found)) if found == value)
    );
    assert_eq!(home.space("u1").fields.get("email"), Some(&json!("a@b.c")));
    match home.read("u1", Read::Password).unwrap() {
        Answer::Password(Some(hash)) => assert_eq!(hash.0, "other"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn former_values_of_an_account_field_are_told_with_their_times_and_authors() {
    let mut home = Home::new();
    home.create_user("u1");
    for value in [Some("a@b.c"), Some("d@e.f"), None, Some("g@h.i")] {
        home.write("u1", common::set_field("email", value)).unwrap();
    }
    home.reopen();
    let read = Read::EventHistory { id: ":system:email".into() };
    let Ok(Answer::Events(states)) = home.read("u1", read) else { panic!("a history was asked for") };
    let contents: Vec<_> = states.iter().map(|state| state.content.clone()).collect();
    assert_eq!(contents, [Some(json!("a@b.c")), Some(json!("d@e.f")), None, Some(json!("g@h.i"))]);
    assert!(states.is_sorted_by(|former, later| former.modified < later.modified));
    assert!(states.iter().all(|state| state.created == state.modified && state.created_by == state.modified_by));
}
