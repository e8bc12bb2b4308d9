//! Events: created.

use model::{Event, SeriesKey};

use super::Act;
use crate::StoreError;
use crate::base::Written;
use crate::postgres::Settings;
use crate::postgres::connection::Connection;
use crate::postgres::text::{Text, texts};
use crate::stored::event::{Texts, length, series_column};
use crate::stored::taken;

pub(super) async fn create(
    connection: &mut Connection,
    settings: &Settings,
    act: &Act<'_>,
    mut event: Event,
) -> Result<Written, StoreError> {
    let sql = "SELECT 1 FROM event WHERE owner = $1 AND id = $2
         UNION ALL SELECT 1 FROM event_deletion WHERE owner = $1 AND id = $2";
    if connection.optional(sql, &[&act.owner, &Text(&event.id)]).await?.is_some() {
        return Err(taken([("id", event.id.into())]));
    }
    (event.created, event.modified) = (act.stamp, act.stamp);
    event.created_by = act.author.to_owned();
    event.modified_by = act.author.to_owned();
    event.series_key = match event.series_element() {
        Some(_) => Some(next_series_key(connection, act).await?),
        None => None,
    };
    event.integrity = settings.seals.event(|| event.to_json());
    insert(connection, act, &event).await?;
    Ok(Written::Event(Box::new(event)))
}

/// The row and its links, in one statement.
async fn insert(connection: &mut Connection, act: &Act<'_>, event: &Event) -> Result<(), StoreError> {
    let columns = Texts::of(event)?;
    connection
        .execute(
            "WITH made AS (
                 INSERT INTO event (owner, id, streams, time, end_time, duration, kind, content, description, client_data,
                     attachments, trashed, created, created_by, modified, modified_by, integrity, series)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
                 RETURNING owner, time, row)
             INSERT INTO event_stream (owner, stream, time, event)
             SELECT DISTINCT made.owner, u.id, made.time, made.row FROM made, unnest($19::text[]) u (id)",
            &[
                &act.owner,
                &Text(&event.id),
                &columns.streams,
                &event.time,
                &event.end_time(),
                &length(event),
                &Text(&event.kind),
                &columns.content,
                &event.description.as_deref().map(Text),
                &columns.client_data,
                &columns.attachments,
                &event.trashed,
                &event.created,
                &Text(&event.created_by),
                &event.modified,
                &Text(&event.modified_by),
                &event.integrity,
                &event.series_key.map(series_column),
                &texts(&event.stream_ids),
            ],
        )
        .await?;
    Ok(())
}

/// From a sequence, which no rollback turns back. One for all slots: the slot in the key keeps them apart anyway.
async fn next_series_key(connection: &mut Connection, act: &Act<'_>) -> Result<SeriesKey, StoreError> {
    let exhausted = || StoreError::Unavailable("all series keys have been given".into());
    let sql = "SELECT a.slot, nextval('series_counter') FROM account a WHERE a.row = $1";
    let row = connection.optional(sql, &[&act.owner]).await?.ok_or(StoreError::NotFound)?;
    let slot = u16::try_from(row.try_get::<_, i32>(0)?).map_err(|_| StoreError::Corrupt("a slot's number".into()))?;
    let counter: i64 = row.try_get(1)?;
    SeriesKey::new(model::SlotId(slot), counter.cast_unsigned()).ok_or_else(exhausted)
}
