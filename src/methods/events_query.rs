//! `events.get`: the query checked once, then pages of finished JSON, asked for as the socket drains (spec 03, section 2).

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use bytes::{BufMut, Bytes, BytesMut};
use model::permission::reserved::in_store;
use model::permission::{QueryRefused, Scope};
use model::query::{StreamClause, StreamFilter, TrashState};
use model::query_input::{self, InputError, StreamQuery};
use model::schema::Schema;
use model::{EventsQuery, Grant, UserEntry};
use serde_json::{Map, Value, json};
use shards::Response;
use storage::base::{Answer, BaseStore, BatchId, Cursor, FilePlace, Page, Read, ReadCall};
use tokio::sync::mpsc;

use super::attachments::ReadTokens;
use super::params::{self, checked};
use super::{Outcome, account_events};
use crate::context::Context;
use crate::error::{ApiError, ApiResult};
use crate::node::Shard;
use crate::reply::{self, Echo};

/// Without time bounds and limit.
const LIMIT_DEFAULT: u64 = 20;
/// With `toTime` alone, this many seconds before it.
const WINDOW_S: f64 = 86_400.0;
/// A running event passes `fromTime` when the frame includes now, give or take this.
const NOW_SLACK_S: f64 = 5.0;
/// Room for a read token with the name of its property.
const READ_TOKEN_BYTES: usize = 80;
/// Items that batch calls and sockets get at most (spec 01, section 5.3).
const COLLECTED_MAX: u64 = 100_000;
/// Each is looked up for every page.
const TYPES_MAX: usize = 1_000;

static GET: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "fromTime": { "type": "number" },
            "toTime": { "type": "number" },
            "streams": {},
            "types": {
                "type": ["array", "null"],
                "maxItems": TYPES_MAX,
                "items": { "type": "string", "pattern": "^(series:)?[a-z0-9-]+/(\\*|[a-z0-9-]+)$" },
            },
            "content": {},
            "clientData": {},
            "running": { "type": "boolean" },
            "sortAscending": { "type": "boolean" },
            "skip": { "type": "number", "minimum": 0 },
            "limit": { "type": "number", "minimum": 0 },
            "state": { "type": "string", "enum": ["default", "trashed", "all"] },
            "modifiedSince": { "type": "number" },
            "includeDeletions": { "type": "boolean" },
        },
    }))
});

/// A checked query on its way out.
pub struct EventsAnswer {
    reader: Reader,
    parts: VecDeque<Part>,
    /// How many items may still come, and how many are left out before.
    remaining: Option<u64>,
    skip_left: u64,
    /// The first chunk, read before the answer starts so that a failure still has its status.
    first: Option<Chunk>,
    /// With `modifiedSince` and `includeDeletions`.
    deletions: Option<Vec<Value>>,
    read_tokens: ReadTokens,
}

enum Part {
    Items(Vec<Value>),
    Stored { query: Box<EventsQuery>, after: Option<Cursor>, is_audit: bool },
}

struct Chunk {
    json: Bytes,
    item_count: u64,
}

struct Reader {
    base: Arc<dyn BaseStore>,
    grant: Grant,
    batch: Option<BatchId>,
}

impl Reader {
    async fn read(&self, read: Read) -> ApiResult<Answer> {
        let call = ReadCall { grant: self.grant.clone(), read, batch: self.batch };
        match self.base.read(call).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ApiError::unavailable("The storage engine has stopped.")),
        }
    }
}

pub async fn get(context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let params = checked(&GET, params)?;
    let mut query = parse(context, params)?;
    let requested = match params.get("streams") {
        None | Some(Value::Null) => StreamQuery::everything(),
        Some(sent) => query_input::parse_streams(sent, context.batch.is_some()).map_err(input_error)?,
    };
    let checked_query = context.caller(|caller, _| caller.query_events(&requested, query.state));
    let (grant, filter, scope) = checked_query.map_err(query_refused)?;
    query.streams = filter;
    if scope.audit != StreamFilter::Nothing {
        prepare_audit(context, &query).await?;
    }
    context.audit.detail.insert("scopedStreamIds".into(), scope.ids.clone().into());
    context.audit.detail.insert("scopedStreamCount".into(), scope.total.into());
    let reader = Reader { base: Arc::clone(&context.shard.node.base), grant, batch: context.batch };
    let deletions = match (query.modified_since, params::flag(params, "includeDeletions")) {
        (Some(since), true) => Some(read_deletions(&reader, &query, since).await?),
        _ => None,
    };
    let (remaining, skip_left) = (query.limit, query.skip);
    let parts = plan(context, query, &scope);
    let read_tokens = context.read_tokens();
    let mut answer = EventsAnswer { reader, parts, remaining, skip_left, first: None, deletions, read_tokens };
    answer.first = answer.next_chunk().await?;
    Ok(Outcome::Events(Box::new(answer)))
}

/// The audit store knows no conditions on content; and a reader finds every call that was answered before its own.
async fn prepare_audit(context: &Context, query: &EventsQuery) -> ApiResult<()> {
    if !(query.content.is_empty() && query.client_data.is_empty()) {
        return Err(ApiError::invalid_operation("Store '_audit': conditions on content are not supported."));
    }
    context.shard.flush_audit().await;
    Ok(())
}

fn parse(context: &Context, params: &Map<String, Value>) -> ApiResult<EventsQuery> {
    let now = context.now;
    let mut from = params::seconds(params, "fromTime");
    let mut to = params::seconds(params, "toTime");
    let mut limit = params::seconds(params, "limit").map(whole);
    match (from, to) {
        (None, Some(end)) => from = Some(end - WINDOW_S),
        (Some(_), None) => to = Some(now),
        (None, None) if limit.is_none() => limit = Some(LIMIT_DEFAULT),
        _ => {}
    }
    let frame_has_now = from.is_none_or(|from| from <= now - NOW_SLACK_S)
        && params::seconds(params, "toTime").is_none_or(|to| to >= now - NOW_SLACK_S);
    let conditions = |name: &str| match params.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(sent) => query_input::parse_conditions(name, sent).map_err(input_error),
    };
    let types = params.get("types").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(EventsQuery {
        streams: StreamFilter::Nothing,
        from,
        to,
        later_than: None,
        running_pass_from: frame_has_now,
        only_running: params::flag(params, "running"),
        types: types.iter().filter_map(Value::as_str).filter_map(query_input::parse_type).collect(),
        content: conditions("content")?,
        client_data: conditions("clientData")?,
        ascending: params::flag(params, "sortAscending"),
        skip: params::seconds(params, "skip").map_or(0, whole),
        limit,
        state: match params::text(params, "state") {
            Some("trashed") => TrashState::Trashed,
            Some("all") => TrashState::All,
            _ => TrashState::Default,
        },
        modified_since: params::seconds(params, "modifiedSince"),
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema wants a number from 0 up")]
fn whole(number: f64) -> u64 {
    number as u64
}

fn input_error(error: InputError) -> ApiError {
    let out = ApiError::new(400, error.pryv_id(), error.to_string());
    match error.data() {
        Some(data) => out.with_data(data.clone()),
        None => out,
    }
}

fn query_refused(why: QueryRefused) -> ApiError {
    let message = why.to_string();
    match why {
        QueryRefused::Forbidden(_) => ApiError::forbidden(message),
        QueryRefused::UnknownStreams(ids) => ApiError::unknown_referenced(message, json!({ "streams": ids })),
    }
}

/// The stored events, with the account fields (their time is now) between the future and the past; then audit records
/// if they were named.
fn plan(context: &Context, query: EventsQuery, scope: &Scope) -> VecDeque<Part> {
    let now = context.now;
    let account = account_events::list(context, &query, &scope.account);
    let stored = |query: EventsQuery| Part::Stored { query: Box::new(query), after: None, is_audit: false };
    let mut parts = VecDeque::new();
    if account.is_empty() {
        parts.push_back(stored(query.clone()));
    } else {
        parts.push_back(stored(EventsQuery { later_than: Some(now), ..query.clone() }));
        parts.push_back(Part::Items(account));
        parts.push_back(stored(EventsQuery { to: Some(query.to.map_or(now, |to| to.min(now))), ..query.clone() }));
    }
    if query.streams == StreamFilter::Nothing {
        parts.retain(|part| matches!(part, Part::Items(_)));
    }
    if query.ascending {
        parts.make_contiguous().reverse();
    }
    if scope.audit != StreamFilter::Nothing {
        let query = Box::new(EventsQuery { streams: in_audit_store(&scope.audit), ..query });
        parts.push_back(Part::Stored { query, after: None, is_audit: true });
    }
    parts
}

/// Stream ids as the audit store knows them: without its prefix.
fn in_audit_store(filter: &StreamFilter) -> StreamFilter {
    let strip = |ids: &[String]| ids.iter().map(|id| in_store(id).to_owned()).collect::<Vec<_>>();
    match filter {
        StreamFilter::Nothing => StreamFilter::Nothing,
        StreamFilter::All { not } => StreamFilter::All { not: strip(not) },
        StreamFilter::Any(clauses) => StreamFilter::Any(
            clauses
                .iter()
                .map(|clause| StreamClause {
                    any: strip(&clause.any),
                    all: clause.all.iter().map(|ids| strip(ids)).collect(),
                    not: strip(&clause.not),
                })
                .collect(),
        ),
    }
}

async fn read_deletions(reader: &Reader, query: &EventsQuery, since: f64) -> ApiResult<Vec<Value>> {
    let read = Read::EventDeletions { since, ascending: query.ascending, limit: query.limit, skip: query.skip };
    match reader.read(read).await? {
        Answer::EventDeletions(items) => Ok(items.iter().map(model::EventDeletion::to_json).collect()),
        other => Err(ApiError::unexpected(format!("deletions were asked for, not {other:?}"))),
    }
}

impl EventsAnswer {
    /// The next items, comma separated. `None` at the end.
    async fn next_chunk(&mut self) -> ApiResult<Option<Chunk>> {
        while let Some(part) = self.parts.pop_front() {
            if let Part::Stored { query, after: None, is_audit: true } = &part {
                // Stores are asked one by one, each with the whole limit (spec 03, section 2.6).
                (self.remaining, self.skip_left) = (query.limit, query.skip);
            }
            if self.remaining == Some(0) {
                continue;
            }
            let chunk = match part {
                Part::Items(mut items) => {
                    let skipped = usize::try_from(self.skip_left).unwrap_or(usize::MAX).min(items.len());
                    items.drain(..skipped);
                    self.skip_left -= u64::try_from(skipped).unwrap_or(0);
                    items.truncate(self.remaining.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX)));
                    let texts: Vec<String> = items.iter().map(Value::to_string).collect();
                    Chunk { json: texts.join(",").into(), item_count: u64::try_from(texts.len()).unwrap_or(0) }
                }
                Part::Stored { mut query, after, is_audit } => {
                    if after.is_none() {
                        (query.limit, query.skip) = (self.remaining, self.skip_left);
                    }
                    let page = self.read_page(&query, after, is_audit).await?;
                    self.skip_left = page.skip_left;
                    if page.next.is_some() {
                        self.parts.push_front(Part::Stored { query, after: page.next, is_audit });
                    }
                    Chunk { json: self.with_read_tokens(page.json, &page.files), item_count: page.item_count }
                }
            };
            self.remaining = self.remaining.map(|max| max.saturating_sub(chunk.item_count));
            if chunk.item_count > 0 {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// A page with the read tokens of its attachments.
    fn with_read_tokens(&self, json: Bytes, files: &[FilePlace]) -> Bytes {
        if files.is_empty() {
            return json;
        }
        let mut out = BytesMut::with_capacity(json.len() + files.len() * READ_TOKEN_BYTES);
        let mut done = 0;
        for file in files {
            out.put_slice(json.get(done..file.at).unwrap_or_default());
            out.put_slice(b",\"readToken\":");
            // Letters, digits, dashes and underscores: nothing to escape, but who knows ids of imported accesses.
            out.put_slice(Value::from(self.read_tokens.of_file(&file.id)).to_string().as_bytes());
            done = file.at;
        }
        out.put_slice(json.get(done..).unwrap_or_default());
        out.freeze()
    }

    async fn read_page(&self, query: &EventsQuery, after: Option<Cursor>, is_audit: bool) -> ApiResult<Page> {
        let query = Box::new(query.clone());
        let read = if is_audit { Read::AuditPage { query, after } } else { Read::EventsPage { query, after } };
        match self.reader.read(read).await? {
            Answer::Page(page) => Ok(page),
            other => Err(ApiError::unexpected(format!("a page was asked for, not {other:?}"))),
        }
    }

    /// All items as one JSON object, for batch calls.
    pub async fn collect(mut self) -> ApiResult<(String, u64)> {
        let mut out = String::from("{\"events\":[");
        let mut count = 0;
        let mut next = self.first.take();
        while let Some(chunk) = next {
            if count > 0 {
                out.push(',');
            }
            count += chunk.item_count;
            if count > COLLECTED_MAX {
                return Err(ApiError::new(413, "too-many-results", "The call gives too many results; use paging.")
                    .with_data(json!({ "limit": COLLECTED_MAX })));
            }
            out.push_str(&String::from_utf8_lossy(&chunk.json));
            next = self.next_chunk().await?;
        }
        out.push(']');
        if let Some(deletions) = &self.deletions {
            out.push_str(",\"eventDeletions\":");
            out.push_str(&Value::from(deletions.clone()).to_string());
        }
        out.push('}');
        Ok((out, count))
    }
}

/// The chunked answer: each page is asked for when the one before has left for the socket. The call is audited at its
/// end, with the number of events that were delivered.
pub fn stream(shard: &Rc<Shard>, answer: EventsAnswer, entry: UserEntry, context: Context, echo: Echo) -> Response {
    let (sender, receiver) = mpsc::channel(1);
    let shard = Rc::clone(shard);
    shards::rt::spawn(async move {
        let mut audit = context.audit.clone();
        let (count, is_whole) = send_pages(&shard, answer, &sender).await;
        audit.detail.insert("recordCount".into(), count.into());
        if !is_whole {
            audit.detail.insert("recordCountIncomplete".into(), true.into());
        }
        shard.audited(&entry, &audit, None);
    });
    reply::streamed(echo, receiver)
}

/// How many items were handed over, and whether that was all.
async fn send_pages(
    shard: &Shard,
    mut answer: EventsAnswer,
    sender: &mpsc::Sender<Result<Bytes, shards::Aborted>>,
) -> (u64, bool) {
    let mut out = BytesMut::from("{\"events\":[");
    let mut count = 0;
    let mut next = answer.first.take();
    while let Some(chunk) = next {
        if count > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&chunk.json);
        count += chunk.item_count;
        next = match answer.next_chunk().await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(error = %error.message, "an answer was cut off");
                let _ = sender.send(Err(shards::Aborted)).await;
                return (count, false);
            }
        };
        if next.is_some() && sender.send(Ok(out.split().freeze())).await.is_err() {
            return (count, false);
        }
    }
    out.put_slice(b"]");
    if let Some(deletions) = &answer.deletions {
        out.put_slice(b",\"eventDeletions\":");
        out.put_slice(Value::from(deletions.clone()).to_string().as_bytes());
    }
    out.put_slice(b",\"meta\":");
    out.put_slice(reply::meta(shard.node.serial()).to_string().as_bytes());
    out.put_slice(b"}");
    let is_whole = sender.send(Ok(out.freeze())).await.is_ok();
    (count, is_whole)
}
