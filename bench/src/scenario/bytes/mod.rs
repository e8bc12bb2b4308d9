//! Bytes of a point at rest: a series is filled, the server stopped and started again, and when its merges have come to
//! rest the segment files are weighed.

mod sets;

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::{DATA, Place, Run};
use crate::accounts;
use crate::client::{Client, request};
use crate::error::{BenchError, Result};
use crate::sample::{Usage, usage};
use crate::server::Server;
use crate::stats::Figures;
use sets::{Kind, Set};

const POINTS_A_POST: usize = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Merges that go on for longer are no rest any more.
const REST_WAIT_MAX: Duration = Duration::from_secs(120);
/// A number or a time as it is in memory.
const RAW_BYTES: f64 = 8.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    points: Vec<usize>,
    sets: Vec<Kind>,
    /// The files are at rest when nothing about them has changed for this long.
    rest_seconds: f64,
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    for kind in &plan.sets {
        let set = match Set::new(*kind, &run.options.data) {
            Ok(set) => set,
            Err(error) => {
                run.report.note(format!("{} was not measured: {error}", kind.name()));
                continue;
            }
        };
        for points in &plan.points {
            let name = format!("{}, {points} points", kind.name());
            if run.options.wants(&name) {
                let figures = weigh(plan, run, &set, *points)?;
                run.report.add(&name, figures);
            }
        }
    }
    Ok(())
}

fn weigh(plan: &Plan, run: &Run<'_>, set: &Set, points: usize) -> Result<Figures> {
    let place = Place::new(run)?;
    let segments = place.data().join("series");
    let server = Server::start(&place.setup, DATA)?;
    fill(&server, set, points)?;
    server.stop()?;
    let server = Server::start(&place.setup, DATA)?;
    let look = || usage(&segments, "");
    let at_rest = rest(look, Duration::from_secs_f64(plan.rest_seconds))?;
    server.stop()?;
    let bytes_a_point = at_rest.bytes as f64 / points as f64;
    let columns = (set.columns().len() + 1) as f64;
    Ok(Figures::default()
        .with("KiB", at_rest.bytes as f64 / 1024.0)
        .with("files", at_rest.files as f64)
        .with("bytes/point", bytes_a_point)
        .with("columns with time", columns)
        .with("bytes/column", bytes_a_point / columns)
        .with("of raw %", 100.0 * bytes_a_point / (RAW_BYTES * columns)))
}

/// One series with all points, and a look whether they are there.
fn fill(server: &Server, set: &Set, points: usize) -> Result<()> {
    let accounts = accounts::create(server.address(), 1)?;
    let series = accounts::create_series(server.address(), &accounts, 1, set.series_type())?;
    let mut client = Client::connect(server.address())?;
    let Some(series) = series.first() else { return Ok(()) };
    for first in (0..points).step_by(POINTS_A_POST) {
        let body = set.body(first..points.min(first + POINTS_A_POST));
        let answer = client.exchange(&request("POST", &series.path, &series.token, body.as_bytes()))?;
        if !answer.is_success() {
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            return Err(BenchError::Refused {
                request: format!("POST {}", series.path),
                status: answer.status(),
                text,
            });
        }
    }
    let answer = client.call("GET", &series.path, &series.token, None)?;
    let rows = answer.get("points").and_then(Value::as_array).map_or(0, Vec::len);
    if rows == points {
        return Ok(());
    }
    let text = format!("{rows} points of {points}: two of the set have the same time");
    Err(BenchError::Unexpected { request: format!("GET {}", series.path), text })
}

/// What is there when it has not changed for a while.
fn rest(look: impl Fn() -> Usage, unchanged: Duration) -> Result<Usage> {
    let started = Instant::now();
    let (mut seen, mut since) = (look(), Instant::now());
    while since.elapsed() < unchanged {
        if started.elapsed() > REST_WAIT_MAX {
            let text = format!("{seen:?} still changes after {} s", REST_WAIT_MAX.as_secs());
            return Err(BenchError::Unexpected {
                request: "waiting for the segments to come to rest".to_owned(),
                text,
            });
        }
        std::thread::sleep(LOOK_EVERY.min(unchanged));
        let now = look();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn files_are_at_rest_once_they_stay_the_same() {
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            Usage { files: 10 - looks.get().min(4), bytes: 1 }
        };
        assert_eq!(rest(look, Duration::from_millis(5)).unwrap(), Usage { files: 6, bytes: 1 });
    }
}
