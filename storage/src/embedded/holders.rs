//! The holder events of all series of a slot: what retention and the start ask, outside of any user's grant.

use model::UserId;
use rusqlite::{Connection, Row};

use super::rows;
use crate::StoreError;
use crate::base::SeriesHolder;
use crate::stored::event;

/// One pass over the index of series; the streams above come by their primary key.
const QUERY: &str = "
    SELECT e.series, u.id, e.id, e.time, e.end_time, e.duration, k.name,
        (WITH RECURSIVE up (id) AS (
            SELECT value FROM json_each(e.streams)
            UNION
            SELECT s.parent FROM up JOIN stream s ON s.user = e.user AND s.id = up.id WHERE s.parent IS NOT NULL)
         SELECT json_group_array(id) FROM up)
    FROM event e JOIN user u ON u.row = e.user JOIN kind k ON k.row = e.kind
    WHERE e.series IS NOT NULL AND u.erased = 0 ORDER BY e.series";

pub(super) fn all(connection: &Connection) -> Result<Vec<SeriesHolder>, StoreError> {
    let mut query = connection.prepare(QUERY)?;
    let mut found = query.query([])?;
    let mut holders = Vec::new();
    while let Some(row) = found.next()? {
        holders.push(holder(row)?);
    }
    Ok(holders)
}

fn holder(row: &Row<'_>) -> Result<SeriesHolder, StoreError> {
    Ok(SeriesHolder {
        key: event::series_key(row.get(0)?),
        user: UserId::new(row.get::<_, String>(1)?),
        event_id: row.get(2)?,
        time: row.get(3)?,
        duration: event::duration(row.get(4)?, row.get(5)?),
        kind: row.get(6)?,
        stream_ids: serde_json::from_str(row.get_ref(7)?.as_str().map_err(rows::corrupt)?)?,
    })
}
