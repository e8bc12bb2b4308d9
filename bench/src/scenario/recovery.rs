//! From the start of the process to the first `/ready` behind a log of a given length, as after a crash: the server was
//! killed with all points in its log and none in segments.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::template::{FIRST_POST, Template};
use super::{DATA, Place, Run};
use crate::accounts::{self, MASS, Series};
use crate::client::{Client, head};
use crate::error::{BenchError, Result};
use crate::sample::usage;
use crate::server::Server;
use crate::stats::Figures;

/// A point in the log: time and value.
const POINT_BYTES: usize = 16;
const MIB: usize = 1024 * 1024;
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Lengths of the log; the ring and its flush must be configured larger.
    log_mib: Vec<usize>,
    caches: Vec<Cache>,
    users: usize,
    series: usize,
    points_a_post: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cache {
    /// The log is in the kernel's page cache, as after a crash of the process alone.
    Warm,
    /// It must be read from the disk, as after a crash of the machine.
    Cold,
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    for _ in 0..run.common.rounds {
        for mib in &plan.log_mib {
            for cache in &plan.caches {
                let name = format!("{mib} MiB, {} cache", if *cache == Cache::Warm { "warm" } else { "cold" });
                if run.options.wants(&name) {
                    let figures = crash_and_start(plan, run, *mib, *cache)?;
                    run.report.add(&name, figures);
                }
            }
        }
    }
    Ok(())
}

fn crash_and_start(plan: &Plan, run: &Run<'_>, mib: usize, cache: Cache) -> Result<Figures> {
    let place = Place::new(run)?;
    let server = Server::start(&place.setup, DATA)?;
    let accounts = accounts::create(server.address(), plan.users)?;
    let series = accounts::create_series(server.address(), &accounts, plan.series, MASS)?;
    let posts = (mib * MIB).div_ceil(POINT_BYTES * plan.points_a_post * plan.series.max(1));
    println!("posting {mib} MiB of points ...");
    accounts::in_parallel(server.address(), series.len(), |client, index| match series.get(index) {
        Some(series) => fill(client, series, posts, plan.points_a_post),
        None => Ok(()),
    })?;
    let flushed = usage(&place.data().join("series"), ".seg");
    if flushed.files > 0 {
        let text = format!("{} segments were written: raise series:ring:flushBytes", flushed.files);
        return Err(BenchError::Unexpected { request: "filling the log".to_owned(), text });
    }
    server.kill()?;
    if cache == Cache::Cold {
        empty_page_cache(&place.setup.binary)?;
    }
    let server = Server::start(&place.setup, DATA)?;
    let (seconds, cpu) = (server.started_in().as_secs_f64(), server.process().cpu()?.as_secs_f64());
    let memory = server.process().memory()?;
    let mut client = Client::connect(server.address())?;
    for series in &series {
        verify(&mut client, series, posts, plan.points_a_post)?;
    }
    server.stop()?;
    let points = (posts * plan.points_a_post * series.len()) as f64;
    Ok(Figures::default()
        .with("points", points)
        .with("start s", seconds)
        .with("points/s", points / seconds)
        .with("log MiB/s", points * POINT_BYTES as f64 / MIB as f64 / seconds)
        .with("cpu s", cpu)
        .with("peak MiB", memory.peak_mib))
}

/// Of the data alone: the program itself is read back.
fn empty_page_cache(binary: &Path) -> Result<()> {
    rustix::fs::sync();
    std::fs::write(DROP_CACHES, "3").map_err(BenchError::system("empty the page cache (this needs root)"))?;
    std::fs::read(binary).map(|_| ()).map_err(BenchError::system("read the server's program"))
}

fn fill(client: &mut Client, series: &Series, posts: usize, points: usize) -> Result<()> {
    let mut template: Option<Template> = None;
    for post in (FIRST_POST..).take(posts) {
        let number = post.to_string();
        let known = template.take().filter(|known| known.post_digits() == number.len());
        let current = known.unwrap_or_else(|| Template::new(points, number.len()));
        let mut bytes = head("POST", &series.path, &series.token, current.body_bytes()).into_bytes();
        current.write(number.as_bytes(), &mut bytes);
        template = Some(current);
        let answer = client.exchange(&bytes)?;
        if !answer.is_success() {
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            return Err(BenchError::Refused {
                request: format!("POST {}", series.path),
                status: answer.status(),
                text,
            });
        }
    }
    Ok(())
}

/// The last acknowledged post is there, whole.
fn verify(client: &mut Client, series: &Series, posts: usize, points: usize) -> Result<()> {
    let last = FIRST_POST + u64::try_from(posts).unwrap_or(u64::MAX) - 1;
    let path = format!("{}?fromDeltaTime={}", series.path, Template::start_of(last, points));
    let answer = client.call("GET", &path, &series.token, None)?;
    let rows = answer.get("points").and_then(Value::as_array).map_or(0, Vec::len);
    if rows == points {
        return Ok(());
    }
    let text = format!("{rows} points of the {points} that were acknowledged before the kill");
    Err(BenchError::Unexpected { request: format!("GET {path}"), text })
}
