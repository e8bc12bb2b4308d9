//! Who may make, change and delete a stream.

use super::caller::{Caller, Refused};
use super::grant::{Grant, Right};
use super::level::Levels;
use super::reserved::AUDIT_ROOT;
use crate::access::Level;

const NEEDED: &str = "manage streams";

impl Caller<'_> {
    /// `manage` on the parent; on `*` for a root stream.
    pub fn create_stream(&self, parent: Option<&str>) -> Result<Grant, Refused> {
        self.may_manage(parent)?;
        Ok(self.grant(Right::Write))
    }

    /// `manage` on the stream and, if the update moves it, on the target. An unchanged parent is not
    /// tested (friendlier than the reference, which then tests the root).
    pub fn update_stream(&self, id: &str, new_parent: Option<Option<&str>>) -> Result<Grant, Refused> {
        self.may_manage(Some(id))?;
        let current = self.tree.get(id).map(|stream| stream.parent_id.as_deref());
        if let Some(target) = new_parent.filter(|_| new_parent != current) {
            self.may_manage(target)?;
        }
        Ok(self.grant(Right::Write))
    }

    pub fn delete_stream(&self, id: &str) -> Result<Grant, Refused> {
        self.may_manage(Some(id))?;
        Ok(self.grant(Right::Write))
    }

    /// `None` is the root.
    fn may_manage(&self, id: Option<&str>) -> Result<(), Refused> {
        let levels = Levels::new(self);
        let level = id.map_or_else(|| levels.star(), |id| levels.of(id));
        let is_audit = id.is_some_and(|id| id.starts_with(AUDIT_ROOT));
        if !is_audit && level.is_some_and(Level::can_manage_streams) {
            return Ok(());
        }
        Err(Refused::stream(NEEDED, id.unwrap_or("*")))
    }
}
