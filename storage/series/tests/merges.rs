//! Merges, erasure and sweeping: what readers see never changes, what must go goes, files stay few.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "test helpers outside of test functions"
)]

mod common;

use common::*;
use model::SeriesKey;
use proptest::prelude::*;
use series::fault::{Fault, MemoryDisk};
use series::*;
use std::collections::BTreeMap;
use std::path::Path;

const SEGMENT_BYTES_MAX: u64 = 8 << 20;

type Rows = BTreeMap<i64, f64>;

fn merge_all(node: &mut Node<MemoryDisk>) -> usize {
    let mut merges = 0;
    while node.catalog.merge_once(SEGMENT_BYTES_MAX, &mut node.disk).unwrap().is_some() {
        merges += 1;
    }
    merges
}

fn flush_rows(node: &mut Node<MemoryDisk>, key: SeriesKey, rows: &[(i64, f64)]) {
    assert_eq!(node.post(vec![(key, numbers(rows))]), Outcome::Acknowledged);
    node.flush().unwrap();
}

fn segment_files(disk: &MemoryDisk) -> Vec<String> {
    disk.paths().iter().filter(|path| path.starts_with(SERIES)).map(|path| path.display().to_string()).collect()
}

/// A row with a text that is found wherever it is kept.
fn marked(time_ns: i64, marker: &str) -> Points {
    let mut points = numbers(&[(time_ns, 1.5)]);
    let cells = Cells::Text { dictionary: vec![marker.into()], codes: vec![0] };
    points.columns.push(Column { name: "marker".into(), cells, present: None });
    points
}

fn contains(disk: &MemoryDisk, marker: &str) -> bool {
    let marker = marker.as_bytes();
    disk.paths().iter().any(|path| disk.content(path).unwrap().windows(marker.len()).any(|window| window == marker))
}

#[test]
fn neighbours_become_one_segment_that_reads_the_same_and_the_files_go() {
    let disk = MemoryDisk::new(1);
    let mut node = start(&disk, 1).unwrap();
    let mut expected = Rows::new();
    for flush in 0..9 {
        // Each flush overwrites half of the one before.
        let rows: Vec<_> = (flush * 50..flush * 50 + 100).map(|time| (time, (flush * 1000 + time) as f64)).collect();
        expected.extend(rows.iter().copied());
        flush_rows(&mut node, key(0), &rows);
    }
    assert_eq!(node.catalog.stats().segments, 9);
    assert!(merge_all(&mut node) > 0);
    assert!(node.catalog.stats().segments < 4, "{:?}", node.catalog.stats());
    assert_eq!(node.read(key(0)).unwrap(), expected.clone().into_iter().collect::<Vec<_>>());
    assert_eq!(node.catalog.sweep(&mut node.disk).unwrap(), 0);
    assert_eq!(segment_files(&disk).len(), node.catalog.stats().segments);
    let mut again = start(&disk, 2).unwrap();
    assert_eq!(again.read(key(0)).unwrap(), expected.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_reader_that_began_before_a_merge_reads_on_and_its_files_stay_until_it_is_done() {
    let disk = MemoryDisk::new(1);
    let mut node = start(&disk, 1).unwrap();
    for flush in 0..4 {
        flush_rows(&mut node, key(0), &(0..300).map(|time| (flush * 300 + time, time as f64)).collect::<Vec<_>>());
    }
    let mut plan = node.plan(key(0), i64::MIN, i64::MAX);
    let first = plan.next_page(&mut node.disk, 10).unwrap().unwrap();
    assert_eq!(first.rows(), 10);
    assert_eq!(merge_all(&mut node), 1);
    assert_eq!(node.catalog.sweep(&mut node.disk).unwrap(), 4, "all four are held");
    let mut rows = 10;
    while let Some(page) = plan.next_page(&mut node.disk, 100).unwrap() {
        rows += page.rows();
    }
    assert_eq!(rows, 1200);
    drop(plan);
    assert_eq!(node.catalog.sweep(&mut node.disk).unwrap(), 0);
    assert_eq!(segment_files(&disk).len(), 1);
}

#[test]
fn a_deleted_series_is_nowhere_on_the_disk_after_the_erasure() {
    let (marker, kept) = ("the planted marker", "what stays");
    let disk = MemoryDisk::new(1);
    let mut node = start(&disk, 1).unwrap();
    for flush in 0..6 {
        let post = vec![(key(0), marked(flush, marker)), (key(3), marked(flush, kept))];
        assert_eq!(node.post(post), Outcome::Acknowledged);
        if flush < 4 {
            node.flush().unwrap();
        }
    }
    assert!(contains(&disk, marker));
    node.ingest.forget(key(0));
    node.catalog.forget(&[key(0)]);
    assert_eq!(node.read(key(0)).unwrap(), []);
    // As the driver does: the ring and the log first, then the segments.
    node.flush().unwrap();
    erase_due(&node.catalog, &mut node.disk).unwrap();
    assert_eq!(node.catalog.due(), []);
    assert_eq!(node.catalog.sweep(&mut node.disk).unwrap(), 0);
    assert!(!contains(&disk, marker) && contains(&disk, kept));
    assert_eq!(node.read(key(3)).unwrap().len(), 6);
}

#[test]
fn a_series_deleted_from_the_ring_leaves_the_log_with_the_next_flush() {
    let marker = "the planted marker";
    let disk = MemoryDisk::new(1);
    let mut node = start(&disk, 1).unwrap();
    assert_eq!(node.post(vec![(key(0), marked(1, marker))]), Outcome::Acknowledged);
    node.ingest.forget(key(0));
    node.catalog.forget(&[key(0)]);
    assert!(contains(&disk, marker));
    node.flush().unwrap();
    assert!(!contains(&disk, marker));
    assert_eq!(node.catalog.stats().segments, 0);
    assert!(!node.ingest.freeze(), "nothing came since");
}

#[test]
fn a_start_resumes_the_erasure_of_series_without_a_holder() {
    let disk = MemoryDisk::new(1);
    let mut node = start(&disk, 1).unwrap();
    flush_rows(&mut node, key(0), &[(1, 5.5)]);
    flush_rows(&mut node, key(3), &[(1, 6.5)]);
    let mut node = start(&disk, 2).unwrap();
    node.catalog.forget_all_but(&|alive| alive == key(3));
    assert_eq!(node.catalog.stats().due, 1);
    let due = node.catalog.due();
    let report = node.catalog.erase(due[0], &mut node.disk).unwrap().unwrap();
    assert_eq!(node.catalog.erase(due[0], &mut node.disk).unwrap(), None, "it is gone");
    assert_eq!((report.rows_before, report.rows_after, report.bytes_after), (1, 0, 0));
    node.catalog.sweep(&mut node.disk).unwrap();
    assert_eq!(segment_files(&disk).len(), 1);
    assert_eq!(node.read(key(3)).unwrap(), [(1, 6.5)]);
}

#[test]
fn a_post_to_a_series_that_was_just_deleted_is_refused_and_one_in_the_ring_is_not_flushed() {
    let disk = MemoryDisk::new(1);
    let mut node = start(&disk, 1).unwrap();
    assert_eq!(node.post(vec![(key(0), numbers(&[(1, 5.5)]))]), Outcome::Acknowledged);
    node.ingest.freeze();
    node.ingest.forget(key(0));
    node.catalog.forget(&[key(0)]);
    let refused = node.ingest.append(vec![(may_write(key(0)), numbers(&[(2, 5.5)]))]);
    assert!(matches!(refused, Err(IngestError::Deleted)));
    node.flush().unwrap();
    assert_eq!(node.catalog.stats().segments, 0);
}

#[test]
fn files_left_by_a_merge_that_the_power_cut_are_told_apart_at_the_next_start() {
    for cut in 0..40 {
        let disk = MemoryDisk::new(cut);
        let mut node = start(&disk, 1).unwrap();
        let mut expected = Vec::new();
        for flush in 0..4 {
            flush_rows(&mut node, key(0), &[(flush, flush as f64)]);
            expected.push((flush, flush as f64));
        }
        disk.fail_after(cut, fault::Fault::PowerCut);
        let merged =
            node.catalog.merge_once(SEGMENT_BYTES_MAX, &mut node.disk).and_then(|_| node.catalog.sweep(&mut node.disk));
        disk.restart(cut);
        let mut again = start(&disk, 2).unwrap();
        assert_eq!(again.read(key(0)).unwrap(), expected, "cut at {cut}: {merged:?}");
        merge_all(&mut again);
        again.catalog.sweep(&mut again.disk).unwrap();
        assert_eq!(segment_files(&disk).len(), 1);
    }
}

#[test]
fn a_flush_on_its_way_is_never_jumped_over_by_a_merge() {
    let disk = MemoryDisk::new(1);
    let mut node = start(&disk, 1).unwrap();
    for flush in 0..3 {
        flush_rows(&mut node, key(0), &[(1, flush as f64)]);
    }
    // A flush that fails has taken a number; later ones follow it.
    node.post(vec![(key(0), numbers(&[(1, 99.0)]))]);
    disk.fail_after(2, fault::Fault::Io);
    assert!(node.flush().is_err());
    node.flush().unwrap();
    assert_eq!(merge_all(&mut node), 1);
    assert_eq!(node.read(key(0)).unwrap(), [(1, 99.0)]);
}

fn change() -> impl Strategy<Value = (u64, Vec<(i64, f64)>)> {
    (0..3_u64, prop::collection::vec((0..6_000_i64, -1e3..1e3), 1..300))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn merges_in_between_change_nothing_that_is_read(
        flushes in prop::collection::vec((change(), any::<bool>(), 0..4_i64), 1..12)
    ) {
        let disk = MemoryDisk::new(1);
        let mut node = start(&disk, 1).unwrap();
        let mut model: BTreeMap<u64, Rows> = BTreeMap::new();
        for ((series, mut rows), merges, run) in flushes {
            // Some long runs in order, so that there are blocks to be copied.
            rows.extend((0..run * 1500).map(|row| (100_000 + row, row as f64)));
            model.entry(series).or_default().extend(rows.iter().copied());
            flush_rows(&mut node, key(series * 3), &rows);
            if merges {
                merge_all(&mut node);
                node.catalog.sweep(&mut node.disk).unwrap();
            }
        }
        for (series, rows) in &model {
            prop_assert_eq!(node.read(key(series * 3)).unwrap(), rows.clone().into_iter().collect::<Vec<_>>());
        }
        let mut again = Node::start(disk.clone(), 2, SMALL, [Path::new(LOG), Path::new(SERIES)]).unwrap();
        for (series, rows) in model {
            prop_assert_eq!(again.read(key(series * 3)).unwrap(), rows.into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_merge_that_a_kill_left_in_memory_loses_nothing_when_the_power_goes_in_the_next_start() {
    for killed in 0..16 {
        for n in 0..12 {
            for seed in 0..8 {
                let disk = MemoryDisk::new(seed);
                let mut node = start(&disk, 1).unwrap();
                for time in 0..5 {
                    flush_rows(&mut node, key(0), &[(time, 1.5)]);
                }
                disk.fail_after(killed, Fault::Kill);
                let _ = node.catalog.merge_once(SEGMENT_BYTES_MAX, &mut node.disk);
                disk.restart_process();
                disk.fail_after(n, Fault::PowerCut);
                let _ = start(&disk, 2);
                disk.restart(seed);
                let rows = start(&disk, 3).unwrap().read(key(0)).unwrap();
                assert_eq!(rows.len(), 5, "killed at {killed}, power cut at {n}, seed {seed}: {rows:?}");
            }
        }
    }
}
