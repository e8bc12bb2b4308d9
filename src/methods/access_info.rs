//! `getAccessInfo`: the current access as its holder may see it (spec 01, section 9.2).

use model::time::number;
use model::{AccessKind, Permission};
use serde_json::{Map, Value, json};

use super::Outcome;
use crate::context::Context;
use crate::error::ApiResult;

pub fn get(context: &Context) -> ApiResult<Outcome> {
    let access = &context.access;
    let mut out = Map::new();
    out.insert("id".into(), access.id.clone().into());
    out.insert("token".into(), access.token.clone().into());
    out.insert("type".into(), access.kind.as_str().into());
    out.insert("name".into(), access.name.clone().into());
    let mut optional = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(key.into(), value);
        }
    };
    optional("deviceName", access.device_name.clone().map(Value::from));
    if access.kind != AccessKind::Personal {
        let permissions = context.caller(|caller, _| caller.visible_permissions());
        optional("permissions", Some(permissions.iter().map(Permission::to_json).collect()));
    }
    optional("lastUsed", access.last_used.map(number));
    optional("expires", access.expires.map(number));
    optional("clientData", access.client_data.clone().map(Value::from));
    optional("created", Some(number(access.created)));
    optional("createdBy", Some(access.created_by.clone().into()));
    optional("modified", Some(number(access.modified)));
    optional("modifiedBy", Some(access.modified_by.clone().into()));
    optional("calls", Some(access.calls.clone()).filter(|calls| !calls.is_empty()).map(Value::from));
    optional("alias", access.alias.clone().map(Value::from));
    // The real name never shows to the holder of an aliased access.
    let username = access.alias.clone().unwrap_or_else(|| context.space.data.borrow().entry.username.clone());
    optional("user", Some(json!({ "username": username })));
    Ok(Outcome::Fields(out))
}
