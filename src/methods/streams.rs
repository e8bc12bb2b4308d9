//! `streams.*`: the tree of a user's streams (spec 04).

use std::sync::LazyLock;

use model::permission::reserved::AUDIT_ROOT;
use model::permission::{ListRefused, ListStreams, Reserved, STREAM_DEPTH_MAX, Store, reserved};
use model::query::TrashState;
use model::schema::Schema;
use model::{AccessKind, Stream, slug};
use serde_json::{Map, Value, json};
use storage::StoreError;
use storage::base::{Answer, LinkedEvents, Read, Write, Written};

use super::params::{self, checked};
use super::{Outcome, refused};
use crate::context::Context;
use crate::error::{ApiError, ApiResult};

const AUDIT_ACCESSES: &str = ":_audit:accesses";
const AUDIT_ACTIONS: &str = ":_audit:actions";
/// Field of a real deletion's result, which goes out in chunks.
pub const UPDATED_EVENTS: &str = "updatedEvents";
const PROTECTED: [&str; 7] = ["id", "children", "childrenHidden", "created", "createdBy", "modified", "modifiedBy"];

static GET: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "object",
        "properties": {
            "parentId": { "type": ["string", "null"] },
            "id": { "type": ["string", "null"] },
            "state": { "type": "string", "enum": ["default", "all"] },
            "includeDeletionsSince": { "type": "number" },
        },
    }))
});

static CREATE: LazyLock<Schema> = LazyLock::new(|| params::schema(item_schema(true)));
static UPDATE: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "update": item_schema(false) },
        "required": ["id", "update"],
    }))
});
static DELETE: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "mergeEventsWithParent": { "type": "boolean" } },
        "required": ["id"],
    }))
});

fn item_schema(is_new: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "id": { "type": "string", "minLength": 1 },
            "name": { "type": "string", "minLength": 1 },
            "parentId": { "type": ["string", "null"], "minLength": 1 },
            "clientData": { "type": ["object", "null"] },
            "trashed": { "type": ["boolean", "null"] },
            "children": { "type": ["array", "null"] },
            "childrenHidden": { "type": ["boolean", "null"] },
            "created": { "type": "number" },
            "createdBy": { "type": "string" },
            "modified": { "type": "number" },
            "modifiedBy": { "type": "string" },
        },
    });
    if let (true, Some(fields)) = (is_new, schema.as_object_mut()) {
        fields.insert("required".into(), json!(["name"]));
    }
    schema
}

pub async fn get(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&GET, params)?;
    let (parent_id, id) = (params::text(params, "parentId"), params::text(params, "id"));
    let is_truthy = |value: &Value| !matches!(value, Value::Null | Value::Bool(false)) && value != "";
    let with_trashed =
        params::text(params, "state") == Some("all") || params.get("includeTrashed").is_some_and(is_truthy);
    let state = if with_trashed { TrashState::All } else { TrashState::Default };
    let request = ListStreams { parent_id, id, state };
    let mut streams = context.caller(|caller, _| caller.list_streams(request)).map_err(list_refused)?;
    if let Some(group) = id.or(parent_id).filter(|id| [AUDIT_ACCESSES, AUDIT_ACTIONS].contains(id)) {
        let children = audit_children(context, group).await?;
        match streams.first_mut().and_then(|stream| stream.get_mut("children")) {
            Some(shown) => *shown = children.into(),
            None => streams = children,
        }
    }
    context.audit.detail.insert("recordCount".into(), streams.len().into());
    let mut out = Map::new();
    out.insert("streams".into(), streams.into());
    if let Some(since) = params::seconds(params, "includeDeletionsSince") {
        let grant = context.caller(|caller, _| caller.any());
        if let Answer::StreamDeletions(items) = context.read(grant, Read::StreamDeletions { since }).await? {
            out.insert("streamDeletions".into(), items.iter().map(model::StreamDeletion::to_json).collect());
        }
    }
    Ok(Outcome::Fields(out))
}

/// The streams of the accesses, or of the methods, that have records, as far as the caller may list them.
async fn audit_children(context: &Context, group: &str) -> ApiResult<Vec<Value>> {
    context.shard.flush_audit().await;
    let grant = context.caller(|caller, _| caller.any());
    let read = Read::AuditStreams { actions: group == AUDIT_ACTIONS };
    let Answer::Names(names) = context.read(grant, read).await? else {
        return Err(ApiError::unexpected("names of audit streams were asked for, something else came back"));
    };
    let listed = |name: &String| {
        let id = format!("{AUDIT_ROOT}{name}");
        let request = ListStreams { id: Some(&id), ..ListStreams::default() };
        context.caller(|caller, _| caller.list_streams(request)).unwrap_or_default()
    };
    Ok(names.iter().flat_map(listed).collect())
}

fn list_refused(why: ListRefused) -> ApiError {
    let message = why.to_string();
    match why {
        ListRefused::BothIdAndParent => ApiError::invalid_structure(message),
        ListRefused::Forbidden(_) => ApiError::forbidden(message),
        ListRefused::UnknownStream { parameter, id } => ApiError::unknown_referenced(message, json!({ parameter: id })),
        ListRefused::UnknownStore(_) => ApiError::new(404, "unknown-resource", message),
    }
}

pub async fn create(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&CREATE, params)?;
    let (id, parent_id) = (params::text(params, "id"), params::text(params, "parentId"));
    check_namespace(id, CMC_RESERVED)?;
    check_namespace(parent_id, CMC_RESERVED)?;
    let _turn = context.turn().await;
    let grant = context.caller(|caller, _| caller.create_stream(parent_id)).map_err(refused)?;
    check_parent(context, parent_id)?;
    check_depth(context, None, parent_id)?;
    check_store(context, id, parent_id, params)?;
    let stream = Stream {
        id: match id {
            Some(id) => slug::stream_id(id)
                .map_err(|_| ApiError::new(400, "invalid-item-id", format!("The stream id \"{id}\" is reserved.")))?,
            None => model::id::fresh_item_id(),
        },
        name: params::text(params, "name").unwrap_or_default().to_owned(),
        parent_id: parent_id.map(str::to_owned),
        client_data: params::object(params, "clientData"),
        trashed: params::flag(params, "trashed"),
        ..Stream::default()
    };
    check_sibling(context, &stream, true)?;
    let written = context.commit(grant, Write::CreateStream { stream: Box::new(stream) }).await;
    finish(context, written.map_err(taken)?)
}

/// The parent must exist and not be in the trash itself (a trashed ancestor does not matter).
fn check_parent(context: &Context, parent_id: Option<&str>) -> ApiResult<()> {
    let Some(parent_id) = parent_id else { return Ok(()) };
    if reserved(parent_id) == Some(Reserved::Account) && context.account_streams().contains(parent_id) {
        return Ok(());
    }
    let trashed = context.caller(|_, space| space.tree.get(parent_id).map(|parent| parent.trashed));
    match trashed {
        None => Err(ApiError::unknown_referenced(
            format!("Unknown referenced parent stream \"{parent_id}\""),
            json!({ "parentId": parent_id }),
        )),
        Some(true) => Err(ApiError::invalid_operation(format!("Parent stream \"{parent_id}\" is trashed."))
            .with_data("parentId".into())),
        Some(false) => Ok(()),
    }
}

/// A tree deeper than [`STREAM_DEPTH_MAX`] would not be shown whole. `id`: the stream that moves, with its sub-tree.
fn check_depth(context: &Context, id: Option<&str>, parent_id: Option<&str>) -> ApiResult<()> {
    let depth = context.caller(|_, space| {
        let below = |id: &str| {
            let own = space.tree.depth(id);
            let deepest = space.tree.descendants(id).iter().map(|stream| space.tree.depth(&stream.id)).max();
            deepest.unwrap_or(own) - own
        };
        parent_id.map_or(0, |parent| space.tree.depth(parent)) + 1 + id.map_or(0, below)
    });
    match depth > STREAM_DEPTH_MAX {
        true => {
            Err(ApiError::invalid_operation(format!("Streams cannot be nested deeper than {STREAM_DEPTH_MAX} levels.")))
        }
        false => Ok(()),
    }
}

/// Names are unique among siblings, trashed ones included; an id conflict is reported first.
fn check_sibling(context: &Context, stream: &Stream, is_new: bool) -> ApiResult<()> {
    const ROOT_NAMES: [&str; 3] = ["Account", "Audit", "Emails"];
    let (id_taken, name_taken) = context.caller(|_, space| {
        let sibling = space.tree.sibling_named(stream.parent_id.as_deref(), &stream.name);
        let is_root_name = stream.parent_id.is_none() && ROOT_NAMES.contains(&stream.name.as_str());
        (
            is_new && space.tree.contains(&stream.id),
            is_root_name || sibling.is_some_and(|sibling| sibling.id != stream.id),
        )
    });
    let conflict = |key: &str, value: &str| {
        ApiError::already_exists("stream", [(key.to_owned(), value.into())].into_iter().collect())
    };
    match (id_taken, name_taken) {
        (true, _) => Err(conflict("id", &stream.id)),
        (false, true) => Err(conflict("name", &stream.name)),
        _ => Ok(()),
    }
}

/// A stream and its parent are of one store (spec 04, section 3). Those of the account are made by the server, and
/// the audit has a stream for any access and any method.
fn check_store(
    context: &Context,
    id: Option<&str>,
    parent_id: Option<&str>,
    sent: &Map<String, Value>,
) -> ApiResult<()> {
    let is_audit_active = context.shard.node.config.audit.active;
    let store = parent_id.map_or(Store::Local, Store::of);
    match id {
        Some(id) if Store::of(id) == Store::Audit && is_audit_active => {
            Err(ApiError::already_exists("stream", [("id".to_owned(), id.into())].into_iter().collect()))
        }
        Some(id) if Store::of(id) != store => {
            Err(ApiError::invalid_structure("A stream must be of the same data store as its parent.")
                .with_data(sent.clone().into()))
        }
        _ if store == Store::Account => Err(system_stream()),
        _ => Ok(()),
    }
}

fn system_stream() -> ApiError {
    ApiError::invalid_operation("It is forbidden to modify system streams.")
}

/// Sub-code of the messaging plugin's own streams, and that of their deletion.
const CMC_RESERVED: &str = "cmc-reserved-stream";
const CMC_UNDELETABLE: &str = "cmc-reserved-stream-undeletable";

/// Shared-secret, e-mail and messaging streams are not changed by these methods (spec 04, section 7).
fn check_namespace(id: Option<&str>, cmc_code: &str) -> ApiResult<()> {
    let Some((id, namespace)) = id.and_then(|id| reserved(id).map(|namespace| (id, namespace))) else {
        return Ok(());
    };
    let (message, data) = match namespace {
        Reserved::SharedSecrets => {
            ("These streams belong to shared secrets.", json!({ "id": "shared-secret-reserved-stream" }))
        }
        Reserved::Emails => {
            ("This stream belongs to the account's e-mail addresses.", json!({ "id": "emails-reserved-stream" }))
        }
        Reserved::Cmc | Reserved::CmcInternal => {
            ("This stream belongs to the messaging plugin.", json!({ "id": cmc_code, "streamId": id }))
        }
        // Told after the permission, where the streams are looked up.
        Reserved::Account | Reserved::Audit => return Ok(()),
    };
    Err(ApiError::invalid_operation(message).with_data(data))
}

/// A stream that is there to be changed. Streams of the server are refused to whoever may manage them: only the user.
fn find(context: &Context, id: &str, method: &str) -> ApiResult<Stream> {
    if let Some(stream) = context.caller(|_, space| space.tree.get(id).cloned()) {
        return Ok(stream);
    }
    let is_personal = context.access.kind == AccessKind::Personal;
    match Store::of(id) {
        Store::Account if context.account_streams().contains(id) && is_personal => Err(system_stream()),
        Store::Audit if !context.shard.node.config.audit.active => Err(ApiError::unknown_resource("stream", id)),
        Store::Audit if is_personal => {
            let message = format!("Error from data store \"_audit\": {method} is not supported.");
            Err(ApiError::new(501, "api-unavailable", message))
        }
        Store::Account if context.account_streams().contains(id) => Err(ApiError::not_granted()),
        Store::Audit => Err(ApiError::not_granted()),
        _ => Err(ApiError::unknown_resource("stream", id)),
    }
}

fn taken(error: StoreError) -> ApiError {
    match error {
        StoreError::Taken(taken) => ApiError::already_exists("stream", taken.into_iter().collect()),
        other => other.into(),
    }
}

pub async fn update(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&UPDATE, params)?;
    let id = params::text(params, "id").unwrap_or_default();
    let mut update = params::object(params, "update").unwrap_or_default();
    check_namespace(Some(id), CMC_RESERVED)?;
    check_namespace(params::text(&update, "parentId"), CMC_RESERVED)?;
    params::check_protected(&mut update, &PROTECTED, context.shard.node.config.ignore_protected_fields)?;
    if params::text(&update, "parentId") == Some(id) {
        return Err(ApiError::invalid_operation("A stream cannot be its own parent.").with_data(update.into()));
    }
    let _turn = context.turn().await;
    let current = find(context, id, "streams.update")?;
    let parent = update.get("parentId").map(Value::as_str);
    let grant = context.caller(|caller, _| caller.update_stream(id, parent)).map_err(refused)?;
    let moved = parent.is_some_and(|parent| parent != current.parent_id.as_deref());
    if moved {
        check_parent(context, parent.flatten())?;
        check_depth(context, Some(id), parent.flatten())?;
        check_store(context, Some(id), parent.flatten(), &update)?;
        check_not_below(context, id, parent.flatten(), &update)?;
    }
    let next = apply(current, &update);
    check_sibling(context, &next, false)?;
    let written = context.commit(grant, Write::UpdateStream { stream: Box::new(next) }).await;
    finish(context, written.map_err(taken)?)
}

/// A stream cannot be moved under its own descendant: the sub-tree would leave the tree.
fn check_not_below(context: &Context, id: &str, parent: Option<&str>, update: &Map<String, Value>) -> ApiResult<()> {
    let below = parent.is_some_and(|parent| context.caller(|_, space| space.tree.is_under(parent, id)));
    if below {
        return Err(ApiError::invalid_operation("A stream cannot be moved under its own descendant.")
            .with_data(update.clone().into()));
    }
    Ok(())
}

fn apply(mut stream: Stream, update: &Map<String, Value>) -> Stream {
    if let Some(name) = params::text(update, "name") {
        stream.name = name.to_owned();
    }
    if let Some(parent) = update.get("parentId") {
        stream.parent_id = parent.as_str().map(str::to_owned);
    }
    if let Some(data) = update.get("clientData") {
        stream.client_data = params::merge_client_data(stream.client_data.take(), data);
    }
    if update.contains_key("trashed") {
        stream.trashed = params::flag(update, "trashed");
    }
    stream
}

pub async fn delete(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&DELETE, params)?;
    let id = params::text(params, "id").unwrap_or_default();
    check_namespace(Some(id), CMC_UNDELETABLE)?;
    let _turn = context.turn().await;
    let stream = find(context, id, "streams.delete")?;
    let grant = context.caller(|caller, _| caller.delete_stream(id)).map_err(refused)?;
    if !stream.trashed {
        let trashed = Box::new(Stream { trashed: true, ..stream });
        let written = context.commit(grant, Write::UpdateStream { stream: trashed }).await?;
        return finish(context, written);
    }
    let linked = match (params.get("mergeEventsWithParent").and_then(Value::as_bool), stream.parent_id) {
        (None, _) => LinkedEvents::Refuse,
        (Some(false), _) => LinkedEvents::Delete,
        (Some(true), Some(parent_id)) => LinkedEvents::MergeWithParent { parent_id },
        (Some(true), None) => {
            return Err(ApiError::invalid_operation("A root stream has no parent to merge its events with.")
                .with_data(json!({ "streamId": id })));
        }
    };
    let ids = context
        .caller(|_, space| space.tree.descendants(id).into_iter().map(|stream| stream.id.clone()).collect::<Vec<_>>());
    let written = context.commit(grant, Write::DeleteStreams { ids: ids.clone(), linked }).await?;
    finish_deletion(context, id, &ids, written)
}

fn finish_deletion(context: &mut Context, id: &str, ids: &[String], written: Written) -> ApiResult<Outcome> {
    let deleted = match written {
        Written::StreamDeletion(deleted) => deleted,
        Written::LinkedEventsExist => {
            return Err(ApiError::invalid_parameters_text(
                "There are events in this stream or its descendants: `mergeEventsWithParent` must say what becomes of them.",
            ));
        }
        other => return Err(ApiError::unexpected(format!("a stream deletion gave {other:?}"))),
    };
    context.apply(|space| {
        for id in ids {
            space.tree.remove(id);
        }
        for (_, event) in &deleted.events {
            space.forget_holder(event);
        }
    });
    context.shard.forget_series(&deleted.series);
    let gone = deleted.events.iter().filter(|(action, _)| *action == "deleted");
    context.unsettled.extend(gone.map(|(_, event)| event.clone()));
    let events = deleted.events.iter().map(|(action, event)| json!({ "action": action, "id": event }));
    let mut out = Map::new();
    out.insert(UPDATED_EVENTS.into(), events.collect());
    out.insert("streamDeletion".into(), json!({ "id": id }));
    Ok(Outcome::Fields(out))
}

/// Applies a written stream to the space, and answers with it.
fn finish(context: &Context, written: Written) -> ApiResult<Outcome> {
    let Written::Stream(stream) = written else {
        return Err(ApiError::unexpected("a stream was written, something else came back"));
    };
    let shown = stream.to_json();
    context.apply(|space| space.tree.insert(*stream));
    Ok(Outcome::field("stream", shown))
}
