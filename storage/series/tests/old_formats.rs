//! Files of earlier versions are read for ever: `fixtures/vN` holds a segment, a log file and the rows in each of them,
//! written by `examples/make_fixture.rs` when that version was the newest.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test helpers outside of test functions"
)]

mod common;
#[path = "common/rows.rs"]
mod rows;

use common::{LOG, SERIES, key, start};
use series::fault::MemoryDisk;
use std::path::Path;

const SERIES_NUMBERS: [u64; 3] = [1, 4, 7];

/// A disk with the files of this kind only.
fn disk_with(version: &str, extension: &str, dir: &str) -> MemoryDisk {
    let disk = MemoryDisk::new(1);
    for entry in std::fs::read_dir(folder(version)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|found| found == extension) {
            disk.replace(&Path::new(dir).join(path.file_name().unwrap()), std::fs::read(&path).unwrap());
        }
    }
    assert_ne!(disk.paths(), Vec::<std::path::PathBuf>::new(), "a fixture has such a file");
    disk
}

fn folder(version: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version)
}

fn assert_holds_the_expected_rows(version: &str, disk: &MemoryDisk) {
    let mut node = start(disk, 2).unwrap();
    let found: String = SERIES_NUMBERS.iter().map(|number| rows::text_of(&mut node, key(*number))).collect();
    let expected = std::fs::read_to_string(folder(version).join("expected.txt")).unwrap();
    assert!(found == expected, "{version}: other rows than expected.txt has:\n{found}");
}

#[test]
fn a_segment_of_version_1_is_read() {
    assert_holds_the_expected_rows("v1", &disk_with("v1", "seg", SERIES));
}

#[test]
fn a_log_of_version_1_is_recovered() {
    assert_holds_the_expected_rows("v1", &disk_with("v1", "log", LOG));
}

#[test]
fn a_segment_of_version_2_is_read() {
    assert_holds_the_expected_rows("v2", &disk_with("v2", "seg", SERIES));
}
