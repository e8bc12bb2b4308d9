//! The level of a stream for an access (Pryv: permission resolution), and what each level allows.

use std::collections::HashMap;

use super::account_streams::{ACCOUNT_ROOT, AccountStreams};
use super::caller::Caller;
use super::reserved::{AUDIT_ROOT, EMAILS_ROOT, SHARED_SECRETS_ROOT, Store, in_store, is_own_secret_stream};
use crate::access::{AccessKind, Level, Permission};

impl Level {
    /// Order of levels when one access makes another.
    pub fn rank(self) -> i8 {
        match self {
            Self::None => -1,
            Self::Read => 0,
            Self::CreateOnly | Self::Contribute => 1,
            Self::Manage => 2,
        }
    }

    pub fn can_list(self) -> bool {
        self != Self::None
    }

    pub fn can_read_events(self) -> bool {
        matches!(self, Self::Read | Self::Contribute | Self::Manage)
    }

    pub fn can_create_events(self) -> bool {
        matches!(self, Self::CreateOnly | Self::Contribute | Self::Manage)
    }

    pub fn can_update_events(self) -> bool {
        matches!(self, Self::Contribute | Self::Manage)
    }

    pub fn can_manage_streams(self) -> bool {
        self == Self::Manage
    }
}

/// The permissions of a caller, ready for many questions.
pub(super) struct Levels<'a> {
    caller: &'a Caller<'a>,
    /// By full stream id; the last entry of an id wins. `*` is the star of the local store.
    entries: HashMap<&'a str, Level>,
    own_audit_stream: Option<String>,
}

impl<'a> Levels<'a> {
    pub(super) fn new(caller: &'a Caller<'a>) -> Self {
        let entry = |permission: &'a Permission| match permission {
            Permission::Stream { stream_id, level } => Some((stream_id.as_str(), *level)),
            Permission::Feature { .. } => None,
        };
        // Injected first, so that an explicit entry wins (Pryv: permissions injected at load time).
        let closed_account = std::iter::once((ACCOUNT_ROOT, Level::None));
        let entries = closed_account.chain(caller.access.permissions.iter().filter_map(entry)).collect();
        Self { caller, entries, own_audit_stream: caller.own_audit_stream() }
    }

    pub(super) fn of(&self, id: &str) -> Option<Level> {
        if self.caller.access.kind == AccessKind::Personal {
            return Some(Level::Manage);
        }
        match Store::of(id) {
            Store::Local => self.of_local(id),
            Store::Account => self.of_account(id),
            Store::Audit => self.of_audit(id),
            Store::Unknown(_) => None,
        }
    }

    /// The entry for `*`.
    pub(super) fn star(&self) -> Option<Level> {
        if self.caller.access.kind == AccessKind::Personal {
            return Some(Level::Manage);
        }
        self.entries.get("*").copied()
    }

    pub(super) fn has_entry(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    fn of_local(&self, id: &str) -> Option<Level> {
        if id == "*" {
            return self.star();
        }
        if id.starts_with(SHARED_SECRETS_ROOT) {
            return is_own_secret_stream(id, &self.caller.access.id).then_some(Level::Contribute);
        }
        // Without a personal token the e-mail list is neither read nor written, whatever the permissions.
        if id.starts_with(EMAILS_ROOT) {
            return None;
        }
        let own = self.entries.get(id).copied();
        let inherited =
            || self.caller.tree.ancestors(id).find_map(|stream| self.entries.get(stream.id.as_str()).copied());
        own.or_else(inherited).or_else(|| self.star())
    }

    fn of_account(&self, id: &str) -> Option<Level> {
        let streams: &AccountStreams = self.caller.account_streams;
        let climb = std::iter::successors(Some(id), |id| streams.parent_of(id));
        // No star here: `*` does not cover account streams.
        climb.take(streams.fields().len() + 2).find_map(|id| self.entries.get(id).copied())
    }

    fn of_audit(&self, id: &str) -> Option<Level> {
        if !self.caller.audit_active {
            return None;
        }
        if self.own_audit_stream.as_deref() == Some(id) {
            // The injected entry is the last one, so it wins.
            return Some(Level::Read);
        }
        let name = in_store(id);
        let parent = audit_parent(name);
        let entry = |id: &str| self.entries.get(id).copied();
        entry(id)
            .or_else(|| parent.and_then(|parent| entry(&format!("{AUDIT_ROOT}{parent}"))))
            .or_else(|| entry(AUDIT_ROOT))
    }
}

/// Parent, inside the audit store, of a stream of that store.
pub(super) fn audit_parent(name: &str) -> Option<&'static str> {
    if name.starts_with("access-") {
        Some("accesses")
    } else if name.starts_with("action-") {
        Some("actions")
    } else {
        None
    }
}

/// Whether the audit store has a stream of this name; any access and any action has one.
pub(super) fn audit_stream_exists(name: &str) -> bool {
    matches!(name, "" | "accesses" | "actions") || audit_parent(name).is_some()
}
