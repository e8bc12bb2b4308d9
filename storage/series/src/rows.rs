//! Collects rows out of several sets of points into one: the common tool of sorting, flushing and reading.

use crate::points::{Cells, Column, Kind, Points};
use rustc_hash::FxHashMap;
use std::ops::Range;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct RowBuilder {
    times_ns: Vec<i64>,
    columns: Vec<ColumnBuilder>,
}

struct ColumnBuilder {
    name: Arc<str>,
    kind: Kind,
    cells: BuiltCells,
    /// `None` as long as every row has a value.
    present: Option<Vec<bool>>,
}

enum BuiltCells {
    Number(Vec<f64>),
    Text(TextBuilder),
    Boolean(Vec<bool>),
}

#[derive(Default)]
struct TextBuilder {
    dictionary: Vec<Box<str>>,
    codes: Vec<u32>,
    code_of: FxHashMap<Box<str>, u32>,
    /// The source whose codes `translated` belongs to.
    source: u64,
    translated: Vec<Option<u32>>,
}

impl RowBuilder {
    pub(crate) fn rows(&self) -> usize {
        self.times_ns.len()
    }

    /// Appends `rows` of `points`. `source` is a number of the caller's that is the same only for the same points.
    pub(crate) fn push_run(&mut self, source: u64, points: &Points, rows: Range<usize>) {
        let Some(times) = points.times_ns.get(rows.clone()) else { return };
        let rows_before = self.times_ns.len();
        self.times_ns.extend_from_slice(times);
        for column in &points.columns {
            self.builder_of(column, rows_before).push_run(source, column, rows.clone());
        }
        let rows_now = self.times_ns.len();
        for builder in &mut self.columns {
            builder.pad_to(rows_now);
        }
    }

    /// What was collected, without columns that have no value at all; the builder is empty again.
    pub(crate) fn take(&mut self) -> Points {
        let columns = std::mem::take(&mut self.columns);
        Points {
            times_ns: std::mem::take(&mut self.times_ns),
            columns: columns.into_iter().filter_map(ColumnBuilder::finish).collect(),
        }
    }

    fn builder_of(&mut self, column: &Column, rows_before: usize) -> &mut ColumnBuilder {
        let kind = column.cells.kind();
        let known = self.columns.iter().position(|builder| {
            builder.kind == kind && (Arc::ptr_eq(&builder.name, &column.name) || builder.name == column.name)
        });
        let position = known.unwrap_or_else(|| {
            let mut builder = ColumnBuilder::new(Arc::clone(&column.name), kind);
            builder.pad_to(rows_before);
            self.columns.push(builder);
            self.columns.len() - 1
        });
        self.columns.get_mut(position).expect("the position was just found or made")
    }
}

impl ColumnBuilder {
    fn new(name: Arc<str>, kind: Kind) -> Self {
        let cells = match kind {
            Kind::Number => BuiltCells::Number(Vec::new()),
            Kind::Text => BuiltCells::Text(TextBuilder::default()),
            Kind::Boolean => BuiltCells::Boolean(Vec::new()),
        };
        Self { name, kind, cells, present: None }
    }

    fn len(&self) -> usize {
        match &self.cells {
            BuiltCells::Number(values) => values.len(),
            BuiltCells::Text(text) => text.codes.len(),
            BuiltCells::Boolean(values) => values.len(),
        }
    }

    fn push_run(&mut self, source: u64, column: &Column, rows: Range<usize>) {
        let rows_before = self.len();
        match (&mut self.cells, &column.cells) {
            (BuiltCells::Number(out), Cells::Number(values)) => {
                out.extend_from_slice(values.get(rows.clone()).unwrap_or_default());
            }
            (BuiltCells::Boolean(out), Cells::Boolean(values)) => {
                out.extend_from_slice(values.get(rows.clone()).unwrap_or_default());
            }
            (BuiltCells::Text(out), Cells::Text { dictionary, codes }) => {
                out.push_run(source, dictionary, codes.get(rows.clone()).unwrap_or_default());
            }
            _ => return,
        }
        match (&mut self.present, &column.present) {
            (None, None) => {}
            (Some(out), None) => out.resize(rows_before + rows.len(), true),
            (out, Some(present)) => {
                let out = out.get_or_insert_with(|| vec![true; rows_before]);
                out.extend_from_slice(present.get(rows).unwrap_or_default());
            }
        }
    }

    /// Rows without a value, up to `rows` of them in all.
    fn pad_to(&mut self, rows: usize) {
        let rows_before = self.len();
        if rows_before >= rows {
            return;
        }
        match &mut self.cells {
            BuiltCells::Number(values) => values.resize(rows, 0.0),
            BuiltCells::Text(text) => text.codes.resize(rows, 0),
            BuiltCells::Boolean(values) => values.resize(rows, false),
        }
        self.present.get_or_insert_with(|| vec![true; rows_before]).resize(rows, false);
    }

    fn finish(self) -> Option<Column> {
        let all_present = self.present.as_ref().is_none_or(|present| present.iter().all(|cell| *cell));
        let any_present = all_present || self.present.as_ref().is_some_and(|present| present.contains(&true));
        let cells = match self.cells {
            BuiltCells::Number(values) => Cells::Number(values),
            BuiltCells::Text(text) => Cells::Text { dictionary: text.dictionary, codes: text.codes },
            BuiltCells::Boolean(values) => Cells::Boolean(values),
        };
        let present = if all_present { None } else { self.present };
        any_present.then_some(Column { name: self.name, cells, present })
    }
}

impl TextBuilder {
    fn push_run(&mut self, source: u64, dictionary: &[Box<str>], codes: &[u32]) {
        if self.source != source || self.translated.len() != dictionary.len() {
            self.source = source;
            self.translated.clear();
            self.translated.resize(dictionary.len(), None);
        }
        for code in codes {
            // The code of an absent cell may lie outside of the dictionary: it is never shown.
            let position = usize::try_from(*code).unwrap_or(usize::MAX);
            let translated = match (self.translated.get(position), dictionary.get(position)) {
                (Some(Some(known)), _) => *known,
                (_, Some(text)) => self.translate(position, text),
                _ => 0,
            };
            self.codes.push(translated);
        }
    }

    fn translate(&mut self, position: usize, text: &str) -> u32 {
        let code = self.code_of.get(text).copied().unwrap_or_else(|| {
            let code = u32::try_from(self.dictionary.len()).expect("ROWS_MAX is below u32::MAX");
            self.dictionary.push(text.into());
            self.code_of.insert(text.into(), code);
            code
        });
        if let Some(slot) = self.translated.get_mut(position) {
            *slot = Some(code);
        }
        code
    }
}
