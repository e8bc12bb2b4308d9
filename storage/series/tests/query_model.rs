//! Reading against a model: any order of writes, any spread over ring, frozen ring and segments, any page size.

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
use series::{Cells, Column, Points};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A row as a client sees it: only the columns that have a value.
type Row = BTreeMap<&'static str, Cell>;

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Number(f64),
    Text(String),
    Boolean(bool),
}

const NAMES: [&str; 4] = ["a", "b", "t", "flag"];

fn any_row() -> impl Strategy<Value = Row> {
    let number = || proptest::option::of((-100..100i32).prop_map(f64::from));
    let text = proptest::option::of("[xyzé\"]{0,2}");
    (number(), number(), text, proptest::option::of(any::<bool>())).prop_map(|(a, b, t, flag)| {
        let cells = [a.map(Cell::Number), b.map(Cell::Number), t.map(Cell::Text), flag.map(Cell::Boolean)];
        NAMES.into_iter().zip(cells).filter_map(|(name, cell)| Some((name, cell?))).collect()
    })
}

fn points_of(rows: &[(i64, Row)]) -> Points {
    let mut columns = Vec::new();
    for name in NAMES {
        let cells: Vec<Option<&Cell>> = rows.iter().map(|(_, row)| row.get(name)).collect();
        let present: Vec<bool> = cells.iter().map(|cell| cell.is_some()).collect();
        let cells = match name {
            "a" | "b" => {
                Cells::Number(cells.iter().map(|c| if let Some(Cell::Number(n)) = c { *n } else { 7.0 }).collect())
            }
            "flag" => Cells::Boolean(cells.iter().map(|c| matches!(c, Some(Cell::Boolean(true)))).collect()),
            _ => {
                let mut dictionary: Vec<Box<str>> = Vec::new();
                let codes = cells.iter().map(|cell| {
                    let Some(Cell::Text(text)) = cell else { return 999 };
                    let known = dictionary.iter().position(|entry| **entry == **text);
                    known.unwrap_or_else(|| {
                        dictionary.push(text.as_str().into());
                        dictionary.len() - 1
                    }) as u32
                });
                let codes = codes.collect();
                Cells::Text { dictionary, codes }
            }
        };
        columns.push(Column { name: name.into(), cells, present: Some(present) });
    }
    Points { times_ns: rows.iter().map(|(time, _)| *time).collect(), columns }
}

fn row_of(columns: &[Column], row: usize) -> Row {
    let mut found = Row::new();
    for column in columns.iter().filter(|column| column.is_present(row)) {
        let cell = match &column.cells {
            Cells::Number(values) => Cell::Number(values[row]),
            Cells::Boolean(values) => Cell::Boolean(values[row]),
            Cells::Text { dictionary, codes } => Cell::Text(dictionary[codes[row] as usize].to_string()),
        };
        let name = NAMES.into_iter().find(|name| **name == *column.name).unwrap();
        assert!(found.insert(name, cell).is_none());
    }
    found
}

#[derive(Clone, Debug)]
enum Step {
    Post(u64, Vec<(i64, Row)>),
    Freeze,
    Flush,
}

fn any_step() -> impl Strategy<Value = Step> {
    let rows = proptest::collection::vec((0..40i64, any_row()), 1..12);
    prop_oneof![
        6 => (0..2u64, rows).prop_map(|(series, rows)| Step::Post(series, rows)),
        1 => Just(Step::Freeze),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_read_gives_the_last_write_of_each_time_in_order_for_every_page_size(
        steps in proptest::collection::vec(any_step(), 1..25),
        from in -2..42i64,
        length in 0..45i64,
        restart in any::<bool>(),
    ) {
        let disk = MemoryDisk::new(0);
        let mut node = start(&disk, 1).unwrap();
        let mut model: BTreeMap<u64, BTreeMap<i64, Row>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Post(series, rows) => {
                    prop_assert_eq!(node.post(vec![(key(series), points_of(&rows))]), Outcome::Acknowledged);
                    model.entry(series).or_default().extend(rows);
                }
                Step::Freeze => drop(node.ingest.freeze()),
                Step::Flush => node.flush().unwrap(),
            }
        }
        if restart {
            node = start(&disk, 2).unwrap();
        }
        let to = from + length;
        for (series, rows) in model {
            let expected: Vec<(i64, Row)> = rows.range(from..to).map(|(time, row)| (*time, row.clone())).collect();
            for rows_max in [1, 7, usize::MAX] {
                let mut plan = node.plan(key(series), from, to);
                let names: Vec<Arc<str>> = plan.columns().to_vec();
                let mut found = Vec::new();
                while let Some(page) = plan.next_page(&mut node.disk, rows_max).unwrap() {
                    prop_assert!(page.rows() <= rows_max);
                    let rows = page.times_ns.iter().enumerate();
                    found.extend(rows.map(|(row, time)| (*time, row_of(&page.columns, row))));
                    prop_assert!(page.columns.iter().all(|column| names.contains(&column.name)));
                }
                prop_assert_eq!(&found, &expected, "pages of {}", rows_max);
            }
        }
    }
}

#[test]
fn a_series_of_several_blocks_is_read_block_by_block() {
    let disk = MemoryDisk::new(0);
    let mut node = start(&disk, 1).unwrap();
    let rows: Vec<(i64, f64)> = (0..20_000).map(|t| (t, t as f64)).collect();
    for part in rows.chunks(1000) {
        node.post(vec![(key(1), numbers(part))]);
    }
    node.flush().unwrap();
    node.post(vec![(key(1), numbers(&[(9_999, -1.0)]))]);
    let mut expected = rows;
    expected[9_999].1 = -1.0;
    assert_eq!(node.read(key(1)).unwrap(), expected);

    let operations = disk.operations();
    let mut plan = node.plan(key(1), 10_000, 10_010);
    let page = plan.next_page(&mut node.disk, 100).unwrap().unwrap();
    assert_eq!(page.times_ns, (10_000..10_010).collect::<Vec<_>>());
    assert!(plan.next_page(&mut node.disk, 100).unwrap().is_none());
    assert_eq!(disk.operations() - operations, 1, "one block holds the range");
}

#[test]
fn a_broken_block_is_an_error_that_names_file_and_place_and_other_series_stay_readable() {
    let disk = MemoryDisk::new(0);
    let mut node = start(&disk, 1).unwrap();
    node.post(vec![(key(3), numbers(&[(0, 1.0)])), (key(6), numbers(&[(0, 2.0)]))]);
    node.flush().unwrap();
    let path = disk.paths().into_iter().find(|path| path.extension().is_some_and(|e| e == "seg")).unwrap();
    let mut content = disk.content(&path).unwrap();
    content[20] ^= 1;
    disk.replace(&path, content);
    let error = node.read(key(3)).unwrap_err();
    assert!(
        error.contains("s0000-n000000000001-000000000001-v000000000001.seg") && error.contains("byte 16"),
        "{error}"
    );
    assert_eq!(node.read(key(6)).unwrap(), [(0, 2.0)]);
}

#[test]
fn a_segment_with_any_flipped_bit_never_gives_wrong_points() {
    let disk = MemoryDisk::new(0);
    let mut node = start(&disk, 1).unwrap();
    let rows = [(0, 1.0), (5, 2.0)];
    node.post(vec![(key(3), numbers(&rows))]);
    node.flush().unwrap();
    let path = disk.paths().pop().unwrap();
    let content = disk.content(&path).unwrap();
    for bit in 0..content.len() * 8 {
        let mut broken = content.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        disk.replace(&path, broken);
        if let Ok(mut node) = start(&disk, 2)
            && let Ok(found) = node.read(key(3))
        {
            assert_eq!(found, rows, "bit {bit}");
        }
    }
}
