//! What callers learn when a transaction cannot be committed. The writer is driven by hand, without its thread.

use std::path::Path;

use model::{Event, Grant, NewAccount, PasswordHash, Right, ServerTask, SlotId, UserId};
use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::Reply;
use crate::base::{Read, Write};
use crate::embedded::{EmbeddedConfig, Seals, Settings, ThreadLane};

fn writer(dir: &Path) -> Writer {
    let config = EmbeddedConfig::new(dir);
    let settings = Settings {
        seals: Seals::default(),
        deletion_mode: config.deletion_mode,
        keep_history: false,
        content_indexes: Vec::new(),
        max_group: 8,
        queue: 8,
        readers_per_slot: 1,
        writer_cache_kib: 256,
        reader_cache_kib: 256,
        lane: ThreadLane::start(1, 8).unwrap(),
    };
    let shared = Arc::new(Shared::new(SlotId(0), dir.join("slot-00.sqlite"), Arc::new(settings)));
    let mut writer = Writer::open(&shared).unwrap();
    let account = NewAccount {
        username: "ann".into(),
        password: PasswordHash("none".into()),
        fields: serde_json::Map::new(),
        session: None,
    };
    let reply = write(&mut writer, Write::CreateAccount(Box::new(account)), None);
    writer.commit();
    answer(reply).unwrap();
    writer
}

fn grant() -> Grant {
    Grant::server_itself(ServerTask::Operator, UserId::new("u1"), SlotId(0), Right::Write)
}

fn write(writer: &mut Writer, write: Write, batch: Option<BatchId>) -> Reply<Written> {
    let (sender, reply) = oneshot::channel();
    writer.take(Job::Write(Box::new(WriteCall { grant: grant(), write, audit: None, batch, now: 1.0 }), sender));
    reply
}

fn create(writer: &mut Writer, id: &str, content_bytes: usize, batch: Option<BatchId>) -> Reply<Written> {
    let event = Event {
        id: id.into(),
        stream_ids: vec!["s".into()],
        kind: "note/txt".into(),
        content: Some(json!("x".repeat(content_bytes))),
        ..Event::default()
    };
    write(writer, Write::CreateEvent { event: Box::new(event) }, batch)
}

fn answer<T>(mut reply: Reply<T>) -> Result<T, StoreError> {
    reply.try_recv().expect("an answer was given")
}

fn exists(writer: &mut Writer, id: &str) -> bool {
    let call = ReadCall { grant: grant(), read: Read::Event { id: id.into() }, batch: None };
    matches!(writer.read(&call).unwrap(), Answer::Event(Some(_)))
}

#[test]
fn nothing_is_answered_before_the_commit() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut writer = writer(dir.path());
    let mut reply = create(&mut writer, "a", 1, None);
    assert!(reply.try_recv().is_err());
    writer.commit();
    assert!(answer(reply).is_ok());
}

#[test]
fn a_failed_commit_is_told_to_all_and_nothing_is_stored() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut writer = writer(dir.path());
    let batch = writer.open_batch().unwrap();
    let in_batch = create(&mut writer, "a", 1, Some(batch));
    assert!(answer(in_batch).is_ok());
    let replies = [create(&mut writer, "b", 1, None), create(&mut writer, "c", 1, None)];
    // The transaction goes behind the writer's back, so its COMMIT fails.
    writer.desk.connection.execute_batch("ROLLBACK").unwrap();
    writer.commit();
    for reply in replies {
        assert!(matches!(answer(reply), Err(StoreError::Engine(_))));
    }
    assert!(["a", "b", "c"].iter().all(|id| !exists(&mut writer, id)));
    // The batch was told that all went well: it learns it now, and at its end.
    assert!(matches!(answer(create(&mut writer, "d", 1, Some(batch))), Err(StoreError::Engine(_))));
    let (sender, end) = oneshot::channel();
    writer.end_batch(batch, sender);
    assert!(matches!(answer(end), Err(StoreError::Engine(_))));
    let next = create(&mut writer, "e", 1, None);
    writer.commit();
    assert!(answer(next).is_ok() && exists(&mut writer, "e"));
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_space_and_reads_go_on() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut writer = writer(dir.path());
    let small = create(&mut writer, "small", 1, None);
    writer.commit();
    answer(small).unwrap();
    let pages: i64 = writer.desk.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    writer.desk.connection.execute_batch(&format!("PRAGMA max_page_count = {}", pages + 1)).unwrap();
    let big = create(&mut writer, "big", 100_000, None);
    writer.commit();
    assert_eq!(answer(big).unwrap_err(), StoreError::NoSpace);
    assert!(exists(&mut writer, "small") && !exists(&mut writer, "big"));
    writer.desk.connection.execute_batch("PRAGMA max_page_count = 100000").unwrap();
    let again = create(&mut writer, "big", 100_000, None);
    writer.commit();
    assert!(answer(again).is_ok() && exists(&mut writer, "big"));
}

#[test]
fn after_a_failed_sync_nothing_is_written_and_reads_go_on() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut writer = writer(dir.path());
    let failure = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None);
    let error = writer.commit_failed(failure);
    assert!(matches!(error, StoreError::Unavailable(_)));
    assert_eq!(answer(create(&mut writer, "a", 1, None)).unwrap_err(), error);
    assert!(!exists(&mut writer, "a"));
}

#[test]
fn a_batch_that_nobody_speaks_to_is_closed() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut writer = writer(dir.path());
    let [silent, spoken] = [(); 2].map(|()| writer.open_batch().unwrap());
    for batch in writer.batches.values_mut() {
        batch.last_use = Instant::now().checked_sub(BATCH_IDLE_MAX).unwrap();
    }
    assert!(answer(create(&mut writer, "a", 1, Some(spoken))).is_ok());
    writer.close_idle_batches();
    assert!(answer(create(&mut writer, "b", 1, Some(spoken))).is_ok());
    assert!(matches!(answer(create(&mut writer, "c", 1, Some(silent))), Err(StoreError::Unavailable(_))));
}

#[test]
fn a_series_key_of_a_lost_transaction_is_not_given_again() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut writer = writer(dir.path());
    let batch = writer.open_batch().unwrap();
    let first = holder(&mut writer, "a", batch);
    writer.desk.connection.execute_batch("ROLLBACK").unwrap();
    writer.commit();
    writer.batches.values_mut().for_each(|batch| batch.failed = None);
    assert!(holder(&mut writer, "b", batch) > first);
}

fn holder(writer: &mut Writer, id: &str, batch: BatchId) -> model::SeriesKey {
    let event = Event { id: id.into(), kind: "series:mass/kg".into(), ..Event::default() };
    match answer(write(writer, Write::CreateEvent { event: Box::new(event) }, Some(batch))).unwrap() {
        Written::Event(event) => event.series_key.unwrap(),
        other => panic!("{other:?}"),
    }
}
