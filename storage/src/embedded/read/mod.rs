//! The reads, on any connection of the slot: a pooled one, or the writer's inside a batch.

mod audit_page;
mod events_page;
mod sql;

use model::{Event, EventDeletion, PasswordHash, Session, StreamDeletion};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Map;

pub(super) use self::sql::Sql;
use super::rows;
use crate::StoreError;
use crate::base::{Answer, Found, Read, ReadCall, SpaceData};
use crate::stored::event;

const EVENT_HISTORY: &str =
    "SELECT doc, modified, modified_by FROM event_version WHERE user = ?1 AND event_id = ?2 ORDER BY modified, row";
const STREAM_DELETIONS: &str =
    "SELECT id, deleted FROM stream_deletion WHERE user = ?1 AND deleted > ?2 ORDER BY deleted DESC, id";
const ANY_EVENT_IN: &str = "
    SELECT 1 FROM stream_key sk JOIN event_stream s ON s.stream = sk.row JOIN event e ON e.row = s.event
    WHERE sk.user = ?1 AND sk.id = ?2 AND e.trashed = 0 LIMIT 1";

/// A deletion that kept its fields is told by its id only (spec 03, section 2.6).
fn event_deletions_sql(ascending: bool) -> String {
    let order = if ascending { "ASC" } else { "DESC" };
    format!(
        "SELECT id, deleted, CASE WHEN doc IS NULL THEN integrity END FROM event_deletion WHERE user = ?1 AND deleted > ?2
         ORDER BY deleted {order} LIMIT ?3 OFFSET ?4"
    )
}

pub(super) fn answer(connection: &Connection, call: &ReadCall) -> Result<Answer, StoreError> {
    // One snapshot for all statements of a read; inside a batch the writer's transaction is that.
    let snapshot = if connection.is_autocommit() { Some(connection.unchecked_transaction()?) } else { None };
    let outcome = answer_in_snapshot(connection, call);
    drop(snapshot);
    outcome
}

fn answer_in_snapshot(connection: &Connection, call: &ReadCall) -> Result<Answer, StoreError> {
    let user = connection
        .prepare_cached("SELECT row FROM user WHERE id = ?1 AND erased = 0")?
        .query_row([call.grant.user().as_str()], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::NotFound)?;
    Ok(match &call.read {
        Read::Space => Answer::Space(Box::new(space(connection, user)?)),
        Read::Password => Answer::Password(password(connection, user)?),
        Read::Profile { set } => Answer::Profile(profile(connection, user, set)?),
        Read::Event { id } => Answer::Event(event(connection, user, id)?),
        Read::EventHistory { id } => Answer::Events(event_history(connection, user, id)?),
        Read::EventsPage { query, after } => Answer::Page(events_page::page(connection, user, query, after.as_ref())?),
        Read::AuditPage { query, after } => Answer::Page(audit_page::page(connection, user, query, after.as_ref())?),
        Read::AuditStreams { actions } => Answer::Names(audit_page::streams(connection, user, *actions)?),
        Read::EventDeletions { since, ascending, limit, skip } => {
            Answer::EventDeletions(event_deletions(connection, user, (*since, *ascending), (*limit, *skip))?)
        }
        Read::StreamDeletions { since } => Answer::StreamDeletions(stream_deletions(connection, user, *since)?),
        Read::AccessDeletions => Answer::Accesses(accesses(
            connection,
            &format!(
                "SELECT {} FROM access WHERE user = ?1 AND deleted IS NOT NULL ORDER BY deleted DESC, row DESC",
                rows::ACCESS_COLUMNS
            ),
            params![user],
        )?),
        Read::AccessHistory { id } => Answer::Accesses(accesses(
            connection,
            &format!("SELECT {} FROM access_version WHERE user = ?1 AND id = ?2 ORDER BY row", rows::ACCESS_COLUMNS),
            params![user, id],
        )?),
        Read::AnyEventIn { stream_ids } => Answer::Yes(any_event_in(connection, user, stream_ids)?),
    })
}

fn space(connection: &Connection, user: i64) -> Result<SpaceData, StoreError> {
    let (username, fields, version): (String, String, i64) = connection
        .prepare_cached(
            "SELECT u.username, u.fields, c.version FROM user u JOIN user_clock c ON c.user = u.row WHERE u.row = ?1",
        )?
        .query_row([user], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let accesses = accesses(
        connection,
        &format!("SELECT {} FROM access WHERE user = ?1 AND deleted IS NULL ORDER BY row", rows::ACCESS_COLUMNS),
        params![user],
    )?;
    let sql = format!("SELECT {} FROM stream WHERE user = ?1 ORDER BY created, id", rows::STREAM_COLUMNS);
    let mut query = connection.prepare_cached(&sql)?;
    let mut found = query.query([user])?;
    let mut streams = Vec::new();
    while let Some(row) = found.next()? {
        streams.push(rows::stream(row)?);
    }
    let sessions = connection
        .prepare_cached("SELECT token, app_id, expires FROM session WHERE user = ?1")?
        .query_map([user], |row| Ok(Session { token: row.get(0)?, app_id: row.get(1)?, expires: row.get(2)? }))?
        .collect::<Result<_, _>>()?;
    Ok(SpaceData {
        username,
        fields: serde_json::from_str(&fields)?,
        accesses,
        streams,
        sessions,
        version: version.cast_unsigned(),
    })
}

fn password(connection: &Connection, user: i64) -> Result<Option<PasswordHash>, StoreError> {
    let found: Option<String> =
        connection.prepare_cached("SELECT password FROM user WHERE row = ?1")?.query_row([user], |row| row.get(0))?;
    Ok(found.map(PasswordHash))
}

fn profile(connection: &Connection, user: i64, set: &str) -> Result<Map<String, serde_json::Value>, StoreError> {
    let found: Option<String> = connection
        .prepare_cached("SELECT value FROM profile WHERE user = ?1 AND name = ?2")?
        .query_row(params![user, set], |row| row.get(0))
        .optional()?;
    Ok(found.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
}

fn event(connection: &Connection, user: i64, id: &str) -> Result<Option<Found>, StoreError> {
    let sql = format!(
        "SELECT {}, k.name FROM event e JOIN kind k ON k.row = e.kind WHERE e.user = ?1 AND e.id = ?2",
        rows::EVENT_COLUMNS
    );
    let mut query = connection.prepare_cached(&sql)?;
    let mut found = query.query(params![user, id])?;
    if let Some(row) = found.next()? {
        return Ok(Some(Found::Event(Box::new(rows::named_event(row)?))));
    }
    let deleted: Option<(EventDeletion, Option<String>)> = connection
        .prepare_cached("SELECT id, deleted, integrity, doc FROM event_deletion WHERE user = ?1 AND id = ?2")?
        .query_row(params![user, id], |row| Ok((event_deletion(row)?, row.get(3)?)))
        .optional()?;
    Ok(match deleted {
        None => None,
        Some((deletion, None)) => Some(Found::Deletion(deletion)),
        Some((deletion, Some(doc))) => {
            let mut event = event::of_doc(&doc)?;
            event.integrity.clone_from(&deletion.integrity);
            Some(Found::Kept(deletion, Box::new(event)))
        }
    })
}

fn event_deletion(row: &rusqlite::Row<'_>) -> rusqlite::Result<EventDeletion> {
    Ok(EventDeletion { id: row.get(0)?, deleted: row.get(1)?, integrity: row.get(2)? })
}

/// Oldest first. A version that the deletion mode has reduced has its id and authors only (no stream ids).
fn event_history(connection: &Connection, user: i64, id: &str) -> Result<Vec<Event>, StoreError> {
    let mut query = connection.prepare_cached(EVENT_HISTORY)?;
    let mut found = query.query(params![user, id])?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        out.push(match row.get::<_, Option<String>>(0)? {
            Some(doc) => event::of_doc(&doc)?,
            None => Event { id: id.to_owned(), modified: row.get(1)?, modified_by: row.get(2)?, ..Event::default() },
        });
    }
    Ok(out)
}

fn event_deletions(
    connection: &Connection,
    user: i64,
    (since, ascending): (f64, bool),
    (limit, skip): (Option<u64>, u64),
) -> Result<Vec<EventDeletion>, StoreError> {
    let sql = event_deletions_sql(ascending);
    let limit = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let mut query = connection.prepare_cached(&sql)?;
    let found = query.query_map(params![user, since, limit, skip], event_deletion)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn stream_deletions(connection: &Connection, user: i64, since: f64) -> Result<Vec<StreamDeletion>, StoreError> {
    let mut query = connection.prepare_cached(STREAM_DELETIONS)?;
    let found =
        query.query_map(params![user, since], |row| Ok(StreamDeletion { id: row.get(0)?, deleted: row.get(1)? }))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn accesses(
    connection: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<Vec<model::Access>, StoreError> {
    let mut query = connection.prepare_cached(sql)?;
    let mut found = query.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        out.push(rows::access(row)?);
    }
    Ok(out)
}

fn any_event_in(connection: &Connection, user: i64, stream_ids: &[String]) -> Result<bool, StoreError> {
    let mut query = connection.prepare_cached(ANY_EVENT_IN)?;
    for id in stream_ids {
        if query.exists(params![user, id])? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
