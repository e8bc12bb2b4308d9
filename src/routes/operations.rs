//! For operators: `/health`, `/ready`, `/metrics`, and `/system/status` on the HFS port.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use shards::Response;

use crate::edge::Incoming;
use crate::error::ApiError;
use crate::metrics::{header, value};
use crate::node::{SeriesState, Shard};
use crate::reply;
use crate::router::Operations;

const READ_ONLY: &str = "the series log failed: repair the disk, then restart the server";
const NO_SPACE: &str =
    "no space for the series log, points are refused: free some on the data folder's disk, it goes on by itself";

pub fn operations(shard: &Shard, which: Operations, incoming: &Incoming) -> Response {
    let echo = incoming.echo.clone();
    match which {
        Operations::Health => reply::raw_json(200, echo, &health(shard)),
        Operations::Ready => {
            let problem = match shard.node.ready() {
                false => Some("starting"),
                true => Some(READ_ONLY).filter(|_| shard.node.series_state() == SeriesState::ReadOnly),
            };
            let body = json!({ "ready": problem.is_none(), "problem": problem });
            reply::raw_json(if problem.is_none() { 200 } else { 503 }, echo, &body)
        }
        Operations::Status => {
            let (status, body) = series_status(shard.node.series_state());
            reply::raw_json(status, echo, &body)
        }
        Operations::Metrics => metrics(shard, incoming),
    }
}

fn health(shard: &Shard) -> Value {
    let series = shard.node.series_state();
    json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "apiVersion": reply::API_VERSION,
        "driver": shard.handle.driver.to_string(),
        "shards": shard.handle.count,
        "uptimeSeconds": shard.node.started.elapsed().as_secs(),
        "seriesReadOnly": series == SeriesState::ReadOnly,
        "seriesSpace": if series == SeriesState::NoSpace { "full" } else { "ok" },
        "problem": problem(series),
    })
}

/// The reference's check of its series port (spec 08, section 13). With a full disk it stays 200: reads go on, and a restart
/// would not help.
fn series_status(state: SeriesState) -> (u16, Value) {
    match (state, problem(state)) {
        (SeriesState::ReadOnly, problem) => (503, json!({ "status": "read-only", "problem": problem })),
        (SeriesState::NoSpace, problem) => (200, json!({ "status": "no-space", "problem": problem })),
        (SeriesState::Open, _) => (200, json!({ "status": "ok" })),
    }
}

/// Why series take no points, with the remedy.
fn problem(state: SeriesState) -> Option<&'static str> {
    match state {
        SeriesState::Open => None,
        SeriesState::NoSpace => Some(NO_SPACE),
        SeriesState::ReadOnly => Some(READ_ONLY),
    }
}

/// Prometheus text, for loopback or with the admin key.
fn metrics(shard: &Shard, incoming: &Incoming) -> Response {
    let may_see = incoming.is_local || super::is_admin(shard, incoming.authorization.as_deref());
    if !shard.node.config.metrics || !may_see {
        let error = ApiError::unknown_route(&incoming.path);
        return reply::failure(incoming.echo.clone(), &error, shard.node.serial());
    }
    let mut out = String::new();
    shard.node.metrics.write(&mut out);
    write_shards(shard, &mut out);
    write_refusals(shard, &mut out);
    write_segments(shard, &mut out);
    reply::text(200, incoming.echo.clone(), "text/plain; version=0.0.4; charset=utf-8", out)
}

/// What of the node takes no points.
fn write_refusals(shard: &Shard, out: &mut String) {
    let is_read_only = shard.node.series_state() == SeriesState::ReadOnly;
    header(out, "coreward_series_read_only", "gauge", "1 after a series log failed, until the restart.");
    value(out, "coreward_series_read_only", u8::from(is_read_only));
    header(out, "coreward_series_without_space", "gauge", "Shards that refuse points because the disk is full.");
    value(out, "coreward_series_without_space", shard.node.shards_without_space.load(Ordering::Acquire));
}

fn write_segments(shard: &Shard, out: &mut String) {
    let stats = shard.node.segments.stats();
    header(out, "coreward_segments", "gauge", "Segment files of series.");
    value(out, "coreward_segments", stats.segments);
    header(out, "coreward_segment_bytes", "gauge", "Bytes of all segment files.");
    value(out, "coreward_segment_bytes", stats.bytes);
    header(
        out,
        "coreward_segments_due",
        "gauge",
        "Segments that hold points which must go: deleted, or past their retention.",
    );
    value(out, "coreward_segments_due", stats.due);
    header(out, "coreward_segments_retired", "gauge", "Files that were replaced and that readers still hold.");
    value(out, "coreward_segments_retired", stats.retired);
    header(out, "coreward_merges_total", "counter", "Merges and rewritings of segments.");
    value(out, "coreward_merges_total", stats.since_start.merges);
    header(out, "coreward_merged_bytes_total", "counter", "Bytes that merges have written.");
    value(out, "coreward_merged_bytes_total", stats.since_start.bytes_written);
    header(out, "coreward_uptime_seconds", "gauge", "Seconds since the start.");
    value(out, "coreward_uptime_seconds", shard.node.started.elapsed().as_secs());
}

fn write_shards(shard: &Shard, out: &mut String) {
    use std::fmt::Write;
    let shards = shard.handle.metrics.snapshot();
    type Figure = fn(&shards::ShardSnapshot) -> u64;
    let figures: [(&str, &str, &str, Figure); 7] = [
        ("coreward_connections", "gauge", "Open connections.", |s| s.connections_open),
        ("coreward_connections_total", "counter", "Connections since the start.", |s| s.connections_total),
        ("coreward_requests_total", "counter", "Requests read.", |s| s.requests_total),
        ("coreward_received_bytes_total", "counter", "Bytes read from clients.", |s| s.bytes_in_total),
        ("coreward_sent_bytes_total", "counter", "Bytes written to clients.", |s| s.bytes_out_total),
        ("coreward_refusals_total", "counter", "Requests refused before they reached a method.", |s| s.refusals_total),
        ("coreward_mailbox_depth", "gauge", "Messages that wait for a shard.", |s| {
            u64::try_from(s.mailbox_depth).unwrap_or(u64::MAX)
        }),
    ];
    for (name, kind, help, figure) in figures {
        header(out, name, kind, help);
        for (index, snapshot) in shards.iter().enumerate() {
            let _ = writeln!(out, "{name}{{shard=\"{index}\"}} {}", figure(snapshot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_the_series_port_is_ok_or_says_what_to_do() {
        assert_eq!(series_status(SeriesState::Open), (200, json!({ "status": "ok" })));
        assert_eq!(series_status(SeriesState::NoSpace), (200, json!({ "status": "no-space", "problem": NO_SPACE })));
        assert_eq!(series_status(SeriesState::ReadOnly), (503, json!({ "status": "read-only", "problem": READ_ONLY })));
    }
}
