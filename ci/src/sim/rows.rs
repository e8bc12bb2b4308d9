//! Rows as the model keeps them, and their way into columns and out of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use series::{Cells, Column, Page, Points};

/// A cell; numbers by their bits, since they must come back bit for bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Text(Arc<str>),
    Boolean(bool),
}

/// The cells of a row that have a value, sorted by name, then kind.
pub(super) type Row = Arc<Vec<(Arc<str>, Value)>>;

impl Value {
    fn kind(&self) -> u8 {
        match self {
            Value::Number(_) => 0,
            Value::Text(_) => 1,
            Value::Boolean(_) => 2,
        }
    }
}

pub(super) fn row(mut cells: Vec<(Arc<str>, Value)>) -> Row {
    cells.sort_by(|a, b| (&a.0, a.1.kind()).cmp(&(&b.0, b.1.kind())));
    Arc::new(cells)
}

/// The rows as a caller would send them.
pub(super) fn to_points(rows: &[(i64, Row)]) -> Points {
    let mut columns: BTreeMap<(Arc<str>, u8), Column> = BTreeMap::new();
    for (position, (_, row)) in rows.iter().enumerate() {
        for (name, value) in row.iter() {
            let column = columns
                .entry((Arc::clone(name), value.kind()))
                .or_insert_with(|| empty_column(Arc::clone(name), value, rows.len()));
            put(column, position, value);
        }
    }
    let mut columns: Vec<Column> = columns.into_values().collect();
    for column in &mut columns {
        if column.present.as_ref().is_some_and(|present| present.iter().all(|cell| *cell)) {
            column.present = None;
        }
    }
    Points { times_ns: rows.iter().map(|(time_ns, _)| *time_ns).collect(), columns }
}

fn empty_column(name: Arc<str>, like: &Value, rows: usize) -> Column {
    let cells = match like {
        Value::Number(_) => Cells::Number(vec![0.0; rows]),
        // The code of an absent cell may lie anywhere.
        Value::Text(_) => Cells::Text { dictionary: Vec::new(), codes: vec![u32::MAX; rows] },
        Value::Boolean(_) => Cells::Boolean(vec![false; rows]),
    };
    Column { name, cells, present: Some(vec![false; rows]) }
}

fn put(column: &mut Column, position: usize, value: &Value) {
    match (&mut column.cells, value) {
        (Cells::Number(values), Value::Number(bits)) => set(values, position, f64::from_bits(*bits)),
        (Cells::Boolean(values), Value::Boolean(value)) => set(values, position, *value),
        (Cells::Text { dictionary, codes }, Value::Text(text)) => {
            let code = dictionary.iter().position(|known| **known == **text).unwrap_or_else(|| {
                dictionary.push((**text).into());
                dictionary.len() - 1
            });
            set(codes, position, u32::try_from(code).unwrap_or(u32::MAX));
        }
        _ => {}
    }
    if let Some(present) = &mut column.present {
        set(present, position, true);
    }
}

fn set<T>(list: &mut [T], position: usize, value: T) {
    if let Some(place) = list.get_mut(position) {
        *place = value;
    }
}

/// The row at this place of a page.
pub(super) fn row_of(page: &Page, position: usize) -> Row {
    let mut cells = Vec::with_capacity(page.columns.len());
    for column in page.columns.iter().filter(|column| column.is_present(position)) {
        let value = match &column.cells {
            Cells::Number(values) => values.get(position).map(|value| Value::Number(value.to_bits())),
            Cells::Boolean(values) => values.get(position).map(|value| Value::Boolean(*value)),
            Cells::Text { dictionary, codes } => {
                let code = codes.get(position).and_then(|code| usize::try_from(*code).ok());
                code.and_then(|code| dictionary.get(code)).map(|text| Value::Text((**text).into()))
            }
        };
        // A cell outside of its column: the empty name shows it to the comparison.
        cells.push(value.map_or_else(|| ("".into(), Value::Boolean(false)), |value| (Arc::clone(&column.name), value)));
    }
    row(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_their_columns() {
        let name = |name: &str| -> Arc<str> { name.into() };
        let rows = vec![
            (5, row(vec![(name("b"), Value::Text("x".into())), (name("a"), Value::Number(1.5_f64.to_bits()))])),
            (6, row(vec![])),
            (7, row(vec![(name("b"), Value::Boolean(true)), (name("b"), Value::Text("y".into()))])),
        ];
        let points = to_points(&rows);
        let page = Page { times_ns: points.times_ns, columns: points.columns };
        let back: Vec<(i64, Row)> = (0..3).map(|position| (page.times_ns[position], row_of(&page, position))).collect();
        assert_eq!(back, rows);
    }
}
