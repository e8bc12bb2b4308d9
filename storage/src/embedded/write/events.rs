//! Events: created, replaced by a whole new state, really deleted by the deletion mode.

use model::{Event, EventDeletion, SeriesKey};
use rusqlite::{OptionalExtension, params};

use super::{Act, Desk};
use crate::StoreError;
use crate::base::{SeriesExtent, Written};
use crate::embedded::rows;
use crate::stored::deletion::{DeletionMode, Tombstone};
use crate::stored::event::{self, Texts, series_column};
use crate::stored::taken;

impl Desk {
    pub(super) fn create_event(&mut self, act: &Act<'_>, mut event: Event) -> Result<Written, StoreError> {
        if self.event_id_is_taken(act, &event.id)? {
            return Err(taken([("id", event.id.into())]));
        }
        (event.created, event.modified) = (act.stamp, act.stamp);
        event.created_by = act.author.to_owned();
        event.modified_by = act.author.to_owned();
        event.series_key = match event.series_element() {
            Some(_) => Some(self.next_series_key()?),
            None => None,
        };
        event.integrity = self.settings.seals.event(|| event.to_json());
        let row = self.insert_event(act, &event)?;
        self.link_event(act, row, &event)?;
        Ok(Written::Event(Box::new(event)))
    }

    pub(super) fn update_event(
        &mut self,
        act: &Act<'_>,
        mut event: Event,
        expected_modified: f64,
    ) -> Result<Written, StoreError> {
        let (row, before) = self.find_event(act, &event.id)?.ok_or(StoreError::NotFound)?;
        if before.modified != expected_modified {
            return Err(StoreError::Stale);
        }
        (event.created, event.series_key) = (before.created, before.series_key);
        event.created_by.clone_from(&before.created_by);
        event.modified = act.stamp;
        event.modified_by = act.author.to_owned();
        self.replace_event(act, row, &before, &mut event)?;
        Ok(Written::Event(Box::new(event)))
    }

    pub(super) fn delete_event(
        &mut self,
        act: &Act<'_>,
        id: &str,
        expected_modified: f64,
    ) -> Result<Written, StoreError> {
        let (row, event) = self.find_event(act, id)?.ok_or(StoreError::NotFound)?;
        if event.modified != expected_modified {
            return Err(StoreError::Stale);
        }
        Ok(Written::EventDeletion(self.really_delete_event(act, row, event)?))
    }

    /// Holders that are gone meanwhile are passed over.
    pub(super) fn extend_series(&mut self, act: &Act<'_>, holders: &[SeriesExtent]) -> Result<Written, StoreError> {
        for extent in holders {
            let Some((row, mut event)) = self.find_event(act, &extent.event_id)? else { continue };
            if !extent.exceeds(&event.duration) {
                continue;
            }
            event.duration = model::Duration::Seconds(extent.duration);
            event.modified = self.users.stamp(&self.connection, act.user_id, extent.modified.max(act.stamp))?;
            if let Some(author) = &extent.modified_by {
                event.modified_by.clone_from(author);
            }
            event.integrity = self.settings.seals.event(|| event.to_json());
            self.store_event(act, row, &event)?;
        }
        Ok(Written::Done)
    }

    /// The new state in the place of `before`, which becomes a version if history is kept.
    pub(super) fn replace_event(
        &mut self,
        act: &Act<'_>,
        row: i64,
        before: &Event,
        event: &mut Event,
    ) -> Result<(), StoreError> {
        self.keep_version(act, before)?;
        event.integrity = self.settings.seals.event(|| event.to_json());
        if before.stream_ids != event.stream_ids || before.time != event.time {
            self.unlink_event_row(act, row, before)?;
            self.link_event(act, row, event)?;
        }
        self.store_event(act, row, event)
    }

    pub(super) fn really_delete_event(
        &mut self,
        act: &Act<'_>,
        row: i64,
        event: Event,
    ) -> Result<EventDeletion, StoreError> {
        self.keep_version(act, &event)?;
        let (mode, seals) = (self.settings.deletion_mode, self.settings.seals);
        let Tombstone { deletion, modified, modified_by, doc } =
            Tombstone::of(&event, mode, seals, act.stamp, act.author);
        self.unlink_event_row(act, row, &event)?;
        self.connection.prepare_cached("DELETE FROM event WHERE row = ?1")?.execute([row])?;
        self.connection
            .prepare_cached(
                "INSERT INTO event_deletion (user, id, deleted, integrity, modified, modified_by, doc)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![act.user, event.id, deletion.deleted, deletion.integrity, modified, modified_by, doc])?;
        self.reduce_versions(act, &event.id)?;
        Ok(deletion)
    }

    fn event_id_is_taken(&self, act: &Act<'_>, id: &str) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT 1 FROM event WHERE user = ?1 AND id = ?2
                 UNION ALL SELECT 1 FROM event_deletion WHERE user = ?1 AND id = ?2",
            )?
            .exists(params![act.user, id])?)
    }

    pub(super) fn find_event(&self, act: &Act<'_>, id: &str) -> Result<Option<(i64, Event)>, StoreError> {
        let sql = format!(
            "SELECT {}, k.name FROM event e JOIN kind k ON k.row = e.kind WHERE e.user = ?1 AND e.id = ?2",
            rows::EVENT_COLUMNS
        );
        self.connection
            .prepare_cached(&sql)?
            .query_row(params![act.user, id], |row| {
                let key = row.get(0)?;
                Ok(rows::named_event(row).map(|event| (key, event)))
            })
            .optional()?
            .transpose()
    }

    fn insert_event(&mut self, act: &Act<'_>, event: &Event) -> Result<i64, StoreError> {
        let kind = self.users.find(&self.connection, act.user_id)?.kind(&self.connection, &event.kind)?;
        let texts = Texts::of(event)?;
        let row = self
            .connection
            .prepare_cached(
                "INSERT INTO event (user, id, streams, time, end_time, duration, kind, content, description,
                 client_data, attachments, trashed, created, created_by, modified, modified_by, integrity, series)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
            )?
            .insert(params![
                act.user,
                event.id,
                texts.streams,
                event.time,
                event.end_time(),
                event::length(event),
                kind,
                texts.content,
                event.description,
                texts.client_data,
                texts.attachments,
                event.trashed,
                event.created,
                event.created_by,
                event.modified,
                event.modified_by,
                event.integrity,
                event.series_key.map(series_column)
            ])?;
        Ok(row)
    }

    fn store_event(&mut self, act: &Act<'_>, row: i64, event: &Event) -> Result<(), StoreError> {
        let kind = self.users.find(&self.connection, act.user_id)?.kind(&self.connection, &event.kind)?;
        let texts = Texts::of(event)?;
        self.connection
            .prepare_cached(
                "UPDATE event SET streams = ?2, time = ?3, end_time = ?4, duration = ?5, kind = ?6, content = ?7,
                 description = ?8, client_data = ?9, attachments = ?10, trashed = ?11, modified = ?12,
                 modified_by = ?13, integrity = ?14 WHERE row = ?1",
            )?
            .execute(params![
                row,
                texts.streams,
                event.time,
                event.end_time(),
                event::length(event),
                kind,
                texts.content,
                event.description,
                texts.client_data,
                texts.attachments,
                event.trashed,
                event.modified,
                event.modified_by,
                event.integrity
            ])?;
        Ok(())
    }

    fn link_event(&mut self, act: &Act<'_>, row: i64, event: &Event) -> Result<(), StoreError> {
        for id in &event.stream_ids {
            let stream = self.users.find(&self.connection, act.user_id)?.stream_key(&self.connection, id)?;
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO event_stream (stream, time, event) VALUES (?1, ?2, ?3)")?
                .execute(params![stream, event.time, row])?;
        }
        Ok(())
    }

    fn unlink_event_row(&mut self, act: &Act<'_>, row: i64, event: &Event) -> Result<(), StoreError> {
        for id in &event.stream_ids {
            let stream = self.users.find(&self.connection, act.user_id)?.stream_key(&self.connection, id)?;
            self.connection
                .prepare_cached("DELETE FROM event_stream WHERE stream = ?1 AND time = ?2 AND event = ?3")?
                .execute(params![stream, event.time, row])?;
        }
        Ok(())
    }

    fn keep_version(&mut self, act: &Act<'_>, before: &Event) -> Result<(), StoreError> {
        if self.settings.keep_history {
            self.connection
                .prepare_cached(
                    "INSERT INTO event_version (user, event_id, modified, modified_by, doc)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![act.user, before.id, before.modified, before.modified_by, event::doc(before)])?;
        }
        Ok(())
    }

    /// What the deletion mode leaves of the versions.
    fn reduce_versions(&mut self, act: &Act<'_>, id: &str) -> Result<(), StoreError> {
        let sql = match self.settings.deletion_mode {
            DeletionMode::KeepNothing => "DELETE FROM event_version WHERE user = ?1 AND event_id = ?2",
            DeletionMode::KeepAuthors => "UPDATE event_version SET doc = NULL WHERE user = ?1 AND event_id = ?2",
            DeletionMode::KeepEverything => return Ok(()),
        };
        self.connection.prepare_cached(sql)?.execute(params![act.user, id])?;
        Ok(())
    }

    /// The next counter of the slot: never given twice, also not after a rollback.
    fn next_series_key(&mut self) -> Result<SeriesKey, StoreError> {
        let stored: i64 = self
            .connection
            .prepare_cached("SELECT value FROM meta WHERE name = 'last_series'")?
            .query_row([], |row| row.get(0))?;
        let next = self.last_series.max(stored.cast_unsigned()) + 1;
        let key = SeriesKey::new(self.slot, next)
            .ok_or_else(|| StoreError::Unavailable("the slot has given all its series keys".into()))?;
        self.connection
            .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'last_series'")?
            .execute([next.cast_signed()])?;
        self.last_series = next;
        Ok(key)
    }
}
