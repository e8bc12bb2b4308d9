//! Who may read and write an event, and the points of a series event.

use super::caller::{Caller, Refused};
use super::grant::{Grant, Right};
use super::level::Levels;
use super::reserved::{AUDIT_ROOT, CMC_INTERNAL};
use crate::access::Level;
use crate::id::SeriesKey;

impl Caller<'_> {
    /// `events.getOne`, attachments: one readable stream is enough, a hidden one refuses everybody.
    pub fn read_event(&self, stream_ids: &[String]) -> Result<Grant, Refused> {
        let hidden = |id: &&String| self.account_streams.is_hidden(id) || id.starts_with(CMC_INTERNAL);
        if let Some(id) = stream_ids.iter().find(hidden) {
            return Err(Refused::stream("read events", id));
        }
        self.any_stream(stream_ids, Level::can_read_events, "read events")?;
        Ok(self.grant(Right::Read))
    }

    /// `events.create`: every stream must allow it.
    pub fn create_event(&self, stream_ids: &[String]) -> Result<Grant, Refused> {
        self.all_streams(stream_ids.iter(), Level::can_create_events, "create events")?;
        Ok(self.grant(Right::Write))
    }

    /// `events.update`: one of the current streams, and each stream that is added or removed.
    pub fn update_event(&self, current: &[String], new: Option<&[String]>) -> Result<Grant, Refused> {
        const NEEDED: &str = "update events";
        self.any_stream(current, Level::can_update_events, NEEDED)?;
        if let Some(new) = new {
            let added = new.iter().filter(|id| !current.contains(id));
            let removed = current.iter().filter(|id| !new.contains(id));
            self.all_streams(added.chain(removed), Level::can_update_events, NEEDED)?;
        }
        Ok(self.grant(Right::Write))
    }

    /// `events.delete`, `events.deleteAttachment`.
    pub fn delete_event(&self, stream_ids: &[String]) -> Result<Grant, Refused> {
        self.any_stream(stream_ids, Level::can_update_events, "delete events")?;
        Ok(self.grant(Right::Write))
    }

    pub fn read_series(&self, stream_ids: &[String], series: SeriesKey) -> Result<Grant, Refused> {
        self.any_stream(stream_ids, Level::can_read_events, "read events")?;
        Ok(self.grant(Right::ReadSeries(series)))
    }

    /// `create-only` is enough to write points.
    pub fn write_series(&self, stream_ids: &[String], series: SeriesKey) -> Result<Grant, Refused> {
        self.any_stream(stream_ids, Level::can_create_events, "create events")?;
        Ok(self.grant(Right::WriteSeries(series)))
    }

    fn any_stream(&self, ids: &[String], allowed: fn(Level) -> bool, needed: &str) -> Result<(), Refused> {
        let levels = Levels::new(self);
        let writable = needed == "read events" || !ids.iter().any(|id| id.starts_with(AUDIT_ROOT));
        if writable && ids.iter().any(|id| levels.of(id).is_some_and(allowed)) {
            return Ok(());
        }
        Err(Refused::stream(needed, ids.first().map_or("", String::as_str)))
    }

    fn all_streams<'i>(
        &self,
        ids: impl Iterator<Item = &'i String>,
        allowed: fn(Level) -> bool,
        needed: &str,
    ) -> Result<(), Refused> {
        let levels = Levels::new(self);
        for id in ids {
            // The audit store is read-only for everybody.
            if id.starts_with(AUDIT_ROOT) || !levels.of(id).is_some_and(allowed) {
                return Err(Refused::stream(needed, id));
            }
        }
        Ok(())
    }
}
