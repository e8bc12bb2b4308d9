//! Retention: old rows become buckets or nothing, at once for readers and across crashes; new rows stay as they are.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "test helpers outside of test functions"
)]

mod common;

use common::*;
use model::SlotId;
use series::fault::{Fault, MemoryDisk};
use series::*;
use std::sync::Arc;

const SEGMENT_BYTES_MAX: u64 = 8 << 20;
const SLOT: SlotId = SlotId(0);

/// A hundred rows in order, a flush every ten.
fn filled(disk: &MemoryDisk) -> Node<MemoryDisk> {
    let mut node = start(disk, 1).unwrap();
    for flush in 0..10 {
        let rows: Vec<_> = (flush * 10..flush * 10 + 10).map(|time| (time, time as f64)).collect();
        assert_eq!(node.post(vec![(key(0), numbers(&rows))]), Outcome::Acknowledged);
        node.flush().unwrap();
    }
    node
}

fn retain(before_ns: i64, bucket_ns: Option<i64>) -> [Retain; 1] {
    [Retain { key: key(0), before_ns, bucket_ns }]
}

fn erase(node: &mut Node<MemoryDisk>) {
    erase_due(&node.catalog, &mut node.disk).unwrap();
    while node.catalog.merge_once(SEGMENT_BYTES_MAX, &mut node.disk).unwrap().is_some() {}
    assert_eq!(node.catalog.sweep(&mut node.disk).unwrap(), 0);
}

fn times(node: &mut Node<MemoryDisk>) -> Vec<i64> {
    node.read(key(0)).unwrap().into_iter().map(|(time, _)| time).collect()
}

#[test]
fn old_rows_become_buckets_and_a_later_run_goes_on_from_there() {
    let disk = MemoryDisk::new(1);
    let mut node = filled(&disk);
    // 47: whole buckets only, so up to 40.
    let preview = node.catalog.preview_retention(SLOT, &retain(47, Some(20)), &mut node.disk).unwrap();
    let done = node.catalog.retain(SLOT, &retain(47, Some(20)), &mut node.disk).unwrap().unwrap();
    assert_eq!(done, [Retained { key: key(0), rows_before: 40, rows_after: 2 }]);
    assert_eq!(preview, done);
    let expected: Vec<(i64, f64)> =
        [(0, 9.5), (20, 29.5)].into_iter().chain((40..100).map(|t| (t, t as f64))).collect();
    assert_eq!(node.read(key(0)).unwrap(), expected);
    assert_eq!(node.catalog.retain(SLOT, &retain(47, Some(20)), &mut node.disk).unwrap().unwrap(), []);
    erase(&mut node);
    assert_eq!(node.read(key(0)).unwrap(), expected);
    assert_eq!(node.catalog.stats().rows, 62);

    let done = node.catalog.retain(SLOT, &retain(60, Some(20)), &mut node.disk).unwrap().unwrap();
    assert_eq!(done, [Retained { key: key(0), rows_before: 20, rows_after: 1 }]);
    erase(&mut node);
    let mut again = start(&disk, 2).unwrap();
    assert_eq!(again.read(key(0)).unwrap()[..3], [(0, 9.5), (20, 29.5), (40, 49.5)]);
    assert_eq!(times(&mut again).len(), 43);
}

#[test]
fn a_late_point_joins_its_bucket_and_is_seen_until_then() {
    let disk = MemoryDisk::new(1);
    let mut node = filled(&disk);
    node.catalog.retain(SLOT, &retain(40, Some(20)), &mut node.disk).unwrap().unwrap();
    assert_eq!(node.post(vec![(key(0), numbers(&[(5, 31.5)]))]), Outcome::Acknowledged);
    node.flush().unwrap();
    assert_eq!(node.read(key(0)).unwrap()[..2], [(0, 9.5), (5, 31.5)]);
    let done = node.catalog.retain(SLOT, &retain(40, Some(20)), &mut node.disk).unwrap().unwrap();
    assert_eq!(done, [Retained { key: key(0), rows_before: 3, rows_after: 2 }]);
    // 20 rows of mean 9.5 and one of 31.5.
    assert_eq!(node.read(key(0)).unwrap()[..2], [(0, 221.5 / 21.0), (20, 29.5)]);
}

#[test]
fn late_points_at_the_very_start_of_a_bucket_leave_it_as_it_is_whether_merges_come_between_or_not() {
    for merges in [false, true] {
        let disk = MemoryDisk::new(1);
        let mut node = filled(&disk);
        node.catalog.retain(SLOT, &retain(40, Some(20)), &mut node.disk).unwrap().unwrap();
        let expected = [(0, 9.5), (20, 29.5), (40, 40.0)];
        for value in [100.0, 200.0, 300.0] {
            assert_eq!(node.post(vec![(key(0), numbers(&[(0, value)]))]), Outcome::Acknowledged);
            assert_eq!(node.read(key(0)).unwrap()[..3], expected, "from the ring");
            node.flush().unwrap();
            assert_eq!(node.read(key(0)).unwrap()[..3], expected, "from a segment");
            if merges {
                erase(&mut node);
            }
        }
        assert_eq!(node.read(key(0)).unwrap()[..3], expected);
        node.catalog.retain(SLOT, &retain(40, Some(20)), &mut node.disk).unwrap().unwrap();
        assert_eq!(node.read(key(0)).unwrap()[..3], expected, "behind the next run");
    }
}

#[test]
fn nothing_stays_of_old_rows_when_the_rule_says_so() {
    let disk = MemoryDisk::new(1);
    let mut node = filled(&disk);
    let done = node.catalog.retain(SLOT, &retain(47, None), &mut node.disk).unwrap().unwrap();
    assert_eq!(done, [Retained { key: key(0), rows_before: 47, rows_after: 0 }]);
    assert_eq!(times(&mut node), (47..100).collect::<Vec<_>>());
    erase(&mut node);
    assert_eq!(node.catalog.stats().rows, 53);
    assert_eq!(times(&mut start(&disk, 2).unwrap()), (47..100).collect::<Vec<_>>());
}

#[test]
fn rows_that_are_still_on_their_way_to_a_segment_are_not_voided() {
    let disk = MemoryDisk::new(1);
    let mut node = filled(&disk);
    assert_eq!(node.post(vec![(key(0), numbers(&[(3, 1.0)]))]), Outcome::Acknowledged);
    node.catalog.retain(SLOT, &retain(40, None), &mut node.disk).unwrap().unwrap();
    node.flush().unwrap();
    assert_eq!(node.read(key(0)).unwrap()[..2], [(3, 1.0), (40, 40.0)]);
}

#[test]
fn a_reader_that_began_before_sees_the_rows_as_they_were() {
    let disk = MemoryDisk::new(1);
    let mut node = filled(&disk);
    let mut plan = node.plan(key(0), i64::MIN, i64::MAX);
    node.catalog.retain(SLOT, &retain(60, Some(20)), &mut node.disk).unwrap().unwrap();
    erase_due(&node.catalog, &mut node.disk).unwrap();
    node.catalog.sweep(&mut node.disk).unwrap();
    let mut rows = 0;
    while let Some(page) = plan.next_page(&mut node.disk, 7).unwrap() {
        rows += page.rows();
    }
    assert_eq!(rows, 100);
}

#[test]
fn whichever_operation_the_power_cuts_the_rows_are_whole_or_reduced_and_never_both() {
    let whole: Vec<i64> = (0..100).collect();
    let reduced: Vec<i64> = [0, 20].into_iter().chain(40..100).collect();
    let mut seen = [false; 2];
    for cut in 0..80 {
        let disk = MemoryDisk::new(cut);
        let mut node = filled(&disk);
        disk.fail_after(cut, Fault::PowerCut);
        let catalog = Arc::new(&node.catalog);
        let _ = catalog.retain(SLOT, &retain(40, Some(20)), &mut node.disk);
        let _ = erase_due(&catalog, &mut node.disk);
        while catalog.merge_once(SEGMENT_BYTES_MAX, &mut node.disk).is_ok_and(|report| report.is_some()) {}
        let _ = catalog.sweep(&mut node.disk);
        disk.restart(cut);
        let found = times(&mut start(&disk, 2).unwrap());
        assert!(found == whole || found == reduced, "cut at {cut}: {found:?}");
        seen[usize::from(found == reduced)] = true;
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn void_rows_do_not_come_back_from_a_flush_that_failed_and_left_its_file_behind() {
    // Before the sync of the folder.
    for after in 0..8 {
        for count in 1..5 {
            let disk = MemoryDisk::new(after);
            let mut node = start(&disk, 1).unwrap();
            // In two slots, so that one file is complete when the other fails.
            let both = vec![(key(0), numbers(&[(1, 1.0)])), (key(1), numbers(&[(1, 2.0)]))];
            assert_eq!(node.post(both), Outcome::Acknowledged);
            disk.fail_some_after(after, count, Fault::Io);
            let _ = node.flush();
            disk.calm();
            node.flush().unwrap();
            node.catalog.retain(SLOT, &retain(40, None), &mut node.disk).unwrap().unwrap();
            // Enough neighbours for a merge, which drops what voids nothing any more.
            for time in 0..4 {
                assert_eq!(node.post(vec![(key(3), numbers(&[(time, 3.0)]))]), Outcome::Acknowledged);
                node.flush().unwrap();
            }
            erase(&mut node);
            let mut again = start(&disk, 2).unwrap();
            assert_eq!(again.read(key(0)).unwrap(), [], "{count} failures after {after}");
        }
    }
}
