//! Three fixed worlds in which the n-th disk operation fails, for every n and every kind of fault (target D3).

use series::fault::Fault;

use super::FAILURES_MAX;
use super::pool::{World, once, run_all};
use super::walk::{Plan, run};
use crate::error::Result;
use crate::report::Report;

const SCENARIOS: &[u64] = &[11, 12, 13];
const FAULTS: &[Fault] = &[Fault::Io, Fault::NoSpace, Fault::Full, Fault::PowerCut, Fault::Kill];

pub(crate) fn run_exhaustive(report: &mut Report) -> Result<()> {
    let mut worlds = Vec::new();
    for seed in SCENARIOS {
        let operations = run(*seed, Plan::Calm, false).operations;
        report.note(format!("sim: scenario {seed} has {operations} disk operations"));
        for at in 0..operations {
            for fault in FAULTS {
                let plan = |power_cut| Plan::Single { at, fault: *fault, power_cut };
                worlds.extend([false, true].map(|power_cut| World { seed: *seed, plan: plan(power_cut) }));
            }
        }
    }
    let findings = run_all(&worlds, once);
    let title = format!(
        "the n-th disk operation fails, for every n, in {} scenarios: {} worlds",
        SCENARIOS.len(),
        worlds.len()
    );
    if findings.failures.is_empty() {
        report.pass(&title);
    }
    for failure in findings.failures.iter().take(FAILURES_MAX) {
        report.fail(&title, &failure.told()?);
    }
    Ok(())
}
