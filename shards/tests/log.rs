//! The log's writer thread, driven from a shard's side.
#![allow(clippy::unwrap_used)] // a failed helper is a failed test

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use model::{Grant, Right, SeriesKey, ServerTask, SlotId, UserId};
use series::fault::{Fault, MemoryDisk};
use series::{Cells, Column, Ingest, IngestLimits, LogEvent, LogOptions, Points};
use shards::{Log, LogRefusal};

fn grant() -> Grant {
    let right = Right::WriteSeries(SeriesKey::from_u64(7));
    Grant::server_itself(ServerTask::Operator, UserId::new("cuser"), SlotId(0), right)
}

fn points(value: f64) -> Points {
    let column = Column { name: "value".into(), cells: Cells::Number(vec![value]), present: None };
    Points { times_ns: vec![1], columns: vec![column] }
}

struct Fixture {
    ingest: Rc<RefCell<Ingest>>,
    log: Rc<Log>,
    disk: MemoryDisk,
}

fn fixture(queue_max: usize) -> Fixture {
    let disk = MemoryDisk::new(1);
    let mut next_id = 0;
    let options = LogOptions {
        dir: PathBuf::from("/log"),
        epoch: 1,
        chain: 0,
        file_bytes: 4096,
        next_spare: Box::new(|| None),
        next_file_id: Box::new(move || {
            next_id += 1;
            next_id
        }),
    };
    let limits = IngestLimits { ring_bytes_max: 1 << 20, flush_bytes: 1 << 19 };
    Fixture {
        ingest: Rc::new(RefCell::new(Ingest::new(limits, 1, 0))),
        log: Rc::new(Log::start(options, Box::new(disk.clone()), queue_max).unwrap()),
        disk,
    }
}

fn tell(ingest: &RefCell<Ingest>, event: &LogEvent) {
    let mut ingest = ingest.borrow_mut();
    match event {
        LogEvent::Durable(durable) => ingest.durable(durable),
        LogEvent::NoSpace { refused, .. } => ingest.refused(refused),
        LogEvent::Poisoned { why } => ingest.poisoned(why.clone()),
    }
}

impl Fixture {
    fn run(&self, scenario: impl AsyncFn()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let (log, ingest) = (Rc::clone(&self.log), Rc::clone(&self.ingest));
        local.spawn_local(async move { log.pump(|event| tell(&ingest, event)).await });
        local.block_on(&runtime, scenario());
    }

    /// One post: true when it was acknowledged.
    async fn post(&self) -> Result<bool, LogRefusal> {
        let slot = self.log.reserve()?;
        let (ticket, group) = self.ingest.borrow_mut().append(vec![(grant(), points(1.0))]).unwrap();
        let durable = slot.commit(group).await.unwrap()?;
        // The ring has learnt it before the post.
        assert!(self.ingest.borrow().stats().durable_through >= ticket.sequence());
        Ok(Ingest::acknowledge(ticket, &durable).is_some())
    }
}

#[test]
fn posts_are_acknowledged_after_the_sync_and_the_ring_learns_first() {
    let fixture = fixture(1000);
    fixture.run(async || {
        for _ in 0..100 {
            assert_eq!(fixture.post().await, Ok(true));
        }
        assert_eq!(fixture.log.waiting_count(), 0);
        fixture.log.close().await;
        assert_eq!(fixture.post().await, Err(LogRefusal::Closed));
    });
}

#[test]
fn a_full_queue_refuses_before_anything_is_appended() {
    let fixture = fixture(1);
    let first = fixture.log.reserve();
    assert!(first.is_ok());
    assert_eq!(fixture.log.reserve().err(), Some(LogRefusal::Full));
    drop(first);
    assert!(fixture.log.reserve().is_ok());
}

#[test]
fn no_space_refuses_the_post_and_the_next_one_goes_on() {
    let fixture = fixture(1000);
    fixture.run(async || {
        fixture.disk.fail_after(0, Fault::Full);
        assert!(matches!(fixture.post().await, Err(LogRefusal::NoSpace(_))));
        fixture.disk.free_space();
        assert_eq!(fixture.post().await, Ok(true));
    });
}

#[test]
fn a_failed_sync_ends_all_acknowledgements() {
    let fixture = fixture(1000);
    fixture.run(async || {
        assert_eq!(fixture.post().await, Ok(true));
        // The next post is one write and one sync.
        fixture.disk.fail_after(1, Fault::Io);
        assert!(matches!(fixture.post().await, Err(LogRefusal::Poisoned(_))));
        assert!(fixture.ingest.borrow().stats().is_poisoned);
        assert!(fixture.log.checkpoint(1).await.is_err());
    });
}

#[test]
fn a_checkpoint_removes_the_files_behind_it() {
    let fixture = fixture(1000);
    fixture.run(async || {
        for _ in 0..200 {
            assert_eq!(fixture.post().await, Ok(true));
        }
        let before = fixture.disk.paths().len();
        assert!(before > 2);
        assert_eq!(fixture.log.checkpoint(200).await.unwrap(), before);
        assert_eq!(fixture.post().await, Ok(true));
    });
}

#[test]
fn a_checkpoint_behind_a_cut_removes_what_was_before_it_although_posts_go_on() {
    let fixture = fixture(1000);
    fixture.run(async || {
        assert_eq!(fixture.post().await, Ok(true));
        let cut_off = fixture.disk.paths();
        fixture.log.cut().await.unwrap();
        assert_eq!(fixture.post().await, Ok(true));
        assert_eq!(fixture.log.checkpoint(1).await.unwrap(), 1);
        let left = fixture.disk.paths();
        assert!(left.len() == 1 && left != cut_off, "{left:?}");
    });
}

#[test]
fn closing_finishes_what_is_queued() {
    let fixture = fixture(1000);
    fixture.run(async || {
        let results: Vec<_> = (0..100)
            .map(|_| {
                let slot = fixture.log.reserve().unwrap();
                let (_, group) = fixture.ingest.borrow_mut().append(vec![(grant(), points(2.0))]).unwrap();
                slot.commit(group)
            })
            .collect();
        fixture.log.close().await;
        for result in results {
            assert!(result.await.unwrap().is_ok());
        }
    });
}
