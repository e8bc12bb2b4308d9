//! Streams: created, really deleted with their descendants.

use std::collections::BTreeSet;

use model::{Stream, StreamDeletion};

use super::{Act, linked};
use crate::StoreError;
use crate::base::{LinkedEvents, StreamsDeleted, Written};
use crate::postgres::Settings;
use crate::postgres::connection::Connection;
use crate::postgres::rows::STREAM_COLUMNS;
use crate::postgres::text::{Text, texts};
use crate::stored::{map_text, taken};

pub(super) async fn create(
    connection: &mut Connection,
    act: &Act<'_>,
    mut stream: Stream,
) -> Result<Written, StoreError> {
    let (id, parent) = (Text(&stream.id), stream.parent_id.as_deref().map(Text));
    if connection.optional("SELECT 1 FROM stream WHERE owner = $1 AND id = $2", &[&act.owner, &id]).await?.is_some() {
        return Err(taken([("id", stream.id.into())]));
    }
    // Names are unique among siblings, trashed ones included (Pryv: streams.create).
    let sql = "SELECT 1 FROM stream WHERE owner = $1 AND parent IS NOT DISTINCT FROM $2 AND name = $3";
    if connection.optional(sql, &[&act.owner, &parent, &Text(&stream.name)]).await?.is_some() {
        return Err(taken([("name", stream.name.into())]));
    }
    connection.execute("DELETE FROM stream_deletion WHERE owner = $1 AND id = $2", &[&act.owner, &id]).await?;
    (stream.created, stream.modified) = (act.stamp, act.stamp);
    stream.created_by = act.author.to_owned();
    stream.modified_by = act.author.to_owned();
    insert(connection, act, &stream).await?;
    Ok(Written::Stream(Box::new(stream)))
}

async fn insert(connection: &mut Connection, act: &Act<'_>, stream: &Stream) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO stream (owner, {STREAM_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    connection
        .execute(
            &sql,
            &[
                &act.owner,
                &Text(&stream.id),
                &Text(&stream.name),
                &stream.parent_id.as_deref().map(Text),
                &map_text(stream.client_data.as_ref())?,
                &stream.trashed,
                &stream.created,
                &Text(&stream.created_by),
                &stream.modified,
                &Text(&stream.modified_by),
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn delete(
    connection: &mut Connection,
    settings: &Settings,
    act: &Act<'_>,
    ids: &[String],
    choice: &LinkedEvents,
) -> Result<Written, StoreError> {
    let unique = ids.iter().collect::<BTreeSet<_>>().len();
    let found = connection
        .query("SELECT id FROM stream WHERE owner = $1 AND id = ANY ($2)", &[&act.owner, &texts(ids)])
        .await?;
    if found.len() != unique {
        return Err(StoreError::NotFound);
    }
    let events = linked::events(connection, act, ids).await?;
    if !events.is_empty() && *choice == LinkedEvents::Refuse {
        return Ok(Written::LinkedEventsExist);
    }
    let mut out = StreamsDeleted::default();
    linked::unlink_all(connection, settings, act, events, ids, choice, &mut out).await?;
    connection.execute("DELETE FROM stream WHERE owner = $1 AND id = ANY ($2)", &[&act.owner, &texts(ids)]).await?;
    connection
        .execute(
            "INSERT INTO stream_deletion (owner, id, deleted) SELECT DISTINCT $1::bigint, u.id, $3::float8
             FROM unnest($2::text[]) u (id) ON CONFLICT (owner, id) DO UPDATE SET deleted = excluded.deleted",
            &[&act.owner, &texts(ids), &act.stamp],
        )
        .await?;
    out.deletions = ids.iter().map(|id| StreamDeletion { id: id.clone(), deleted: act.stamp }).collect();
    Ok(Written::StreamDeletion(out))
}
