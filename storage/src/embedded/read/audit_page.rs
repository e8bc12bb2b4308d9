//! A page of audit events (Pryv: the `:_audit:` store), made from the records.

use std::borrow::Cow;

use model::EventsQuery;
use model::query::TrashState;
use rusqlite::{Connection, Row, params_from_iter};

use super::rows;
use super::sql::Sql;
use crate::StoreError;
use crate::base::{Cursor, Page};
use crate::stored::audit::{Shown, one_access, shown_streams, types_pass};
use crate::stored::page::{Next, PageBuilder};
use crate::stored::streams::Streams;

/// How far back methods and versions of accesses are looked for: their columns have no index.
const NAMES_ROWS_MAX: u32 = 100_000;
const ORDER: (&str, &str) = ("a.time", "a.row");

/// Content conditions are not for this store: the API refuses them before.
pub(super) fn page(
    connection: &Connection,
    user: i64,
    query: &EventsQuery,
    after: Option<&Cursor>,
) -> Result<Page, StoreError> {
    let mut builder = PageBuilder::new(query.skip, query.limit, after);
    let never = query.only_running || query.state == TrashState::Trashed || builder.wants_none();
    let streams = match Streams::of(&query.streams) {
        Some(streams) if !never => streams,
        _ => return Ok(builder.finish(false)),
    };
    let sql = statement(user, query, &streams, after);
    let mut statement = connection.prepare_cached(&sql.text)?;
    let mut found = statement.query(params_from_iter(sql.params))?;
    while let Some(row) = found.next()? {
        let record = record(row)?;
        if streams.pass(&record.stream_ids()) && types_pass(&record.kind, &query.types) {
            builder.matched(|out, _| record.put(out))?;
        }
        match builder.seen(record.time, row.get(0)?) {
            Next::Row => {}
            Next::PageFull => return Ok(builder.finish(true)),
            Next::LimitReached => return Ok(builder.finish(false)),
        }
    }
    Ok(builder.finish(false))
}

/// The streams of the store that have records, by name. Each access is found by one step in its index.
pub(super) fn streams(connection: &Connection, user: i64, actions: bool) -> Result<Vec<String>, StoreError> {
    let latest = |columns: &str| {
        format!(
            "(SELECT {columns} FROM audit INDEXED BY audit_time WHERE user = ?1 ORDER BY time DESC \
             LIMIT {NAMES_ROWS_MAX})"
        )
    };
    let sql = match actions {
        true => format!("SELECT DISTINCT 'action-' || action FROM {} ORDER BY 1", latest("action")),
        false => format!(
            "WITH RECURSIVE known(access) AS (SELECT min(access) FROM audit WHERE user = ?1 UNION ALL \
             SELECT (SELECT min(a.access) FROM audit a WHERE a.user = ?1 AND a.access > known.access) FROM known \
             WHERE known.access IS NOT NULL) SELECT 'access-' || access FROM known WHERE access IS NOT NULL \
             UNION SELECT 'access-' || access || ':' || serial FROM {} WHERE serial IS NOT NULL ORDER BY 1",
            latest("access, serial")
        ),
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let names = statement.query_map([user], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// One access leads through its own index; all else through time.
fn statement(user: i64, query: &EventsQuery, streams: &Streams<'_>, after: Option<&Cursor>) -> Sql {
    let mut sql = Sql::default();
    sql.push("SELECT a.row, a.time, a.id, a.access, a.serial, a.action, a.kind, a.content FROM audit a");
    match one_access(streams) {
        Some(access) => {
            sql.bind(" INDEXED BY audit_access WHERE a.user = ?", user).bind(" AND a.access = ?", access);
        }
        None => drop(sql.bind(" INDEXED BY audit_time WHERE a.user = ?", user)),
    }
    for (bound, value) in [(" AND a.time >= ?", query.from), (" AND a.time <= ?", query.to)] {
        if let Some(value) = value {
            sql.bind(bound, value);
        }
    }
    if let Some(since) = query.modified_since {
        sql.bind(" AND a.time > ?", since);
    }
    if let Some(after) = after {
        sql.behind(ORDER, after, query.ascending);
    }
    sql.order(ORDER, query.ascending);
    sql
}

fn record<'a>(row: &'a Row<'_>) -> Result<Shown<'a>, StoreError> {
    let text = |index: usize| row.get_ref(index)?.as_str().map_err(rows::corrupt).map(Cow::from);
    let streams = shown_streams(&text(3)?, row.get(4)?, &text(5)?);
    Ok(Shown { id: text(2)?, time: row.get(1)?, kind: text(6)?, content: text(7)?, streams })
}
