//! The access: the authorisation object behind every token (Pryv: accesses).

use serde_json::{Map, Value, json};

use crate::time::{Seconds, number};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    Personal,
    App,
    Shared,
}

impl AccessKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::App => "app",
            Self::Shared => "shared",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Personal, Self::App, Self::Shared].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Level of a stream permission. What it allows is in `permission`, not in an order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    None,
    Read,
    CreateOnly,
    Contribute,
    Manage,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::CreateOnly => "create-only",
            Self::Contribute => "contribute",
            Self::Manage => "manage",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Read, Self::CreateOnly, Self::Contribute, Self::Manage]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Permission {
    Stream { stream_id: String, level: Level },
    Feature { feature: String, setting: String },
}

impl Permission {
    /// `None` for a feature permission.
    pub fn stream_id(&self) -> Option<&str> {
        match self {
            Self::Stream { stream_id, .. } => Some(stream_id),
            Self::Feature { .. } => None,
        }
    }

    pub fn to_json(&self) -> Value {
        match self {
            Self::Stream { stream_id, level } => json!({ "streamId": stream_id, "level": level.as_str() }),
            Self::Feature { feature, setting } => json!({ "feature": feature, "setting": setting }),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    pub id: String,
    pub token: String,
    pub kind: AccessKind,
    pub name: String,
    pub device_name: Option<String>,
    /// Without the injected ones; empty for a personal access.
    pub permissions: Vec<Permission>,
    pub expires: Option<Seconds>,
    pub client_data: Option<Map<String, Value>>,
    pub alias: Option<String>,
    pub last_used: Option<Seconds>,
    /// `events:get` -> number of calls.
    pub calls: Map<String, Value>,
    pub integrity: Option<String>,
    pub created: Seconds,
    pub created_by: String,
    pub modified: Seconds,
    pub modified_by: String,
    pub deleted: Option<Seconds>,
    /// `None` until the first update.
    pub serial: Option<u32>,
}

impl Access {
    pub fn is_expired(&self, now: Seconds) -> bool {
        self.expires.is_some_and(|expires| now > expires)
    }

    /// `<base>` or `<base>:<serial>`.
    pub fn wire_id(&self) -> String {
        match self.serial {
            Some(serial) => format!("{}:{serial}", self.id),
            None => self.id.clone(),
        }
    }

    /// The access as `accesses.*` show it, without `apiEndpoint` (made from the platform's template).
    pub fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("id".into(), self.wire_id().into());
        out.insert("token".into(), self.token.clone().into());
        out.insert("type".into(), self.kind.as_str().into());
        out.insert("name".into(), self.name.clone().into());
        match (&self.device_name, self.kind) {
            (Some(device), _) => drop(out.insert("deviceName".into(), device.clone().into())),
            (None, AccessKind::Shared) => drop(out.insert("deviceName".into(), Value::Null)),
            (None, _) => {}
        }
        if self.kind != AccessKind::Personal {
            out.insert("permissions".into(), self.permissions.iter().map(Permission::to_json).collect());
        }
        let mut optional = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(key.into(), value);
            }
        };
        optional("expires", self.expires.map(number));
        optional("clientData", self.client_data.clone().map(Value::from));
        optional("alias", self.alias.clone().map(Value::from));
        optional("lastUsed", self.last_used.map(number));
        optional("integrity", self.integrity.clone().map(Value::from));
        optional("created", Some(number(self.created)));
        optional("createdBy", Some(self.created_by.clone().into()));
        optional("modified", Some(number(self.modified)));
        optional("modifiedBy", Some(self.modified_by.clone().into()));
        optional("deleted", self.deleted.map(number));
        out
    }
}
