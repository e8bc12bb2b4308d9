//! `callBatch`: several calls in order, in one job of the slot's writer (spec 01, section 7.2).

use std::rc::Rc;
use std::sync::LazyLock;

use model::schema::Schema;
use serde_json::{Map, Value, json};
use shards::Response;

use super::{MethodId, Outcome, attachments, params};
use crate::context::Context;
use crate::edge::Body;
use crate::error::{ApiError, ApiResult};
use crate::node::Shard;
use crate::reply;
use crate::trunk::{UserCall, run_fresh};

static CALLS: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": { "method": { "type": "string" }, "params": { "type": ["object", "array"] } },
            "required": ["method", "params"],
        },
    }))
});

/// How deep batches may hold batches.
const DEPTH_MAX: usize = 3;
/// From here on the calls of a batch are refused: their results wait in memory for the last one. A result that passes it
/// is still given.
const RESULTS_BYTES_MAX: usize = 64 * 1024 * 1024;

pub async fn answer(shard: &Rc<Shard>, call: UserCall) -> Response {
    let UserCall { entry, auth, body, source, echo, .. } = call;
    let serial = shard.node.serial();
    let mut context = match shard.open_context(&entry, MethodId::CallBatch.as_str(), auth, &source).await {
        Ok(context) => context,
        Err(refusal) => {
            return reply::with_access_id(reply::failure(echo, &refusal.error, serial), refusal.access_id);
        }
    };
    let access_id = Some(context.access.id.clone());
    let batch_audit = context.audit.clone();
    let calls = match body {
        Body::Json(value) => value,
        Body::Absent | Body::Raw { .. } | Body::Upload { .. } | Body::Multipart { .. } => Value::Object(Map::new()),
    };
    let outcome = run(&mut context, &calls, 0).await;
    attachments::settle(&mut context).await;
    shard.audited(&entry, &batch_audit, outcome.as_ref().err());
    let response = match outcome {
        Ok(results) => {
            let text = format!("{{\"results\":{results},\"meta\":{}}}", reply::meta(serial));
            reply::text(200, echo, "application/json; charset=utf-8", text)
        }
        Err(error) => reply::failure(echo, &error, serial),
    };
    reply::with_access_id(response, access_id)
}

/// Runs the calls and commits what they wrote before anything is answered. Gives the JSON array of results.
async fn run(context: &mut Context, calls: &Value, depth: usize) -> ApiResult<String> {
    params::check(&CALLS, calls)?;
    let calls = calls.as_array().map(Vec::as_slice).unwrap_or_default();
    let opened_here = context.batch.is_none();
    if opened_here {
        context.open_batch().await?;
    }
    let mut results = String::from("[");
    for (index, call) in calls.iter().enumerate() {
        if index > 0 {
            results.push(',');
        }
        let result = match results.len() < RESULTS_BYTES_MAX {
            true => Box::pin(one(context, call, depth)).await,
            false => failed(&too_much()),
        };
        results.push_str(&result);
    }
    results.push(']');
    if opened_here {
        context.end_batch().await?;
    }
    Ok(results)
}

/// One call of a batch: its result without `meta`, or its error.
async fn one(context: &mut Context, call: &Value, depth: usize) -> String {
    let name = call.get("method").and_then(Value::as_str).unwrap_or_default();
    let Some(id) = MethodId::parse(name) else {
        return failed(&ApiError::invalid_method(name));
    };
    let source = context.source.clone();
    let mut audit = crate::audit::AuditDraft::new(id.as_str(), &context.access.id, &source);
    audit.access_serial = context.access.serial;
    audit.caller_id = context.caller_id.clone();
    context.audit = audit.clone();
    context.now = reply::now();
    let params = call.get("params").unwrap_or(&Value::Null);
    // A call before this one, or somebody else, may have deleted the access.
    let outcome = match context.reload_access() {
        Err(error) => Err(error),
        Ok(()) if id == MethodId::CallBatch && depth >= DEPTH_MAX => {
            Err(ApiError::invalid_operation(format!("Batches may hold batches up to {DEPTH_MAX} deep.")))
        }
        Ok(()) if id == MethodId::CallBatch => {
            let results = run(context, params, depth + 1).await;
            context.audit = audit;
            results.map(|results| format!("{{\"results\":{results}}}"))
        }
        Ok(()) => {
            let outcome = run_fresh(id, context, params).await;
            text_of(context, outcome).await
        }
    };
    let shard = Rc::clone(&context.shard);
    shard.count_use(context, id, outcome.is_ok());
    let entry = context.space.data.borrow().entry.clone();
    shard.audited(&entry, &context.audit, outcome.as_ref().err());
    outcome.unwrap_or_else(|error| failed(&error))
}

async fn text_of(context: &mut Context, outcome: ApiResult<Outcome>) -> ApiResult<String> {
    match outcome? {
        Outcome::Fields(fields) => Ok(Value::Object(fields).to_string()),
        Outcome::Events(answer) => {
            let (text, count) = answer.collect().await?;
            context.audit.detail.insert("recordCount".into(), count.into());
            Ok(text)
        }
    }
}

fn too_much() -> ApiError {
    let message = "The results of this batch are too large; send the rest of the calls in another one.";
    ApiError::new(413, "too-many-results", message).with_data(json!({ "limitBytes": RESULTS_BYTES_MAX }))
}

fn failed(error: &ApiError) -> String {
    json!({ "error": error.to_json() }).to_string()
}
