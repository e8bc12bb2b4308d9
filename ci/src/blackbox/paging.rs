//! Reads of more points and events than fit in one page of the server, whole and in parts: what the case files are too
//! small for.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::account::Account;
use crate::error::{CiError, Result};
use crate::http::{Client, Request};
use crate::report::Report;

/// Three of the server's pages of 8,192 points, the last one short.
const POINTS: usize = 20_000;
/// Below, at and above a page and its multiples, and beyond the end.
const LIMITS: [usize; 7] = [1_000, 8_191, 8_192, 8_193, 16_384, 20_000, 20_001];
/// Events of one answer, made by batches.
const EVENTS: usize = 2_000;
const BATCH_EVENTS: usize = 500;
/// What the specification asks for that many events.
const CHUNKS_MIN: usize = 3;

pub(super) fn run(address: SocketAddr, report: &mut Report) -> Result<()> {
    points(address, report)?;
    events_in_chunks(address, report)
}

pub(super) fn events_in_chunks(address: SocketAddr, report: &mut Report) -> Result<()> {
    let account = Account::register(address, "streamer")?;
    account.create_stream("many")?;
    for first in (0..EVENTS).step_by(BATCH_EVENTS) {
        let create = |time| {
            json!({ "method": "events.create", "params": {
                "streamIds": ["many"], "type": "count/generic", "time": time, "content": time } })
        };
        let calls: Value = (first..first + BATCH_EVENTS).map(create).collect();
        account.call("POST", "/", Some(&calls))?;
    }
    let path = account.path(&format!("/events?streams=many&limit={EVENTS}&sortAscending=true"));
    let request = Request::new("GET", &path).token(&account.token);
    let call = format!("GET {path}");
    let reply = Client::new(address).send(&request).map_err(|source| CiError::Http { call, source })?;
    let body = reply.json().unwrap_or_default();
    let contents: Vec<_> = body.pointer("/events").and_then(Value::as_array).into_iter().flatten().collect();
    let is_whole = contents.len() == EVENTS
        && contents.iter().enumerate().all(|(index, event)| event.get("content") == Some(&index.into()));
    let summary = format!("{} events in {} chunks", contents.len(), reply.chunk_count);
    report.check(
        "paging: 2,000 events come in three chunks or more",
        is_whole && reply.chunk_count >= CHUNKS_MIN,
        &summary,
    );
    // What the JS client's streaming parser looks for.
    let begins = reply.body.starts_with(b"{\"events\":[{");
    report.check("paging: a streamed answer is compact JSON that begins with its events", begins, &reply.text());
    Ok(())
}

fn points(address: SocketAddr, report: &mut Report) -> Result<()> {
    let account = Account::register(address, "pager")?;
    account.create_stream("long")?;
    let event = account.create_series("long", "series:count/generic", 0.0)?;
    let series = Series { account: &account, path: format!("/events/{event}/series") };
    let points: Vec<Value> = (0..POINTS).map(|index| json!([index, index * 2])).collect();
    let body = json!({ "format": "flatJSON", "fields": ["deltaTime", "value"], "points": points });
    account.call("POST", &series.path, Some(&body))?;
    let whole = series.get("")?;
    report.check("paging: everything comes without a limit", whole.points == points, &whole.summary());
    for limit in LIMITS {
        let wrong = series.in_parts(limit, &points)?;
        let title = format!("paging: parts of {limit} points are the whole");
        report.check(&title, wrong.is_none(), wrong.as_deref().unwrap_or_default());
    }
    let wrong = series.wrong_head(9_000)?;
    report.check("paging: HEAD of a streamed answer", wrong.is_none(), wrong.as_deref().unwrap_or_default());
    Ok(())
}

struct Series<'a> {
    account: &'a Account,
    /// Below the user.
    path: String,
}

/// One answer with points.
struct Part {
    points: Vec<Value>,
    continuation: Option<String>,
    has_meta: bool,
}

impl Part {
    fn summary(&self) -> String {
        format!("{} points, meta {}, continuation {:?}", self.points.len(), self.has_meta, self.continuation)
    }
}

impl Series<'_> {
    fn get(&self, query: &str) -> Result<Part> {
        let answer = self.account.call("GET", &format!("{}{query}", self.path), None)?;
        Ok(Part {
            points: answer.get("points").and_then(Value::as_array).cloned().unwrap_or_default(),
            continuation: answer.get("continuation").and_then(Value::as_str).map(str::to_owned),
            has_meta: answer.pointer("/meta/serverTime").is_some(),
        })
    }

    /// Follows the continuations; what differs from `points`, if anything.
    fn in_parts(&self, limit: usize, points: &[Value]) -> Result<Option<String>> {
        let mut query = format!("?limit={limit}");
        for expected in points.chunks(limit) {
            let part = self.get(&query)?;
            let is_last = expected.last() == points.last();
            if part.points != expected || !part.has_meta || part.continuation.is_some() == is_last {
                let (first, last) = (expected.first(), expected.last());
                return Ok(Some(format!("{query} of {first:?} to {last:?}: {}", part.summary())));
            }
            query = format!("?limit={limit}&continuation={}", part.continuation.unwrap_or_default());
        }
        Ok(None)
    }

    /// The connection must be as good after it as before.
    fn wrong_head(&self, limit: usize) -> Result<Option<String>> {
        let path = self.account.path(&format!("{}?limit={limit}", self.path));
        let mut client = Client::new(self.account.address);
        for method in ["HEAD", "GET"] {
            let request = Request::new(method, &path).token(&self.account.token);
            let call = format!("{method} {path}");
            let reply = client.send(&request).map_err(|source| CiError::Http { call, source })?;
            if reply.status != 200 || reply.header("content-type") != Some("application/json; charset=utf-8") {
                return Ok(Some(format!("{method}: {} {:?}", reply.status, reply.headers)));
            }
        }
        Ok(None)
    }
}
