//! `accesses.*`: who else may use a user's data (spec 06).

use std::rc::Rc;
use std::sync::LazyLock;

use model::permission::NewAccess;
use model::schema::Schema;
use model::{Access, AccessKind, Grant, Level, Permission, Stream, slug};
use serde_json::{Map, Value, json};
use storage::StoreError;
use storage::base::{Answer, Read, Write, Written};

use super::params::{self, checked};
use super::{Outcome, refused};
use crate::context::Context;
use crate::error::{ApiError, ApiResult};

static CREATE: LazyLock<Schema> = LazyLock::new(|| {
    let stream_permission = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "streamId": { "type": ["string", "null"] },
            "level": { "type": "string", "enum": ["none", "read", "create-only", "contribute", "manage"] },
            "defaultName": { "type": "string", "pattern": "\\w" },
            "name": { "type": "string" },
        },
        "required": ["streamId", "level"],
    });
    let feature_permission = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "feature": { "type": "string" },
            "setting": { "type": "string", "enum": ["forbidden", "allowed"] },
        },
        "required": ["feature", "setting"],
    });
    params::schema(json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "type": { "type": "string", "enum": ["personal", "app", "shared"] },
            "name": { "type": "string", "minLength": 1 },
            "permissions": { "type": "array", "items": { "oneOf": [stream_permission, feature_permission] } },
            "deviceName": { "type": ["string", "null"] },
            "token": { "type": "string", "minLength": 1 },
            "expireAfter": { "type": "number" },
            "clientData": { "type": "object" },
            "randomAlias": { "type": "boolean" },
        },
        "required": ["name", "permissions"],
    }))
});

static ON_ITEM: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({ "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] }))
});

pub async fn get(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let no_params = Map::new();
    let params = params.as_object().unwrap_or(&no_params);
    // Nothing is validated here: any text that is not `false` counts as true (spec 06, section 7.1).
    let with_expired = match params.get("includeExpired") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(value) => value != "",
    };
    let grant = context.caller(|caller, _| caller.list_accesses()).map_err(refused)?;
    let now = context.now;
    let mut shown: Vec<Rc<Access>> = context.caller(|caller, space| {
        let listed = |access: &&Rc<Access>| caller.lists_access(access) && (with_expired || !access.is_expired(now));
        space.accesses().filter(listed).map(Rc::clone).collect()
    });
    shown.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
    context.audit.detail.insert("recordCount".into(), shown.len().into());
    let mut out = Map::new();
    out.insert("accesses".into(), shown.iter().map(|access| with_endpoint(context, access)).collect());
    if params.contains_key("includeDeletions") {
        let Answer::Accesses(deleted) = context.read(grant, Read::AccessDeletions).await? else {
            return Err(ApiError::unexpected("deleted accesses were asked for, something else came back"));
        };
        let listed = context.caller(|caller, _| {
            let listed = deleted.iter().filter(|access| caller.lists_access(access));
            listed.map(|access| Value::from(access.to_json())).collect::<Vec<_>>()
        });
        out.insert("accessDeletions".into(), listed.into());
    }
    Ok(Outcome::Fields(out))
}

fn with_endpoint(context: &Context, access: &Access) -> Value {
    let mut shown = access.to_json();
    let username = context.space.data.borrow().entry.username.clone();
    let name = access.alias.as_deref().unwrap_or(&username);
    shown.insert("apiEndpoint".into(), context.shard.node.api_endpoint(name, Some(&access.token)).into());
    shown.into()
}

pub async fn create(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    // The kind of token comes before anything that is wrong with the parameters.
    context.caller(|caller, _| caller.list_accesses()).map_err(refused)?;
    let params = checked(&CREATE, params)?;
    let access = read_new(context, params)?;
    let _turn = context.turn().await;
    let new = NewAccess { kind: access.kind, permissions: &access.permissions, expires: access.expires };
    context.caller(|caller, _| caller.create_access(&new)).map_err(refused)?;
    create_default_streams(context, params).await?;
    // The streams just made have moved the space on: the grant is taken on what holds now.
    let new = NewAccess { kind: access.kind, permissions: &access.permissions, expires: access.expires };
    let grant = context.caller(|caller, _| caller.create_access(&new)).map_err(refused)?;
    let permissions = context.caller(|caller, _| caller.inherited_permissions(access.permissions.clone()));
    let access = Access { permissions, ..access };
    match context.commit(grant, Write::CreateAccess { access: Box::new(access) }).await {
        Ok(Written::Access(access)) => {
            let shown = with_endpoint(context, &access);
            context.apply(|space| space.put_access(*access));
            Ok(Outcome::field("access", shown))
        }
        Ok(other) => Err(ApiError::unexpected(format!("an access was written, {other:?} came back"))),
        Err(StoreError::Taken(taken)) => Err(ApiError::already_exists("access", taken.into_iter().collect())),
        Err(error) => Err(error.into()),
    }
}

fn read_new(context: &Context, params: &Map<String, Value>) -> ApiResult<Access> {
    let client_data = params::object(params, "clientData");
    let reserved = |key: &str| client_data.as_ref().and_then(|data| data.get(key)).is_some_and(|v| !v.is_null());
    if reserved("cmc") {
        return Err(ApiError::invalid_operation("`clientData.cmc` is reserved.")
            .with_data(json!({ "id": "cmc-clientdata-cmc-forbidden" })));
    }
    if reserved("dpop") {
        return Err(ApiError::forbidden("`clientData.dpop` is reserved."));
    }
    if params::flag(params, "randomAlias") {
        return Err(ApiError::unavailable("Aliases of accesses are not available on this server."));
    }
    let kind = params::text(params, "type").and_then(AccessKind::parse).unwrap_or(AccessKind::Shared);
    let device_name = params::text(params, "deviceName").map(str::to_owned);
    if kind == AccessKind::Shared && device_name.is_some() {
        return Err(ApiError::invalid_parameters_text("Only app accesses have a `deviceName`."));
    }
    let expire_after = params::seconds(params, "expireAfter");
    if expire_after.is_some_and(|seconds| seconds < 0.0) {
        return Err(ApiError::invalid_parameters_text("expireAfter cannot be negative."));
    }
    let token = match params::text(params, "token") {
        Some(given) => {
            slug::token(given).map_err(|_| ApiError::new(400, "invalid-item-id", "This token is reserved."))?
        }
        None => model::id::fresh_item_id(),
    };
    Ok(Access {
        id: model::id::fresh_item_id(),
        token,
        kind,
        name: params::text(params, "name").unwrap_or_default().to_owned(),
        device_name,
        permissions: read_permissions(params),
        expires: expire_after.map(|seconds| context.now + seconds),
        client_data,
        alias: None,
        last_used: None,
        calls: Map::new(),
        integrity: None,
        created: context.now,
        created_by: String::new(),
        modified: context.now,
        modified_by: String::new(),
        deleted: None,
        serial: None,
    })
}

/// The permissions as they are stored: without `defaultName` and `name`.
fn read_permissions(params: &Map<String, Value>) -> Vec<Permission> {
    let read = |item: &Value| {
        let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
        match text("feature") {
            Some(feature) => Some(Permission::Feature { feature, setting: text("setting")? }),
            None => Some(Permission::Stream {
                stream_id: text("streamId")?,
                level: Level::parse(item.get("level")?.as_str()?)?,
            }),
        }
    };
    params.get("permissions").and_then(Value::as_array).into_iter().flatten().filter_map(read).collect()
}

/// For a personal creator, streams that an app asks for with a `defaultName` are made, or taken out of the trash
/// (spec 06, section 7.2). They stay even if the access then cannot be created.
async fn create_default_streams(context: &Context, params: &Map<String, Value>) -> ApiResult<()> {
    if context.access.kind != AccessKind::Personal {
        return Ok(());
    }
    for item in params.get("permissions").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| item.get(name).and_then(Value::as_str);
        let (Some(id), Some(name)) = (field("streamId"), field("defaultName")) else { continue };
        // Reserved namespaces are not made by their use; another id with a colon fails as one that cannot be.
        if id == "*" || id.starts_with(":_") || id.starts_with(":system:") {
            continue;
        }
        let known = context.caller(|_, space| space.tree.get(id).cloned());
        let written = match known {
            Some(stream) if stream.trashed => {
                let grant = context.caller(|caller, _| caller.update_stream(id, None)).map_err(refused)?;
                let stream = Box::new(Stream { trashed: false, ..stream });
                context.write(grant, Write::UpdateStream { stream }).await
            }
            Some(_) => continue,
            None => {
                let grant = context.caller(|caller, _| caller.create_stream(None)).map_err(refused)?;
                create_default_stream(context, grant, id, name).await?
            }
        };
        match written {
            Ok(Written::Stream(stream)) => context.apply(|space| space.tree.insert(*stream)),
            Ok(_) => {}
            Err(StoreError::Taken(taken)) => {
                return Err(ApiError::already_exists("stream", taken.into_iter().collect()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn create_default_stream(
    context: &Context,
    grant: Grant,
    id: &str,
    name: &str,
) -> ApiResult<Result<Written, StoreError>> {
    const ID_CHARS_MAX: usize = 100;
    let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !id.chars().take(ID_CHARS_MAX).all(is_valid) || id.is_empty() {
        return Err(ApiError::invalid_structure(format!("No stream can be created with the id \"{id}\".")));
    }
    let name_taken = context.caller(|_, space| space.tree.sibling_named(None, name).is_some());
    if name_taken {
        let taken = [("name".to_owned(), Value::from(name))].into_iter().collect();
        return Err(ApiError::already_exists("stream", taken));
    }
    let stream = Box::new(Stream { id: id.to_owned(), name: name.to_owned(), ..Stream::default() });
    Ok(context.write(grant, Write::CreateStream { stream }).await)
}

pub async fn delete(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&ON_ITEM, params)?;
    let id = params::text(params, "id").unwrap_or_default();
    let base_id = id.split(':').next().unwrap_or_default();
    let _turn = context.turn().await;
    let target = context.caller(|_, space| space.access(base_id).map(Rc::clone));
    let target = target.ok_or_else(|| ApiError::unknown_resource("access", id))?;
    check_version(&target, id)?;
    let grant = context.caller(|caller, _| caller.delete_access(&target)).map_err(refused)?;
    let now = context.now;
    let created: Option<Vec<Rc<Access>>> = (target.kind != AccessKind::Personal).then(|| {
        context.caller(|_, space| {
            space
                .accesses()
                .filter(|access| access.created_by == target.id && access.id != target.id)
                .map(Rc::clone)
                .collect()
        })
    });
    let related: Vec<String> =
        created.iter().flatten().filter(|access| !access.is_expired(now)).map(|access| access.id.clone()).collect();
    let ids: Vec<String> = std::iter::once(target.id.clone()).chain(related.iter().cloned()).collect();
    context.commit(grant, Write::DeleteAccesses { ids: ids.clone() }).await?;
    context.apply(|space| ids.iter().for_each(|id| space.remove_access(id)));
    let mut out = Map::new();
    out.insert("accessDeletion".into(), json!({ "id": target.id }));
    if created.is_some_and(|created| !created.is_empty()) {
        out.insert("relatedDeletions".into(), related.iter().map(|id| json!({ "id": id })).collect());
    }
    Ok(Outcome::Fields(out))
}

/// A versioned access must be named by its current version (spec 06, section 8).
fn check_version(target: &Access, id: &str) -> ApiResult<()> {
    if target.wire_id() == id {
        return Ok(());
    }
    if let Some((_, serial)) = id.split_once(':')
        && serial.parse::<u32>().ok().is_none_or(|serial| serial == 0)
    {
        return Err(ApiError::unknown_resource("access", id));
    }
    Err(ApiError::new(409, "stale-resource", "The access has changed since this version.")
        .with_data(json!({ "provided": id, "currentSerial": target.serial })))
}
