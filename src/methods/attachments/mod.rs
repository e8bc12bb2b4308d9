//! Files of events (spec 03, sections 5, 6.4 and 9): added, removed, and kept in line with what their events list. Their
//! bytes are in `storage::files`; that an event has a file is told by the event.
//!
//! ```text
//! upload:  receive (accepting shard) -> method -> place -> commit of the event      removal:  commit -> settle
//! ```
//! The commit decides. Whatever it leaves behind is settled after the call, and, after a crash, by `files_sweep`.

mod download;
mod range;
mod read_token;
mod receive;

pub use download::answer as get;
pub use read_token::ReadTokens;
pub use receive::{Uploads, receive};

use std::sync::LazyLock;

use model::Event;
use model::schema::Schema;
use serde_json::{Map, Value, json};
use shards::{Lane, Response};
use storage::StoreError;
use storage::base::{Answer, Found, Read, Write};
use storage::files::FilesError;

use super::{MethodId, Outcome, account_events, events, params, refused};
use crate::audit::AuditDraft;
use crate::context::Context;
use crate::error::{ApiError, ApiResult};
use crate::node::Shard;
use crate::reply;
use crate::trunk::{UserCall, run_fresh};

/// Files of one event.
pub const ATTACHMENTS_MAX: usize = 1000;

static ON_FILE: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "object",
        "properties": { "id": { "type": "string" }, "fileId": { "type": "string" } },
        "required": ["id", "fileId"],
    }))
});

impl Context {
    /// What makes the read tokens that this caller sees.
    pub fn read_tokens(&self) -> ReadTokens {
        ReadTokens::new(&self.shard.node.config.auth.files_read_token_secret, &self.access)
    }
}

/// Whether an upload may be read at all: asked before its body is, so that nobody fills the disk without a right to.
/// 200 says yes. `event`: the one that is to get the files, `None` when it is to be made.
pub async fn may_upload(shard: &std::rc::Rc<Shard>, call: UserCall, event: Option<&str>) -> Response {
    let UserCall { entry, auth, source, echo, .. } = call;
    let action = if event.is_some() { "events.update" } else { "events.create" };
    let serial = shard.node.serial();
    let context = match shard.open_context(&entry, action, auth, &source).await {
        Ok(context) => context,
        Err(refusal) => {
            return reply::with_access_id(reply::failure(echo, &refusal.error, serial), refusal.access_id);
        }
    };
    let checked = match event {
        None => context.caller(|caller, _| caller.create_event_somewhere()).map_err(refused),
        Some(id) => check_event(&context, id).await,
    };
    let response = match checked {
        Ok(()) => reply::empty(200, echo),
        Err(error) => {
            shard.audited(&entry, &context.audit, Some(&error));
            reply::failure(echo, &error, serial)
        }
    };
    reply::with_access_id(response, Some(context.access.id.clone()))
}

async fn check_event(context: &Context, id: &str) -> ApiResult<()> {
    let Some(Found::Event(event)) = events::find(context, id).await? else {
        return Err(account_events::delete(context, id));
    };
    context.caller(|caller, _| caller.update_event(&event.stream_ids, None)).map(drop).map_err(refused)
}

/// A method with files, and what becomes of them when it fails. An event that is to be made has its id before the first
/// run, since its files lie in its folder.
pub async fn run(id: MethodId, context: &mut Context, mut params: Value) -> ApiResult<Outcome> {
    if let Some(params) = params.as_object_mut() {
        params.entry("id").or_insert_with(|| model::id::fresh_item_id().into());
    }
    let event = params.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    // Nobody may settle the event between the placing of its files and its commit.
    let _turn = if event.is_empty() { None } else { Some(context.event_turn(&event).await) };
    let outcome = run_fresh(id, context, &params).await;
    if outcome.is_err() {
        context.unsettled.push(event);
    }
    outcome
}

/// The files of a new event.
pub fn attach(context: &Context, event: &mut Event) -> ApiResult<()> {
    event.attachments.extend(context.uploads.iter().flat_map(Uploads::attachments));
    if event.attachments.len() > ATTACHMENTS_MAX {
        let message = format!("An event has at most {ATTACHMENTS_MAX} attachments.");
        return Err(ApiError::invalid_operation(message));
    }
    Ok(())
}

/// Account fields have no files.
pub fn check_none(context: &Context) -> ApiResult<()> {
    match context.uploads.iter().flat_map(Uploads::attachments).next() {
        None => Ok(()),
        Some(_) => Err(ApiError::invalid_operation("The events of account fields have no attachments.")),
    }
}

/// Puts the files of the call to their event, durably: before its commit.
pub async fn place(context: &mut Context, event_id: &str) -> ApiResult<()> {
    let user = context.space.data.borrow().entry.user.clone();
    match &mut context.uploads {
        Some(uploads) => uploads.place(&context.shard.node.files, &user, event_id).await,
        None => Ok(()),
    }
}

/// `events.update` by multipart: appends files, changes nothing else (spec 03, section 6.4). [`run`] has the turn.
pub async fn add(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let id = params.get("id").and_then(Value::as_str).unwrap_or_default();
    let Some(Found::Event(current)) = events::find(context, id).await? else {
        return Err(account_events::delete(context, id));
    };
    let grant = context.caller(|caller, _| caller.update_event(&current.stream_ids, None)).map_err(refused)?;
    events::check_namespaces(&current)?;
    let expected_modified = current.modified;
    let mut next = current;
    attach(context, &mut next)?;
    place(context, id).await?;
    let written = context.commit(grant, Write::UpdateEvent { event: next, expected_modified }).await?;
    events::finish(context, written)
}

/// `events.deleteAttachment` (spec 03, section 9.3).
pub async fn delete(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = params::checked(&ON_FILE, params)?;
    let (id, file_id) = (params::text(params, "id"), params::text(params, "fileId"));
    let (id, file_id) = (id.unwrap_or_default(), file_id.unwrap_or_default());
    let _turn = context.event_turn(id).await;
    let Some(Found::Event(mut event)) = events::find(context, id).await? else {
        return Err(account_events::delete(context, id));
    };
    let grant = context.caller(|caller, _| caller.delete_event(&event.stream_ids)).map_err(refused)?;
    events::check_namespaces(&event)?;
    let expected_modified = event.modified;
    let before = event.attachments.len();
    event.attachments.retain(|file| file.id != file_id);
    if event.attachments.len() == before {
        return Err(ApiError::unknown_resource("attachment", file_id));
    }
    let written = context.commit(grant, Write::UpdateEvent { event, expected_modified }).await?;
    context.unsettled.push(id.to_owned());
    events::finish(context, written)
}

/// After the commit of a call, or its failure: removes the files that events no longer list, or never did.
pub async fn settle(context: &mut Context) {
    let events = std::mem::take(&mut context.unsettled);
    if events.is_empty() {
        return;
    }
    let node = std::sync::Arc::clone(&context.shard.node);
    let user = context.space.data.borrow().entry.user.clone();
    let (files, of_user) = (node.files.clone(), user.clone());
    let with_files = node.pool.run(Lane::File, move || files.with_files(&of_user, events)).await.unwrap_or_default();
    for event in with_files {
        let _turn = context.event_turn(&event).await;
        let grant = context.caller(|caller, _| caller.any());
        let Some(kept) = listed(context.read(grant, Read::Event { id: event.clone() }).await) else { continue };
        let (files, user) = (node.files.clone(), user.clone());
        let removed = node.pool.run(Lane::File, move || files.keep_only(&user, &event, &kept)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "files of an event were not removed; the next sweep tries again");
        }
    }
}

/// The ids of the files that an event lists as it is stored; `None` when nobody knows.
pub fn listed(found: Result<Answer, StoreError>) -> Option<Vec<String>> {
    match found {
        Ok(Answer::Event(Some(Found::Event(event) | Found::Kept(_, event)))) => {
            Some(event.attachments.into_iter().map(|file| file.id).collect())
        }
        Ok(Answer::Event(None | Some(Found::Deletion(_)))) | Err(StoreError::NotFound) => Some(Vec::new()),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%error, "an event cannot be read; its files stay until the next sweep");
            None
        }
    }
}

/// An event as this caller sees it.
pub fn shown(context: &Context, event: &Event) -> Map<String, Value> {
    let mut out = event.to_json();
    if !event.attachments.is_empty() {
        context.read_tokens().add_to(&mut out);
    }
    out
}

fn files_error(error: FilesError) -> ApiError {
    match error {
        FilesError::NoSpace => ApiError::no_space(),
        FilesError::BadName(_) => ApiError::new(404, "unknown-resource", "Unknown resource"),
        FilesError::Io { .. } => ApiError::unexpected(error),
    }
}

/// The refusal of a link to a file, audited.
fn refuse_link(shard: &Shard, call: &UserCall, message: &'static str) -> Response {
    let error = ApiError::invalid_token(401, message);
    let draft = AuditDraft::new("events.getAttachment", crate::audit::ACCESS_INVALID, &call.source);
    shard.audited(&call.entry, &draft, Some(&error));
    reply::failure(call.echo.clone(), &error, shard.node.serial())
}
