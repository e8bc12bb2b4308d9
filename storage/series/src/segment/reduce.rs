//! Rows into buckets, for retention: one row at the beginning of each bucket that had any.
//!
//! A numeric column `value` becomes the mean, with `value.min`, `value.max` and `value.count` beside it; of text and boolean
//! columns the last value of the bucket stays. A row that is a bucket already counts with its weight, so points that came
//! late join it rightly.

use crate::page::Page;
use crate::points::{Cells, Column, Points};
use rustc_hash::FxHashMap;
use std::sync::Arc;

pub(crate) struct Reducer {
    bucket_ns: i64,
    /// The bucket being filled.
    start_ns: Option<i64>,
    columns: Vec<Reduced>,
    times_ns: Vec<i64>,
}

/// One column, in the bucket being filled and in those done.
struct Reduced {
    name: Arc<str>,
    now: Option<Cell>,
    done: Vec<Option<Cell>>,
}

#[derive(Clone, Debug)]
enum Cell {
    Number(Summary),
    Text(Box<str>),
    Boolean(bool),
}

#[derive(Clone, Copy, Debug)]
struct Summary {
    mean: f64,
    min: f64,
    max: f64,
    count: f64,
}

/// The suffixes of the columns beside the mean.
const BESIDE: [&str; 3] = [".min", ".max", ".count"];

impl Reducer {
    pub(crate) fn new(bucket_ns: i64) -> Self {
        Self { bucket_ns: bucket_ns.max(1), start_ns: None, columns: Vec::new(), times_ns: Vec::new() }
    }

    /// The beginning of the bucket that holds this time.
    pub(crate) fn bucket_start(bucket_ns: i64, time_ns: i64) -> i64 {
        time_ns.div_euclid(bucket_ns.max(1)).saturating_mul(bucket_ns.max(1))
    }

    /// Rows done, of the bucket being filled apart.
    pub(crate) fn rows(&self) -> usize {
        self.times_ns.len()
    }

    /// The next rows, in order of time.
    pub(crate) fn push(&mut self, page: &Page) {
        let sources: Vec<Source<'_>> = sources(&page.columns);
        let places: Vec<usize> = sources.iter().map(|source| self.place_of(&source.column.name)).collect();
        for (row, time_ns) in page.times_ns.iter().enumerate() {
            let start_ns = Self::bucket_start(self.bucket_ns, *time_ns);
            if self.start_ns != Some(start_ns) {
                self.close_bucket();
                self.start_ns = Some(start_ns);
            }
            for (source, place) in sources.iter().zip(&places) {
                let (Some(cell), Some(column)) = (source.cell(row), self.columns.get_mut(*place)) else { continue };
                column.add(cell);
            }
        }
    }

    /// The rows of the buckets that are done; with `all` also of the one being filled.
    pub(crate) fn take(&mut self, all: bool) -> Points {
        if all {
            self.close_bucket();
        }
        let columns = self.columns.iter_mut().flat_map(|column| column.take()).collect();
        Points { times_ns: std::mem::take(&mut self.times_ns), columns }
    }

    fn close_bucket(&mut self) {
        let Some(start_ns) = self.start_ns.take() else { return };
        self.times_ns.push(start_ns);
        self.columns.iter_mut().for_each(|column| column.done.push(column.now.take()));
    }

    fn place_of(&mut self, name: &Arc<str>) -> usize {
        let known = self.columns.iter().position(|column| column.name == *name);
        known.unwrap_or_else(|| {
            let done = vec![None; self.times_ns.len()];
            self.columns.push(Reduced { name: Arc::clone(name), now: None, done });
            self.columns.len() - 1
        })
    }
}

/// Whether rows with these columns may be buckets.
pub(crate) fn has_bucket_columns(names: &[Arc<str>]) -> bool {
    let [.., count] = BESIDE;
    names.iter().any(|name| name.ends_with(count))
}

/// What stays of rows of the same time, the latest first: the latest bucket, else the latest. Many points stand behind a
/// bucket, and one that comes late must not take their place; nor may it depend on merges what is read.
pub(crate) fn winner(mut rows: Vec<Points>) -> Points {
    let is_bucket =
        |points: &Points| sources(&points.columns).iter().any(|source| source.beside.iter().all(Option::is_some));
    let place = rows.iter().position(is_bucket).unwrap_or(0);
    if rows.is_empty() { Points::default() } else { rows.swap_remove(place) }
}

/// A column of the page with those that stand beside it when its rows are buckets.
struct Source<'a> {
    column: &'a Column,
    beside: [Option<&'a Column>; 3],
}

fn sources(columns: &[Column]) -> Vec<Source<'_>> {
    let number = |name: &str| columns.iter().find(|one| *one.name == *name && matches!(one.cells, Cells::Number(_)));
    let is_beside = |column: &Column| {
        let base = BESIDE.iter().find_map(|suffix| column.name.strip_suffix(suffix));
        matches!(column.cells, Cells::Number(_)) && base.is_some_and(|base| number(base).is_some())
    };
    let mut sources = Vec::new();
    for column in columns.iter().filter(|column| !is_beside(column)) {
        let beside = match column.cells {
            Cells::Number(_) => BESIDE.map(|suffix| number(&format!("{}{suffix}", column.name))),
            _ => [None; 3],
        };
        sources.push(Source { column, beside });
    }
    sources
}

impl Source<'_> {
    fn cell(&self, row: usize) -> Option<Cell> {
        if !self.column.is_present(row) {
            return None;
        }
        Some(match &self.column.cells {
            Cells::Boolean(values) => Cell::Boolean(*values.get(row)?),
            Cells::Text { dictionary, codes } => {
                let code = usize::try_from(*codes.get(row)?).ok()?;
                Cell::Text(dictionary.get(code)?.clone())
            }
            Cells::Number(values) => {
                let mean = *values.get(row)?;
                let beside = self.beside.map(|column| number_of(column?, row));
                match beside {
                    [Some(min), Some(max), Some(count)] => Cell::Number(Summary { mean, min, max, count }),
                    _ => Cell::Number(Summary { mean, min: mean, max: mean, count: 1.0 }),
                }
            }
        })
    }
}

fn number_of(column: &Column, row: usize) -> Option<f64> {
    match &column.cells {
        Cells::Number(values) if column.is_present(row) => values.get(row).copied(),
        _ => None,
    }
}

impl Reduced {
    fn add(&mut self, cell: Cell) {
        self.now = Some(match (self.now.take(), cell) {
            (Some(Cell::Number(sum)), Cell::Number(more)) => Cell::Number(sum.with(more)),
            (_, last) => last,
        });
    }

    /// Its columns of points: one for each kind of cell, and for numbers those beside the mean.
    fn take(&mut self) -> Vec<Column> {
        let done = std::mem::take(&mut self.done);
        let mut columns = Vec::new();
        type Figure = fn(&Summary) -> f64;
        let [min, max, count] = BESIDE;
        let figures: [(&str, Figure); 4] =
            [("", |one| one.mean), (min, |one| one.min), (max, |one| one.max), (count, |one| one.count)];
        for (suffix, figure) in figures {
            let values = done.iter().map(|cell| match cell {
                Some(Cell::Number(summary)) => Some(figure(summary)),
                _ => None,
            });
            let name = if suffix.is_empty() { Arc::clone(&self.name) } else { format!("{}{suffix}", self.name).into() };
            columns.extend(column(name, values, Cells::Number));
        }
        let booleans = done.iter().map(|cell| match cell {
            Some(Cell::Boolean(value)) => Some(*value),
            _ => None,
        });
        columns.extend(column(Arc::clone(&self.name), booleans, Cells::Boolean));
        let (mut dictionary, mut code_of) = (Vec::new(), FxHashMap::default());
        let codes = done.iter().map(|cell| match cell {
            Some(Cell::Text(text)) => Some(*code_of.entry(text.clone()).or_insert_with(|| {
                dictionary.push(text.clone());
                u32::try_from(dictionary.len() - 1).expect("as many as rows at most")
            })),
            _ => None,
        });
        let codes: Vec<Option<u32>> = codes.collect();
        columns.extend(column(Arc::clone(&self.name), codes.into_iter(), |codes| Cells::Text { dictionary, codes }));
        columns
    }
}

impl Summary {
    /// A running mean: no sum that could grow beyond a double.
    fn with(self, more: Self) -> Self {
        let count = self.count + more.count;
        Self {
            mean: self.mean + (more.mean - self.mean) * (more.count / count),
            min: self.min.min(more.min),
            max: self.max.max(more.max),
            count,
        }
    }
}

/// `None`: no row has a value.
fn column<T: Default>(
    name: Arc<str>,
    values: impl Iterator<Item = Option<T>>,
    cells: impl FnOnce(Vec<T>) -> Cells,
) -> Option<Column> {
    let (mut all, mut present) = (Vec::new(), Vec::new());
    for value in values {
        present.push(value.is_some());
        all.push(value.unwrap_or_default());
    }
    let is_full = present.iter().all(|cell| *cell);
    present.contains(&true).then(|| Column { name, cells: cells(all), present: (!is_full).then_some(present) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str, values: Vec<f64>) -> Column {
        Column { name: name.into(), cells: Cells::Number(values), present: None }
    }

    #[test]
    fn numbers_become_mean_min_max_and_count_and_the_last_text_stays() {
        let text = Cells::Text { dictionary: vec!["a".into(), "b".into()], codes: vec![0, 1, 1] };
        let text = Column { name: "t".into(), cells: text, present: Some(vec![true, true, false]) };
        let page = Page { times_ns: vec![10, 19, 25], columns: vec![number("v", vec![1.0, 4.0, 7.0]), text] };
        let mut reducer = Reducer::new(10);
        reducer.push(&page);
        assert_eq!(reducer.rows(), 1);
        let points = reducer.take(true);
        assert_eq!(points.times_ns, [10, 20]);
        assert_eq!(points.columns[0], number("v", vec![2.5, 7.0]));
        assert_eq!(points.columns[1], number("v.min", vec![1.0, 7.0]));
        assert_eq!(points.columns[2], number("v.max", vec![4.0, 7.0]));
        assert_eq!(points.columns[3], number("v.count", vec![2.0, 1.0]));
        let last = Cells::Text { dictionary: vec!["b".into()], codes: vec![0, 0] };
        assert_eq!(points.columns[4], Column { name: "t".into(), cells: last, present: Some(vec![true, false]) });
        assert_eq!(points.columns.len(), 5);
    }

    #[test]
    fn a_bucket_joined_by_a_late_point_keeps_its_weight() {
        let (min, max, count) = (vec![1.0, 0.0], vec![5.0, 0.0], vec![3.0, 0.0]);
        let mut columns = vec![number("v", vec![2.0, 10.0])];
        for (suffix, values) in [("v.min", min), ("v.max", max), ("v.count", count)] {
            columns.push(Column { present: Some(vec![true, false]), ..number(suffix, values) });
        }
        let mut reducer = Reducer::new(100);
        reducer.push(&Page { times_ns: vec![0, 70], columns });
        let points = reducer.take(true);
        let expected = [("v", 4.0), ("v.min", 1.0), ("v.max", 10.0), ("v.count", 4.0)];
        assert_eq!(points.columns, expected.map(|(name, value)| number(name, vec![value])));
    }

    #[test]
    fn rows_without_columns_leave_a_row_for_each_bucket_also_before_the_epoch() {
        let mut reducer = Reducer::new(10);
        reducer.push(&Page { times_ns: vec![-11, -1, 3], columns: vec![] });
        assert_eq!(reducer.take(true).times_ns, [-20, -10, 0]);
    }
}
