//! The reads, on a pooled connection or inside a batch's transaction.

mod audit_page;
mod events_page;
mod sql;

use std::sync::Arc;

use model::{Event, EventDeletion, SeriesKey, Session, SlotId, StreamDeletion, UserId};

use super::connection::{Connection, Pool};
use super::not_yet;
use super::rows::{self, ACCESS_COLUMNS, EVENT_COLUMNS, STREAM_COLUMNS};
use super::text::{Text, text, texts};
use crate::StoreError;
use crate::base::{Answer, Found, Read, ReadCall, SpaceData};
use crate::stored::event::{of_doc, series_key};

/// One snapshot for the statements of a read that needs it.
pub(super) async fn answer_in_snapshot(connection: &mut Connection, call: &ReadCall) -> Result<Answer, StoreError> {
    if !matches!(call.read, Read::Space) {
        return answer(connection, call).await;
    }
    connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let outcome = answer(connection, call).await;
    connection.run("COMMIT").await?;
    outcome
}

pub(super) async fn answer(connection: &mut Connection, call: &ReadCall) -> Result<Answer, StoreError> {
    let grant = &call.grant;
    let owner = connection
        .optional(
            "SELECT row FROM account WHERE id = $1 AND slot = $2 AND NOT erased",
            &[&Text(grant.user().as_str()), &i32::from(grant.slot().0)],
        )
        .await?
        .ok_or(StoreError::NotFound)?
        .try_get(0)?;
    Ok(match &call.read {
        Read::Space => Answer::Space(Box::new(space(connection, owner).await?)),
        Read::Event { id } => Answer::Event(event(connection, owner, id).await?),
        Read::EventHistory { id } => Answer::Events(event_history(connection, owner, id).await?),
        Read::EventsPage { query, after } => {
            Answer::Page(events_page::page(connection, owner, query, after.as_ref()).await?)
        }
        Read::AuditPage { query, after } => {
            Answer::Page(audit_page::page(connection, owner, query, after.as_ref()).await?)
        }
        Read::StreamDeletions { since } => Answer::StreamDeletions(stream_deletions(connection, owner, *since).await?),
        Read::AnyEventIn { stream_ids } => Answer::Yes(any_event_in(connection, owner, stream_ids).await?),
        _ => return Err(not_yet()),
    })
}

/// The version comes first: with what another node commits meanwhile, inside a batch, it is too old and never too new.
async fn space(connection: &mut Connection, owner: i64) -> Result<SpaceData, StoreError> {
    let row = connection
        .optional(
            "SELECT a.username, a.fields, c.version FROM account a JOIN account_clock c ON c.owner = a.row
             WHERE a.row = $1",
            &[&owner],
        )
        .await?
        .ok_or(StoreError::NotFound)?;
    let sql = format!("SELECT {ACCESS_COLUMNS} FROM access WHERE owner = $1 AND deleted IS NULL ORDER BY row");
    let accesses = connection.query(&sql, &[&owner]).await?;
    let sql = format!("SELECT {STREAM_COLUMNS} FROM stream WHERE owner = $1 ORDER BY created, id");
    let streams = connection.query(&sql, &[&owner]).await?;
    let sessions = connection.query("SELECT token, app_id, expires FROM session WHERE owner = $1", &[&owner]).await?;
    let session = |row: &tokio_postgres::Row| {
        Ok(Session { token: text(row, 0)?.into_owned(), app_id: text(row, 1)?.into_owned(), expires: row.try_get(2)? })
    };
    Ok(SpaceData {
        username: text(&row, 0)?.into_owned(),
        fields: serde_json::from_str(row.try_get(1)?)?,
        accesses: accesses.iter().map(rows::access).collect::<Result<_, _>>()?,
        streams: streams.iter().map(rows::stream).collect::<Result<_, _>>()?,
        sessions: sessions.iter().map(session).collect::<Result<_, StoreError>>()?,
        version: row.try_get::<_, i64>(2)?.cast_unsigned(),
    })
}

async fn event(connection: &mut Connection, owner: i64, id: &str) -> Result<Option<Found>, StoreError> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM event e WHERE e.owner = $1 AND e.id = $2");
    if let Some(row) = connection.optional(&sql, &[&owner, &Text(id)]).await? {
        return Ok(Some(Found::Event(Box::new(rows::event(&row, 0)?.into_event()?))));
    }
    let sql = "SELECT deleted, integrity, doc FROM event_deletion WHERE owner = $1 AND id = $2";
    let Some(row) = connection.optional(sql, &[&owner, &Text(id)]).await? else { return Ok(None) };
    let deletion = EventDeletion { id: id.to_owned(), deleted: row.try_get(0)?, integrity: row.try_get(1)? };
    Ok(Some(match row.try_get::<_, Option<&str>>(2)? {
        None => Found::Deletion(deletion),
        Some(doc) => {
            let mut event = of_doc(doc)?;
            event.integrity.clone_from(&deletion.integrity);
            Found::Kept(deletion, Box::new(event))
        }
    }))
}

/// Oldest first. A version that the deletion mode has reduced has its id and authors only (no stream ids).
async fn event_history(connection: &mut Connection, owner: i64, id: &str) -> Result<Vec<Event>, StoreError> {
    let sql = "SELECT doc, modified, modified_by FROM event_version WHERE owner = $1 AND event_id = $2
         ORDER BY modified, row";
    let found = connection.query(sql, &[&owner, &Text(id)]).await?;
    let version = |row: &tokio_postgres::Row| match row.try_get::<_, Option<&str>>(0)? {
        Some(doc) => of_doc(doc),
        None => Ok(Event {
            id: id.to_owned(),
            modified: row.try_get(1)?,
            modified_by: text(row, 2)?.into_owned(),
            ..Event::default()
        }),
    };
    found.iter().map(version).collect()
}

async fn stream_deletions(
    connection: &mut Connection,
    owner: i64,
    since: f64,
) -> Result<Vec<StreamDeletion>, StoreError> {
    let sql = "SELECT id, deleted FROM stream_deletion WHERE owner = $1 AND deleted > $2 ORDER BY deleted DESC, id";
    let found = connection.query(sql, &[&owner, &since]).await?;
    found.iter().map(|row| Ok(StreamDeletion { id: text(row, 0)?.into_owned(), deleted: row.try_get(1)? })).collect()
}

async fn any_event_in(connection: &mut Connection, owner: i64, stream_ids: &[String]) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT FROM event_stream s JOIN event e ON e.row = s.event
         WHERE s.owner = $1 AND s.stream = ANY ($2) AND NOT e.trashed)";
    let row = connection.optional(sql, &[&owner, &texts(stream_ids)]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

pub(super) async fn live_series(pool: &Arc<Pool>, slot: SlotId) -> Result<Vec<SeriesKey>, StoreError> {
    let mut lease = pool.lease().await?;
    let sql = "SELECT e.series FROM event e JOIN account a ON a.row = e.owner
         WHERE e.series IS NOT NULL AND a.slot = $1 ORDER BY e.series";
    let found = lease.connection().query(sql, &[&i32::from(slot.0)]).await?;
    lease.give_back();
    found.iter().map(|row| Ok(series_key(row.try_get(0)?))).collect()
}

pub(super) async fn accounts(pool: &Arc<Pool>, slot: SlotId) -> Result<Vec<(UserId, String)>, StoreError> {
    let mut lease = pool.lease().await?;
    let sql = "SELECT id, username FROM account WHERE slot = $1 AND NOT erased ORDER BY row";
    let found = lease.connection().query(sql, &[&i32::from(slot.0)]).await?;
    lease.give_back();
    found.iter().map(|row| Ok((UserId::new(text(row, 0)?.into_owned()), text(row, 1)?.into_owned()))).collect()
}
