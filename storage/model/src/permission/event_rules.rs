//! Who may read and write an event, and the points of a series event.

use std::collections::HashSet;

use super::caller::{Caller, Refused};
use super::grant::{Grant, Right};
use super::level::Levels;
use super::reserved::{AUDIT_ROOT, CMC_INTERNAL};
use crate::access::{Level, Permission};
use crate::id::SeriesKey;

/// What a method asks of a stream.
struct Need {
    what: &'static str,
    allowed: fn(Level) -> bool,
    writes: bool,
}

const READ: Need = Need { what: "read events", allowed: Level::can_read_events, writes: false };
const CREATE: Need = Need { what: "create events", allowed: Level::can_create_events, writes: true };
const UPDATE: Need = Need { what: "update events", allowed: Level::can_update_events, writes: true };
const DELETE: Need = Need { what: "delete events", allowed: Level::can_update_events, writes: true };

impl Caller<'_> {
    /// `events.getOne`, attachments: one readable stream is enough, a hidden one refuses everybody.
    pub fn read_event(&self, stream_ids: &[String]) -> Result<Grant, Refused> {
        if stream_ids.iter().any(|id| id.starts_with(CMC_INTERNAL)) {
            return Err(Refused::Unknown("Unknown event".into()));
        }
        if let Some(id) = stream_ids.iter().find(|id| self.account_streams.is_hidden(id)) {
            return Err(Refused::stream(READ.what, id));
        }
        self.any_stream(stream_ids, &READ)?;
        Ok(self.grant(Right::Read))
    }

    /// `events.create`: every stream must allow it.
    pub fn create_event(&self, stream_ids: &[String]) -> Result<Grant, Refused> {
        self.all_streams(stream_ids.iter(), &CREATE)?;
        Ok(self.grant(Right::Write))
    }

    /// Whether there may be a stream where the caller creates events: asked before a long body is read.
    pub fn create_event_somewhere(&self) -> Result<(), Refused> {
        let allows = |permission: &Permission| match permission {
            Permission::Stream { level, .. } => (CREATE.allowed)(*level),
            Permission::Feature { .. } => false,
        };
        match self.is_personal() || self.access.permissions.iter().any(allows) {
            true => Ok(()),
            false => Err(Refused::kind("the right to create events in some stream")),
        }
    }

    /// `events.update`: one of the current streams, and each stream that is added or removed.
    pub fn update_event(&self, current: &[String], new: Option<&[String]>) -> Result<Grant, Refused> {
        self.any_stream(current, &UPDATE)?;
        if let Some(new) = new {
            let (before, after): (HashSet<&String>, HashSet<&String>) =
                (current.iter().collect(), new.iter().collect());
            let added = new.iter().filter(|id| !before.contains(id));
            let removed = current.iter().filter(|id| !after.contains(id));
            self.all_streams(added.chain(removed), &UPDATE)?;
        }
        Ok(self.grant(Right::Write))
    }

    /// `events.delete`, `events.deleteAttachment`.
    pub fn delete_event(&self, stream_ids: &[String]) -> Result<Grant, Refused> {
        self.any_stream(stream_ids, &DELETE)?;
        Ok(self.grant(Right::Write))
    }

    pub fn read_series(&self, stream_ids: &[String], series: SeriesKey) -> Result<Grant, Refused> {
        self.any_stream(stream_ids, &READ)?;
        Ok(self.grant(Right::ReadSeries(series)))
    }

    /// `create-only` is enough to write points.
    pub fn write_series(&self, stream_ids: &[String], series: SeriesKey) -> Result<Grant, Refused> {
        self.any_stream(stream_ids, &CREATE)?;
        Ok(self.grant(Right::WriteSeries(series)))
    }

    fn any_stream(&self, ids: &[String], need: &Need) -> Result<(), Refused> {
        let levels = Levels::new(self);
        if ids.iter().any(|id| need.is_met(&levels, id)) {
            return Ok(());
        }
        Err(Refused::stream(need.what, ids.first().map_or("", String::as_str)))
    }

    fn all_streams<'i>(&self, mut ids: impl Iterator<Item = &'i String>, need: &Need) -> Result<(), Refused> {
        let levels = Levels::new(self);
        ids.find(|id| !need.is_met(&levels, id)).map_or(Ok(()), |id| Err(Refused::stream(need.what, id)))
    }
}

impl Need {
    /// The audit store is read-only for everybody.
    fn is_met(&self, levels: &Levels<'_>, id: &str) -> bool {
        let may_change = !id.starts_with(AUDIT_ROOT);
        (may_change || !self.writes) && levels.of(id).is_some_and(self.allowed)
    }
}
