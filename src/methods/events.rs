//! `events.*` on one event (spec 03, sections 3 to 7). Reading many is in `events_query`.

use std::sync::LazyLock;

use model::event::SERIES_PREFIX;
use model::permission::reserved::{EMAILS_ROOT, SHARED_SECRETS_ROOT, Store, in_store};
use model::permission::{Reserved, reserved};
use model::schema::{Problem, Schema};
use model::types::ContentError;
use model::{AccessKind, Duration, Event};
use serde_json::{Map, Value, json};
use storage::StoreError;
use storage::base::{Answer, Found, Read, Write, Written};

use super::params::{self, checked};
use super::{Outcome, account_events, attachments, refused};
use crate::context::Context;
use crate::error::{ApiError, ApiResult};

const PROTECTED: [&str; 7] = ["id", "attachments", "integrity", "created", "createdBy", "modified", "modifiedBy"];
/// Each is looked up, linked and told with every read of the event.
const STREAM_IDS_MAX: usize = 1_000;
const TYPE_PATTERN: &str = "^(series:)?[a-z0-9-]+/[a-z0-9-]+$";
const ID_PATTERN: &str = "^(:[a-z0-9-]+:[a-zA-Z0-9-]{1,256}|c[a-z0-9-]{24}|[a-z][a-z0-9]{23})$";

static CREATE: LazyLock<Schema> = LazyLock::new(|| {
    let mut properties = item_properties();
    for internal in ["attachments", "files"] {
        properties.remove(internal);
    }
    properties.insert("id".into(), json!({ "type": "string", "pattern": ID_PATTERN }));
    params::schema(json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": ["streamIds", "type"],
    }))
});

static UPDATE: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "object",
        "properties": {
            "id": { "type": "string" },
            "update": { "type": "object", "additionalProperties": false, "properties": item_properties() },
        },
        "required": ["id", "update"],
    }))
});

static ON_ITEM: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "includeHistory": { "type": "boolean" } },
        "required": ["id"],
    }))
});

fn item_properties() -> Map<String, Value> {
    let properties = json!({
        "id": { "type": "string" },
        "streamIds": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": STREAM_IDS_MAX },
        "time": { "type": "number" },
        "duration": { "type": ["number", "null"] },
        "type": { "type": "string", "pattern": TYPE_PATTERN },
        "content": {},
        "description": { "type": ["string", "null"] },
        "clientData": { "type": ["object", "null"] },
        "attachments": { "type": "array" },
        "trashed": { "type": ["boolean", "null"] },
        "integrity": { "type": ["string", "null"] },
        "created": { "type": "number" },
        "createdBy": { "type": "string" },
        "modified": { "type": "number" },
        "modifiedBy": { "type": "string" },
    });
    properties.as_object().cloned().unwrap_or_default()
}

pub async fn get_one(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&ON_ITEM, params)?;
    let id = params::text(params, "id").unwrap_or_default();
    let with_history = params::flag(params, "includeHistory");
    let mut out = Map::new();
    let found = match find(context, id).await? {
        Some(found) => found,
        None => return account_events::get_one(context, id, with_history).await,
    };
    // In deletion mode `keep-everything` a deleted event is still shown whole.
    let deleted = match &found {
        Found::Kept(deletion, _) => Some(deletion.deleted),
        _ => None,
    };
    match found {
        Found::Deletion(deletion) => {
            out.insert("event".into(), json!({ "id": deletion.id, "deleted": model::time::number(deletion.deleted) }));
            if with_history {
                out.insert("history".into(), json!([]));
            }
        }
        Found::Event(event) | Found::Kept(_, event) => {
            let grant = context.caller(|caller, _| caller.read_event(&event.stream_ids)).map_err(refused)?;
            let mut shown = attachments::shown(context, &event);
            if let Some(deleted) = deleted {
                shown.insert("deleted".into(), model::time::number(deleted));
            }
            out.insert("event".into(), shown.into());
            if with_history {
                let read = Read::EventHistory { id: id.to_owned() };
                let Answer::Events(history) = context.read(grant, read).await? else {
                    return Err(ApiError::unexpected("a history was asked for, something else came back"));
                };
                out.insert("history".into(), history.iter().map(|event| Value::from(event.to_json())).collect());
            }
        }
    }
    context.audit.detail.insert("recordCount".into(), 1.into());
    Ok(Outcome::Fields(out))
}

pub(super) async fn find(context: &Context, id: &str) -> ApiResult<Option<Found>> {
    let grant = context.caller(|caller, _| caller.any());
    match context.read(grant, Read::Event { id: id.to_owned() }).await? {
        Answer::Event(found) => Ok(found),
        other => Err(ApiError::unexpected(format!("an event was asked for, not {other:?}"))),
    }
}

pub async fn create(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&CREATE, params)?;
    let mut event = Event { time: context.now, id: model::id::fresh_item_id(), ..Event::default() };
    apply(&mut event, params);
    if let Some(id) = params::text(params, "id") {
        event.id = id.to_owned();
    }
    // A new event keeps its client data as it came, nulls too.
    event.client_data = params::object(params, "clientData");
    check_namespaces(&event)?;
    check_streams(context, &event.stream_ids)?;
    set_content(context, &mut event, params.get("content").is_some_and(|content| !content.is_null()))?;
    if account_events::is_meant(&event.stream_ids) {
        attachments::check_none(context)?;
        return account_events::create(context, &event, params::text(params, "id")).await;
    }
    check_store(context, &event)?;
    let grant = context.caller(|caller, _| caller.create_event(&event.stream_ids)).map_err(refused)?;
    attachments::attach(context, &mut event)?;
    attachments::place(context, &event.id).await?;
    let written = context.commit(grant, Write::CreateEvent { event: Box::new(event) }).await;
    finish(context, written.map_err(taken)?)
}

/// Fields as they were given; content and series rules come after.
fn apply(event: &mut Event, given: &Map<String, Value>) {
    if let Some(Value::Array(ids)) = given.get("streamIds") {
        event.stream_ids.clear();
        for id in ids.iter().filter_map(Value::as_str) {
            if !event.stream_ids.iter().any(|known| known == id) {
                event.stream_ids.push(id.to_owned());
            }
        }
    }
    if let Some(time) = params::seconds(given, "time") {
        event.time = time;
    }
    match given.get("duration") {
        Some(Value::Null) => event.duration = Duration::Running,
        Some(length) => event.duration = length.as_f64().map_or(Duration::Instant, Duration::Seconds),
        None => {}
    }
    if let Some(kind) = params::text(given, "type") {
        event.kind = kind.to_owned();
    }
    if let Some(content) = given.get("content") {
        event.content = Some(content.clone()).filter(|content| !content.is_null());
    }
    if let Some(description) = given.get("description") {
        event.description = description.as_str().map(str::to_owned);
    }
    if let Some(data) = given.get("clientData") {
        event.client_data = params::merge_client_data(event.client_data.take(), data);
    }
    if given.contains_key("trashed") {
        event.trashed = params::flag(given, "trashed");
    }
}

/// Spec 03, section 12.
pub(super) fn check_namespaces(event: &Event) -> ApiResult<()> {
    let forbid = |message: &'static str, id: &str| Err(ApiError::forbidden(message).with_data(json!({ "id": id })));
    if event.kind == "shared-secret/item" {
        return forbid("This type belongs to shared secrets.", "shared-secret-reserved-type");
    }
    for id in &event.stream_ids {
        match reserved(id) {
            Some(Reserved::SharedSecrets) => {
                return forbid("These streams belong to shared secrets.", "shared-secret-reserved-stream");
            }
            Some(Reserved::Emails) => {
                return forbid("This stream belongs to the account's e-mail addresses.", "emails-reserved-stream");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every stream must exist, and not be in the trash itself.
fn check_streams(context: &Context, stream_ids: &[String]) -> ApiResult<()> {
    let is_audit_active = context.shard.node.config.audit.active;
    let (unknown, trashed) = context.caller(|_, space| {
        let is_unknown = |id: &&String| match Store::of(id) {
            Store::Local => !space.tree.contains(id) && ![EMAILS_ROOT, SHARED_SECRETS_ROOT].contains(&id.as_str()),
            Store::Account => !context.account_streams().contains(id),
            // Any access and any method has a stream there.
            Store::Audit => !is_audit_active,
            Store::Unknown(_) => true,
        };
        let unknown: Vec<String> = stream_ids.iter().filter(is_unknown).map(|id| in_store(id).to_owned()).collect();
        let trashed = stream_ids.iter().find(|id| space.tree.get(id).is_some_and(|stream| stream.trashed)).cloned();
        (unknown, trashed)
    });
    if !unknown.is_empty() {
        let message = format!("Unknown referenced stream(s): \"{}\"", unknown.join("\", \""));
        return Err(ApiError::unknown_referenced(message, json!({ "streamIds": unknown })));
    }
    if let Some(id) = trashed {
        return Err(ApiError::invalid_operation(format!("The referenced stream \"{id}\" is trashed."))
            .with_data(json!({ "trashedReference": "streamIds" })));
    }
    Ok(())
}

/// An event is in one store, with its id and all of its streams; that of the audit is only read. Without a personal
/// token the audit streams are forbidden like any other that was not granted.
fn check_store(context: &Context, event: &Event) -> ApiResult<()> {
    let in_audit = |id: &String| Store::of(id) == Store::Audit;
    let is_personal = context.access.kind == AccessKind::Personal;
    let is_mixed = !event.stream_ids.iter().all(in_audit);
    if Store::of(&event.id) != Store::Local || (is_personal && is_mixed && event.stream_ids.iter().any(in_audit)) {
        return Err(account_events::other_store());
    }
    if is_personal && !is_mixed {
        let message = "Error from data store \"_audit\": events.create is not supported.";
        return Err(ApiError::new(501, "api-unavailable", message));
    }
    Ok(())
}

/// Content against its type; a series event gets its descriptor from the server.
fn set_content(context: &Context, event: &mut Event, is_content_given: bool) -> ApiResult<()> {
    let catalogue = context.shard.node.event_types.current();
    if let Some(element) = event.kind.strip_prefix(SERIES_PREFIX) {
        let content = catalogue.series_content(element).map_err(|_| unknown_series(&event.kind))?;
        if is_content_given {
            return Err(content_error("Events of type High-frequency have a read-only content".into()));
        }
        event.content = Some(content);
        if event.series_key.is_none() {
            event.duration = Duration::Instant;
        }
        return Ok(());
    }
    catalogue.check_content(&event.kind, event.content.as_ref()).map_err(|error| match error {
        ContentError::Problems(problems) => content_error(problems.iter().map(Problem::to_json).collect()),
        other => ApiError::unexpected(format!("an ordinary type was checked as a series: {other:?}")),
    })
}

fn unknown_series(kind: &str) -> ApiError {
    let message =
        format!("Event type '{kind}' not allowed for High-Frequency Series. Please use a predefined simple type");
    ApiError::new(400, "invalid-event-type", message).with_data(json!({ "type": kind }))
}

pub(super) fn content_error(data: Value) -> ApiError {
    ApiError { message: "The event content's format is invalid.".into(), ..ApiError::invalid_parameters(data) }
}

fn taken(error: StoreError) -> ApiError {
    match error {
        StoreError::Taken(taken) => ApiError::already_exists("event", taken.into_iter().collect()),
        other => other.into(),
    }
}

pub async fn update(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&UPDATE, params)?;
    let id = params::text(params, "id").unwrap_or_default();
    let mut update = params::object(params, "update").unwrap_or_default();
    params::check_protected(&mut update, &PROTECTED, context.shard.node.config.ignore_protected_fields)?;
    let mut next = Event::default();
    apply(&mut next, &update);
    let new_streams = update.contains_key("streamIds").then(|| next.stream_ids.clone());
    if let Some(new_streams) = &new_streams {
        check_streams(context, new_streams)?;
    }
    let _turn = context.event_turn(id).await;
    let Some(Found::Event(current)) = find(context, id).await? else {
        return account_events::update(context, id, &update, &next).await;
    };
    if let Some(new_streams) = &new_streams
        && context.access.kind == AccessKind::Personal
        && new_streams.iter().any(|id| Store::of(id) == Store::Audit)
    {
        return Err(ApiError::invalid_structure("An event cannot move to another data store."));
    }
    let grant = context
        .caller(|caller, _| caller.update_event(&current.stream_ids, new_streams.as_deref()))
        .map_err(refused)?;
    let mut next = Event::clone(&current);
    apply(&mut next, &update);
    check_type_change(context, &current, &next)?;
    check_namespaces(&next)?;
    if account_events::is_meant(&next.stream_ids) {
        return Err(account_events::other_store());
    }
    let is_content_given = update.get("content").is_some_and(|content| !content.is_null());
    if next.series_element().is_some() && next.kind == current.kind && !is_content_given {
        // A series stays what it is, whatever the catalogue has become.
        next.content.clone_from(&current.content);
    } else {
        set_content(context, &mut next, is_content_given)?;
    }
    let write = Write::UpdateEvent { event: Box::new(next), expected_modified: current.modified };
    let written = context.commit(grant, write).await?;
    finish(context, written)
}

/// Series stay series, and become only what the catalogue knows.
fn check_type_change(context: &Context, current: &Event, next: &Event) -> ApiResult<()> {
    if let Some(element) = next.series_element()
        && next.kind != current.kind
        && !context.shard.node.event_types.current().contains(element)
    {
        return Err(unknown_series(&next.kind));
    }
    if current.series_element().is_some() != next.series_element().is_some() {
        return Err(ApiError::invalid_operation("Normal events cannot be updated to HF-events and vice versa."));
    }
    Ok(())
}

pub async fn delete(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&ON_ITEM, params)?;
    let id = params::text(params, "id").unwrap_or_default();
    let _turn = context.event_turn(id).await;
    let Some(Found::Event(mut event)) = find(context, id).await? else {
        return Err(account_events::delete(context, id));
    };
    let grant = context.caller(|caller, _| caller.delete_event(&event.stream_ids)).map_err(refused)?;
    check_namespaces(&event)?;
    let expected_modified = event.modified;
    if !event.trashed {
        event.trashed = true;
        let written = context.commit(grant, Write::UpdateEvent { event, expected_modified }).await?;
        return finish(context, written);
    }
    context.commit(grant, Write::DeleteEvent { id: id.to_owned(), expected_modified }).await?;
    if !event.attachments.is_empty() {
        context.unsettled.push(id.to_owned());
    }
    context.space.data.borrow_mut().forget_holder(id);
    context.shard.forget_series(event.series_key.as_slice());
    Ok(Outcome::field("eventDeletion", json!({ "id": id })))
}

pub(super) fn finish(context: &Context, written: Written) -> ApiResult<Outcome> {
    let Written::Event(event) = written else {
        return Err(ApiError::unexpected("an event was written, something else came back"));
    };
    if event.series_key.is_some() {
        context.space.data.borrow_mut().forget_holder(&event.id);
    }
    Ok(Outcome::field("event", attachments::shown(context, &event)))
}
