//! A page of audit events (Pryv: the `:_audit:` store), made from the records.

use model::EventsQuery;
use model::query::TrashState;
use tokio_postgres::Row;

use super::sql::Sql;
use crate::StoreError;
use crate::base::{Cursor, Page};
use crate::postgres::connection::Connection;
use crate::postgres::text::{Text, text};
use crate::stored::audit::{Shown, one_access, shown_streams, types_pass};
use crate::stored::page::{Next, PageBuilder};
use crate::stored::streams::Streams;

/// Rows of one statement.
const ROWS_MAX: i64 = 1_024;

/// Content conditions are not for this store: the API refuses them before.
pub(super) async fn page(
    connection: &mut Connection,
    owner: i64,
    query: &EventsQuery,
    after: Option<&Cursor>,
) -> Result<Page, StoreError> {
    let mut builder = PageBuilder::new(query.skip, query.limit, after);
    let never = query.only_running || query.state == TrashState::Trashed || builder.wants_none();
    let streams = match Streams::of(&query.streams) {
        Some(streams) if !never => streams,
        _ => return Ok(builder.finish(false)),
    };
    let access = one_access(&streams);
    let mut after = after.map(|cursor| (cursor.time, cursor.row));
    loop {
        let sql = statement(owner, query, access.as_deref(), after);
        let mut found = connection.stream(&sql.text, sql.params).await?;
        let mut seen = 0;
        while let Some(row) = found.next().await? {
            seen += 1;
            let record = record(&row)?;
            if streams.pass(&record.stream_ids()) && types_pass(&record.kind, &query.types) {
                builder.matched(|out, _| record.put(out))?;
            }
            match builder.seen(record.time, row.try_get(0)?) {
                Next::Row => after = Some((record.time, row.try_get(0)?)),
                Next::PageFull => return Ok(builder.finish(true)),
                Next::LimitReached => return Ok(builder.finish(false)),
            }
        }
        if seen < ROWS_MAX {
            return Ok(builder.finish(false));
        }
    }
}

fn statement<'a>(owner: i64, query: &EventsQuery, access: Option<&'a str>, after: Option<(f64, i64)>) -> Sql<'a> {
    const ORDER: (&str, &str) = ("a.time", "a.row");
    let mut sql = Sql::default();
    sql.push("SELECT a.row, a.time, a.id, a.access, a.serial, a.action, a.kind, a.content FROM audit a");
    sql.bind(" WHERE a.owner = ?::bigint", owner);
    if let Some(access) = access {
        sql.bind(" AND a.access = ?::text", Text(access));
    }
    let bounds = [(">=", query.from), ("<=", query.to), (">", query.modified_since)];
    for (compare, value) in bounds.into_iter().filter(|(_, value)| value.is_some()) {
        sql.bind(&format!(" AND a.time {compare} ?::float8"), value);
    }
    if let Some(after) = after {
        sql.behind(ORDER, after, query.ascending);
    }
    sql.first(ORDER, query.ascending, ROWS_MAX);
    sql
}

fn record(row: &Row) -> Result<Shown<'_>, StoreError> {
    let serial = row.try_get::<_, Option<i32>>(4)?.map(i32::cast_unsigned);
    let streams = shown_streams(&text(row, 3)?, serial, &text(row, 5)?);
    let content: &str = row.try_get(7)?;
    Ok(Shown { id: text(row, 2)?, time: row.try_get(1)?, kind: text(row, 6)?, content: content.into(), streams })
}
