//! Reading points: a window, then pages that are asked for as the socket drains (spec 08, section 9).

use std::rc::Rc;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};
use series::{Page, ReadPlan, RealDisk, SegmentError};
use shards::{Aborted, Lane, Response};
use tokio::sync::mpsc;

use super::add::{FoundHolder, series_refused};
use super::audit_action;
use super::window::{Window, continuation_after};
use crate::error::{ApiError, ApiResult};
use crate::node::Shard;
use crate::reply::{self, Echo};
use crate::router::Action;
use crate::space::Holder;
use crate::trunk::UserCall;

/// Rows of a page: a quarter of a megabyte of JSON for a column of numbers.
const PAGE_ROWS: usize = 8192;

impl Shard {
    pub async fn get_points(self: &Rc<Self>, call: UserCall) -> Response {
        let echo = call.echo.clone();
        let mut access_id = None;
        let response = match self.try_get_points(call, &mut access_id).await {
            Ok(Some(reading)) => self.answer_points(reading, echo),
            Ok(None) => reply::success(200, echo, no_points(), self.node.serial()),
            Err(error) => reply::bare_failure(echo, &error),
        };
        reply::with_access_id(response, access_id)
    }

    /// `None`: the event holds no series.
    async fn try_get_points(
        self: &Rc<Self>,
        call: UserCall,
        access_id: &mut Option<String>,
    ) -> ApiResult<Option<Reading>> {
        let UserCall { entry, action, auth, query, source, .. } = call;
        let opened = self.open_context(&entry, audit_action(&action), auth, &source).await;
        let Action::GetPoints { event } = action else { unreachable!("answer() sends reads of points here") };
        let context = opened.map_err(|refusal| {
            *access_id = refusal.access_id;
            *refusal.error
        })?;
        *access_id = Some(context.access.id.clone());
        let FoundHolder { holder, stream_ids, .. } = self.find_holder(&context, &event).await?;
        let key = holder.as_ref().map_or_else(|| model::SeriesKey::from_u64(0), |holder| holder.key);
        let grant = context.caller(|caller, _| caller.read_series(&stream_ids, key)).map_err(series_refused)?;
        let Window { from_ns, to_ns, limit } = Window::of(&query)?;
        let Some(holder) = holder else { return Ok(None) };
        // The ring before the segments: what is flushed in between is seen twice, never missed.
        let view = self.points.ingest.borrow().snapshot(&grant, from_ns, to_ns);
        let Some(view) = view else { return Ok(None) };
        let segments = self.node.segments.for_key(key, from_ns, to_ns);
        let plan = ReadPlan::new(view, segments, from_ns, to_ns);
        let columns = self.in_schema_order(&holder, plan.columns());
        let source = Some((plan, RealDisk::new()));
        let mut reading = Reading { source, columns, first: None, points_left: limit, continuation: None };
        reading.first = self.next_page(&mut reading).await?;
        Ok(Some(reading))
    }

    /// As in `content.fields`; columns of a former type of the event come last.
    fn in_schema_order(&self, holder: &Holder, present: &[Arc<str>]) -> Vec<Arc<str>> {
        let known = self.columns(holder);
        let mut columns = present.to_vec();
        columns.sort_by_key(|name| known.place(name));
        columns
    }

    async fn next_page(&self, reading: &mut Reading) -> ApiResult<Option<Page>> {
        let Some((mut plan, mut disk)) = reading.source.take() else { return Ok(None) };
        let rows_max = PAGE_ROWS.min(reading.points_left);
        let is_last_page = rows_max == reading.points_left;
        let job = move || {
            let read = read_page(&mut plan, &mut disk, rows_max, is_last_page);
            (plan, disk, read)
        };
        let (plan, disk, read) = self.node.pool.run(Lane::File, job).await.map_err(|_| ApiError::busy())?;
        let PageRead { page, ends, continuation } = read.map_err(ApiError::unexpected)?;
        reading.continuation = continuation;
        if !ends {
            reading.source = Some((plan, disk));
        }
        reading.points_left -= page.as_ref().map_or(0, Page::rows);
        Ok(page)
    }

    fn answer_points(self: &Rc<Self>, mut reading: Reading, echo: Echo) -> Response {
        let Some(first) = reading.first.take() else {
            return reply::success(200, echo, no_points(), self.node.serial());
        };
        if reading.source.is_none() {
            // The whole answer is known: columns whose values were all overwritten or lie elsewhere are not in it.
            reading.columns.retain(|name| has_value(&first, name));
        }
        let mut out = Vec::new();
        let fields: Vec<&str> =
            std::iter::once("deltaTime").chain(reading.columns.iter().map(|name| &**name)).collect();
        out.extend_from_slice(b"{\"format\":\"flatJSON\",\"fields\":");
        out.extend_from_slice(Value::from(fields).to_string().as_bytes());
        out.extend_from_slice(b",\"points\":[");
        first.write_json_rows(&reading.columns, &mut out);
        if reading.source.is_none() {
            out.extend_from_slice(&self.tail(&reading));
            return reply::text(200, echo, "application/json; charset=utf-8", out);
        }
        let (sender, receiver) = mpsc::channel(1);
        let shard = Rc::clone(self);
        shards::rt::spawn(async move {
            if sender.send(Ok(Bytes::from(out))).await.is_ok() {
                shard.send_pages(reading, &sender).await;
            }
        });
        reply::streamed_points(echo, receiver)
    }

    async fn send_pages(&self, mut reading: Reading, sender: &mpsc::Sender<Result<Bytes, Aborted>>) {
        loop {
            let page = match self.next_page(&mut reading).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(error = %error.message, "an answer with points was cut off");
                    let _ = sender.send(Err(Aborted)).await;
                    return;
                }
            };
            let mut out = vec![b','];
            page.write_json_rows(&reading.columns, &mut out);
            if sender.send(Ok(Bytes::from(out))).await.is_err() {
                return;
            }
        }
        let _ = sender.send(Ok(Bytes::from(self.tail(&reading)))).await;
    }

    fn tail(&self, reading: &Reading) -> Vec<u8> {
        let mut out = BytesMut::from("]");
        if let Some(continuation) = &reading.continuation {
            // Letters and digits only: nothing to escape.
            out.put_slice(format!(",\"continuation\":\"{continuation}\"").as_bytes());
        }
        out.put_slice(b",\"meta\":");
        out.put_slice(reply::meta(self.node.serial()).to_string().as_bytes());
        out.put_u8(b'}');
        out.to_vec()
    }
}

/// An answer on its way.
struct Reading {
    /// `None` once the last page was read.
    source: Option<(ReadPlan, RealDisk)>,
    columns: Vec<Arc<str>>,
    first: Option<Page>,
    /// What is left of the limit.
    points_left: usize,
    /// Set with the last page, when the limit ends the answer and more points follow.
    continuation: Option<String>,
}

struct PageRead {
    page: Option<Page>,
    /// No page comes after it.
    ends: bool,
    continuation: Option<String>,
}

/// `reaches_limit`: this page, when it is full, is the last one that may be given.
fn read_page(
    plan: &mut ReadPlan,
    disk: &mut RealDisk,
    rows_max: usize,
    reaches_limit: bool,
) -> Result<PageRead, SegmentError> {
    let page = plan.next_page(disk, rows_max)?;
    let is_full = page.as_ref().is_some_and(|page| page.rows() >= rows_max);
    let mut continuation = None;
    if is_full && reaches_limit && plan.next_page(disk, 1)?.is_some() {
        continuation = page.as_ref().and_then(|page| page.times_ns.last()).map(|last| continuation_after(*last));
    }
    Ok(PageRead { page, ends: !is_full || reaches_limit, continuation })
}

fn has_value(page: &Page, name: &str) -> bool {
    let mut named = page.columns.iter().filter(|column| *column.name == *name);
    named.any(|column| (0..page.rows()).any(|row| column.is_present(row)))
}

fn no_points() -> Map<String, Value> {
    json!({ "format": "flatJSON", "fields": [], "points": [] }).as_object().cloned().unwrap_or_default()
}
