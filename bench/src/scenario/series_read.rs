//! A whole series as JSON, of growing length: memory must not grow with it.

use serde_json::{Value, json};

use super::{DATA, Fixed, Place, Variant, measure_all};
use crate::accounts::{self, Series};
use crate::args::Options;
use crate::client::{Client, request};
use crate::error::{BenchError, Result};
use crate::report::{Goal, Report};
use crate::server::Server;

const POINTS_PER_CPU_SECOND: f64 = 10_000_000.0;
const POINTS_A_POST: usize = 10_000;
/// Long answers keep a core busy with few connections.
const CONNECTIONS: [usize; 2] = [1, 8];

pub(super) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let place = Place::new(options, &options.data)?;
    let server = Server::start(&place.setup, DATA)?;
    let accounts = accounts::create(server.address(), 1)?;
    let series = accounts::create_series(server.address(), &accounts, options.sizes.len())?;
    let mut client = Client::connect(server.address())?;
    let mut variants = Vec::new();
    for (series, size) in series.iter().zip(&options.sizes) {
        let points = options.series_points * size;
        let is_largest = options.sizes.iter().all(|other| other <= size);
        fill(&mut client, series, points)?;
        for connections in CONNECTIONS {
            let mut load = Fixed::new(vec![request("GET", &series.path, &series.token, b"")]);
            load.items_per_request = u64::try_from(points).unwrap_or(u64::MAX);
            variants.push(Variant {
                name: format!("{points} points, {connections} at once"),
                goal: is_largest.then(|| Goal::at_least("points/cpu-s", POINTS_PER_CPU_SECOND)),
                connections,
                load,
            });
        }
    }
    variants.retain(|variant| options.wants(&variant.name));
    measure_all(options, report, &server, &mut variants)?;
    server.stop().map(|_| ())
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
