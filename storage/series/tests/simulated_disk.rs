//! The simulated disk itself: what it loses, what it keeps, and that it does what it says of itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test helpers outside of test functions")]

use series::fault::{Fault, MemoryDisk};
use series::{Disk, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const FOLDER: &str = "/d";

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

fn create(disk: &mut MemoryDisk, name: &str) {
    disk.execute(Op::Create { path: &path(name) }).unwrap();
}

fn sync(disk: &mut MemoryDisk, name: &str) {
    disk.execute(Op::Sync { path: &path(name) }).unwrap();
}

fn sync_folder(disk: &mut MemoryDisk) {
    disk.execute(Op::SyncDir { path: Path::new(FOLDER) }).unwrap();
}

fn rename(disk: &mut MemoryDisk, from: &str, to: &str) {
    disk.execute(Op::Rename { from: &path(from), to: &path(to) }).unwrap();
}

/// A file of 0, on the platter.
fn with_synced(bytes: usize) -> MemoryDisk {
    with_synced_and_seed(bytes, 1)
}

fn with_synced_and_seed(bytes: usize, seed: u64) -> MemoryDisk {
    let mut disk = MemoryDisk::new(seed);
    create(&mut disk, "a");
    disk.write_at(&path("a"), 0, &vec![0; bytes]).unwrap();
    sync(&mut disk, "a");
    sync_folder(&mut disk);
    disk
}

/// What `seeds` power cuts leave of the same disk, made anew each time.
fn outcomes(make: impl Fn() -> MemoryDisk, seeds: u64) -> BTreeSet<BTreeMap<PathBuf, Vec<u8>>> {
    (0..seeds)
        .map(|seed| {
            let disk = make();
            disk.restart(seed);
            disk.written()
        })
        .collect()
}

#[test]
fn what_was_synced_survives_and_each_other_sector_or_not() {
    let make = || {
        let mut disk = with_synced(2048);
        disk.write_at(&path("a"), 0, &[1; 512]).unwrap();
        sync(&mut disk, "a");
        disk.write_at(&path("a"), 512, &[2; 1024]).unwrap();
        disk
    };
    let found = outcomes(make, 200);
    let sectors = |content: &Vec<u8>| [content[0], content[512], content[1024], content[1536]];
    let found: BTreeSet<[u8; 4]> = found.iter().map(|files| sectors(&files[&path("a")])).collect();
    assert_eq!(found, [[1, 0, 0, 0], [1, 2, 0, 0], [1, 0, 2, 0], [1, 2, 2, 0]].into());
}

#[test]
fn a_sector_written_twice_may_be_what_it_was_in_between() {
    let make = || {
        let mut disk = with_synced(512);
        disk.write_at(&path("a"), 0, &[1; 300]).unwrap();
        disk.write_at(&path("a"), 100, &[2; 300]).unwrap();
        disk
    };
    let found: BTreeSet<(u8, u8)> =
        outcomes(make, 200).iter().map(|files| (files[&path("a")][50], files[&path("a")][250])).collect();
    assert_eq!(found, [(0, 0), (1, 1), (1, 2)].into());
}

#[test]
fn a_name_survives_with_its_folder_only_and_a_rename_as_a_whole() {
    let make = || {
        let mut disk = with_synced(1);
        create(&mut disk, "b.tmp");
        rename(&mut disk, "b.tmp", "b");
        rename(&mut disk, "a", "c");
        disk
    };
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<String> {
        files.keys().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    let found: BTreeSet<Vec<String>> = outcomes(make, 300).iter().map(names).collect();
    let expected: [&[&str]; 6] = [&["a"], &["c"], &["a", "b"], &["b", "c"], &["a", "b.tmp"], &["b.tmp", "c"]];
    assert_eq!(found, expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect()).into());
    let synced = || {
        let mut disk = make();
        sync_folder(&mut disk);
        disk
    };
    assert_eq!(outcomes(synced, 50).iter().map(names).collect::<BTreeSet<_>>(), [vec!["b".into(), "c".into()]].into());
}

#[test]
fn after_a_failed_sync_the_next_one_tells_nothing() {
    let kept = |seed| {
        let mut disk = with_synced_and_seed(512, seed);
        disk.write_at(&path("a"), 0, &[1; 512]).unwrap();
        disk.fail_after(0, Fault::Io);
        disk.execute(Op::Sync { path: &path("a") }).unwrap_err();
        sync(&mut disk, "a");
        assert_eq!(disk.content(&path("a")).unwrap()[0], 1, "the process sees what it wrote");
        disk.restart(seed);
        disk.content(&path("a")).unwrap()[0]
    };
    assert_eq!((0..50).map(kept).collect::<BTreeSet<u8>>(), [0, 1].into());
}

#[test]
fn after_a_failed_sync_of_a_folder_nothing_changes_until_the_file_system_is_mounted_anew() {
    let mut disk = with_synced(512);
    create(&mut disk, "b");
    disk.fail_after(0, Fault::Io);
    disk.execute(Op::SyncDir { path: Path::new(FOLDER) }).unwrap_err();
    assert!(disk.is_read_only());
    disk.execute(Op::SyncDir { path: Path::new(FOLDER) }).unwrap_err();
    disk.write_at(&path("a"), 0, &[1]).unwrap_err();
    disk.restart_process();
    disk.write_at(&path("a"), 0, &[1]).unwrap_err();
    assert_eq!(disk.length(&path("a")).unwrap(), 512);
    disk.restart(3);
    disk.write_at(&path("a"), 0, &[1]).unwrap();
}

#[test]
fn a_kill_loses_nothing_that_was_written() {
    let mut disk = with_synced(512);
    disk.write_at(&path("a"), 0, &[1; 512]).unwrap();
    create(&mut disk, "b");
    disk.fail_after(0, Fault::Kill);
    disk.write_at(&path("b"), 0, &[2; 100]).unwrap_err();
    assert!(disk.is_off());
    disk.length(&path("a")).unwrap_err();
    disk.restart_process();
    assert_eq!(disk.content(&path("a")).unwrap(), [1; 512]);
    assert!(disk.content(&path("b")).unwrap().iter().all(|byte| *byte == 2));
}

#[test]
fn a_full_disk_takes_nothing_until_there_is_space() {
    let mut disk = with_synced(512);
    disk.fail_after(0, Fault::Full);
    assert!(disk.write_at(&path("a"), 0, &[1; 10]).unwrap_err().is_no_space());
    assert!(disk.execute(Op::Create { path: &path("b") }).unwrap_err().is_no_space());
    disk.execute(Op::Remove { path: &path("a") }).unwrap();
    disk.free_space();
    create(&mut disk, "b");
}

#[test]
fn what_a_power_cut_leaves_is_among_what_it_may_leave_and_nothing_else_is() {
    let make = || {
        let mut disk = with_synced(1500);
        disk.write_at(&path("a"), 400, &[1; 700]).unwrap();
        disk.write_at(&path("a"), 1000, &[2; 1000]).unwrap();
        create(&mut disk, "b.tmp");
        disk.write_at(&path("b.tmp"), 0, &[3; 600]).unwrap();
        rename(&mut disk, "b.tmp", "b");
        disk
    };
    let asked = make();
    for files in outcomes(make, 500) {
        assert_eq!(asked.may_leave(&files), Ok(()));
    }
    let mut files = asked.written();
    assert_eq!(asked.may_leave(&files), Ok(()), "all that was written");
    assert_eq!(asked.may_leave(&asked.synced()), Ok(()), "nothing but what was synced");
    assert_eq!(asked.synced(), [(path("a"), vec![0; 1500])].into());
    files.get_mut(&path("a")).unwrap()[3] = 9;
    assert!(asked.may_leave(&files).unwrap_err().to_string().contains("sector at byte 0"));
    files.get_mut(&path("a")).unwrap()[3] = 0;
    files.get_mut(&path("a")).unwrap().truncate(1499);
    assert!(asked.may_leave(&files).is_err(), "shorter than what was synced");
    files.remove(&path("a"));
    assert!(asked.may_leave(&files).unwrap_err().to_string().contains("names"));
}
