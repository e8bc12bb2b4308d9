//! A series as text: its name and columns, then each row as an answer would show it.

use crate::common::{Node, Twin};
use model::SeriesKey;

/// Read in pages smaller than a block.
const PAGE_ROWS: usize = 1000;

pub(crate) fn text_of<D: Twin>(node: &mut Node<D>, key: SeriesKey) -> String {
    let mut plan = node.plan(key, i64::MIN, i64::MAX);
    let mut columns = plan.columns().to_vec();
    columns.sort();
    let mut rows = Vec::new();
    while let Some(page) = plan.next_page(&mut node.disk, PAGE_ROWS).unwrap() {
        rows.extend_from_slice(if rows.is_empty() { b"" } else { b"," });
        page.write_json_rows(&columns, &mut rows);
    }
    let rows = String::from_utf8(rows).unwrap().replace("],[", "]\n[");
    format!("series {:#x}: {}\n{rows}\n", key.as_u64(), columns.join(", "))
}
