//! `cargo ci sim`: a node of the series engine in a world that a seed makes up (targets D3, D6). No thread, no clock, no
//! socket: posts, flushes, reads, deletions, failing disks, kills and power cuts in an order drawn from the seed, over the
//! disk in memory of `series::fault`; every answer is compared with a model of what was promised.
//!
//! [`walk`] is the course of a seed, [`life`] that of one process, [`model`] the truth.

mod calibrate;
mod counts;
mod disk;
mod exhaustive;
mod ground;
mod life;
mod model;
mod pool;
mod posts;
mod process;
mod reads;
mod reduction;
mod rows;
mod walk;

use std::time::Instant;

use self::counts::{Counts, EVENTS};
use self::pool::{World, run_all, twice};
use self::walk::Plan;
use crate::error::{CiError, Result};
use crate::report::Report;
use crate::tools;

pub(crate) use self::calibrate::run as calibrate;
pub(crate) use self::exhaustive::run_exhaustive;

/// Failures shown; more are mostly the same one.
const FAILURES_MAX: usize = 5;
/// From here on everything that can happen must have happened.
const SEEDS_FOR_ALL_EVENTS: usize = 100;
const SEEDS_FILE: &str = "ci/sim-seeds.txt";

/// Those seeds that have found something once, then `seeds` of them from `first` on.
pub(crate) fn run(first: u64, seeds: u64, report: &mut Report) -> Result<()> {
    let kept = kept_seeds()?;
    let all = kept.iter().copied().chain((0..seeds).map(|n| first.wrapping_add(n)));
    let worlds: Vec<World> = all.map(|seed| World { seed, plan: Plan::Random }).collect();
    let started = Instant::now();
    let findings = run_all(&worlds, twice);
    let seconds = started.elapsed().as_secs_f64();
    report.note(format!("sim: {seeds} seeds from {first} and {} kept ones, each twice, in {seconds:.1} s", kept.len()));
    EVENTS.iter().for_each(|(event, name)| println!("  {:>12}  {name}", findings.counts.of(*event)));
    let title = format!("{} seeds: no promise is broken, and a seed has one trace", worlds.len());
    if findings.failures.is_empty() {
        report.pass(&title);
    }
    for failure in findings.failures.iter().take(FAILURES_MAX) {
        let seed = failure.world.seed;
        let told = failure.told()?;
        let repeat = format!("cargo ci sim --seeds 1 --seed {seed}");
        report.fail(&title, &format!("{told}\n          repeat it: {repeat}\n          keep it in {SEEDS_FILE}"));
    }
    if worlds.len() >= SEEDS_FOR_ALL_EVENTS {
        check_all_happened(&findings.counts, report);
    }
    Ok(())
}

/// A run that never met a power cut has tested nothing of it.
fn check_all_happened(counts: &Counts, report: &mut Report) {
    let missing: Vec<&str> = EVENTS.iter().filter(|(event, _)| counts.of(*event) == 0).map(|(_, name)| *name).collect();
    report.check("everything that can happen has happened", missing.is_empty(), &missing.join(", "));
}

/// One a line, each with a comment that says what it has found.
fn kept_seeds() -> Result<Vec<u64>> {
    let path = tools::root().join(SEEDS_FILE);
    let text = tools::read_text(&path)?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let seeds =
        lines.filter(|line| !line.is_empty()).map(|line| line.parse().map_err(|_| CiError::format(&path, line)));
    seeds.collect()
}
