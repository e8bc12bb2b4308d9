//! What becomes of events when their streams are really deleted (Pryv: streams.delete, second call).

use model::Event;

use super::{Act, Desk};
use crate::StoreError;
use crate::base::{LinkedEvents, StreamsDeleted};
use crate::embedded::rows;
use crate::stored::deletion::{Unlinked, unlink};

pub(super) struct LinkedEvent {
    pub row: i64,
    pub event: Event,
}

pub(in crate::embedded) fn linked_events_sql() -> String {
    format!(
        "SELECT {}, k.name FROM stream_key sk JOIN event_stream s ON s.stream = sk.row
         JOIN event e ON e.row = s.event JOIN kind k ON k.row = e.kind
         WHERE sk.user = ?1 AND sk.id = ?2 AND e.trashed = 0",
        rows::EVENT_COLUMNS
    )
}

impl Desk {
    /// Events that are not trashed and in at least one of the streams.
    pub(super) fn linked_events(&mut self, act: &Act<'_>, ids: &[String]) -> Result<Vec<LinkedEvent>, StoreError> {
        let mut query = self.connection.prepare_cached(&linked_events_sql())?;
        let mut out = std::collections::BTreeMap::new();
        for id in ids {
            let mut found = query.query(rusqlite::params![act.user, id])?;
            while let Some(row) = found.next()? {
                out.insert(row.get::<_, i64>(0)?, rows::named_event(row)?);
            }
        }
        Ok(out.into_iter().map(|(row, event)| LinkedEvent { row, event }).collect())
    }

    /// `modified` is not touched, but the hash tells the new state.
    pub(super) fn unlink_event(
        &mut self,
        act: &Act<'_>,
        linked: LinkedEvent,
        deleted: &[String],
        choice: &LinkedEvents,
        out: &mut StreamsDeleted,
    ) -> Result<(), StoreError> {
        let LinkedEvent { row, mut event } = linked;
        match unlink(&event, deleted, choice) {
            Unlinked::Stays(action, stream_ids) => {
                let before = event.clone();
                event.stream_ids = stream_ids;
                out.events.push((action, event.id.clone()));
                self.replace_event(act, row, &before, &mut event)
            }
            Unlinked::Deleted => {
                out.series.extend(event.series_key);
                out.events.push(("deleted", event.id.clone()));
                self.really_delete_event(act, row, event).map(drop)
            }
        }
    }
}
