//! Group commit, stale grants, batches: what an answer to a write means.

mod common;

use common::*;
use model::{Right, SlotId};
use serde_json::json;
use storage::StoreError;
use storage::base::{Answer, BaseStore, Found, Read, ReadCall, Write, WriteCall, Written};
use storage::embedded::{EmbeddedConfig, EmbeddedStore, OpenError, ThreadLane};

#[test]
fn what_was_answered_is_there_after_a_reopening() {
    let mut home = Home::new();
    home.create_user("u1");
    let replies: Vec<_> = (0..200)
        .map(|n| {
            let event = Box::new(event(&format!("e{n}"), f64::from(n), &["s"]));
            home.store.write(call("u1", Write::CreateEvent { event }))
        })
        .collect();
    for reply in replies {
        assert!(matches!(wait(reply), Ok(Written::Event(_))));
    }
    home.reopen();
    assert_eq!(home.events("u1", &every()).len(), 200);
}

#[test]
fn a_failed_command_takes_nothing_else_of_its_group_with_it() {
    let home = Home::new();
    home.create_user("u1");
    let make = |id: &str| home.store.write(call("u1", Write::CreateEvent { event: Box::new(event(id, 1.0, &["s"])) }));
    let replies = [make("a"), make("a"), make("b")].map(wait);
    assert!(replies[0].is_ok() && replies[2].is_ok());
    assert_eq!(replies[1].as_ref().unwrap_err(), &StoreError::Taken([("id".to_owned(), json!("a"))].into()));
    assert_eq!(home.events("u1", &every()).len(), 2);
}

#[test]
fn stamps_of_a_user_always_grow_also_over_a_reopening() {
    let mut home = Home::new();
    home.create_user("u1");
    let first = home.create_event("u1", event("a", 1.0, &["s"]));
    let second = home.create_event("u1", event("b", 1.0, &["s"]));
    home.reopen();
    let third = home.create_event("u1", event("c", 1.0, &["s"]));
    assert_eq!(first.modified, NOW);
    assert!(first.modified < second.modified && second.modified < third.modified);
}

#[test]
fn an_item_that_changed_meanwhile_is_stale() {
    let home = Home::new();
    home.create_user("u1");
    let first = home.create_event("u1", event("a", 1.0, &["s"]));
    let update = |expected_modified| Write::UpdateEvent { event: Box::new(first.clone()), expected_modified };
    assert!(home.write("u1", update(first.modified)).is_ok());
    assert_eq!(home.write("u1", update(first.modified)).unwrap_err(), StoreError::Stale);
    let delete = Write::DeleteEvent { id: "a".into(), expected_modified: first.modified };
    assert_eq!(home.write("u1", delete).unwrap_err(), StoreError::Stale);
    assert!(home.event("u1", "a").is_some());
}

#[test]
fn a_write_to_accesses_or_streams_raises_the_space_version_by_one() {
    let home = Home::new();
    home.create_user("u1");
    let before = home.space("u1").version;
    home.create_stream("u1", "s", None).unwrap();
    assert_eq!(home.space("u1").version, before + 1);
    home.create_stream("u1", "s", None).unwrap_err();
    home.create_event("u1", event("a", 1.0, &["s"]));
    assert_eq!(home.space("u1").version, before + 1);
}

#[test]
fn a_grant_without_the_right_to_write_is_refused() {
    let home = Home::new();
    home.create_user("u1");
    let write = Write::CreateEvent { event: Box::new(event("a", 1.0, &["s"])) };
    let call = WriteCall { grant: grant("u1", Right::Read), write, audit: None, batch: None, now: NOW };
    assert_eq!(wait(home.store.write(call)).unwrap_err(), StoreError::NotGranted);
    assert_eq!(home.events("u1", &every()).len(), 0);
}

#[test]
fn a_batch_sees_its_own_writes_before_they_are_committed() {
    let home = Home::new();
    home.create_user("u1");
    let batch = wait(home.store.batch(SlotId(0))).unwrap();
    let write = Write::CreateStream { stream: Box::new(stream("s", "S", None)) };
    wait(home.store.write(in_batch(call("u1", write), batch))).unwrap();
    let write = Write::CreateEvent { event: Box::new(event("a", 1.0, &["s"])) };
    wait(home.store.write(in_batch(call("u1", write), batch))).unwrap();
    let read = |read| {
        let call = ReadCall { grant: grant("u1", Right::Read), read, batch: Some(batch) };
        wait(home.store.read(call)).unwrap()
    };
    assert!(matches!(read(Read::Event { id: "a".into() }), Answer::Event(Some(Found::Event(_)))));
    match read(Read::Space) {
        Answer::Space(space) => assert_eq!((space.streams.len(), space.version), (1, 2)),
        other => panic!("{other:?}"),
    }
    wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    assert!(home.event("u1", "a").is_some());
}

#[test]
fn a_failed_call_in_a_batch_leaves_the_others() {
    let home = Home::new();
    home.create_user("u1");
    let batch = wait(home.store.batch(SlotId(0))).unwrap();
    let make = |id: &str| {
        let write = Write::CreateEvent { event: Box::new(event(id, 1.0, &["s"])) };
        wait(home.store.write(in_batch(call("u1", write), batch)))
    };
    assert!(make("a").is_ok() && make("a").is_err() && make("b").is_ok());
    wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    assert_eq!(home.events("u1", &every()).len(), 2);
    let late = Write::CreateEvent { event: Box::new(event("c", 1.0, &["s"])) };
    assert!(wait(home.store.write(in_batch(call("u1", late), batch))).is_err());
}

#[test]
fn a_long_batch_is_cut_and_others_are_answered_meanwhile() {
    let home = Home::new();
    home.create_user("u1");
    home.create_user("u2");
    let batch = wait(home.store.batch(SlotId(0))).unwrap();
    for n in 0..700 {
        let write = Write::CreateEvent { event: Box::new(event(&format!("e{n}"), f64::from(n), &["s"])) };
        wait(home.store.write(in_batch(call("u1", write), batch))).unwrap();
    }
    // The batch is still open and silent: another user's write is committed nevertheless.
    home.create_event("u2", event("x", 1.0, &["s"]));
    wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    assert_eq!(home.events("u1", &every()).len(), 700);
}

#[test]
fn two_batches_of_one_slot_are_open_together() {
    let home = Home::new();
    home.create_user("u1");
    let batches = [(); 2].map(|()| wait(home.store.batch(SlotId(0))).unwrap());
    for n in 0..10_usize {
        let write = Write::CreateEvent { event: Box::new(event(&format!("e{n}"), 1.0, &["s"])) };
        wait(home.store.write(in_batch(call("u1", write), batches[n % 2]))).unwrap();
    }
    for batch in batches {
        wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    }
    assert_eq!(home.events("u1", &every()).len(), 10);
}

#[test]
fn the_number_of_slots_is_fixed_when_the_folder_is_made() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = |slots| {
        let mut config = EmbeddedConfig::new(dir.path());
        config.slots = slots;
        EmbeddedStore::open(config, ThreadLane::start(1, 8).unwrap())
    };
    drop(open(4).unwrap());
    assert!(open(4).is_ok());
    match open(2) {
        Err(error @ OpenError::SlotsChanged { found: 4, wanted: 2 }) => {
            assert!(error.to_string().contains("storages.engines.sqlite.slots"));
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn a_full_lane_means_busy() {
    struct Full;
    impl storage::embedded::Lane for Full {
        fn submit(&self, _: storage::embedded::Job) -> Result<(), storage::embedded::LaneFull> {
            Err(storage::embedded::LaneFull)
        }
    }
    let dir = tempfile::TempDir::new().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path()), std::sync::Arc::new(Full)).unwrap();
    let read = ReadCall { grant: grant("u1", Right::Read), read: Read::Space, batch: None };
    assert_eq!(wait(store.read(read)).unwrap_err(), StoreError::Busy);
}

#[test]
fn a_closed_store_says_so() {
    let home = Home::new();
    home.create_user("u1");
    home.store.close();
    assert!(matches!(home.read("u1", Read::Space), Err(StoreError::Unavailable(_))));
}

#[test]
fn a_grant_of_an_older_space_is_stale_and_writes_nothing() {
    let home = Home::new();
    home.create_user("u1");
    home.create_stream("u1", "s", None).unwrap();
    let version = home.space("u1").version;
    let checked_at = |space_version| {
        let caller = model::permission::Caller {
            user: &model::UserId::new("u1"),
            slot: SlotId(0),
            access: &access("acc", "t", model::AccessKind::Personal, "app"),
            caller_id: Some("me"),
            tree: &model::permission::StreamTree::default(),
            account_streams: &model::permission::AccountStreams::default(),
            space_version,
            audit_active: true,
        };
        caller.own_account().unwrap()
    };
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
