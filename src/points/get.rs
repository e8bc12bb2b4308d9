//! Reading points: bounds, then pages that are asked for as the socket drains (spec 08, section 9).

use std::rc::Rc;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};
use series::{Page, ReadPlan, RealDisk};
use shards::{Aborted, Lane, Response};
use tokio::sync::mpsc;

use super::add::{FoundHolder, series_refused};
use super::audit_action;
use crate::error::{ApiError, ApiResult};
use crate::node::Shard;
use crate::reply::{self, Echo};
use crate::router::Action;
use crate::space::Holder;
use crate::trunk::UserCall;

/// Rows of a page: a quarter of a megabyte of JSON for a column of numbers.
const PAGE_ROWS: usize = 8192;
/// Bounds are truncated to milliseconds, as the reference does.
const NS_PER_MS: i64 = 1_000_000;
/// Bounds beyond this (seconds) are refused: they are no times of any clock.
const BOUND_MAX_S: f64 = 8.64e12;

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
        let (from_ns, to_ns) = bounds(&query)?;
        let Some(holder) = holder else { return Ok(None) };
        // The ring before the segments: what is flushed in between is seen twice, never missed.
        let view = self.points.ingest.borrow().snapshot(&grant, from_ns, to_ns);
        let Some(view) = view else { return Ok(None) };
        let segments = self.node.segments.for_key(key, from_ns, to_ns);
        let plan = ReadPlan::new(view, segments, from_ns, to_ns);
        let columns = self.in_schema_order(&holder, plan.columns());
        let mut reading = Reading { source: Some((plan, RealDisk::new())), columns, first: None };
        reading.first = self.next_page(&mut reading).await?;
        Ok(Some(reading))
    }

    /// As in `content.fields`; columns of a former type of the event come last.
    fn in_schema_order(&self, holder: &Holder, present: &[Arc<str>]) -> Vec<Arc<str>> {
        let schema = self.node.catalogue.series_columns(&holder.element).ok();
        let place = |name: &str| {
            let fields = schema.as_ref().map(|schema| schema.fields.as_slice()).unwrap_or_default();
            fields.iter().position(|field| field.name == name).unwrap_or(usize::MAX)
        };
        let mut columns = present.to_vec();
        columns.sort_by_key(|name| place(name));
        columns
    }

    async fn next_page(&self, reading: &mut Reading) -> ApiResult<Option<Page>> {
        let Some((mut plan, mut disk)) = reading.source.take() else { return Ok(None) };
        let job = move || {
            let page = plan.next_page(&mut disk, PAGE_ROWS);
            (plan, disk, page)
        };
        let (plan, disk, page) = self.node.pool.run(Lane::File, job).await.map_err(|_| ApiError::busy())?;
        let page = page.map_err(ApiError::unexpected)?;
        // A short page is the last one.
        if page.as_ref().is_some_and(|page| page.rows() >= PAGE_ROWS) {
            reading.source = Some((plan, disk));
        }
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
            out.extend_from_slice(&self.tail());
            return reply::text(200, echo, "application/json; charset=utf-8", out);
        }
        let (sender, receiver) = mpsc::channel(1);
        let shard = Rc::clone(self);
        shards::rt::spawn(async move {
            if sender.send(Ok(Bytes::from(out))).await.is_ok() {
                shard.send_pages(reading, &sender).await;
            }
        });
        reply::streamed(echo, receiver)
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
        let _ = sender.send(Ok(Bytes::from(self.tail()))).await;
    }

    fn tail(&self) -> Vec<u8> {
        let mut out = BytesMut::from("],\"meta\":");
        out.put_slice(reply::meta(self.node.serial()).to_string().as_bytes());
        out.put_u8(b'}');
        out.to_vec()
    }
}

struct Reading {
    /// `None` once the last page was read.
    source: Option<(ReadPlan, RealDisk)>,
    columns: Vec<Arc<str>>,
    first: Option<Page>,
}

fn has_value(page: &Page, name: &str) -> bool {
    let mut named = page.columns.iter().filter(|column| *column.name == *name);
    named.any(|column| (0..page.rows()).any(|row| column.is_present(row)))
}

fn no_points() -> Map<String, Value> {
    json!({ "format": "flatJSON", "fields": [], "points": [] }).as_object().cloned().unwrap_or_default()
}

/// `[from, to)` in nanoseconds. Absent, zero or negative lower bounds and an absent or zero upper bound are none.
fn bounds(query: &Map<String, Value>) -> ApiResult<(i64, i64)> {
    let from = bound(query, "fromDeltaTime", "'from' must contain seconds since epoch.")?;
    let to = bound(query, "toDeltaTime", "'to' must contain seconds since epoch.")?;
    let from_ms = from.filter(|from| *from > 0).unwrap_or(0);
    let to_ms = to.filter(|to| *to != 0);
    if to_ms.is_some_and(|to| to < from_ms) {
        return Err(ApiError::invalid_parameters_text("'to' must be >= 'from'."));
    }
    let nanoseconds = |ms: i64| ms.saturating_mul(NS_PER_MS);
    Ok((nanoseconds(from_ms), to_ms.map_or(i64::MAX, nanoseconds)))
}

/// A bound in whole milliseconds.
fn bound(query: &Map<String, Value>, name: &str, message: &'static str) -> ApiResult<Option<i64>> {
    let Some(given) = query.get(name) else { return Ok(None) };
    let text = given.as_str().map(str::trim);
    if text == Some("") {
        return Ok(None);
    }
    let seconds: Option<f64> = text.and_then(|text| text.parse().ok());
    match seconds.filter(|seconds| seconds.is_finite() && seconds.abs() <= BOUND_MAX_S) {
        #[allow(clippy::cast_possible_truncation, reason = "bounded just above, far below 2^63")]
        Some(seconds) => Ok(Some((seconds * 1000.0).trunc() as i64)),
        None => Err(ApiError::invalid_parameters_text(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> ApiResult<(i64, i64)> {
        bounds(&wire::query::parse(text))
    }

    #[test]
    fn bounds_are_truncated_to_milliseconds() {
        assert_eq!(of("fromDeltaTime=1.5009&toDeltaTime=20.0001").ok(), Some((1_500_000_000, 20_000_000_000)));
    }

    #[test]
    fn empty_zero_and_negative_lower_bounds_and_a_zero_upper_bound_are_none() {
        for text in ["", "fromDeltaTime=0", "fromDeltaTime=", "fromDeltaTime=-3", "toDeltaTime=0", "fromTime=5"] {
            assert_eq!(of(text).ok(), Some((0, i64::MAX)), "{text}");
        }
    }

    #[test]
    fn reversed_repeated_and_wordy_bounds_are_refused() {
        for text in
            ["fromDeltaTime=2&toDeltaTime=1", "fromDeltaTime=a", "toDeltaTime=1&toDeltaTime=2", "toDeltaTime=1e13"]
        {
            assert_eq!(of(text).map_err(|error| error.status), Err(400), "{text}");
        }
        assert_eq!(of("fromDeltaTime=2&toDeltaTime=2").ok(), Some((2_000_000_000, 2_000_000_000)));
    }
}
