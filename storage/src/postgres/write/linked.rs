//! What becomes of events when their streams are really deleted (Pryv: streams.delete, second call): however many they are, a
//! few statements for each thousand.

use model::Event;

use super::Act;
use crate::StoreError;
use crate::base::{LinkedEvents, StreamsDeleted};
use crate::postgres::Settings;
use crate::postgres::connection::Connection;
use crate::postgres::rows::{self, EVENT_COLUMNS};
use crate::postgres::text::{Text, texts};
use crate::stored::deletion::{DeletionMode, Tombstone, Unlinked, unlink};
use crate::stored::event;

/// Events in one statement.
const EVENTS_MAX: usize = 1_000;

pub(super) struct LinkedEvent {
    row: i64,
    event: Event,
}

/// Events that are not trashed and in at least one of the streams.
pub(super) async fn events(
    connection: &mut Connection,
    act: &Act<'_>,
    ids: &[String],
) -> Result<Vec<LinkedEvent>, StoreError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM event e WHERE NOT e.trashed AND e.row IN
             (SELECT s.event FROM event_stream s WHERE s.owner = $1 AND s.stream = ANY ($2)) ORDER BY e.row"
    );
    let found = connection.query(&sql, &[&act.owner, &texts(ids)]).await?;
    found
        .iter()
        .map(|row| Ok(LinkedEvent { row: row.try_get(0)?, event: rows::event(row, 0)?.into_event()? }))
        .collect()
}

/// `modified` is not touched, but the hash tells the new state.
pub(super) async fn unlink_all(
    connection: &mut Connection,
    settings: &Settings,
    act: &Act<'_>,
    events: Vec<LinkedEvent>,
    deleted: &[String],
    choice: &LinkedEvents,
    out: &mut StreamsDeleted,
) -> Result<(), StoreError> {
    let (mut staying, mut leaving) = (Vec::new(), Vec::new());
    for LinkedEvent { row, mut event } in events {
        match unlink(&event, deleted, choice) {
            Unlinked::Stays(action, stream_ids) => {
                out.events.push((action, event.id.clone()));
                let before = event.clone();
                event.stream_ids = stream_ids;
                event.integrity = settings.seals.event(|| event.to_json());
                staying.push((row, before, event));
            }
            Unlinked::Deleted => {
                out.events.push(("deleted", event.id.clone()));
                out.series.extend(event.series_key);
                leaving.push((row, event));
            }
        }
    }
    for some in staying.chunks(EVENTS_MAX) {
        if settings.keep_history {
            keep_versions(connection, act, some.iter().map(|(_, before, _)| before)).await?;
        }
        replace(connection, act, some, deleted, choice).await?;
    }
    for some in leaving.chunks(EVENTS_MAX) {
        if settings.keep_history {
            keep_versions(connection, act, some.iter().map(|(_, event)| event)).await?;
        }
        delete(connection, settings, act, some).await?;
    }
    Ok(())
}

async fn replace(
    connection: &mut Connection,
    act: &Act<'_>,
    events: &[(i64, Event, Event)],
    deleted: &[String],
    choice: &LinkedEvents,
) -> Result<(), StoreError> {
    let rows: Vec<i64> = events.iter().map(|(row, ..)| *row).collect();
    let times: Vec<f64> = events.iter().map(|(_, _, event)| event.time).collect();
    let streams = events.iter().map(|(_, _, event)| serde_json::to_string(&event.stream_ids));
    let streams = streams.collect::<Result<Vec<_>, _>>()?;
    let integrities: Vec<_> = events.iter().map(|(_, _, event)| event.integrity.as_deref()).collect();
    connection
        .execute(
            "UPDATE event SET streams = u.streams, integrity = u.integrity
             FROM unnest($1::bigint[], $2::text[], $3::text[]) u (row, streams, integrity) WHERE event.row = u.row",
            &[&rows, &streams, &integrities],
        )
        .await?;
    remove_links(connection, act, &rows, deleted).await?;
    if let LinkedEvents::MergeWithParent { parent_id } = choice {
        connection
            .execute(
                "INSERT INTO event_stream (owner, stream, time, event) SELECT $1, $2, u.time, u.event
                 FROM unnest($3::float8[], $4::bigint[]) u (time, event) ON CONFLICT DO NOTHING",
                &[&act.owner, &Text(parent_id), &times, &rows],
            )
            .await?;
    }
    Ok(())
}

async fn delete(
    connection: &mut Connection,
    settings: &Settings,
    act: &Act<'_>,
    events: &[(i64, Event)],
) -> Result<(), StoreError> {
    let rows: Vec<i64> = events.iter().map(|(row, _)| *row).collect();
    let all_ids: Vec<String> = events.iter().flat_map(|(_, event)| event.stream_ids.iter().cloned()).collect();
    remove_links(connection, act, &rows, &all_ids).await?;
    connection.execute("DELETE FROM event WHERE row = ANY ($1)", &[&rows]).await?;
    let left: Vec<Tombstone> = events
        .iter()
        .map(|(_, event)| Tombstone::of(event, settings.deletion_mode, settings.seals, act.stamp, act.author))
        .collect();
    let ids: Vec<_> = left.iter().map(|one| Text(&one.deletion.id)).collect();
    let integrities: Vec<_> = left.iter().map(|one| one.deletion.integrity.as_deref()).collect();
    let modified: Vec<_> = left.iter().map(|one| one.modified).collect();
    let authors: Vec<_> = left.iter().map(|one| one.modified_by.as_deref().map(Text)).collect();
    let docs: Vec<_> = left.iter().map(|one| one.doc.as_deref()).collect();
    connection
        .execute(
            "INSERT INTO event_deletion (owner, id, deleted, integrity, modified, modified_by, doc)
             SELECT $1, u.id, $2, u.integrity, u.modified, u.author, u.doc
             FROM unnest($3::text[], $4::text[], $5::float8[], $6::text[], $7::text[])
                 u (id, integrity, modified, author, doc)",
            &[&act.owner, &act.stamp, &ids, &integrities, &modified, &authors, &docs],
        )
        .await?;
    reduce_versions(connection, settings, act, &ids).await
}

async fn remove_links(
    connection: &mut Connection,
    act: &Act<'_>,
    rows: &[i64],
    streams: &[String],
) -> Result<(), StoreError> {
    let sql = "DELETE FROM event_stream WHERE owner = $1 AND stream = ANY ($2) AND event = ANY ($3)";
    connection.execute(sql, &[&act.owner, &texts(streams), &rows]).await?;
    Ok(())
}

async fn keep_versions(
    connection: &mut Connection,
    act: &Act<'_>,
    events: impl Iterator<Item = &Event> + Clone,
) -> Result<(), StoreError> {
    let ids: Vec<_> = events.clone().map(|event| Text(&event.id)).collect();
    let modified: Vec<f64> = events.clone().map(|event| event.modified).collect();
    let authors: Vec<_> = events.clone().map(|event| Text(&event.modified_by)).collect();
    let docs: Vec<String> = events.map(event::doc).collect();
    connection
        .execute(
            "INSERT INTO event_version (owner, event_id, modified, modified_by, doc)
             SELECT $1, u.id, u.modified, u.author, u.doc
             FROM unnest($2::text[], $3::float8[], $4::text[], $5::text[]) u (id, modified, author, doc)",
            &[&act.owner, &ids, &modified, &authors, &docs],
        )
        .await?;
    Ok(())
}

/// What the deletion mode leaves of the versions.
async fn reduce_versions(
    connection: &mut Connection,
    settings: &Settings,
    act: &Act<'_>,
    ids: &[Text<'_>],
) -> Result<(), StoreError> {
    let sql = match settings.deletion_mode {
        DeletionMode::KeepNothing => "DELETE FROM event_version WHERE owner = $1 AND event_id = ANY ($2)",
        DeletionMode::KeepAuthors => "UPDATE event_version SET doc = NULL WHERE owner = $1 AND event_id = ANY ($2)",
        DeletionMode::KeepEverything => return Ok(()),
    };
    connection.execute(sql, &[&act.owner, &ids]).await?;
    Ok(())
}
