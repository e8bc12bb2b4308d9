//! Points in columns: what a post brings, what the ring holds, what a page gives back.

use std::sync::Arc;

/// The cells of one column, as many as there are rows. An absent cell holds a default value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    Number(Vec<f64>),
    Text { dictionary: Vec<Box<str>>, codes: Vec<u32> },
    Boolean(Vec<bool>),
}

/// One column. A name may appear once per kind of cells: a holder event whose type was changed leaves both behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: Arc<str>,
    pub cells: Cells,
    /// Which rows have a value; `None` means all of them.
    pub present: Option<Vec<bool>>,
}

/// Rows in the order sent. When a time appears twice the later row wins as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// Nanoseconds since the time of the holder event.
    pub times_ns: Vec<i64>,
    pub columns: Vec<Column>,
}

/// A caller's mistake in the shape of [`Points`]; the message names the rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("a column has another number of cells than there are rows: build all columns to the same length")]
    Ragged,
    #[error("a text code lies outside of its dictionary: add the string to the dictionary first")]
    CodeOutsideDictionary,
    #[error("a column appears twice with the same kind: merge it before the append")]
    DuplicateColumn,
    #[error("a time is i64::MAX, which no exclusive bound can reach: refuse such a deltaTime with 400")]
    TimeTooLarge,
    #[error("more than {ROWS_MAX} rows, {COLUMNS_MAX} columns or {NAME_BYTES_MAX} bytes of name: split the points")]
    TooLarge,
}

/// Rows of one series in one post (also what fits a `u32` on disk with room to spare).
pub const ROWS_MAX: usize = 1 << 28;
pub const COLUMNS_MAX: usize = 4096;
pub const NAME_BYTES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
    Boolean,
}

impl Cells {
    #[allow(clippy::len_without_is_empty, reason = "a column follows its rows; emptiness is asked of Points")]
    pub fn len(&self) -> usize {
        match self {
            Cells::Number(values) => values.len(),
            Cells::Text { codes, .. } => codes.len(),
            Cells::Boolean(values) => values.len(),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Cells::Number(_) => Kind::Number,
            Cells::Text { .. } => Kind::Text,
            Cells::Boolean(_) => Kind::Boolean,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Cells::Number(values) => values.capacity() * 8,
            Cells::Text { dictionary, codes } => {
                let strings: usize = dictionary.iter().map(|text| text.len() + size_of::<Box<str>>()).sum();
                strings + codes.capacity() * 4
            }
            Cells::Boolean(values) => values.capacity(),
        }
    }
}

impl Column {
    pub fn is_present(&self, row: usize) -> bool {
        self.present.as_ref().is_none_or(|present| present.get(row).copied().unwrap_or(false))
    }

    pub(crate) fn is_same_as(&self, name: &Arc<str>, kind: Kind) -> bool {
        self.cells.kind() == kind && (Arc::ptr_eq(&self.name, name) || self.name == *name)
    }
}

impl Points {
    pub fn rows(&self) -> usize {
        self.times_ns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times_ns.is_empty()
    }

    /// The smallest and the largest time, for the holder event's duration. `None` when empty.
    pub fn extent_ns(&self) -> Option<(i64, i64)> {
        let first = self.times_ns.iter().min()?;
        let last = self.times_ns.iter().max()?;
        Some((*first, *last))
    }

    pub(crate) fn check_shape(&self) -> Result<(), ShapeError> {
        let rows = self.rows();
        if rows > ROWS_MAX || self.columns.len() > COLUMNS_MAX {
            return Err(ShapeError::TooLarge);
        }
        if self.times_ns.contains(&i64::MAX) {
            return Err(ShapeError::TimeTooLarge);
        }
        for (position, column) in self.columns.iter().enumerate() {
            if column.name.len() > NAME_BYTES_MAX {
                return Err(ShapeError::TooLarge);
            }
            let present_fits = column.present.as_ref().is_none_or(|present| present.len() == rows);
            if column.cells.len() != rows || !present_fits {
                return Err(ShapeError::Ragged);
            }
            if let Cells::Text { dictionary, codes } = &column.cells {
                let in_dictionary = |code: &u32| usize::try_from(*code).is_ok_and(|code| code < dictionary.len());
                if !codes.iter().enumerate().all(|(row, code)| in_dictionary(code) || !column.is_present(row)) {
                    return Err(ShapeError::CodeOutsideDictionary);
                }
            }
            let kind = column.cells.kind();
            if self.columns.iter().take(position).any(|other| other.is_same_as(&column.name, kind)) {
                return Err(ShapeError::DuplicateColumn);
            }
        }
        Ok(())
    }

    /// Sorted by time, each time once (the last row sent), no column without a value.
    pub(crate) fn normalised(mut self) -> Self {
        self.columns.retain_mut(|column| {
            let Some(present) = &column.present else { return true };
            let any = present.iter().any(|cell| *cell);
            if present.iter().all(|cell| *cell) {
                column.present = None;
            }
            any
        });
        if self.times_ns.is_sorted_by(|earlier, later| earlier < later) {
            return self;
        }
        let mut order: Vec<(i64, usize)> = self.times_ns.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut sorted = crate::rows::RowBuilder::default();
        for (position, (time_ns, row)) in order.iter().enumerate() {
            let overwritten = order.get(position + 1).is_some_and(|(next_ns, _)| next_ns == time_ns);
            if !overwritten {
                sorted.push_run(0, &self, *row..*row + 1);
            }
        }
        sorted.take()
    }

    /// What the points cost in memory, for the ring's budget.
    pub(crate) fn heap_bytes(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|column| {
                size_of::<Column>() + column.cells.heap_bytes() + column.present.as_ref().map_or(0, Vec::capacity)
            })
            .sum();
        self.times_ns.capacity() * 8 + columns
    }
}
