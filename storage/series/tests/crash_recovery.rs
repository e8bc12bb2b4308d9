//! What was acknowledged survives: every disk operation fails once, the power goes at every operation, logs are torn.

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
use model::SeriesKey;
use series::fault::{Fault, MemoryDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which value a time of a series may have: of all the writes, in their order, none older than the last acknowledged.
#[derive(Default)]
struct Model {
    writes: BTreeMap<(SeriesKey, i64), Vec<(f64, bool)>>,
    /// Times that only one post wrote, over all its series: there together, or not at all.
    markers: Vec<Vec<(SeriesKey, i64)>>,
}

impl Model {
    fn note(&mut self, post: &[(SeriesKey, Vec<(i64, f64)>)], acknowledged: bool) {
        for (key, rows) in post {
            for (time, value) in rows {
                self.writes.entry((*key, *time)).or_default().push((*value, acknowledged));
            }
        }
        self.markers.push(post.iter().map(|(key, rows)| (*key, rows[0].0)).collect());
    }

    fn check(&self, node: &mut Node<MemoryDisk>, context: &str) {
        let mut found = BTreeMap::new();
        for number in 0..SERIES_COUNT {
            for (time, value) in node.read(key(number)).unwrap() {
                found.insert((key(number), time), value);
            }
        }
        let times: BTreeSet<(SeriesKey, i64)> = found.keys().copied().collect();
        for (place, writes) in &self.writes {
            let last_acknowledged = writes.iter().rposition(|(_, acknowledged)| *acknowledged);
            match (found.remove(place), last_acknowledged) {
                (None, None) => {}
                (None, Some(_)) => panic!("{context}: {place:?} was acknowledged and is lost"),
                (Some(value), last) => {
                    let allowed = &writes[last.unwrap_or(0)..];
                    assert!(
                        allowed.iter().any(|(v, _)| *v == value),
                        "{context}: {place:?} is {value}, not of {allowed:?}"
                    );
                }
            }
        }
        assert!(found.is_empty(), "{context}: invented {found:?}");
        for post in &self.markers {
            let there: Vec<bool> = post.iter().map(|place| times.contains(place)).collect();
            assert!(there.iter().all(|t| *t == there[0]), "{context}: half of a post: {post:?} {there:?}");
        }
    }
}

const SERIES_COUNT: u64 = 4;

/// The k-th post of a scenario: a marker of its own in each of its series, then rows that overwrite others'.
fn post(k: u64, random: &mut Random) -> Vec<(SeriesKey, Vec<(i64, f64)>)> {
    let first = random.below(SERIES_COUNT);
    (first..SERIES_COUNT.min(first + 1 + k % 3))
        .map(|series| {
            let marker = (1_000_000 + i64::try_from(k).unwrap(), k as f64);
            let more = 1 + random.below(30);
            let rows =
                (0..more).map(|row| (random.below(50) as i64, (k * 1000 + row) as f64)).collect::<BTreeMap<_, _>>();
            (key(series), std::iter::once(marker).chain(rows).collect())
        })
        .collect()
}

/// Posts, flushes, several files of log. Stops at nothing but the end: errors are answers.
fn scenario(disk: &MemoryDisk, kind: u64, model: &mut Model, epoch: u64) -> Option<Node<MemoryDisk>> {
    let mut random = Random(kind);
    let mut node = start(disk, epoch).ok()?;
    for round in 0..12 {
        let posts: Vec<_> = (0..1 + kind % 3).map(|n| post(epoch * 10_000 + round * 10 + n, &mut random)).collect();
        let batches = posts.iter().map(|post| post.iter().map(|(key, rows)| (*key, numbers(rows))).collect()).collect();
        for (post, outcome) in posts.iter().zip(node.post_all(batches)) {
            model.note(post, outcome == Outcome::Acknowledged);
        }
        if round % (3 + kind) == 2 {
            let _ = node.flush();
        }
    }
    Some(node)
}

fn operations_of(kind: u64) -> u64 {
    let disk = MemoryDisk::new(1);
    let mut model = Model::default();
    scenario(&disk, kind, &mut model, 1).unwrap();
    let operations = disk.operations();
    model.check(&mut start(&disk, 2).unwrap(), "without a fault");
    assert!(model.writes.values().flatten().all(|(_, acknowledged)| *acknowledged));
    operations
}

#[test]
fn whichever_disk_operation_fails_nothing_acknowledged_is_lost_and_nothing_invented() {
    for kind in 0..3 {
        for fault in [Fault::Io, Fault::NoSpace, Fault::Full] {
            for n in 0..operations_of(kind) {
                for power_cut in [false, true] {
                    let context = format!("scenario {kind}, {fault:?} at {n}, power cut {power_cut}");
                    let disk = MemoryDisk::new(n);
                    disk.fail_after(n, fault);
                    let mut model = Model::default();
                    let node = scenario(&disk, kind, &mut model, 1);
                    if let Some(mut node) = node {
                        // What this process answers to readers must hold, too.
                        disk.restart_process();
                        model.check(&mut node, &context);
                    }
                    if power_cut || disk.is_read_only() {
                        disk.restart(n);
                    } else {
                        disk.free_space();
                    }
                    model.check(&mut start(&disk, 2).unwrap_or_else(|error| panic!("{context}: {error}")), &context);
                }
            }
        }
    }
}

#[test]
fn the_power_may_go_at_every_operation_and_again_in_the_recovery() {
    for kind in 0..3 {
        for n in 0..operations_of(kind) {
            let disk = MemoryDisk::new(n);
            disk.fail_after(n, Fault::PowerCut);
            let mut model = Model::default();
            scenario(&disk, kind, &mut model, 1);
            disk.restart(n + 1);
            // The first recoveries are cut, too.
            let mut epoch = 2;
            let mut node = loop {
                if epoch < 5 {
                    disk.fail_after(n % 7 + epoch * 9, Fault::PowerCut);
                }
                if let Ok(node) = start(&disk, epoch) {
                    break node;
                }
                disk.restart(n + epoch);
                epoch += 1;
            };
            // The planned cut may still be to come.
            disk.restart_process();
            model.check(&mut node, &format!("scenario {kind}, power cut at {n}"));
        }
    }
}

#[test]
fn several_lives_with_power_cuts_keep_all_that_was_acknowledged() {
    for seed in 0..150 {
        let disk = MemoryDisk::new(seed);
        let mut model = Model::default();
        let mut random = Random(seed);
        for life in 1..5 {
            disk.fail_after(random.below(80), Fault::PowerCut);
            scenario(&disk, seed % 3, &mut model, life);
            disk.restart(random.below(u64::MAX >> 34));
        }
        model.check(&mut start(&disk, 9).unwrap(), &format!("seed {seed}"));
    }
}

#[test]
fn after_a_failed_sync_there_is_never_an_acknowledgement_again() {
    let disk = MemoryDisk::new(3);
    let mut node = start(&disk, 1).unwrap();
    assert_eq!(node.post(vec![(key(1), numbers(&[(0, 1.0)]))]), Outcome::Acknowledged);
    // The next step writes, then syncs.
    disk.fail_after(1, Fault::Io);
    assert_eq!(node.post(vec![(key(1), numbers(&[(1, 2.0)]))]), Outcome::Poisoned);
    for _ in 0..3 {
        assert_eq!(node.post(vec![(key(1), numbers(&[(2, 3.0)]))]), Outcome::Poisoned);
    }
    assert_eq!(node.read(key(1)).unwrap(), [(0, 1.0)], "reads go on, of what is durable");
    assert!(node.writer.is_poisoned());
    assert!(node.ingest.stats().is_poisoned);
}

#[test]
fn a_full_disk_refuses_posts_and_writing_resumes_when_there_is_space() {
    let disk = MemoryDisk::new(3);
    let mut node = start(&disk, 1).unwrap();
    let rows: Vec<(i64, f64)> = (0..100).map(|t| (t, t as f64)).collect();
    assert_eq!(node.post(vec![(key(1), numbers(&rows))]), Outcome::Acknowledged);
    disk.fail_after(0, Fault::Full);
    for _ in 0..3 {
        assert_eq!(node.post(vec![(key(1), numbers(&[(500, 0.0)]))]), Outcome::NoSpace);
    }
    assert_eq!(node.read(key(1)).unwrap(), rows);
    disk.free_space();
    assert_eq!(node.post(vec![(key(1), numbers(&[(600, 6.0)]))]), Outcome::Acknowledged);
    let mut expected = rows;
    expected.push((600, 6.0));
    assert_eq!(node.read(key(1)).unwrap(), expected, "the refused points stay away");
}

#[test]
fn a_flush_cuts_the_log_and_an_idle_node_has_none() {
    let disk = MemoryDisk::new(3);
    let mut node = start(&disk, 1).unwrap();
    for k in 0..40 {
        let rows: Vec<(i64, f64)> = (0..50).map(|t| (k * 50 + t, 1.0)).collect();
        assert_eq!(node.post(vec![(key(1), numbers(&rows))]), Outcome::Acknowledged);
    }
    assert!(node.writer.file_count() > 3);
    node.flush().unwrap();
    assert_eq!(node.writer.file_count(), 0);
    assert!(!disk.paths().iter().any(|path| path.starts_with(LOG)));
    assert_eq!(node.post(vec![(key(1), numbers(&[(9_000, 2.0)]))]), Outcome::Acknowledged);
    let mut node = start(&disk, 2).unwrap();
    assert_eq!(node.report.points, 1, "only what was not in a segment is replayed");
    assert_eq!(node.read(key(1)).unwrap().len(), 2001);
}

#[test]
fn what_was_posted_before_a_cut_leaves_the_log_with_the_flush_although_posts_go_on() {
    for has_checkpoint in [false, true] {
        let disk = MemoryDisk::new(3);
        let mut node = start(&disk, 1).unwrap();
        assert_eq!(node.post(vec![(key(1), numbers(&[(1, 1.0)]))]), Outcome::Acknowledged);
        node.writer.cut();
        let cut_off = disk.paths();
        node.ingest.freeze();
        let frozen = node.ingest.frozen_ready().unwrap();
        // Without the cut this would be in the same file, which would stay.
        assert_eq!(node.post(vec![(key(1), numbers(&[(2, 2.0)]))]), Outcome::Acknowledged);
        node.catalog.flush(&frozen, &mut node.disk).unwrap();
        node.ingest.flushed(frozen.through());
        if has_checkpoint {
            assert_eq!(node.writer.checkpoint(frozen.through(), &mut node.disk).unwrap(), 1);
            assert!(cut_off.iter().all(|path| !disk.paths().contains(path)));
        }
        disk.restart(3);
        assert_eq!(start(&disk, 2).unwrap().read(key(1)).unwrap(), [(1, 1.0), (2, 2.0)]);
    }
}

#[test]
fn a_post_larger_than_a_log_file_gets_a_file_of_its_own() {
    let disk = MemoryDisk::new(3);
    let mut node = start(&disk, 1).unwrap();
    let rows: Vec<(i64, f64)> = (0..2000).map(|t| (t, 0.5)).collect();
    for _ in 0..2 {
        assert_eq!(node.post(vec![(key(1), numbers(&[(-1, 2.0)]))]), Outcome::Acknowledged);
        assert_eq!(node.post(vec![(key(2), numbers(&rows))]), Outcome::Acknowledged);
    }
    let mut node = start(&disk, 2).unwrap();
    assert_eq!(node.read(key(2)).unwrap(), rows);
    assert_eq!(node.read(key(1)).unwrap(), [(-1, 2.0)]);
}

#[test]
fn points_of_series_without_a_holder_are_dropped_by_the_replay() {
    let disk = MemoryDisk::new(3);
    let mut node = start(&disk, 1).unwrap();
    node.post(vec![(key(1), numbers(&[(0, 1.0)])), (key(2), numbers(&[(0, 2.0), (1, 2.0)]))]);
    let mut handle = disk.clone();
    let catalog = series::Catalog::open(Path::new(SERIES), &mut handle).unwrap();
    let options = series::RecoveryOptions { memory_bytes_max: 1 << 20, salvage: false };
    let report = series::recover(&mut handle, Path::new(LOG), &catalog, &|k| k != key(2), options).unwrap();
    assert_eq!((report.points, report.points_dropped), (1, 2));
    assert!(catalog.for_key(key(2), i64::MIN, i64::MAX).is_empty());
    assert_eq!(catalog.for_key(key(1), i64::MIN, i64::MAX).len(), 1);
}

#[test]
fn a_refused_post_left_behind_an_acknowledged_one_does_not_overwrite_it_at_the_next_start() {
    let sizes = Sizes { log_file_bytes: 1 << 20, ..SMALL };
    let dirs = [Path::new(LOG), Path::new(SERIES)];
    let disk = MemoryDisk::new(3);
    let mut node = Node::start(disk.clone(), 1, sizes, dirs).unwrap();
    node.post(vec![(key(1), numbers(&[(0, 1.0)]))]);
    // Two small posts reach the file, the large one behind them does not: all three are refused.
    let large: Vec<(i64, f64)> = (100..10_100).map(|t| (t, 0.0)).collect();
    disk.fail_after(1, Fault::NoSpace);
    let small = |value| vec![(key(1), numbers(&[(7, value)]))];
    let outcomes = node.post_all(vec![small(2.0), small(3.0), vec![(key(1), numbers(&large))]]);
    assert_eq!(outcomes, [Outcome::NoSpace; 3]);
    // Written over the first of them, so that the second follows it in the file.
    assert_eq!(node.post(small(4.0)), Outcome::Acknowledged);
    let mut node = start(&disk, 2).unwrap();
    assert_eq!(node.read(key(1)).unwrap(), [(0, 1.0), (7, 4.0)]);
}

#[test]
fn a_post_that_a_kill_left_in_memory_is_whole_or_gone_when_the_power_goes_in_the_recovery() {
    for n in 0..14 {
        for seed in 0..30 {
            let disk = MemoryDisk::new(seed);
            let mut node = start(&disk, 1).unwrap();
            assert_eq!(node.post(vec![(key(1), numbers(&[(0, 1.0)]))]), Outcome::Acknowledged);
            // The process writes the second post and dies before the sync.
            disk.fail_after(1, Fault::Kill);
            assert_eq!(node.post(vec![(key(1), numbers(&[(0, 2.0), (1, 2.0)]))]), Outcome::Poisoned);
            disk.restart_process();
            disk.fail_after(n, Fault::PowerCut);
            let _ = start(&disk, 2);
            disk.restart(seed);
            let rows = start(&disk, 3).unwrap().read(key(1)).unwrap();
            assert!(rows == [(0, 1.0)] || rows == [(0, 2.0), (1, 2.0)], "power cut at {n}, seed {seed}: {rows:?}");
        }
    }
}

#[test]
fn a_log_cut_in_part_has_no_gap_when_the_power_goes_in_the_next_start() {
    // The sync behind the first file that the checkpoint removes.
    const FAILED: u64 = 6;
    for n in 0..50 {
        for seed in 0..30 {
            let disk = MemoryDisk::new(seed);
            let mut node = start(&disk, 1).unwrap();
            let rows: Vec<(i64, f64)> = (0..200).map(|time| (time, 1.0)).collect();
            for _ in 0..4 {
                assert_eq!(node.post(vec![(key(1), numbers(&rows))]), Outcome::Acknowledged);
            }
            disk.fail_after(FAILED, Fault::NoSpace);
            assert!(node.flush().unwrap_err().contains("sync the folder"));
            disk.restart_process();
            disk.fail_after(n, Fault::PowerCut);
            let _ = start(&disk, 2);
            disk.restart(seed);
            let mut node = start(&disk, 3).unwrap_or_else(|error| panic!("power cut at {n}, seed {seed}: {error}"));
            assert_eq!(node.read(key(1)).unwrap(), rows);
        }
    }
}
