//! Logs cut off and with flipped bits: nothing invented, nothing twice, damage before the tail is never passed over.

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
use proptest::prelude::*;
use series::fault::MemoryDisk;
use series::{Catalog, Ingest, IngestLimits, LogOptions, LogWriter, RecoveryOptions, RecoveryReport, check, recover};
use std::path::{Path, PathBuf};

/// A log of several files; every post has one row, whose time is the post's number. The last `together` share a sync.
fn written(posts: u64, together: usize) -> MemoryDisk {
    let disk = MemoryDisk::new(1);
    let mut node = start(&disk, 1).unwrap();
    let rows = |k: u64| vec![(key(k % 2), numbers(&[(i64::try_from(k).unwrap(), k as f64)]))];
    for k in 0..posts {
        assert_eq!(node.post(rows(k)), Outcome::Acknowledged);
    }
    node.post_all((posts..posts + together as u64).map(rows).collect());
    disk
}

fn logs(disk: &MemoryDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.starts_with(LOG)).collect()
}

fn recovered(disk: &MemoryDisk, salvage: bool) -> Result<(Vec<i64>, RecoveryReport), String> {
    let mut disk = disk.clone();
    let catalog = Catalog::open(Path::new(SERIES), &mut disk).unwrap();
    let options = RecoveryOptions { memory_bytes_max: 1 << 20, salvage };
    let report = recover(&mut disk, Path::new(LOG), &catalog, &|_| true, options).map_err(|error| error.to_string())?;
    let mut node = start(&disk, 2).unwrap();
    let mut times = Vec::new();
    for number in 0..2 {
        for (time, value) in node.read(key(number)).unwrap() {
            assert_eq!((time as f64, time as u64 % 2), (value, number), "not what was written");
            times.push(time);
        }
    }
    times.sort_unstable();
    Ok((times, report))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_is_damage_or_the_tail_and_salvage_keeps_all_other_posts(
        posts in 1..90u64, together in 0..4usize, place in any::<u64>(), bit in 0..8u32,
    ) {
        let disk = written(posts, together);
        let all = posts as i64 + together as i64;
        let files = logs(&disk);
        let file = &files[place as usize % files.len()];
        let mut content = disk.content(file).unwrap();
        // Behind the frames are only zeroes: there the flip would hit nothing.
        let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let byte = (place >> 8) as usize % used;
        content[byte] ^= 1 << bit;
        disk.replace(file, content);
        match recovered(&disk, false) {
            Ok((times, _)) => {
                // What is left is all posts, or all up to the last sync, which nothing after it vouches for.
                let lost = all - times.len() as i64;
                prop_assert!(times.iter().copied().eq(0..times.len() as i64));
                prop_assert!(lost <= (together as i64).max(1), "{} lost in silence", lost);
                prop_assert!(lost == 0 || file == files.last().unwrap());
            }
            Err(error) => {
                prop_assert!(error.contains("coreward series salvage"), "{}", error);
                let checked = check(&mut disk.clone(), Path::new(LOG), &|_| true, 1 << 20).unwrap();
                prop_assert_eq!(&files, &logs(&disk), "a check changed the folder");
                let (times, report) = recovered(&disk, true).unwrap();
                prop_assert_eq!((&checked.damage, checked.points), (&report.damage, report.points));
                prop_assert!(!report.damage.is_empty());
                prop_assert!(times.is_sorted() && times.windows(2).all(|pair| pair[0] != pair[1]));
                prop_assert!(times.iter().all(|time| (0..all).contains(time)));
                // A broken header costs its file, a broken frame one post.
                prop_assert!(byte < 64 || times.len() as i64 >= all - 1, "{} of {}", times.len(), all);
            }
        }
    }

    #[test]
    fn a_log_that_was_cut_off_is_damage(posts in 1..90u64, place in any::<u64>()) {
        let disk = written(posts, 0);
        let files = logs(&disk);
        let file = &files[place as usize % files.len()];
        let mut content = disk.content(file).unwrap();
        content.truncate((place >> 8) as usize % content.len());
        disk.replace(file, content);
        let error = recovered(&disk, false).unwrap_err();
        prop_assert!(error.contains("is damaged"), "{}", error);
        let (times, _) = recovered(&disk, true).unwrap();
        prop_assert!(times.iter().all(|time| (0..posts as i64).contains(time)));
    }

    #[test]
    fn the_end_of_the_last_file_torn_off_is_a_tail_up_to_the_last_sync(posts in 1..60u64, together in 1..6usize, zeroed in 1..2000usize) {
        let disk = written(posts, together);
        let file = logs(&disk).pop().unwrap();
        let mut content = disk.content(&file).unwrap();
        let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let from = used.saturating_sub(zeroed).max(64);
        content[from..].fill(0);
        disk.replace(&file, content);
        // Zeroes to the end leave no witness; what is found is a prefix.
        let (times, _) = recovered(&disk, false).unwrap();
        prop_assert!(times.iter().copied().eq(0..times.len() as i64));
    }
}

#[test]
fn a_missing_file_in_the_middle_is_refused() {
    let disk = written(90, 0);
    let files = logs(&disk);
    assert!(files.len() > 2);
    series::Disk::execute(&mut disk.clone(), series::Op::Remove { path: &files[1] }).unwrap();
    let error = recovered(&disk, false).unwrap_err();
    assert!(error.contains("misses the file before it"), "{error}");
    let (times, report) = recovered(&disk, true).unwrap();
    assert!(!times.is_empty() && times.len() < 90 && report.damage.len() == 1);
}

/// One file with this id and this many posts of the same bytes.
fn file_with_id(file_id: u64, posts: i64) -> (MemoryDisk, PathBuf, Vec<u8>) {
    let mut disk = MemoryDisk::new(1);
    let limits = IngestLimits { ring_bytes_max: 1 << 20, flush_bytes: 1 << 20 };
    let mut ingest = Ingest::new(limits, 1, 0);
    let next_file_id = Box::new(move || file_id);
    let options = LogOptions {
        dir: LOG.into(),
        epoch: 1,
        chain: 0,
        file_bytes: 8192,
        next_spare: Box::new(|| None),
        next_file_id,
    };
    let mut writer = LogWriter::new(options);
    for time in 0..posts {
        let (_, group) =
            ingest.append(vec![(may_write(key(time as u64 % 2)), numbers(&[(time, time as f64)]))]).unwrap();
        writer.push(group);
    }
    writer.step(&mut disk);
    let [path] = logs(&disk).try_into().unwrap();
    let content = disk.content(&path).unwrap();
    (disk, path, content)
}

#[test]
fn frames_of_another_file_id_behind_the_tail_never_come_back() {
    let (_, _, old) = file_with_id(7, 20);
    for (file_id, expected) in [(8, 5), (7, 20)] {
        let (disk, path, mut content) = file_with_id(file_id, 5);
        let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        content[used..].copy_from_slice(&old[used..]);
        disk.replace(&path, content);
        let (times, _) = recovered(&disk, false).unwrap();
        assert!(times.iter().copied().eq(0..expected), "id {file_id}: {times:?}");
    }
}
