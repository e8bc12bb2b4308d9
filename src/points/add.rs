//! Flow 2, a series post: token -> holder -> permission -> flatjson -> ring -> log (group commit) -> ack (spec 08,
//! sections 5 and 6). Everything of a request is checked before anything of it is appended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use model::permission::Refused;
use model::{Event, Grant};
use serde_json::{Map, Value, json};
use series::{Ack, Cells, Column, Ingest, IngestError, Points};
use shards::log_writer::LogRefusal;
use shards::{Lane, Response};
use storage::base::{Answer, Found, Read};
use wire::flatjson::{self, FlatJsonError};

use super::audit_action;
use super::columns::{self, Columns};
use super::extents::Extent;
use crate::context::Context;
use crate::edge::Body;
use crate::error::{ApiError, ApiResult};
use crate::methods::refused;
use crate::metrics::Hop;
use crate::node::{SeriesState, Shard};
use crate::reply;
use crate::router::Action;
use crate::space::Holder;
use crate::trunk::UserCall;

/// Larger bodies are parsed on the cpu lane, so that the shard's other connections go on.
const PARSE_INLINE_BYTES_MAX: usize = 256 * 1024;

/// The points of one series, allowed and parsed.
struct Post {
    event_id: String,
    grant: Grant,
    points: Points,
}

/// What an answer 200 is made from, and nothing else.
enum Accepted {
    /// The points survive a power cut.
    Synced(Ack),
    /// There was no point in the request.
    Nothing,
}

impl Accepted {
    fn answer(self) -> Map<String, Value> {
        if let Self::Synced(ack) = self {
            tracing::trace!(sequence = ack.sequence(), "points acknowledged");
        }
        json!({ "status": "ok" }).as_object().cloned().unwrap_or_default()
    }
}

impl Shard {
    pub async fn add_points(self: &Rc<Self>, call: UserCall) -> Response {
        let echo = call.echo.clone();
        let mut access_id = None;
        let response = match self.try_add_points(call, &mut access_id).await {
            Ok(accepted) => reply::success(200, echo, accepted.answer(), self.node.serial()),
            Err(error) => reply::bare_failure(echo, &error),
        };
        reply::with_access_id(response, access_id)
    }

    async fn try_add_points(self: &Rc<Self>, call: UserCall, access_id: &mut Option<String>) -> ApiResult<Accepted> {
        let UserCall { entry, action, auth, body, source, .. } = call;
        let body = json_bytes(body);
        let opened = self.open_context(&entry, audit_action(&action), auth, &source).await;
        let context = opened.map_err(|refusal| {
            *access_id = refusal.access_id;
            *refusal.error
        })?;
        *access_id = Some(context.access.id.clone());
        let started = Instant::now();
        let posts = match action {
            Action::AddPoints { event } => vec![self.read_post(&context, event, body).await?],
            _ => self.read_batch(&context, &body).await?,
        };
        self.node.metrics.hop(Hop::Parse, started.elapsed());
        self.store_points(&context, posts).await
    }

    /// Ring -> log -> ack. The answer can only be made from the ack, the ack only from a synced position.
    async fn store_points(self: &Rc<Self>, context: &Context, posts: Vec<Post>) -> ApiResult<Accepted> {
        // The log of any shard has failed: the whole node takes no more points until it was looked at.
        if self.node.series_state() == SeriesState::ReadOnly {
            return Err(ApiError::read_only());
        }
        let started = Instant::now();
        let extents: Vec<(String, Extent)> =
            posts.iter().filter_map(|post| Some((post.event_id.clone(), self.extent(context, post)?))).collect();
        let batch = posts.into_iter().map(|post| (post.grant, post.points)).collect();
        // From here to the commit nothing waits: posts enter the log in the order of their sequences.
        let (ticket, decided) = {
            let slot = self.points.log.reserve().map_err(log_refused)?;
            let appended = self.points.ingest.borrow_mut().append(batch);
            let (ticket, group) = match appended {
                Ok(appended) => appended,
                Err(IngestError::Empty) => return Ok(Accepted::Nothing),
                Err(error) => return Err(ingest_refused(error)),
            };
            (ticket, slot.commit(group))
        };
        self.flush_if_due();
        let durable = decided.await.unwrap_or(Err(LogRefusal::Closed)).map_err(log_refused)?;
        let ack = Ingest::acknowledge(ticket, &durable)
            .ok_or_else(|| ApiError::unexpected("the log answered a post with the sync of another"))?;
        self.node.metrics.hop(Hop::Log, started.elapsed());
        let entry = context.space.data.borrow().entry.clone();
        for (event_id, extent) in extents {
            self.points.extents.note(&entry, event_id, extent);
        }
        Ok(Accepted::Synced(ack))
    }

    fn extent(&self, context: &Context, post: &Post) -> Option<Extent> {
        let (_, last_ns) = post.points.extent_ns()?;
        self.node.metrics.points_added(post.points.rows());
        Some(Extent { last_ns, author: post.grant.author().as_str().to_owned(), written: context.now })
    }

    async fn read_post(self: &Rc<Self>, context: &Context, event_id: String, body: Bytes) -> ApiResult<Post> {
        let (holder, grant) = self.writable_holder(context, &event_id).await?;
        let columns = self.columns(&holder);
        let time = holder.time;
        let parsed = if body.len() <= PARSE_INLINE_BYTES_MAX {
            read_body(&body, &columns, time)
        } else {
            let job = move || read_body(&body, &columns, time);
            self.node.pool.run(Lane::Cpu, job).await.map_err(|_| ApiError::busy())?
        };
        Ok(Post { event_id, grant, points: parsed.map_err(bad_body)? })
    }

    async fn read_batch(self: &Rc<Self>, context: &Context, body: &Bytes) -> ApiResult<Vec<Post>> {
        let mut posts = Vec::new();
        for element in flatjson::parse_batch(body).map_err(bad_body)? {
            let element = element.map_err(bad_body)?;
            let event_id = element.event_id.into_owned();
            let points = part_of(body, element.flat_json);
            posts.push(self.read_post(context, event_id, points).await?);
        }
        Ok(posts)
    }

    /// The holder event: exists, not in the trash, writable for the caller, a series; in this order.
    async fn writable_holder(self: &Rc<Self>, context: &Context, event_id: &str) -> ApiResult<(Rc<Holder>, Grant)> {
        let FoundHolder { holder, stream_ids, is_trashed } = self.find_holder(context, event_id).await?;
        if is_trashed {
            return Err(ApiError::invalid_operation(format!("The referenced event \"{event_id}\" is trashed."))
                .with_data(json!({ "trashedReference": "eventId" })));
        }
        let key = holder.as_ref().map_or_else(|| model::SeriesKey::from_u64(0), |holder| holder.key);
        let grant = context.caller(|caller, _| caller.write_series(&stream_ids, key)).map_err(series_refused)?;
        match holder {
            Some(holder) => Ok((holder, grant)),
            None => Err(ApiError::invalid_operation(
                "High Frequency data can only be stored in events whose type starts with 'series:'.",
            )),
        }
    }

    /// The event of a series request: from memory, else from the store.
    pub(super) async fn find_holder(&self, context: &Context, event_id: &str) -> ApiResult<FoundHolder> {
        let (known, forgotten_before) = {
            let space = context.space.data.borrow();
            (space.holder(event_id), space.holders_forgotten())
        };
        if let Some(holder) = known {
            let (stream_ids, is_trashed) = (holder.stream_ids.clone(), holder.trashed);
            return Ok(FoundHolder { holder: Some(holder), stream_ids, is_trashed });
        }
        let event = Self::read_event(context, event_id).await?;
        let holder = holder_of(&event)
            .map(|holder| context.space.data.borrow_mut().put_holder(event_id, holder, forgotten_before));
        Ok(FoundHolder { holder, stream_ids: event.stream_ids, is_trashed: event.trashed })
    }

    async fn read_event(context: &Context, event_id: &str) -> ApiResult<Event> {
        let grant = context.caller(|caller, _| caller.any());
        match context.read(grant, Read::Event { id: event_id.to_owned() }).await? {
            Answer::Event(Some(Found::Event(event))) => Ok(*event),
            _ => Err(ApiError::unknown_resource("event", event_id)),
        }
    }

    /// The columns of a series, made once for all series with the same ones while the catalogue stays the same.
    pub(super) fn columns(&self, holder: &Holder) -> Arc<Columns> {
        let generation = self.node.event_types.generation();
        let mut schemas = self.points.schemas.borrow_mut();
        if self.points.schemas_of.replace(generation) != generation {
            schemas.clear();
        }
        if let Some(known) = schemas.get(&holder.columns) {
            return Arc::clone(known);
        }
        if schemas.len() >= columns::SCHEMAS_MAX {
            schemas.clear();
        }
        let content = serde_json::from_str(&holder.columns).unwrap_or_default();
        let columns = Arc::new(Columns::of(&content, &self.node.event_types.current()));
        schemas.insert(holder.columns.clone(), Arc::clone(&columns));
        columns
    }
}

/// An event that points are written to or read from.
pub(super) struct FoundHolder {
    /// `None` when the event is no series.
    pub(super) holder: Option<Rc<Holder>>,
    pub(super) stream_ids: Vec<String>,
    pub(super) is_trashed: bool,
}

fn holder_of(event: &Event) -> Option<Holder> {
    Some(Holder {
        key: event.series_key?,
        stream_ids: event.stream_ids.clone(),
        time: event.time,
        columns: columns::descriptor(event),
        trashed: event.trashed,
    })
}

pub(super) fn series_refused(why: Refused) -> ApiError {
    match why {
        Refused::Forbidden(_) => ApiError::not_granted(),
        other => refused(other),
    }
}

/// The part of the body without a copy; what the parser put in the place of missing data is no part of it.
fn part_of(body: &Bytes, part: &[u8]) -> Bytes {
    match body.as_ptr_range().contains(&part.as_ptr()) {
        true => body.slice_ref(part),
        false => Bytes::copy_from_slice(part),
    }
}

/// Only `application/json` bodies are read; any other is as good as an empty object (spec 08, section 1.2).
fn json_bytes(body: Body) -> Bytes {
    match body {
        Body::Raw { bytes, is_json: true } => bytes,
        _ => Bytes::from_static(b"{}"),
    }
}

fn bad_body(error: FlatJsonError) -> ApiError {
    ApiError::invalid_structure(error.to_string())
}

fn read_body(body: &[u8], columns: &Columns, time: f64) -> Result<Points, FlatJsonError> {
    let schema = columns.schema(body);
    flatjson::parse(body, &schema, time).map(|points| convert(points, &schema))
}

/// The parser's columns moved into the engine's.
fn convert(points: flatjson::Points, schema: &flatjson::Schema) -> Points {
    let column = |column: flatjson::Column| {
        let name = Arc::clone(&schema.fields.get(column.field)?.name);
        let cells = match column.cells {
            flatjson::Cells::Number(numbers) => Cells::Number(numbers),
            flatjson::Cells::Text { dictionary, codes } => Cells::Text { dictionary, codes },
            flatjson::Cells::Boolean(booleans) => Cells::Boolean(booleans),
        };
        Some(Column { name, cells, present: column.present })
    };
    Points { times_ns: points.times_ns, columns: points.columns.into_iter().filter_map(column).collect() }
}

fn ingest_refused(error: IngestError) -> ApiError {
    match error {
        IngestError::Full { .. } => ApiError::busy(),
        // Between the look at its event and the append.
        IngestError::Deleted => ApiError::new(404, "unknown-resource", "The series was deleted."),
        IngestError::Poisoned { .. } => ApiError::read_only(),
        IngestError::TooLarge(_) => ApiError::invalid_structure("Too many points in one request; send fewer."),
        other => ApiError::unexpected(other),
    }
}

fn log_refused(refusal: LogRefusal) -> ApiError {
    match refusal {
        LogRefusal::Full | LogRefusal::Closed => ApiError::busy(),
        LogRefusal::NoSpace(_) => ApiError::no_space(),
        LogRefusal::Poisoned(_) => ApiError::read_only(),
    }
}
