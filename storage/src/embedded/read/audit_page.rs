//! A page of audit events (Pryv: the `:_audit:` store), made from the records.

use model::EventsQuery;
use model::query::{TrashState, TypeFilter};
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::Value;

use super::page::{Next, PageBuilder, Sql, put_key, put_number, put_text};
use super::rows;
use super::streams::Streams;
use crate::StoreError;
use crate::base::{Cursor, Page};

const ACCESS_PREFIX: &str = "access-";
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
        let record = Record::of(row)?;
        if streams.pass(&record.stream_ids()) && types_pass(record.kind, &query.types) {
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

fn one_access(streams: &Streams<'_>) -> Option<String> {
    let wanted = streams.wanted()?;
    let mut ids = wanted.iter();
    let (Some(id), None) = (ids.next(), ids.next()) else { return None };
    let access = id.strip_prefix(ACCESS_PREFIX)?;
    let base = access.split_once(':').map_or(access, |(base, _)| base);
    Some(base.to_owned())
}

fn types_pass(kind: &str, types: &[TypeFilter]) -> bool {
    types.is_empty()
        || types.iter().any(|filter| match filter {
            TypeFilter::Exact(wanted) => kind == wanted,
            TypeFilter::Class(class) => kind.starts_with(class.as_str()),
        })
}

struct Record<'a> {
    id: &'a str,
    time: f64,
    kind: &'a str,
    content: &'a str,
    /// `access-<base>`, perhaps `access-<base>:<serial>`, `action-<method>`.
    streams: Vec<String>,
}

impl<'a> Record<'a> {
    fn of(row: &'a Row<'_>) -> Result<Self, StoreError> {
        let text = |index: usize| row.get_ref(index)?.as_str().map_err(rows::corrupt);
        let access = text(3)?;
        let mut streams = vec![format!("{ACCESS_PREFIX}{access}")];
        if let Some(serial) = row.get::<_, Option<u32>>(4)? {
            streams.push(format!("{ACCESS_PREFIX}{access}:{serial}"));
        }
        streams.push(format!("action-{}", text(5)?));
        Ok(Self { id: text(2)?, time: row.get(1)?, kind: text(6)?, content: text(7)?, streams })
    }

    fn stream_ids(&self) -> Vec<&str> {
        self.streams.iter().map(String::as_str).collect()
    }

    fn put(&self, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let prefixed = |id: &str| format!(":_audit:{id}");
        put_key(out, "{\"id\":");
        put_text(out, &prefixed(self.id))?;
        put_key(out, ",\"type\":");
        put_text(out, self.kind)?;
        put_key(out, ",\"time\":");
        put_number(out, self.time)?;
        put_key(out, ",\"streamIds\":");
        let ids: Vec<Value> = self.streams.iter().map(|id| prefixed(id).into()).collect();
        serde_json::to_writer(&mut *out, &ids)?;
        put_key(out, ",\"content\":");
        put_key(out, self.content);
        for (time, by) in [(",\"created\":", ",\"createdBy\":"), (",\"modified\":", ",\"modifiedBy\":")] {
            put_key(out, time);
            put_number(out, self.time)?;
            put_key(out, by);
            put_key(out, "\"system\"");
        }
        out.push(b'}');
        Ok(())
    }
}
