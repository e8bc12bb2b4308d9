//! Accesses: created, changed with their former state kept, deleted into tombstones.

use model::Access;
use rusqlite::{OptionalExtension, params};

use super::{Act, Desk};
use crate::StoreError;
use crate::base::Written;
use crate::embedded::rows;
use crate::stored::{access, map_text, taken};

impl Desk {
    pub(super) fn create_access(&mut self, act: &Act<'_>, mut access: Access) -> Result<Written, StoreError> {
        self.check_unique(act, &access)?;
        (access.created, access.modified) = (act.stamp, act.stamp);
        access.created_by = act.author.to_owned();
        access.modified_by = act.author.to_owned();
        access.integrity = self.settings.seals.access(|| access.to_json());
        self.insert_access(act, &access)?;
        Ok(Written::Access(Box::new(access)))
    }

    /// Counters are not part of the new state: they are added to by `Usage` only.
    pub(super) fn update_access(
        &mut self,
        act: &Act<'_>,
        mut access: Access,
        expected_modified: f64,
    ) -> Result<Written, StoreError> {
        let before = self.live_access(act, &access.id)?.ok_or(StoreError::NotFound)?;
        if before.modified != expected_modified {
            return Err(StoreError::Stale);
        }
        self.check_unique(act, &access)?;
        if access.serial > before.serial {
            let sql = format!(
                "INSERT INTO access_version (user, {0}) SELECT user, {0} FROM access WHERE user = ?1 AND id = ?2",
                rows::ACCESS_COLUMNS
            );
            self.connection.prepare_cached(&sql)?.execute(params![act.user, access.id])?;
        }
        (access.created, access.created_by) = (before.created, before.created_by);
        (access.last_used, access.calls) = (before.last_used, before.calls);
        access.modified = act.stamp;
        access.modified_by = act.author.to_owned();
        access.integrity = self.settings.seals.access(|| access.to_json());
        self.store_access(act, &access)?;
        Ok(Written::Access(Box::new(access)))
    }

    pub(super) fn delete_accesses(&mut self, act: &Act<'_>, ids: &[String]) -> Result<Written, StoreError> {
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let mut access = self.live_access(act, id)?.ok_or(StoreError::NotFound)?;
            access.deleted = Some(act.stamp);
            access.integrity = self.settings.seals.access(|| access.to_json());
            self.store_access(act, &access)?;
            self.close_session(act, &access.token)?;
            out.push(access);
        }
        Ok(Written::AccessDeletions(out))
    }

    /// The personal access of an app id gets the session's token, or is made.
    pub(super) fn put_personal_access(&mut self, act: &Act<'_>, access: Access) -> Result<Written, StoreError> {
        let found: Option<String> = self
            .connection
            .prepare_cached(
                "SELECT id FROM access WHERE user = ?1 AND name = ?2 AND kind = ?3 AND device IS ?4
                 AND deleted IS NULL",
            )?
            .query_row(params![act.user, access.name, access.kind.as_str(), access.device_name], |row| row.get(0))
            .optional()?;
        let Some(id) = found else { return self.create_access(act, access) };
        let mut present = self.live_access(act, &id)?.ok_or(StoreError::NotFound)?;
        if present.token == access.token {
            return Ok(Written::Access(Box::new(present)));
        }
        self.close_session(act, &present.token)?;
        present.token = access.token;
        self.check_unique(act, &present)?;
        present.modified = act.stamp;
        present.modified_by = act.author.to_owned();
        present.integrity = self.settings.seals.access(|| present.to_json());
        self.store_access(act, &present)?;
        Ok(Written::Access(Box::new(present)))
    }

    fn live_access(&self, act: &Act<'_>, id: &str) -> Result<Option<Access>, StoreError> {
        let sql =
            format!("SELECT {} FROM access WHERE user = ?1 AND id = ?2 AND deleted IS NULL", rows::ACCESS_COLUMNS);
        self.connection
            .prepare_cached(&sql)?
            .query_row(params![act.user, id], |row| Ok(rows::access(row)))
            .optional()?
            .transpose()
    }

    /// Pryv: token, and the triple name, type, deviceName, among live accesses of the user.
    fn check_unique(&self, act: &Act<'_>, access: &Access) -> Result<(), StoreError> {
        let token_used = self
            .connection
            .prepare_cached("SELECT 1 FROM access WHERE user = ?1 AND token = ?2 AND deleted IS NULL AND id <> ?3")?
            .exists(params![act.user, access.token, access.id])?;
        if token_used {
            return Err(access::token_taken());
        }
        let triple_used = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM access WHERE user = ?1 AND name = ?2 AND kind = ?3 AND device IS ?4
                 AND deleted IS NULL AND id <> ?5",
            )?
            .exists(params![act.user, access.name, access.kind.as_str(), access.device_name, access.id])?;
        if triple_used { Err(access::triple_taken(access)) } else { Ok(()) }
    }

    fn insert_access(&self, act: &Act<'_>, access: &Access) -> Result<(), StoreError> {
        let known = self
            .connection
            .prepare_cached("SELECT 1 FROM access WHERE user = ?1 AND id = ?2")?
            .exists(params![act.user, access.id])?;
        if known {
            return Err(taken([("id", access.id.clone().into())]));
        }
        let sql = format!(
            "INSERT INTO access (user, {}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
             ?16, ?17, ?18, ?19)",
            rows::ACCESS_COLUMNS
        );
        self.write_access(&sql, act, access)
    }

    fn store_access(&self, act: &Act<'_>, access: &Access) -> Result<(), StoreError> {
        let sql = "UPDATE access SET token = ?3, kind = ?4, name = ?5, device = ?6, permissions = ?7, expires = ?8,
             client_data = ?9, alias = ?10, last_used = ?11, calls = ?12, integrity = ?13, created = ?14,
             created_by = ?15, modified = ?16, modified_by = ?17, deleted = ?18, serial = ?19
             WHERE user = ?1 AND id = ?2";
        self.write_access(sql, act, access)
    }

    fn write_access(&self, sql: &str, act: &Act<'_>, access: &Access) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute(params![
            act.user,
            access.id,
            access.token,
            access.kind.as_str(),
            access.name,
            access.device_name,
            access::permissions_text(&access.permissions),
            access.expires,
            map_text(access.client_data.as_ref())?,
            access.alias,
            access.last_used,
            serde_json::to_string(&access.calls)?,
            access.integrity,
            access.created,
            access.created_by,
            access.modified,
            access.modified_by,
            access.deleted,
            access.serial
        ])?;
        Ok(())
    }
}
