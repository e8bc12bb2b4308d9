//! Account fields as events (spec 05, section 3): made from the fields in the space when they are read; creating or
//! updating one sets the field.

use model::event::SERIES_PREFIX;
use model::permission::AccountField;
use model::permission::reserved::Store;
use model::query::{TrashState, TypeFilter};
use model::schema::Problem;
use model::types::ContentError;
use model::{Event, EventsQuery, Grant, query_input};
use serde_json::{Map, Value, json};
use storage::StoreError;
use storage::base::{Answer, Read, Write, Written};
use storage::platform::Command;

use super::events::content_error;
use super::{Outcome, refused};
use crate::context::Context;
use crate::error::{ApiError, ApiResult};

/// Characters of an account field's text.
pub const FIELD_CHARS_MAX: usize = 4_096;

/// One event for each of the fields that is shown, has a value and passes the query.
pub fn list(context: &Context, query: &EventsQuery, ids: &[String]) -> Vec<Value> {
    let now = context.now;
    // The upper bound is exclusive here, unlike that of other events (spec 05, section 3.2).
    let in_frame = query.to.is_none_or(|to| now < to)
        && query.from.is_none_or(|from| now >= from)
        && query.modified_since.is_none_or(|since| now >= since);
    if query.only_running || query.state == TrashState::Trashed || !in_frame {
        return Vec::new();
    }
    let is_type = |field: &AccountField| {
        let exact = |filter: &TypeFilter| *filter == TypeFilter::Exact(field.kind.clone());
        query.types.is_empty() || query.types.iter().any(exact)
    };
    let streams = context.account_streams();
    let is_wanted = |field: &&AccountField| !streams.is_hidden(&field.id) && is_type(field);
    let fields = ids.iter().filter_map(|id| streams.get(id)).filter(is_wanted);
    let events = fields.filter_map(|field| event_of(context, field));
    let passes = |event: &Map<String, Value>| {
        query.content.iter().all(|condition| query_input::matches(condition, event.get("content")))
            && query.client_data.iter().all(|condition| query_input::matches(condition, None))
    };
    events.filter(passes).map(Value::Object).collect()
}

/// The field behind an event id: its stream id, or its bare name (for which a stored event goes first).
pub fn field_of(context: &Context, event_id: &str) -> Option<AccountField> {
    let streams = context.account_streams();
    streams.get(event_id).or_else(|| streams.field_named(event_id)).cloned()
}

/// The field's event; its times are those of the call. `None` if it has no value.
pub fn event_of(context: &Context, field: &AccountField) -> Option<Map<String, Value>> {
    let content = value_of(context, field)?;
    let mut event = bare_event(field, Some(content));
    (event.time, event.created, event.modified) = (context.now, context.now, context.now);
    (event.created_by, event.modified_by) = ("system".to_owned(), "system".to_owned());
    Some(sealed(context, event))
}

fn value_of(context: &Context, field: &AccountField) -> Option<Value> {
    let content = context.caller(|_, space| space.fields.get(field.field_name()).cloned());
    content.filter(|value| field.has_value && !value.is_null())
}

fn bare_event(field: &AccountField, content: Option<Value>) -> Event {
    let (id, kind) = (field.id.clone(), field.kind.clone());
    Event { stream_ids: vec![id.clone()], id, kind, content, ..Event::default() }
}

/// As the API shows it, with its hash.
fn sealed(context: &Context, mut event: Event) -> Map<String, Value> {
    event.integrity = None;
    let mut shown = event.to_json();
    if let Some(algorithm) = context.shard.node.config.event_integrity() {
        shown.insert("integrity".into(), algorithm.of_event(&shown).hash.into());
    }
    shown
}

/// `events.getOne`. Former values are told with the time and the author of each change.
pub async fn get_one(context: &mut Context, id: &str, with_history: bool) -> ApiResult<Outcome> {
    let unknown = || ApiError::unknown_resource("event", id);
    let field = field_of(context, id).ok_or_else(unknown)?;
    let grant = context.caller(|caller, _| caller.read_event(std::slice::from_ref(&field.id))).map_err(refused)?;
    let event = event_of(context, &field).ok_or_else(unknown)?;
    context.audit.detail.insert("recordCount".into(), 1.into());
    let mut out = Map::new();
    out.insert("event".into(), event.into());
    if with_history {
        out.insert("history".into(), history(context, grant, &field).await?);
    }
    Ok(Outcome::Fields(out))
}

async fn history(context: &Context, grant: Grant, field: &AccountField) -> ApiResult<Value> {
    let Answer::Events(mut states) = context.read(grant, Read::EventHistory { id: field.id.clone() }).await? else {
        return Err(ApiError::unexpected("a history was asked for, something else came back"));
    };
    // The last state is the present one.
    states.pop();
    let had_value = states.into_iter().filter(|state| state.content.is_some());
    Ok(had_value.map(|state| Value::from(Event { kind: field.kind.clone(), ..state }.to_json())).collect())
}

/// Whether an event is meant for the account store, or for it among others.
pub fn is_meant(stream_ids: &[String]) -> bool {
    stream_ids.iter().any(|id| Store::of(id) == Store::Account)
}

/// `events.create` in an account stream: sets the field.
pub async fn create(context: &mut Context, event: &Event, given_id: Option<&str>) -> ApiResult<Outcome> {
    let grant = context.caller(|caller, _| caller.create_event(&event.stream_ids)).map_err(refused)?;
    let field = writable(context, &event.stream_ids)?;
    if given_id.is_some_and(|id| id != field.id) {
        return Err(other_store());
    }
    let _turn = context.event_turn(&field.id).await;
    let set = set(context, grant, &field, event.content.clone()).await?;
    Ok(Outcome::field("event", sealed(context, set)))
}

/// `events.update` of a field's event: `next` holds what was sent.
pub async fn update(context: &mut Context, id: &str, update: &Map<String, Value>, next: &Event) -> ApiResult<Outcome> {
    let field = field_of(context, id).ok_or_else(|| ApiError::unknown_resource("event", id))?;
    let new_streams = update.contains_key("streamIds").then_some(next.stream_ids.as_slice());
    let own = std::slice::from_ref(&field.id);
    let grant = context.caller(|caller, _| caller.update_event(own, new_streams)).map_err(refused)?;
    check_one(new_streams.unwrap_or_default())?;
    if new_streams.is_some_and(|ids| ids != own) {
        return Err(ApiError::invalid_operation("It is forbidden to modify streamIds of system events."));
    }
    if !is_editable(&field) {
        return Err(not_editable(&field.id));
    }
    // Under its bare name the event has another turn.
    let _turn = if id == field.id { None } else { Some(context.event_turn(&field.id).await) };
    let current = value_of(context, &field).ok_or_else(|| ApiError::unknown_resource("event", id))?;
    let content = if update.contains_key("content") { next.content.clone() } else { Some(current) };
    let kind = if update.contains_key("type") { &next.kind } else { &field.kind };
    check_content(context, kind, content.as_ref())?;
    let set = set(context, grant, &field, content).await?;
    // Observed: the author of the event itself stays the server, and the type is echoed.
    let shown = Event { created_by: "system".to_owned(), kind: kind.clone(), ..set };
    Ok(Outcome::field("event", sealed(context, shown)))
}

/// `events.delete`: there is no trash for account fields, and none is ever removed.
pub fn delete(context: &Context, id: &str) -> ApiError {
    let Some(field) = field_of(context, id) else { return ApiError::unknown_resource("event", id) };
    match context.caller(|caller, _| caller.delete_event(std::slice::from_ref(&field.id))) {
        Ok(_) => not_editable(&field.id),
        Err(why) => refused(why),
    }
}

/// The field that an event of these streams sets. Streams beside it would be lost, so they are refused.
fn writable(context: &Context, stream_ids: &[String]) -> ApiResult<AccountField> {
    check_one(stream_ids)?;
    let Some(id) = stream_ids.iter().find(|id| Store::of(id) == Store::Account) else { return Err(other_store()) };
    let field = context.account_streams().get(id).filter(|field| is_editable(field));
    let field = field.cloned().ok_or_else(|| not_editable(id))?;
    if stream_ids.len() > 1 {
        return Err(other_store());
    }
    Ok(field)
}

fn is_editable(field: &AccountField) -> bool {
    field.editable && field.has_value
}

fn check_one(stream_ids: &[String]) -> ApiResult<()> {
    let account: Vec<&String> = stream_ids.iter().filter(|id| Store::of(id) == Store::Account).collect();
    if account.len() < 2 {
        return Ok(());
    }
    Err(ApiError::invalid_operation("Event cannot be part of multiple account streams.")
        .with_data(json!({ "streamIds": account })))
}

fn not_editable(id: &str) -> ApiError {
    ApiError::invalid_operation(
        "Forbidden event modification. You are trying to edit or delete a non-editable or active system stream event.",
    )
    .with_data(json!({ "streamId": id }))
}

pub fn other_store() -> ApiError {
    ApiError::invalid_structure("An event and all of its streams must be of the same data store.")
}

/// What the sent type asks of the content; a series has none that a field could hold.
fn check_content(context: &Context, kind: &str, content: Option<&Value>) -> ApiResult<()> {
    if kind.starts_with(SERIES_PREFIX) {
        return Err(ApiError::invalid_parameters_text("An account field cannot hold a series."));
    }
    context.shard.node.event_types.current().check_content(kind, content).map_err(|error| match error {
        ContentError::Problems(problems) => content_error(problems.iter().map(Problem::to_json).collect()),
        other => ApiError::unexpected(format!("an ordinary type was checked as a series: {other:?}")),
    })
}

/// The one write of a field: what is unique is taken on the platform first, then the account is changed, then the former
/// value is given back. After a crash in between, the next start settles it (`platform::registration::sweep`).
async fn set(context: &mut Context, grant: Grant, field: &AccountField, content: Option<Value>) -> ApiResult<Event> {
    check_value(field, content.as_ref())?;
    if content.is_some() {
        check_content(context, &field.kind, content.as_ref())?;
    }
    let name = field.field_name().to_owned();
    let unique = if field.unique { claim(context, &name, content.as_ref()).await? } else { None };
    let event = Box::new(bare_event(field, content.clone()));
    let written = context.commit(grant, Write::SetAccountField { name: name.clone(), event }).await?;
    let Written::Event(event) = written else {
        return Err(ApiError::unexpected("an account field was set, something else came back"));
    };
    context.apply(|space| match content {
        Some(value) => drop(space.fields.insert(name, value)),
        None => drop(space.fields.shift_remove(&name)),
    });
    if let Some(command) = unique {
        context.settle(command).await;
    }
    Ok(*event)
}

/// Takes the new value beside the present one; gives what leaves only the new one, for after the commit.
async fn claim(context: &Context, name: &str, content: Option<&Value>) -> ApiResult<Option<Command>> {
    let user = context.space.data.borrow().entry.user.clone();
    let value = content.map(text_of);
    if let Some(value) = value.clone() {
        let command = Command::AddUnique { user: user.clone(), field: name.to_owned(), value };
        context.shard.platform(command).await.map_err(|error| match error {
            StoreError::Taken(_) => {
                let taken = content.map(|value| (name.to_owned(), value.clone()));
                ApiError::already_exists("user", taken.into_iter().collect())
            }
            other => other.into(),
        })?;
    }
    Ok(Some(Command::SetUnique { user, field: name.to_owned(), value }))
}

/// As the platform compares it.
pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn check_value(field: &AccountField, content: Option<&Value>) -> ApiResult<()> {
    let refuse = |message: String| Err(ApiError::invalid_parameters_text(message));
    match content {
        None if field.required => refuse(format!("The account field \"{}\" must have a value.", field.field_name())),
        Some(Value::String(text)) if text.chars().count() > FIELD_CHARS_MAX => {
            refuse(format!("The content of an account field has at most {FIELD_CHARS_MAX} characters."))
        }
        None | Some(Value::String(_) | Value::Number(_)) => Ok(()),
        Some(_) => refuse("The content of an account field must be a text or a number.".to_owned()),
    }
}
