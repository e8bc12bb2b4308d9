//! A page of events: each statement walks an index in the order of the answer, from behind the last row, and gives a superset;
//! what SQL does not decide (stream clauses, content) is decided here, on the row.

use model::EventsQuery;
use model::query::{TrashState, TypeFilter};
use tokio_postgres::Row;

use super::sql::Sql;
use crate::StoreError;
use crate::base::{Cursor, Page};
use crate::postgres::connection::Connection;
use crate::postgres::rows::{self, EVENT_COLUMNS};
use crate::postgres::text::Text;
use crate::stored::conditions;
use crate::stored::event::borrowed_ids;
use crate::stored::page::{Next, PageBuilder};
use crate::stored::streams::Streams;

/// Streams whose ordered lists are merged; with more, the user's events are walked by time.
const MERGED_STREAMS_MAX: usize = 40;
/// Rows of the first statement; each further one takes four times as many, up to the second.
const ROWS_FIRST: i64 = 128;
const ROWS_MAX: i64 = 4_096;

/// The part of the time line that a statement covers. Events that began before `from` and end in the frame are few and
/// found by their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// No lower bound.
    Whole,
    /// Began at or after `from`.
    Inside,
    /// Began before `from`, ended in the frame.
    Long,
    /// Began before `from`, goes on.
    Running,
}

struct Plan<'a> {
    query: &'a EventsQuery,
    owner: i64,
    streams: Streams<'a>,
    /// Their ordered lists lead through the rows; `None`: time does.
    merged: Option<Vec<&'a str>>,
}

pub(super) async fn page(
    connection: &mut Connection,
    owner: i64,
    query: &EventsQuery,
    after: Option<&Cursor>,
) -> Result<Page, StoreError> {
    let mut builder = PageBuilder::new(query.skip, query.limit, after);
    let plan = match Plan::make(owner, query) {
        Some(plan) if !builder.wants_none() => plan,
        _ => return Ok(builder.finish(false)),
    };
    let mut after = after.map(|cursor| (cursor.time, cursor.row));
    let mut rows = ROWS_FIRST;
    loop {
        let sql = plan.statement(after, rows);
        let mut found = connection.stream(&sql.text, sql.params).await?;
        let mut seen = 0;
        while let Some(row) = found.next().await? {
            seen += 1;
            match plan.look(&row, &mut builder)? {
                Next::Row => after = Some((row.try_get(0)?, row.try_get(1)?)),
                Next::PageFull => return Ok(builder.finish(true)),
                Next::LimitReached => return Ok(builder.finish(false)),
            }
        }
        if seen < rows {
            return Ok(builder.finish(false));
        }
        rows = (rows * 4).min(ROWS_MAX);
    }
}

impl<'a> Plan<'a> {
    /// `None`: nothing can match.
    fn make(owner: i64, query: &'a EventsQuery) -> Option<Self> {
        let streams = Streams::of(&query.streams)?;
        let wanted = streams.wanted().map(|ids| ids.into_iter().collect::<Vec<_>>());
        if wanted.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        // Running and changed events are few: the server finds them by their own indexes.
        let by_stream = !query.only_running && query.modified_since.is_none();
        let merged = wanted.filter(|ids| by_stream && ids.len() <= MERGED_STREAMS_MAX);
        Some(Self { query, owner, streams, merged })
    }

    fn from(&self) -> Option<f64> {
        self.query.from.filter(|_| !self.query.only_running)
    }

    fn parts(&self) -> &'static [Part] {
        match (self.from(), self.query.running_pass_from) {
            (None, _) => &[Part::Whole],
            (Some(_), false) => &[Part::Inside, Part::Long],
            (Some(_), true) => &[Part::Inside, Part::Long, Part::Running],
        }
    }

    /// The next rows behind a row, in the order of the answer: time, row, event or nulls.
    fn statement(&self, after: Option<(f64, i64)>, count: i64) -> Sql<'a> {
        let mut sql = Sql::default();
        sql.push("SELECT * FROM (");
        for (index, part) in self.parts().iter().enumerate() {
            sql.push(if index == 0 { "(" } else { " UNION ALL (" });
            match &self.merged {
                Some(ids) if matches!(part, Part::Whole | Part::Inside) => {
                    self.by_streams(&mut sql, ids, *part, after, count);
                }
                _ => self.by_time(&mut sql, *part, after, count),
            }
            sql.push(")");
        }
        sql.push(") AS parts").first(("1", "2"), self.query.ascending, count);
        sql
    }

    fn by_time(&self, sql: &mut Sql<'a>, part: Part, after: Option<(f64, i64)>, count: i64) {
        sql.push("SELECT e.time AS at, e.row AS place, ").push(EVENT_COLUMNS);
        match part {
            Part::Long => {
                // `OFFSET 0`: found by their end, then sorted, and never by a walk through all that is older.
                sql.bind(" FROM (SELECT * FROM event l WHERE l.owner = ?::bigint AND l.end_time > l.time", self.owner);
                sql.bind(" AND l.end_time >= ?::float8 OFFSET 0) e WHERE TRUE", self.from());
            }
            Part::Whole | Part::Inside | Part::Running => {
                sql.bind(" FROM event e WHERE e.owner = ?::bigint", self.owner);
            }
        }
        self.time_bounds(sql, "e.time", part);
        if let Some(after) = after {
            sql.behind(("e.time", "e.row"), after, self.query.ascending);
        }
        self.filters(sql, part);
        sql.first(("e.time", "e.row"), self.query.ascending, count);
    }

    /// The first rows of each stream's list, merged; then their events.
    fn by_streams(&self, sql: &mut Sql<'a>, ids: &[&'a str], part: Part, after: Option<(f64, i64)>, count: i64) {
        let ascending = self.query.ascending;
        let ids: Vec<Text<'a>> = ids.iter().map(|id| Text(id)).collect();
        sql.push("SELECT m.at, m.place, ").push(EVENT_COLUMNS);
        sql.bind(" FROM (SELECT DISTINCT l.at, l.place FROM unnest(?::text[]) AS w (id) CROSS JOIN LATERAL (", ids);
        sql.push("SELECT s.time AS at, s.event AS place FROM event_stream s WHERE s.stream = w.id");
        sql.bind(" AND s.owner = ?::bigint", self.owner);
        self.time_bounds(sql, "s.time", part);
        if let Some(after) = after {
            sql.behind(("s.time", "s.event"), after, ascending);
        }
        sql.first(("s.time", "s.event"), ascending, count).push(") AS l").first(("1", "2"), ascending, count);
        sql.push(") AS m LEFT JOIN event e ON e.row = m.place");
        self.filters(sql, part);
    }

    fn time_bounds(&self, sql: &mut Sql<'a>, time: &str, part: Part) {
        if let Some(to) = self.query.to {
            sql.bind(&format!(" AND {time} <= ?::float8"), to);
        }
        if let Some(bound) = self.query.later_than {
            sql.bind(&format!(" AND {time} > ?::float8"), bound);
        }
        match part {
            Part::Whole => {}
            Part::Inside => drop(sql.bind(&format!(" AND {time} >= ?::float8"), self.from())),
            Part::Long | Part::Running => drop(sql.bind(&format!(" AND {time} < ?::float8"), self.from())),
        }
    }

    /// What holds whatever leads through the rows.
    fn filters(&self, sql: &mut Sql<'a>, part: Part) {
        match self.query.state {
            TrashState::Default => drop(sql.push(" AND NOT e.trashed")),
            TrashState::Trashed => drop(sql.push(" AND e.trashed")),
            TrashState::All => {}
        }
        if let Some(since) = self.query.modified_since {
            sql.bind(" AND e.modified > ?::float8", since);
        }
        if self.query.only_running || part == Part::Running {
            sql.push(" AND e.end_time IS NULL");
        } else if part == Part::Inside {
            sql.bind(" AND (e.end_time >= ?::float8", self.from());
            sql.push(if self.query.running_pass_from { " OR e.end_time IS NULL)" } else { ")" });
        }
        self.types(sql);
    }

    fn types(&self, sql: &mut Sql<'a>) {
        for (index, filter) in self.query.types.iter().enumerate() {
            sql.push(if index == 0 { " AND (" } else { " OR " });
            match filter {
                TypeFilter::Exact(kind) => sql.bind("e.kind = ?::text", Text(kind)),
                TypeFilter::Class(class) => sql.bind("starts_with(e.kind, ?::text)", Text(class)),
            };
        }
        if !self.query.types.is_empty() {
            sql.push(")");
        }
    }

    fn look(&self, row: &Row, builder: &mut PageBuilder) -> Result<Next, StoreError> {
        /// Where the event's columns begin.
        const FIRST: usize = 2;
        let is_there = row.try_get::<_, Option<i64>>(FIRST)?.is_some();
        if is_there {
            let event = rows::event(row, FIRST)?;
            if self.streams_pass(event.streams)?
                && conditions::pass(event.content, &self.query.content)?
                && conditions::pass(event.client_data, &self.query.client_data)?
            {
                builder.matched(|out, files| event.put(out, files))?;
            }
        }
        Ok(builder.seen(row.try_get(0)?, row.try_get(1)?))
    }

    fn streams_pass(&self, streams: &str) -> Result<bool, StoreError> {
        if matches!(self.streams, Streams::Every) {
            return Ok(true);
        }
        let ids = borrowed_ids(streams)?;
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        Ok(self.streams.pass(&ids))
    }
}
