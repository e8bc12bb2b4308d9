//! Account fields as events, made from the fields in the space: read here, not yet written (spec 05, section 3).

use model::permission::reserved::Store;
use model::permission::{AccountField, AccountStreams};
use model::query::{TrashState, TypeFilter};
use model::time::number;
use model::{EventsQuery, query_input};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::{ApiError, ApiResult};

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
    let is_wanted = |field: &&AccountField| field.shown && is_type(field);
    let fields = ids.iter().filter_map(|id| AccountStreams::shipped().get(id)).filter(is_wanted);
    let events = fields.filter_map(|field| event_of(context, field));
    let passes = |event: &Map<String, Value>| {
        query.content.iter().all(|condition| query_input::matches(condition, event.get("content")))
            && query.client_data.iter().all(|condition| query_input::matches(condition, None))
    };
    events.filter(passes).map(Value::Object).collect()
}

/// The field behind an event id: its stream id, or its bare name (for which a stored event goes first).
pub fn field_of(event_id: &str) -> Option<&'static AccountField> {
    AccountStreams::shipped().get(event_id).or_else(|| AccountStreams::shipped().field_named(event_id))
}

/// The field's event; its times are those of the call. `None` if it has no value.
pub fn event_of(context: &Context, field: &AccountField) -> Option<Map<String, Value>> {
    let content = context.caller(|_, space| space.fields.get(field.field_name()).cloned());
    let content = content.filter(|value| !value.is_null())?;
    let mut event = Map::new();
    event.insert("id".into(), field.id.clone().into());
    event.insert("streamIds".into(), json!([field.id]));
    event.insert("time".into(), number(context.now));
    event.insert("type".into(), field.kind.clone().into());
    event.insert("content".into(), content);
    for (time, author) in [("created", "createdBy"), ("modified", "modifiedBy")] {
        event.insert(time.into(), number(context.now));
        event.insert(author.into(), "system".into());
    }
    if let Some(algorithm) = context.shard.node.config.event_integrity() {
        event.insert("integrity".into(), algorithm.of_event(&event).hash.into());
    }
    Some(event)
}

/// Refuses to write an event of an account stream, with the reason that fits (spec 05, section 3.3).
pub fn check_not_written(stream_ids: &[String]) -> ApiResult<()> {
    let account: Vec<&String> = stream_ids.iter().filter(|id| Store::of(id) == Store::Account).collect();
    match account.as_slice() {
        [] => Ok(()),
        [id] => Err(not_written(id)),
        ids => Err(ApiError::invalid_operation("Event cannot be part of multiple account streams.")
            .with_data(json!({ "streamIds": ids }))),
    }
}

fn not_written(id: &str) -> ApiError {
    if AccountStreams::shipped().get(id).is_some_and(|field| field.editable && field.has_value) {
        // Set at registration; changing it through events is not yet there: refused, not half done.
        return ApiError::new(501, "api-unavailable", "This server cannot change account fields through events yet.");
    }
    not_editable(id)
}

pub fn not_editable(id: &str) -> ApiError {
    ApiError::invalid_operation(
        "Forbidden event modification. You are trying to edit or delete a non-editable or active system stream event.",
    )
    .with_data(json!({ "streamId": id }))
}

/// An update that names an account event.
pub fn refuse_update(field: &AccountField, new_streams: Option<&[String]>) -> ApiError {
    let new_streams = new_streams.unwrap_or_default();
    if let Err(error) = check_not_written(new_streams)
        && new_streams.len() > 1
    {
        return error;
    }
    if new_streams.iter().any(|id| *id != field.id) {
        return ApiError::invalid_operation("It is forbidden to modify streamIds of system events.");
    }
    not_written(&field.id)
}
