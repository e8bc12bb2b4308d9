//! Accesses: the texts of their columns, and the words for those that are taken.

use model::{Access, AccessKind, Level, Permission};
use serde_json::Value;

use super::{missing, taken};
use crate::StoreError;

pub(crate) fn kind(text: &str) -> Result<AccessKind, StoreError> {
    AccessKind::parse(text).ok_or_else(|| missing("access type"))
}

pub(crate) fn permissions_text(permissions: &[Permission]) -> String {
    Value::Array(permissions.iter().map(Permission::to_json).collect()).to_string()
}

pub(crate) fn permissions(list: &Value) -> Result<Vec<Permission>, StoreError> {
    let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut out = Vec::new();
    for item in list.as_array().into_iter().flatten() {
        out.push(match text(item, "streamId") {
            Some(stream_id) => Permission::Stream {
                stream_id,
                level: text(item, "level")
                    .and_then(|level| Level::parse(&level))
                    .ok_or_else(|| missing("permission level"))?,
            },
            None => Permission::Feature {
                feature: text(item, "feature").ok_or_else(|| missing("permission feature"))?,
                setting: text(item, "setting").unwrap_or_default(),
            },
        });
    }
    Ok(out)
}

/// The token is another access's. It is not told.
pub(crate) fn token_taken() -> StoreError {
    taken([("token", "(hidden)".into())])
}

/// Name, type and device name are another access's.
pub(crate) fn triple_taken(access: &Access) -> StoreError {
    let (kind, name) = (access.kind.as_str().into(), access.name.clone().into());
    match (&access.device_name, access.kind) {
        (None, AccessKind::App | AccessKind::Personal) => taken([("type", kind), ("name", name)]),
        (device, _) => {
            let device = device.clone().map_or(Value::Null, Value::from);
            taken([("type", kind), ("name", name), ("deviceName", device)])
        }
    }
}
