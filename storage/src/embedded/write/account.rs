//! The account itself: made, given a password, fields, profiles and sessions, erased.

use model::{Access, Event, Grant, NewAccount, PasswordHash, Session};
use rusqlite::{OptionalExtension, params};
use serde_json::{Map, Value};

use super::{Act, Desk};
use crate::base::{AccessUsage, Written};
use crate::stored::event::{doc, series_key};
use crate::stored::taken;
use crate::{StoreError, erase};

/// The version of a fresh account's space.
const FIRST_VERSION: i64 = 1;
/// States kept of each account field, the present one included; beyond it the oldest go.
const FIELD_VERSIONS_MAX: i64 = 1_000;
/// Who made the values of the registration.
const SYSTEM: &str = "system";

impl Desk {
    pub(super) fn create_account(
        &mut self,
        grant: &Grant,
        account: NewAccount,
        now: f64,
    ) -> Result<Written, StoreError> {
        let user_id = grant.user().as_str();
        let known = self.connection.prepare_cached("SELECT 1 FROM user WHERE id = ?1")?.exists([user_id])?;
        if known {
            return Err(taken([("id", user_id.into())]));
        }
        let fields = serde_json::to_string(&account.fields)?;
        let user = self
            .connection
            .prepare_cached("INSERT INTO user (id, username, password, fields) VALUES (?1, ?2, ?3, ?4)")?
            .insert(params![user_id, account.username, account.password.0, fields])?;
        self.connection
            .prepare_cached("INSERT INTO user_clock (user, version, stamp) VALUES (?1, ?2, 0)")?
            .execute(params![user, FIRST_VERSION])?;
        let Some((session, access)) = account.session else {
            return Ok(Written::Done);
        };
        let stamp = self.users.stamp(&self.connection, user_id, now)?;
        let act = Act { user, user_id, author: grant.author().as_str(), stamp };
        self.open_session(&act, &session, access)
    }

    pub(super) fn erase_account(&mut self, act: &Act<'_>, keep_audit: bool) -> Result<Written, StoreError> {
        let series = self
            .connection
            .prepare_cached("SELECT series FROM event WHERE user = ?1 AND series IS NOT NULL")?
            .query_map([act.user], |row| row.get(0))?
            .map(|raw| raw.map(series_key))
            .collect::<Result<Vec<_>, _>>()?;
        for part in erase::SLOT_PARTS {
            if !(keep_audit && part.audit) {
                self.connection.execute(part.delete, [act.user])?;
            }
        }
        if keep_audit {
            self.connection.execute(erase::KEEP_USER_KEY, [act.user])?;
        } else {
            self.connection.execute(erase::DELETE_USER, [act.user])?;
        }
        self.users.forget(act.user_id);
        Ok(Written::Erased { series })
    }

    pub(super) fn set_password(&mut self, act: &Act<'_>, password: &PasswordHash) -> Result<Written, StoreError> {
        self.connection
            .prepare_cached("UPDATE user SET password = ?2 WHERE row = ?1")?
            .execute(params![act.user, password.0])?;
        Ok(Written::Done)
    }

    pub(super) fn open_session(
        &mut self,
        act: &Act<'_>,
        session: &Session,
        access: Access,
    ) -> Result<Written, StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO session (user, token, app_id, expires) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![act.user, session.token, session.app_id, session.expires])?;
        self.put_personal_access(act, access)
    }

    pub(super) fn close_session(&mut self, act: &Act<'_>, token: &str) -> Result<Written, StoreError> {
        self.connection
            .prepare_cached("DELETE FROM session WHERE user = ?1 AND token = ?2")?
            .execute(params![act.user, token])?;
        Ok(Written::Done)
    }

    /// Adds counters and slides sessions; what was deleted meanwhile stays deleted.
    pub(super) fn add_usage(
        &mut self,
        act: &Act<'_>,
        accesses: &[AccessUsage],
        sessions: &[Session],
    ) -> Result<Written, StoreError> {
        for usage in accesses {
            self.add_access_usage(act, usage)?;
        }
        let mut slide = self
            .connection
            .prepare_cached("UPDATE session SET expires = max(expires, ?3) WHERE user = ?1 AND token = ?2")?;
        for session in sessions {
            slide.execute(params![act.user, session.token, session.expires])?;
        }
        Ok(Written::Done)
    }

    fn add_access_usage(&self, act: &Act<'_>, usage: &AccessUsage) -> Result<(), StoreError> {
        let found: Option<String> = self
            .connection
            .prepare_cached("SELECT calls FROM access WHERE user = ?1 AND id = ?2 AND deleted IS NULL")?
            .query_row(params![act.user, usage.access_id], |row| row.get(0))
            .optional()?;
        let Some(calls) = found else { return Ok(()) };
        let mut calls: Map<String, Value> = serde_json::from_str(&calls)?;
        for (method, more) in &usage.calls {
            let so_far = calls.get(method).and_then(Value::as_u64).unwrap_or_default();
            calls.insert(method.clone(), so_far.saturating_add(*more).into());
        }
        self.connection
            .prepare_cached(
                "UPDATE access SET calls = ?3, last_used = max(ifnull(last_used, ?4), ?4) WHERE user = ?1 AND id = ?2",
            )?
            .execute(params![act.user, usage.access_id, serde_json::to_string(&calls)?, usage.last_used])?;
        Ok(())
    }

    pub(super) fn set_profile(
        &mut self,
        act: &Act<'_>,
        set: &str,
        value: &Map<String, Value>,
    ) -> Result<Written, StoreError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO profile (user, name, value) VALUES (?1, ?2, ?3)")?
            .execute(params![act.user, set, serde_json::to_string(value)?])?;
        Ok(Written::Done)
    }

    pub(super) fn set_account_field(
        &mut self,
        act: &Act<'_>,
        name: &str,
        mut event: Event,
    ) -> Result<Written, StoreError> {
        let fields: String = self
            .connection
            .prepare_cached("SELECT fields FROM user WHERE row = ?1")?
            .query_row([act.user], |row| row.get(0))?;
        let mut fields: Map<String, Value> = serde_json::from_str(&fields)?;
        if let Some(first) = fields.get(name) {
            self.keep_first_value(act, &event, first)?;
        }
        match event.content.clone() {
            Some(value) if !value.is_null() => drop(fields.insert(name.to_owned(), value)),
            _ => drop(fields.shift_remove(name)),
        }
        self.connection
            .prepare_cached("UPDATE user SET fields = ?2 WHERE row = ?1")?
            .execute(params![act.user, serde_json::to_string(&fields)?])?;
        (event.time, event.created, event.modified) = (act.stamp, act.stamp, act.stamp);
        (event.created_by, event.modified_by) = (act.author.to_owned(), act.author.to_owned());
        event.integrity = self.settings.seals.event(|| event.to_json());
        self.keep_field_version(act, &event)?;
        self.connection
            .prepare_cached(
                "DELETE FROM event_version WHERE user = ?1 AND event_id = ?2 AND row NOT IN
                 (SELECT row FROM event_version WHERE user = ?1 AND event_id = ?2
                  ORDER BY modified DESC, row DESC LIMIT ?3)",
            )?
            .execute(params![act.user, event.id, FIELD_VERSIONS_MAX])?;
        Ok(Written::Event(Box::new(event)))
    }

    /// The value from the registration has no version of its own until it is changed: it is as old as the account.
    fn keep_first_value(&self, act: &Act<'_>, event: &Event, first: &Value) -> Result<(), StoreError> {
        let has_versions = self
            .connection
            .prepare_cached("SELECT 1 FROM event_version WHERE user = ?1 AND event_id = ?2")?
            .exists(params![act.user, event.id])?;
        if has_versions {
            return Ok(());
        }
        let since: Option<f64> = self
            .connection
            .prepare_cached("SELECT min(created) FROM access WHERE user = ?1")?
            .query_row([act.user], |row| row.get(0))?;
        let since = since.unwrap_or(act.stamp);
        let mut former = Event { content: Some(first.clone()), ..event.clone() };
        (former.time, former.created, former.modified) = (since, since, since);
        (former.created_by, former.modified_by) = (SYSTEM.to_owned(), SYSTEM.to_owned());
        former.integrity = self.settings.seals.event(|| former.to_json());
        self.keep_field_version(act, &former)
    }

    fn keep_field_version(&self, act: &Act<'_>, event: &Event) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO event_version (user, event_id, modified, modified_by, doc) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![act.user, event.id, event.modified, event.modified_by, doc(event)])?;
        Ok(())
    }
}
