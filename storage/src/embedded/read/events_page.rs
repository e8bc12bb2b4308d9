//! A page of events: SQL walks an index in the order of the answer and gives a superset; what an index
//! cannot decide (stream clauses, content) is decided here, on the row.

use model::EventsQuery;
use model::query::{TrashState, TypeFilter};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use rustc_hash::{FxHashMap, FxHashSet};

use super::rows;
use super::sql::Sql;
use crate::StoreError;
use crate::base::{Cursor, Page};
use crate::embedded::content_index::{IndexedField, Lookup};
use crate::stored::conditions;
use crate::stored::event::borrowed_ids;
use crate::stored::page::{Next, PageBuilder};
use crate::stored::streams::Streams;

/// Ordered lists (of streams or of types) that are merged; with more, the user's events are walked by time.
const MERGED_MAX: usize = 40;
/// Up to so many events that an index finds in another order are sorted, rather than found in a walk by time.
const SORTED_MAX: i64 = 2_000;

/// The part of the time line that a statement covers. Events that began before `from` and end in the frame
/// are few and found by their end; they come after the others (before, when ascending).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// No lower bound.
    Whole,
    /// Began at or after `from`.
    Inside,
    /// Began before `from`.
    Overlapping,
}

/// What leads through the rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Walk {
    Time,
    Running,
    Changed,
    Trashed,
    Declared(Lookup),
    Kind(i64),
    Stream(i64),
    Merged(Vec<List>),
}

/// Events of one stream or one type, in the order of their times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum List {
    Stream(i64),
    Kind(i64),
}

pub(super) struct Plan<'a> {
    query: &'a EventsQuery,
    user: i64,
    streams: Streams<'a>,
    kinds: Option<FxHashSet<i64>>,
    walk: Walk,
}

pub(super) fn page(
    connection: &Connection,
    user: i64,
    query: &EventsQuery,
    after: Option<&Cursor>,
) -> Result<Page, StoreError> {
    let mut builder = PageBuilder::new(query.skip, query.limit, after);
    let plan = match Plan::make(connection, user, query)? {
        Some(plan) if !builder.wants_none() => plan,
        _ => return Ok(builder.finish(false)),
    };
    let mut names = KindNames { connection, known: FxHashMap::default() };
    for (index, part) in plan.parts().iter().enumerate() {
        // A cursor stands in one part: those before it are done.
        let after = match after {
            Some(cursor) if plan.part_of(cursor) == *part => Some(cursor),
            Some(cursor) if plan.parts().iter().position(|p| *p == plan.part_of(cursor)) > Some(index) => continue,
            _ => None,
        };
        match plan.run(connection, *part, after, &mut builder, &mut names)? {
            Next::Row => {}
            Next::PageFull => return Ok(builder.finish(true)),
            Next::LimitReached => return Ok(builder.finish(false)),
        }
    }
    Ok(builder.finish(false))
}

impl<'a> Plan<'a> {
    /// `None`: nothing can match.
    pub(super) fn make(connection: &Connection, user: i64, query: &'a EventsQuery) -> Result<Option<Self>, StoreError> {
        let Some(streams) = Streams::of(&query.streams) else { return Ok(None) };
        let kinds = kind_rows(connection, user, &query.types)?;
        let mut keys = None;
        if let Some(wanted) = streams.wanted() {
            keys = Some(stream_rows(connection, user, &wanted)?);
        }
        if kinds.as_ref().is_some_and(FxHashSet::is_empty) || keys.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let walk = walk(connection, user, query, kinds.as_ref(), keys)?;
        Ok(Some(Self { query, user, streams, kinds, walk }))
    }

    fn from(&self) -> Option<f64> {
        self.query.from.filter(|_| !self.query.only_running)
    }

    pub(super) fn parts(&self) -> &'static [Part] {
        match (self.from(), self.query.ascending) {
            (None, _) => &[Part::Whole],
            (Some(_), false) => &[Part::Inside, Part::Overlapping],
            (Some(_), true) => &[Part::Overlapping, Part::Inside],
        }
    }

    fn part_of(&self, cursor: &Cursor) -> Part {
        match self.from() {
            None => Part::Whole,
            Some(from) if cursor.time >= from => Part::Inside,
            Some(_) => Part::Overlapping,
        }
    }

    fn run(
        &self,
        connection: &Connection,
        part: Part,
        after: Option<&Cursor>,
        builder: &mut PageBuilder,
        names: &mut KindNames<'_>,
    ) -> Result<Next, StoreError> {
        match (&self.walk, part) {
            (Walk::Merged(lists), Part::Whole | Part::Inside) => {
                self.run_merged(connection, lists, part, after, builder, names)
            }
            _ => {
                let sql = self.statement(part, after);
                let mut statement = connection.prepare_cached(&sql.text)?;
                let mut found = statement.query(params_from_iter(sql.params))?;
                while let Some(row) = found.next()? {
                    match self.look(row, builder, names)? {
                        Next::Row => {}
                        end => return Ok(end),
                    }
                }
                Ok(Next::Row)
            }
        }
    }

    /// Several ordered lists, merged by SQLite without sorting; each event is fetched by its row.
    fn run_merged(
        &self,
        connection: &Connection,
        lists: &[List],
        part: Part,
        after: Option<&Cursor>,
        builder: &mut PageBuilder,
        names: &mut KindNames<'_>,
    ) -> Result<Next, StoreError> {
        let mut fetch = Sql::default();
        fetch.push("SELECT ").push(rows::EVENT_COLUMNS).push(" FROM event e WHERE e.row = ?1");
        self.common_filters(&mut fetch, part);
        let mut fetch_one = connection.prepare_cached(&fetch.text)?;
        let sql = self.merge_statement(lists, part, after);
        let mut merge = connection.prepare_cached(&sql.text)?;
        let mut order = merge.query(params_from_iter(sql.params))?;
        while let Some(link) = order.next()? {
            let (time, event): (f64, i64) = (link.get(0)?, link.get(1)?);
            let params = std::iter::once(event.into()).chain(fetch.params.iter().cloned());
            let mut found = fetch_one.query(params_from_iter(params))?;
            let next = match found.next()? {
                Some(row) => self.look(row, builder, names)?,
                None => builder.seen(time, event),
            };
            if next != Next::Row {
                return Ok(next);
            }
        }
        Ok(Next::Row)
    }

    fn look(&self, row: &Row<'_>, builder: &mut PageBuilder, names: &mut KindNames<'_>) -> Result<Next, StoreError> {
        if self.passes(row)? {
            builder.matched(|out, files| rows::event(row, names.name(row.get(6)?)?)?.put(out, files))?;
        }
        Ok(builder.seen(row.get(3)?, row.get(0)?))
    }

    fn passes(&self, row: &Row<'_>) -> Result<bool, StoreError> {
        if let Some(kinds) = &self.kinds
            && !kinds.contains(&row.get(6)?)
        {
            return Ok(false);
        }
        let decided = matches!(self.streams, Streams::Every)
            || (matches!(self.walk, Walk::Stream(_)) && self.streams.is_one_stream() && self.from().is_none());
        if !decided {
            let text = row.get_ref(2)?.as_str().map_err(rows::corrupt)?;
            let ids: Vec<std::borrow::Cow<'_, str>> = borrowed_ids(text)?;
            let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
            if !self.streams.pass(&ids) {
                return Ok(false);
            }
        }
        let text = |index: usize| row.get_ref(index)?.as_str_or_null().map_err(rows::corrupt);
        Ok(conditions::pass(text(7)?, &self.query.content)? && conditions::pass(text(9)?, &self.query.client_data)?)
    }

    /// The statement of a part, in the order of the answer.
    pub(super) fn statement(&self, part: Part, after: Option<&Cursor>) -> Sql {
        let mut sql = Sql::default();
        sql.push("SELECT ").push(rows::EVENT_COLUMNS);
        let mut order = ("e.time", "e.row");
        match (&self.walk, part) {
            (_, Part::Overlapping) => self.overlapping(&mut sql),
            (Walk::Stream(key), _) => {
                order = ("s.time", "s.event");
                sql.push(" FROM event_stream s CROSS JOIN event e ON e.row = s.event");
                sql.bind(" WHERE s.stream = ?", *key);
            }
            (Walk::Kind(kind), _) => drop(sql.bind(" FROM event e INDEXED BY event_kind WHERE e.kind = ?", *kind)),
            (Walk::Running, _) => {
                sql.bind(" FROM event e INDEXED BY event_running WHERE e.end_time IS NULL AND e.user = ?", self.user);
            }
            (Walk::Changed, _) => {
                sql.bind(" FROM event e INDEXED BY event_modified WHERE e.user = ?", self.user);
            }
            (Walk::Trashed, _) => {
                sql.bind(" FROM event e INDEXED BY event_trashed WHERE e.user = ?", self.user);
            }
            (Walk::Declared(lookup), _) => lookup.lead(&mut sql, self.user),
            (Walk::Time | Walk::Merged(_), _) => {
                sql.bind(" FROM event e INDEXED BY event_time WHERE e.user = ?", self.user);
            }
        }
        self.time_bounds(&mut sql, order.0, part);
        if let Some(after) = after {
            sql.behind(order, after, self.query.ascending);
        }
        self.common_filters(&mut sql, part);
        sql.order(order, self.query.ascending);
        sql
    }

    /// Long events by their end, and running ones if the frame includes now.
    fn overlapping(&self, sql: &mut Sql) {
        let from = self.from().unwrap_or_default();
        sql.push(" FROM event e WHERE e.row IN (SELECT l.row FROM event l INDEXED BY event_long");
        sql.bind(" WHERE l.end_time > l.time AND l.user = ?", self.user).bind(" AND l.end_time >= ?", from);
        if self.query.running_pass_from {
            sql.push(" UNION ALL SELECT r.row FROM event r INDEXED BY event_running WHERE r.end_time IS NULL");
            sql.bind(" AND r.user = ?", self.user).bind(" AND r.time < ?", from);
        }
        sql.push(")");
    }

    pub(super) fn merge_statement(&self, lists: &[List], part: Part, after: Option<&Cursor>) -> Sql {
        let mut sql = Sql::default();
        for (index, list) in lists.iter().enumerate() {
            sql.push(if index == 0 { "" } else { " UNION " });
            let order = match list {
                List::Stream(key) => {
                    sql.bind("SELECT s.time, s.event FROM event_stream s WHERE s.stream = ?", *key);
                    ("s.time", "s.event")
                }
                List::Kind(kind) => {
                    sql.bind("SELECT s.time, s.row FROM event s INDEXED BY event_kind WHERE s.kind = ?", *kind);
                    ("s.time", "s.row")
                }
            };
            self.time_bounds(&mut sql, order.0, part);
            if let Some(after) = after {
                sql.behind(order, after, self.query.ascending);
            }
        }
        sql.order(("1", "2"), self.query.ascending);
        sql
    }

    fn time_bounds(&self, sql: &mut Sql, time: &str, part: Part) {
        if let Some(to) = self.query.to {
            sql.bind(&format!(" AND {time} <= ?"), to);
        }
        if let Some(bound) = self.query.later_than {
            sql.bind(&format!(" AND {time} > ?"), bound);
        }
        let from = self.from().unwrap_or_default();
        match part {
            Part::Whole => {}
            Part::Inside => drop(sql.bind(&format!(" AND {time} >= ?"), from)),
            Part::Overlapping => drop(sql.bind(&format!(" AND {time} < ?"), from)),
        }
    }

    /// What holds whatever leads through the rows.
    fn common_filters(&self, sql: &mut Sql, part: Part) {
        sql.bind(" AND e.user = ?", self.user);
        match self.query.state {
            TrashState::Default => drop(sql.push(" AND e.trashed = 0")),
            TrashState::Trashed => drop(sql.push(" AND e.trashed = 1")),
            TrashState::All => {}
        }
        if let Some(since) = self.query.modified_since {
            sql.bind(" AND e.modified > ?", since);
        }
        if self.query.only_running {
            sql.push(" AND e.end_time IS NULL");
        } else if part != Part::Whole {
            let from = self.from().unwrap_or_default();
            sql.bind(" AND (e.end_time >= ?", from);
            sql.push(if self.query.running_pass_from { " OR e.end_time IS NULL)" } else { ")" });
        }
    }
}

fn walk(
    connection: &Connection,
    user: i64,
    query: &EventsQuery,
    kinds: Option<&FxHashSet<i64>>,
    keys: Option<Vec<i64>>,
) -> Result<Walk, StoreError> {
    if query.only_running {
        return Ok(Walk::Running);
    }
    if let Some(since) = query.modified_since {
        let changed: i64 = connection
            .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM event WHERE user = ?1 AND modified > ?2 LIMIT ?3)")?
            .query_row(params![user, since, SORTED_MAX + 1], |row| row.get(0))?;
        if changed <= SORTED_MAX {
            return Ok(Walk::Changed);
        }
    }
    let conditions =
        [(IndexedField::Content, query.content.as_slice()), (IndexedField::ClientData, query.client_data.as_slice())];
    let lookup = Lookup::best(connection, user, conditions, SORTED_MAX)?;
    Ok(match lookup {
        Some(lookup) if lookup.found <= SORTED_MAX => Walk::Declared(lookup),
        _ if query.state == TrashState::Trashed => Walk::Trashed,
        lookup => match (ordered_walk(kinds, keys), lookup) {
            (Walk::Time, Some(lookup)) if lookup.is_ordered => Walk::Declared(lookup),
            (walk, _) => walk,
        },
    })
}

/// What comes in the order of the answer by itself.
fn ordered_walk(kinds: Option<&FxHashSet<i64>>, keys: Option<Vec<i64>>) -> Walk {
    let lists: Vec<List> = match (kinds, keys) {
        (_, Some(keys)) => keys.into_iter().map(List::Stream).collect(),
        (Some(kinds), None) => kinds.iter().copied().map(List::Kind).collect(),
        (None, None) => return Walk::Time,
    };
    match lists.as_slice() {
        [List::Stream(key)] => Walk::Stream(*key),
        [List::Kind(kind)] => Walk::Kind(*kind),
        lists if lists.len() <= MERGED_MAX => Walk::Merged(lists.to_vec()),
        _ => Walk::Time,
    }
}

const KIND_BY_NAME: &str = "SELECT row FROM kind WHERE user = ?1 AND name = ?2";
/// A class ends in `/`; of the letters in names of types, digits come next.
const KINDS_BY_CLASS: &str = "SELECT row FROM kind WHERE user = ?1 AND name > ?2 AND name < rtrim(?2, '/') || '0'";

/// Keys of the user's types that the filters name; `None` without filters.
fn kind_rows(connection: &Connection, user: i64, types: &[TypeFilter]) -> Result<Option<FxHashSet<i64>>, StoreError> {
    if types.is_empty() {
        return Ok(None);
    }
    let mut by_name = connection.prepare_cached(KIND_BY_NAME)?;
    let mut by_class = connection.prepare_cached(KINDS_BY_CLASS)?;
    let mut out = FxHashSet::default();
    for filter in types {
        match filter {
            TypeFilter::Exact(name) => {
                out.extend(by_name.query_row(params![user, name], |row| row.get::<_, i64>(0)).optional()?);
            }
            TypeFilter::Class(class) => {
                for row in by_class.query_map(params![user, class], |row| row.get::<_, i64>(0))? {
                    out.insert(row?);
                }
            }
        }
    }
    Ok(Some(out))
}

/// Keys of the streams that events ever named; other ids match nothing.
fn stream_rows(connection: &Connection, user: i64, wanted: &FxHashSet<&str>) -> Result<Vec<i64>, StoreError> {
    let mut query = connection.prepare_cached("SELECT row FROM stream_key WHERE user = ?1 AND id = ?2")?;
    let mut out = Vec::new();
    for id in wanted {
        out.extend(query.query_row(params![user, id], |row| row.get::<_, i64>(0)).optional()?);
    }
    out.sort_unstable();
    Ok(out)
}

/// Names of types, looked up once per page.
struct KindNames<'a> {
    connection: &'a Connection,
    known: FxHashMap<i64, String>,
}

impl KindNames<'_> {
    fn name(&mut self, kind: i64) -> Result<&str, StoreError> {
        use std::collections::hash_map::Entry;
        Ok(match self.known.entry(kind) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let mut query = self.connection.prepare_cached("SELECT name FROM kind WHERE row = ?1")?;
                place.insert(query.query_row([kind], |row| row.get(0))?)
            }
        })
    }
}

#[cfg(test)]
mod tests;
