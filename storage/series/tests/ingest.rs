//! The shard's side: what is visible when, what is refused, what an acknowledgement needs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "test helpers outside of test functions"
)]

mod common;

use common::*;
use model::{Grant, Right, SeriesKey, ServerTask, SlotId, UserId};
use series::fault::MemoryDisk;
use series::*;
use std::path::Path;

fn ingest(ring_bytes_max: u64) -> Ingest {
    Ingest::new(IngestLimits { ring_bytes_max, flush_bytes: ring_bytes_max / 2 }, 1, 0)
}

fn writer(epoch: u64, chain: u32) -> LogWriter {
    LogWriter::new(LogOptions {
        dir: LOG.into(),
        epoch,
        chain,
        file_bytes: 1 << 16,
        next_spare: Box::new(|| None),
        next_file_id: Box::new(|| 5),
    })
}

fn durable(writer: &mut LogWriter, group: FrameGroup, disk: &mut MemoryDisk) -> Durable {
    writer.push(group);
    match writer.step(disk).as_slice() {
        [LogEvent::Durable(durable)] => *durable,
        events => panic!("{events:?}"),
    }
}

fn rows_seen(ingest: &Ingest, key: SeriesKey) -> usize {
    let mut plan = ReadPlan::new(ingest.snapshot(&may_read(key), 0, 100).unwrap(), Vec::new(), 0, 100);
    std::iter::from_fn(|| plan.next_page(&mut MemoryDisk::new(0), 10).unwrap()).map(|page| page.rows()).sum()
}

#[test]
fn points_are_invisible_until_durable_and_a_view_is_unmoved_by_what_follows() {
    let (mut ingest, mut writer, mut disk) = (ingest(1 << 20), writer(1, 0), MemoryDisk::new(0));
    let (ticket, group) = ingest.append(vec![(may_write(key(1)), numbers(&[(1, 1.0)]))]).unwrap();
    assert_eq!(rows_seen(&ingest, key(1)), 0);
    let before = ingest.snapshot(&may_read(key(1)), 0, 100).unwrap();
    let durable = durable(&mut writer, group, &mut disk);
    ingest.durable(&durable);
    assert_eq!(rows_seen(&ingest, key(1)), 1);
    assert_eq!(Ingest::acknowledge(ticket, &durable).unwrap().sequence(), ticket.sequence());
    assert!(ReadPlan::new(before, Vec::new(), 0, 100).next_page(&mut disk, 10).unwrap().is_none());
}

#[test]
fn a_commit_acknowledges_neither_later_posts_nor_those_of_another_chain_or_epoch() {
    let mut disk = MemoryDisk::new(0);
    let (mut ingest, mut writer) = (ingest(1 << 20), writer(1, 0));
    let post = || vec![(may_write(key(1)), numbers(&[(1, 1.0)]))];
    let (first, group) = ingest.append(post()).unwrap();
    let (second, _) = ingest.append(post()).unwrap();
    let durable = durable(&mut writer, group, &mut disk);
    assert!(Ingest::acknowledge(first, &durable).is_some());
    assert!(Ingest::acknowledge(second, &durable).is_none());
    for (epoch, chain) in [(2, 0), (1, 1)] {
        let limits = IngestLimits { ring_bytes_max: 1 << 20, flush_bytes: 1 << 20 };
        let (ticket, _) = Ingest::new(limits, epoch, chain).append(post()).unwrap();
        assert!(Ingest::acknowledge(ticket, &durable).is_none());
    }
}

#[test]
fn a_refused_post_is_not_acknowledged_by_a_later_commit() {
    let mut disk = MemoryDisk::new(0);
    let (mut ingest, mut writer) = (ingest(1 << 20), writer(1, 0));
    let (refused_ticket, group) = ingest.append(vec![(may_write(key(1)), numbers(&[(1, 1.0)]))]).unwrap();
    disk.fail_after(0, fault::Fault::NoSpace);
    writer.push(group);
    let events = writer.step(&mut disk);
    let [LogEvent::NoSpace { refused, .. }] = events.as_slice() else { panic!("{events:?}") };
    ingest.refused(refused);
    let (ticket, group) = ingest.append(vec![(may_write(key(1)), numbers(&[(2, 1.0)]))]).unwrap();
    let durable = durable(&mut writer, group, &mut disk);
    ingest.durable(&durable);
    assert!(Ingest::acknowledge(refused_ticket, &durable).is_none());
    assert!(Ingest::acknowledge(ticket, &durable).is_some());
    assert_eq!(rows_seen(&ingest, key(1)), 1);
}

#[test]
fn a_full_ring_refuses_and_a_flush_makes_room() {
    let disk = MemoryDisk::new(0);
    let mut node = start(&disk, 1).unwrap();
    let rows: Vec<(i64, f64)> = (0..1000).map(|t| (t, 0.0)).collect();
    let mut posts = 0;
    while node.post(vec![(key(1), numbers(&rows))]) == Outcome::Acknowledged {
        posts += 1;
    }
    assert_eq!(node.post(vec![(key(1), numbers(&rows))]), Outcome::Full);
    assert!(posts > 50 && node.ingest.bytes() <= 1 << 20 && node.ingest.flush_due());
    node.flush().unwrap();
    assert_eq!(node.ingest.bytes(), 0);
    assert_eq!(node.post(vec![(key(1), numbers(&rows))]), Outcome::Acknowledged);
}

#[test]
fn a_frozen_ring_waits_for_the_log_before_it_may_become_a_segment() {
    let (mut ingest, mut writer, mut disk) = (ingest(1 << 20), writer(1, 0), MemoryDisk::new(0));
    let (_, group) = ingest.append(vec![(may_write(key(1)), numbers(&[(1, 1.0)]))]).unwrap();
    assert!(ingest.freeze());
    assert!(ingest.frozen_ready().is_none());
    assert!(!ingest.freeze(), "one at a time");
    ingest.durable(&durable(&mut writer, group, &mut disk));
    assert!(ingest.frozen_ready().is_some());
    assert_eq!(rows_seen(&ingest, key(1)), 1);
}

#[test]
fn a_deleted_series_is_gone_for_readers_in_the_active_and_in_the_frozen_ring() {
    let (mut ingest, mut writer, mut disk) = (ingest(1 << 20), writer(1, 0), MemoryDisk::new(0));
    for freeze in [true, false] {
        let batch = vec![(may_write(key(1)), numbers(&[(1, 1.0)])), (may_write(key(2)), numbers(&[(1, 1.0)]))];
        let (_, group) = ingest.append(batch).unwrap();
        ingest.durable(&durable(&mut writer, group, &mut disk));
        if freeze {
            ingest.freeze();
        }
    }
    ingest.forget(key(1));
    assert_eq!((rows_seen(&ingest, key(1)), rows_seen(&ingest, key(2))), (0, 1));
}

#[test]
fn wrong_shapes_and_wrong_grants_are_refused_and_leave_nothing_behind() {
    let mut ingest = ingest(1 << 20);
    let column = |cells| vec![Column { name: "v".into(), cells, present: None }];
    let good = numbers(&[(1, 1.0)]);
    let ragged = Points { times_ns: vec![1, 2], columns: column(Cells::Number(vec![1.0])) };
    let code = Points { times_ns: vec![1], columns: column(Cells::Text { dictionary: vec![], codes: vec![0] }) };
    let twice = Points { columns: [good.columns.clone(), good.columns.clone()].concat(), ..good.clone() };
    for (bad, expected) in [
        (ragged, ShapeError::Ragged),
        (code, ShapeError::CodeOutsideDictionary),
        (twice, ShapeError::DuplicateColumn),
        (numbers(&[(i64::MAX, 0.0)]), ShapeError::TimeTooLarge),
    ] {
        let batch = vec![(may_write(key(1)), good.clone()), (may_write(key(2)), bad)];
        assert!(matches!(ingest.append(batch), Err(IngestError::Shape(error)) if error == expected));
    }
    let reader = Grant::server_itself(ServerTask::Operator, UserId::new("u"), SlotId(0), Right::Read);
    assert!(matches!(ingest.append(vec![(may_read(key(1)), good)]), Err(IngestError::NotWritable)));
    assert!(matches!(ingest.append(vec![(may_write(key(1)), numbers(&[]))]), Err(IngestError::Empty)));
    assert!(ingest.snapshot(&reader, 0, 1).is_none());
    assert_eq!(ingest.bytes(), 0);
}

#[test]
fn the_engine_runs_on_real_files_and_starts_again_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let (log, segments) = (dir.path().join("log"), dir.path().join("series"));
    std::fs::create_dir(&log).unwrap();
    std::fs::create_dir(&segments).unwrap();
    let sizes = Sizes { log_file_bytes: 1 << 16, recovery_bytes: 1 << 14 };
    let dirs: [&Path; 2] = [&log, &segments];
    let mut expected = Vec::new();
    for epoch in 1..4 {
        let mut node = Node::start(RealDisk::new(), epoch, sizes, dirs).unwrap();
        for k in 0..20i64 {
            let start = (i64::try_from(epoch).unwrap() * 20 + k) * 500;
            let rows: Vec<(i64, f64)> = (start..start + 500).map(|t| (t, t as f64 / 3.0)).collect();
            assert_eq!(node.post(vec![(key(1), numbers(&rows))]), Outcome::Acknowledged);
            expected.extend(rows);
            if k == 8 {
                node.flush().unwrap();
            }
        }
        assert_eq!(node.read(key(1)).unwrap(), expected);
    }
    let mut node = Node::start(RealDisk::new(), 4, sizes, dirs).unwrap();
    assert_eq!(node.read(key(1)).unwrap(), expected);
    assert_eq!(std::fs::read_dir(&log).unwrap().count(), 0);
    assert!(node.report.segments > 1, "the replay keeps to its memory limit");
}
