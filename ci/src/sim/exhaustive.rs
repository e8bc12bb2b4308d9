//! Three fixed worlds in which the n-th disk operation fails, for every n and every kind of fault (target D3).

use series::fault::Fault;

use super::FAILURES_MAX;
use super::counts::Event;
use super::pool::{World, once, run_all};
use super::walk::{Outcome, Plan, run};
use crate::error::{CiError, Result};
use crate::report::Report;

const SCENARIOS: usize = 3;
/// Where they are looked for, and how large they may be.
const SEEDS_LOOKED_AT: u64 = 10_000;
const OPERATIONS_MAX: u64 = 300;
/// What each of them must contain, so often.
const CONTENT: &[(Event, u64)] = &[
    (Event::Flushed, 6),
    (Event::LogFilesRemoved, 4),
    (Event::Merged, 2),
    (Event::MergeInterleaved, 1),
    (Event::Erased, 1),
    (Event::Retained, 1),
    (Event::Deleted, 1),
    (Event::SegmentFilesRemoved, 4),
    (Event::ReadAcrossChanges, 2),
];
/// Each kind of fault, and for how many operations.
const FAULTS: &[(Fault, u64)] =
    &[(Fault::Io, 1), (Fault::Io, 3), (Fault::NoSpace, 1), (Fault::Full, 1), (Fault::PowerCut, 1), (Fault::Kill, 1)];

pub(crate) fn run_exhaustive(report: &mut Report) -> Result<()> {
    let mut worlds = Vec::new();
    for (seed, operations) in scenarios()? {
        report.note(format!("sim: the world of seed {seed} has {operations} disk operations"));
        for at in 0..operations {
            for (fault, count) in FAULTS {
                let plan = |power_cut| Plan::Single { at, count: *count, fault: *fault, power_cut };
                worlds.extend([false, true].map(|power_cut| World { seed, plan: plan(power_cut) }));
            }
        }
    }
    let findings = run_all(&worlds, once);
    let title = format!("the n-th disk operation fails, for every n of {SCENARIOS} worlds: {} runs", worlds.len());
    if findings.failures.is_empty() {
        report.pass(&title);
    }
    for failure in findings.failures.iter().take(FAILURES_MAX) {
        report.fail(&title, &failure.told()?);
    }
    Ok(())
}

/// The first worlds in which all happens that is to be broken, and how many operations they have.
fn scenarios() -> Result<Vec<(u64, u64)>> {
    let has_all = |outcome: &Outcome| CONTENT.iter().all(|(event, times)| outcome.counts.of(*event) >= *times);
    let calm = (0..SEEDS_LOOKED_AT).map(|seed| (seed, run(seed, Plan::Calm, false)));
    let fit = calm.filter(|(_, outcome)| outcome.operations <= OPERATIONS_MAX && has_all(outcome));
    let found: Vec<(u64, u64)> = fit.take(SCENARIOS).map(|(seed, outcome)| (seed, outcome.operations)).collect();
    match found.len() {
        SCENARIOS => Ok(found),
        _ => Err(CiError::format("the simulation", "too few worlds with all of it: ask less of them in CONTENT")),
    }
}
