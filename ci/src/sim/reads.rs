//! A read on its way, page by page, with the answer that it must give: that of the moment when it began.

use std::sync::Arc;

use model::SeriesKey;
use series::{Disk, Page, ReadPlan, SegmentError};

use super::rows::{Row, row_of};

pub(super) struct OpenRead {
    key: SeriesKey,
    plan: ReadPlan,
    expected: std::vec::IntoIter<(i64, Row)>,
    columns: Vec<Arc<str>>,
    page_rows: usize,
    rows: u64,
    /// The process's count of changes when the read began.
    began_at: u64,
}

pub(super) enum Progress {
    More,
    /// All rows were as expected.
    Finished,
    /// The disk failed: the client gets an error, not a wrong answer.
    Failed,
    Wrong(String),
}

impl OpenRead {
    pub(super) fn new(
        key: SeriesKey,
        plan: ReadPlan,
        expected: Vec<(i64, Row)>,
        page_rows: usize,
        began_at: u64,
    ) -> Self {
        let columns = plan.columns().to_vec();
        Self { key, plan, expected: expected.into_iter(), columns, page_rows, rows: 0, began_at }
    }

    pub(super) fn key(&self) -> SeriesKey {
        self.key
    }

    /// Compared so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn began_at(&self) -> u64 {
        self.began_at
    }

    /// Reads and compares a page.
    pub(super) fn next_page(&mut self, disk: &mut dyn Disk) -> Progress {
        let page = match self.plan.next_page(disk, self.page_rows) {
            Err(SegmentError::Disk(error)) if !error.is_not_found() => return Progress::Failed,
            Err(error) => return Progress::Wrong(error.to_string()),
            Ok(Some(page)) => page,
            Ok(None) => {
                return match self.expected.next() {
                    None => Progress::Finished,
                    Some((time_ns, row)) => Progress::Wrong(format!("the row at {time_ns} is missing: {row:?}")),
                };
            }
        };
        match self.compare(&page) {
            Ok(()) => Progress::More,
            Err(what) => Progress::Wrong(what),
        }
    }

    fn compare(&mut self, page: &Page) -> Result<(), String> {
        if page.rows() == 0 || page.rows() > self.page_rows {
            return Err(format!("a page of {} rows, at most {} were asked for", page.rows(), self.page_rows));
        }
        for (position, time_ns) in page.times_ns.iter().enumerate() {
            self.rows += 1;
            let found = (*time_ns, row_of(page, position));
            let expected = self.expected.next();
            if expected.as_ref() != Some(&found) {
                return Err(format!("{found:?} was read where {expected:?} was expected"));
            }
            let unknown = found.1.iter().find(|(name, _)| !self.columns.contains(name));
            if let Some((name, _)) = unknown {
                return Err(format!("the column {name} is not among those announced: {:?}", self.columns));
            }
        }
        Ok(())
    }
}
