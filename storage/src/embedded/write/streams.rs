//! Streams: created, changed, really deleted with their descendants.

use model::{Stream, StreamDeletion};
use rusqlite::params;

use super::{Act, Desk};
use crate::StoreError;
use crate::base::{LinkedEvents, StreamsDeleted, Written};
use crate::stored::{map_text, taken};

impl Desk {
    pub(super) fn create_stream(&mut self, act: &Act<'_>, mut stream: Stream) -> Result<Written, StoreError> {
        if self.stream_exists(act, &stream.id)? {
            return Err(taken([("id", stream.id.into())]));
        }
        self.check_sibling_name(act, &stream)?;
        self.connection
            .prepare_cached("DELETE FROM stream_deletion WHERE user = ?1 AND id = ?2")?
            .execute(params![act.user, stream.id])?;
        (stream.created, stream.modified) = (act.stamp, act.stamp);
        stream.created_by = act.author.to_owned();
        stream.modified_by = act.author.to_owned();
        self.connection
            .prepare_cached(
                "INSERT INTO stream (user, id, name, parent, client_data, trashed, created, created_by, modified,
                 modified_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                act.user,
                stream.id,
                stream.name,
                stream.parent_id,
                map_text(stream.client_data.as_ref())?,
                stream.trashed,
                stream.created,
                stream.created_by,
                stream.modified,
                stream.modified_by
            ])?;
        Ok(Written::Stream(Box::new(stream)))
    }

    pub(super) fn update_stream(&mut self, act: &Act<'_>, mut stream: Stream) -> Result<Written, StoreError> {
        if !self.stream_exists(act, &stream.id)? {
            return Err(StoreError::NotFound);
        }
        self.check_sibling_name(act, &stream)?;
        stream.modified = act.stamp;
        stream.modified_by = act.author.to_owned();
        (stream.created, stream.created_by) = self
            .connection
            .prepare_cached(
                "UPDATE stream SET name = ?3, parent = ?4, client_data = ?5, trashed = ?6, modified = ?7,
                 modified_by = ?8 WHERE user = ?1 AND id = ?2 RETURNING created, created_by",
            )?
            .query_row(
                params![
                    act.user,
                    stream.id,
                    stream.name,
                    stream.parent_id,
                    map_text(stream.client_data.as_ref())?,
                    stream.trashed,
                    stream.modified,
                    stream.modified_by
                ],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
        Ok(Written::Stream(Box::new(stream)))
    }

    pub(super) fn delete_streams(
        &mut self,
        act: &Act<'_>,
        ids: &[String],
        linked: &LinkedEvents,
    ) -> Result<Written, StoreError> {
        for id in ids {
            if !self.stream_exists(act, id)? {
                return Err(StoreError::NotFound);
            }
        }
        let events = self.linked_events(act, ids)?;
        if !events.is_empty() && *linked == LinkedEvents::Refuse {
            return Ok(Written::LinkedEventsExist);
        }
        let mut out = StreamsDeleted::default();
        for event in events {
            self.unlink_event(act, event, ids, linked, &mut out)?;
        }
        for id in ids {
            self.connection
                .prepare_cached("DELETE FROM stream WHERE user = ?1 AND id = ?2")?
                .execute(params![act.user, id])?;
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO stream_deletion (user, id, deleted) VALUES (?1, ?2, ?3)")?
                .execute(params![act.user, id, act.stamp])?;
            out.deletions.push(StreamDeletion { id: id.clone(), deleted: act.stamp });
        }
        Ok(Written::StreamDeletion(out))
    }

    fn stream_exists(&self, act: &Act<'_>, id: &str) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT 1 FROM stream WHERE user = ?1 AND id = ?2")?
            .exists(params![act.user, id])?)
    }

    /// Names are unique among siblings, trashed ones included (Pryv: streams.create).
    fn check_sibling_name(&self, act: &Act<'_>, stream: &Stream) -> Result<(), StoreError> {
        let used = self
            .connection
            .prepare_cached("SELECT 1 FROM stream WHERE user = ?1 AND parent IS ?2 AND name = ?3 AND id <> ?4")?
            .exists(params![act.user, stream.parent_id, stream.name, stream.id])?;
        if used { Err(taken([("name", stream.name.clone().into())])) } else { Ok(()) }
    }
}
