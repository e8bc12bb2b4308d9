//! Writes a segment, a log file and the rows that both hold, as the present version of the formats does: a fixture for
//! `tests/old_formats.rs`. Run it once for each version, before that version is replaced:
//!
//! `cargo run -p series --example make_fixture -- storage/series/tests/fixtures/v1`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for developers: it stops at the first fault")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/rows.rs"]
mod rows;

use common::{LOG, Node, SERIES, Sizes, key};
use series::fault::MemoryDisk;
use series::{Cells, Column, Points};
use std::path::Path;

/// All in slot 1.
const SERIES_NUMBERS: [u64; 3] = [1, 4, 7];
/// More than a block.
const STATES: usize = 4100;
const SIZES: Sizes = Sizes { log_file_bytes: 65_536, recovery_bytes: 1 << 20 };

fn main() {
    let folder = std::env::args().nth(1).expect("the folder to write to");
    let folder = Path::new(&folder);
    let disk = MemoryDisk::new(1);
    let mut node = Node::start(disk.clone(), 1, SIZES, [Path::new(LOG), Path::new(SERIES)]).unwrap();
    for post in posts() {
        node.post(post);
    }
    let expected: String = SERIES_NUMBERS.iter().map(|number| rows::text_of(&mut node, key(*number))).collect();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("expected.txt"), expected).unwrap();
    copy_all(&disk, LOG, folder);
    node.flush().unwrap();
    copy_all(&disk, SERIES, folder);
}

fn copy_all(disk: &MemoryDisk, from: &str, folder: &Path) {
    for path in disk.paths().into_iter().filter(|path| path.starts_with(from)) {
        std::fs::write(folder.join(path.file_name().unwrap()), disk.content(&path).unwrap()).unwrap();
    }
}

fn posts() -> Vec<Vec<(model::SeriesKey, Points)>> {
    let [mixed, states, late] = SERIES_NUMBERS.map(key);
    let steady = (0i64..).map(|row| row * 1_000_000_000).take(STATES).collect();
    let states_points =
        points(steady, vec![column("on", Cells::Boolean((0..STATES).map(|row| row % 3 == 0).collect()))]);
    vec![
        vec![
            (mixed, mixed_points()),
            (late, points(vec![5_000_000_000, 1_500_000_000], vec![numbers(&[46.519_653, 6.5])])),
        ],
        vec![(states, states_points)],
        // Replaces the row at 5 s as a whole, and sorts one row in between.
        vec![(late, points(vec![2, 5_000_000_000], vec![column("note", text(&["", "é \"x\""], &[1, 0]))]))],
    ]
}

/// Every kind of cell, absent ones, two kinds of one name, times before the holder event.
fn mixed_points() -> Points {
    let values = vec![71.25, -0.0, 1e300, 5e-324, 0.1 + 0.2, f64::from(16_777_217u32)];
    let times = vec![-1_000_000_000, 0, 4_000_000, 1_234_567_891, 86_400_000_000_000, 4_102_444_800_000_000_000];
    let with_gaps = |name: &str, cells: Cells, present: [bool; 6]| Column {
        name: name.into(),
        cells,
        present: Some(present.to_vec()),
    };
    let states = text(&["awake", "deep\nsleep"], &[0, 1, 1, 0, 0, 1]);
    points(
        times,
        vec![
            column("value", Cells::Number(values)),
            with_gaps("state", states, [true, true, false, true, false, true]),
            with_gaps("change", Cells::Number(vec![1.0; 6]), [true, false, false, false, false, false]),
            with_gaps("change", Cells::Boolean(vec![true; 6]), [false, false, true, false, true, false]),
        ],
    )
}

fn points(times_ns: Vec<i64>, columns: Vec<Column>) -> Points {
    Points { times_ns, columns }
}

fn column(name: &str, cells: Cells) -> Column {
    Column { name: name.into(), cells, present: None }
}

fn numbers(values: &[f64]) -> Column {
    column("value", Cells::Number(values.to_vec()))
}

fn text(dictionary: &[&str], codes: &[u32]) -> Cells {
    Cells::Text { dictionary: dictionary.iter().map(|text| (*text).into()).collect(), codes: codes.to_vec() }
}
