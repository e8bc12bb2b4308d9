//! The one who calls: an access, looked at together with the user's streams. Every rule about what a
//! call may do is a method of [`Caller`], spread over the files of this folder by subject.

use serde_json::Value;

use super::account_streams::{ACCOUNT_ROOT, AccountStreams};
use super::grant::{Author, Grant, Right};
use super::level::Levels;
use super::reserved::AUDIT_ROOT;
use super::tree::StreamTree;
use crate::access::{Access, AccessKind, Level, Permission};
use crate::id::{SlotId, UserId};

#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub user: &'a UserId,
    pub slot: SlotId,
    pub access: &'a Access,
    /// Second part of the authorization text (Pryv: caller id).
    pub caller_id: Option<&'a str>,
    pub tree: &'a StreamTree,
    pub account_streams: &'a AccountStreams,
    pub space_version: u64,
    /// Whether the `:_audit:` store is served.
    pub audit_active: bool,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Pryv: forbidden (403).
    #[error("{0}")]
    Forbidden(String),
    /// Pryv: unknown-resource (404); the caller may not even know that it exists.
    #[error("{0}")]
    Unknown(String),
    /// Pryv: invalid-operation (400).
    #[error("{message}")]
    InvalidOperation { message: String, data: Value },
    /// Pryv: invalid-request-structure (400).
    #[error("{0}")]
    InvalidStructure(String),
}

impl Refused {
    pub(super) fn stream(needed: &str, id: &str) -> Self {
        Self::Forbidden(format!(
            "The given token's access permissions do not allow this operation: it needs the right to {needed} in stream \"{id}\"."
        ))
    }

    pub(super) fn kind(needed: &str) -> Self {
        Self::Forbidden(format!("This operation needs {needed}."))
    }
}

impl Caller<'_> {
    pub fn is_personal(&self) -> bool {
        self.access.kind == AccessKind::Personal
    }

    /// Who is written into `createdBy` and `modifiedBy` of items: the base id, which filters compare with.
    pub fn author(&self) -> Author {
        Author::new(&self.access.id, self.caller_id)
    }

    /// As [`Self::author`], with the version of the access; only `modifiedBy` of an access shows it.
    pub fn versioned_author(&self) -> Author {
        Author::new(&self.access.wire_id(), self.caller_id)
    }

    /// The level on a stream: the nearest entry going up the tree, then the star of its store.
    pub fn level(&self, stream_id: &str) -> Option<Level> {
        Levels::new(self).of(stream_id)
    }

    /// The permissions as access-info shows them, with those that every access gets when it is loaded.
    pub fn visible_permissions(&self) -> Vec<Permission> {
        if self.is_personal() {
            return Vec::new();
        }
        let closed_account = Permission::Stream { stream_id: ACCOUNT_ROOT.into(), level: Level::None };
        let own_audit = self.own_audit_stream().map(|stream_id| Permission::Stream { stream_id, level: Level::Read });
        std::iter::once(closed_account).chain(self.access.permissions.iter().cloned()).chain(own_audit).collect()
    }

    /// For what any valid token may do, e.g. access-info.
    pub fn any(&self) -> Grant {
        self.grant(Right::Read)
    }

    /// For `account.*`, `profile.*` and all else that only the user may do.
    pub fn own_account(&self) -> Result<Grant, Refused> {
        if self.is_personal() {
            return Ok(self.grant(Right::Write));
        }
        Err(Refused::kind("a personal access token"))
    }

    /// Webhooks belong to an app or shared access.
    pub fn own_webhooks(&self) -> Result<Grant, Refused> {
        if self.is_personal() {
            return Err(Refused::kind("an app or shared access token"));
        }
        Ok(self.grant(Right::Write))
    }

    /// The setting of a feature permission (`selfRevoke`, `selfAudit`, `secretSharing`); the last entry wins.
    pub fn feature(&self, name: &str) -> Option<&str> {
        feature_of(&self.access.permissions, name)
    }

    pub(super) fn own_audit_stream(&self) -> Option<String> {
        let may_see = self.audit_active && !self.is_personal() && self.feature("selfAudit") != Some("forbidden");
        may_see.then(|| format!("{AUDIT_ROOT}access-{}", self.access.id))
    }

    pub(super) fn grant(&self, right: Right) -> Grant {
        Grant::checked(self.user.clone(), self.slot, self.author(), right, self.space_version)
    }
}

pub(super) fn feature_of<'a>(permissions: &'a [Permission], name: &str) -> Option<&'a str> {
    permissions.iter().rev().find_map(|permission| match permission {
        Permission::Feature { feature, setting } if feature == name => Some(setting.as_str()),
        _ => None,
    })
}
