//! Users, streams and accesses for tests.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use model::permission::{AccountStreams, Caller, StreamTree};
use model::{Access, AccessKind, Level, Permission, SlotId, Stream, UserId};
use serde_json::Map;

pub struct World {
    pub user: UserId,
    pub tree: StreamTree,
    pub audit_active: bool,
}

impl World {
    /// From `id`, `parent/id`, or the same with `~` in front for a trashed stream.
    pub fn new(streams: &[&str]) -> Self {
        let stream = |text: &&str| {
            let (trashed, path) = text.strip_prefix('~').map_or((false, *text), |path| (true, path));
            let (parent, id) = path.split_once('/').map_or((None, path), |(parent, id)| (Some(parent.to_owned()), id));
            Stream { id: id.into(), name: id.to_uppercase(), parent_id: parent, trashed, ..Stream::default() }
        };
        let tree = StreamTree::new(streams.iter().map(stream).collect());
        Self { user: UserId::new("u"), tree, audit_active: true }
    }

    pub fn caller<'a>(&'a self, access: &'a Access) -> Caller<'a> {
        Caller {
            user: &self.user,
            slot: SlotId(0),
            access,
            caller_id: None,
            tree: &self.tree,
            account_streams: AccountStreams::shipped(),
            space_version: 7,
            audit_active: self.audit_active,
        }
    }
}

pub fn access(kind: AccessKind, permissions: &[(&str, &str)]) -> Access {
    let permission = |(id, level): &(&str, &str)| match Level::parse(level) {
        Some(level) => Permission::Stream { stream_id: (*id).into(), level },
        None => Permission::Feature { feature: (*id).into(), setting: (*level).into() },
    };
    Access {
        id: "me".into(),
        token: "t".into(),
        kind,
        name: "n".into(),
        device_name: None,
        permissions: permissions.iter().map(permission).collect(),
        expires: None,
        client_data: None,
        alias: None,
        last_used: None,
        calls: Map::new(),
        integrity: None,
        created: 0.0,
        created_by: "system".into(),
        modified: 0.0,
        modified_by: "system".into(),
        deleted: None,
        serial: None,
    }
}

pub fn personal() -> Access {
    access(AccessKind::Personal, &[])
}

pub fn app(permissions: &[(&str, &str)]) -> Access {
    access(AccessKind::App, permissions)
}

pub fn shared(permissions: &[(&str, &str)]) -> Access {
    access(AccessKind::Shared, permissions)
}

pub fn ids(list: &[&str]) -> Vec<String> {
    list.iter().map(|id| (*id).to_owned()).collect()
}
