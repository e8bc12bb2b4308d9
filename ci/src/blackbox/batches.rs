//! A batch whose results would be larger than the server keeps in memory: what the case files are too small for.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::account::Account;
use crate::error::Result;
use crate::report::Report;

/// The server's bound is 64 MiB: the sixteenth result passes it, and is the last one.
const CONTENT_BYTES: usize = 4 * 1024 * 1024;
const GIVEN: usize = 16;
const REFUSED: usize = 2;

pub(super) fn run(address: SocketAddr, report: &mut Report) -> Result<()> {
    let account = Account::register(address, "batcher")?;
    account.create_stream("large")?;
    let event = json!({ "streamIds": ["large"], "type": "note/txt", "content": "x".repeat(CONTENT_BYTES) });
    let answer = account.call("POST", "/events", Some(&event))?;
    let id = answer.pointer("/event/id").cloned().unwrap_or_default();
    let read = json!({ "method": "events.getOne", "params": { "id": id } });
    let mut calls = vec![read; GIVEN + REFUSED];
    calls.push(json!({ "method": "streams.create", "params": { "id": "late", "name": "Late" } }));
    let answer = account.call("POST", "/", Some(&calls.into()))?;
    let results = answer.get("results").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let given = results.iter().filter(|result| result.get("event").is_some()).count();
    let is_refused = |result: &&Value| result.pointer("/error/id") == Some(&json!("too-many-results"));
    let refused = results.iter().skip(GIVEN).filter(is_refused).count();
    let found = format!("{given} given, {refused} refused of {}", results.len());
    report.check("batch: results are given up to the bound", given == GIVEN, &found);
    report.check("batch: the calls behind it are refused one by one", refused == REFUSED + 1, &found);
    let streams = account.call("GET", "/streams", None)?;
    let is_there = streams.to_string().contains("\"late\"");
    report.check("batch: a refused call does nothing", !is_there, "its stream is there");
    Ok(())
}
