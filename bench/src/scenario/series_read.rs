//! A whole series as JSON, of growing length: memory must not grow with it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{DATA, Fixed, Place, Run, Variant};
use crate::accounts::{self, MASS, Series};
use crate::client::{Client, request};
use crate::error::{BenchError, Result};
use crate::server::Server;

const POINTS_A_POST: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Lengths of series.
    points: Vec<usize>,
    /// Where the points are when they are read.
    from: Vec<Source>,
    /// Numbers of connections: long answers keep a core busy with few.
    at_once: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Source {
    /// As they were posted; what the ring does not hold has become a segment by itself.
    Ring,
    /// The server was stopped, which flushes, and started again.
    Segments,
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    let place = Place::new(run)?;
    let mut server = Server::start(&place.setup, DATA)?;
    let accounts = accounts::create(server.address(), 1)?;
    let series = accounts::create_series(server.address(), &accounts, plan.points.len(), MASS)?;
    let mut client = Client::connect(server.address())?;
    for (series, points) in series.iter().zip(&plan.points) {
        fill(&mut client, series, *points)?;
    }
    for source in &plan.from {
        if *source == Source::Segments {
            server.stop()?;
            server = Server::start(&place.setup, DATA)?;
        }
        let mut variants = variants(plan, *source, &series);
        variants.retain(|variant| run.options.wants(&variant.name));
        run.measure_all(&server, &mut variants)?;
    }
    server.stop().map(|_| ())
}

fn variants(plan: &Plan, source: Source, series: &[Series]) -> Vec<Variant<Fixed>> {
    let of = |series: &Series, points: usize, connections: usize| {
        let mut load = Fixed::new(vec![request("GET", &series.path, &series.token, b"")]);
        load.items_per_request = u64::try_from(points).unwrap_or(u64::MAX);
        let place = if source == Source::Ring { "as posted" } else { "from segments" };
        Variant { name: format!("{points} points, {connections} at once, {place}"), connections, load }
    };
    let sized = series.iter().zip(&plan.points);
    sized.flat_map(|(series, points)| plan.at_once.iter().map(move |count| of(series, *points, *count))).collect()
}

/// Stores the points and reads them back once: a fast answer without them would be no figure.
fn fill(client: &mut Client, series: &Series, points: usize) -> Result<()> {
    for first in (0..points).step_by(POINTS_A_POST) {
        let rows: Vec<Value> = (first..points.min(first + POINTS_A_POST)).map(|at| json!([at, value_at(at)])).collect();
        let body = json!({ "format": "flatJSON", "fields": ["deltaTime", "value"], "points": rows });
        client.call("POST", &series.path, &series.token, Some(&body))?;
    }
    let answer = client.call("GET", &series.path, &series.token, None)?;
    let rows = answer.get("points").and_then(Value::as_array).map_or(0, Vec::len);
    if rows == points {
        return Ok(());
    }
    Err(BenchError::Unexpected {
        request: format!("reading {points} points back"),
        text: format!("{rows} points came"),
    })
}

/// What a sensor would say: two decimals around a mean.
fn value_at(at: usize) -> f64 {
    (7_000 + at * 7_919 % 500) as f64 / 100.0
}
