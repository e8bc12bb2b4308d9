//! Batches: several commands in one transaction, each all or nothing, seen by those behind it.

use model::{Right, SlotId};
use storage::StoreError;
use storage::base::{Answer, BatchId, Found, Read, ReadCall, Write, Written};

use crate::common::{call, event, every, grant, in_batch, stream, wait};
use crate::home::Home;

fn open(home: &Home) -> BatchId {
    wait(home.store.batch(SlotId(0))).unwrap()
}

fn create(home: &Home, batch: BatchId, id: &str) -> Result<Written, StoreError> {
    let write = Write::CreateEvent { event: Box::new(event(id, 1.0, &["s"])) };
    wait(home.store.write(in_batch(call("u1", write), batch)))
}

fn read(home: &Home, batch: BatchId, read: Read) -> Result<Answer, StoreError> {
    wait(home.store.read(ReadCall { grant: grant("u1", Right::Read), read, batch: Some(batch) }))
}

pub(crate) fn sees_itself(home: &Home) {
    home.create_user("u1");
    let batch = open(home);
    let write = Write::CreateStream { stream: Box::new(stream("s", "S", None)) };
    wait(home.store.write(in_batch(call("u1", write), batch))).unwrap();
    create(home, batch, "a").unwrap();
    let found = read(home, batch, Read::Event { id: "a".into() }).unwrap();
    assert!(matches!(found, Answer::Event(Some(Found::Event(_)))));
    match read(home, batch, Read::Space).unwrap() {
        Answer::Space(space) => assert_eq!((space.streams.len(), space.version), (1, 2)),
        other => panic!("{other:?}"),
    }
    match read(home, batch, Read::EventsPage { query: Box::new(every()), after: None }).unwrap() {
        Answer::Page(page) => assert_eq!(page.item_count, 1),
        other => panic!("{other:?}"),
    }
    wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    assert!(home.event("u1", "a").is_some());
}

pub(crate) fn failing_call(home: &Home) {
    home.create_user("u1");
    let batch = open(home);
    assert!(create(home, batch, "a").is_ok() && create(home, batch, "a").is_err() && create(home, batch, "b").is_ok());
    wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    assert_eq!(home.events("u1", &every()).len(), 2);
    assert!(create(home, batch, "c").is_err());
}

pub(crate) fn failing_read(home: &Home) {
    home.create_user("u1");
    let batch = open(home);
    create(home, batch, "a").unwrap();
    let nobody = ReadCall { grant: grant("nobody", Right::Read), read: Read::Space, batch: Some(batch) };
    assert_eq!(wait(home.store.read(nobody)).unwrap_err(), StoreError::NotFound);
    create(home, batch, "b").unwrap();
    wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    assert_eq!(home.events("u1", &every()).len(), 2);
}

pub(crate) fn long(home: &Home) {
    home.create_user("u1");
    home.create_user("u2");
    let batch = open(home);
    for n in 0..700 {
        create(home, batch, &format!("e{n}")).unwrap();
    }
    // The batch is still open and silent: others write nevertheless, also to the same account.
    home.create_event("u2", event("x", 1.0, &["s"]));
    home.create_event("u1", event("y", 1.0, &["s"]));
    wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    assert_eq!(home.events("u1", &every()).len(), 701);
}

pub(crate) fn two(home: &Home) {
    home.create_user("u1");
    let batches = [(); 2].map(|()| open(home));
    for n in 0..6_usize {
        create(home, batches[n % 2], &format!("e{n}")).unwrap();
    }
    for batch in batches {
        wait(home.store.batch_end(SlotId(0), batch)).unwrap();
    }
    assert_eq!(home.events("u1", &every()).len(), 6);
}

pub(crate) fn unknown(home: &Home) {
    home.create_user("u1");
    assert!(matches!(create(home, BatchId(77), "a"), Err(StoreError::Unavailable(_))));
    assert!(matches!(wait(home.store.batch_end(SlotId(0), BatchId(77))), Err(StoreError::Unavailable(_))));
    let empty = open(home);
    wait(home.store.batch_end(SlotId(0), empty)).unwrap();
}
