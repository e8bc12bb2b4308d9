//! `cargo ci full`: everything of `test` and the numbers of a release, with a report under `target/` for the note of an
//! issue. At most three hours.

use crate::durability::{self, Plan};
use crate::error::{CiError, Result};
use crate::random::Random;
use crate::report::Report;
use crate::{sim, test, tools};

/// The release column of the reliability targets asks for 1,000 cycles over its runs; one run makes this many.
const CRASH_CYCLES_FULL: u32 = 500;
const POWER_CYCLES_FULL: u32 = 200;
const SIM_SEEDS_FULL: u64 = 10_000;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    test::run(None, report)?;
    let binary = tools::server_binary("release");
    let plan = |cycles| Plan { binary: binary.clone(), cycles, seed: Random::seed_from_clock() };
    report.step("simulation, the long form", |report| sim::run(Random::seed_from_clock(), SIM_SEEDS_FULL, report));
    report.step("kill -9, the long form", |report| durability::crash(&plan(CRASH_CYCLES_FULL), report));
    report.step("power cuts, the long form", |report| durability::power(&plan(POWER_CYCLES_FULL), report));
    write_report(report)
}

fn write_report(report: &Report) -> Result<()> {
    let path = tools::target_folder().join("ci-full-report.md");
    let commit =
        tools::output(std::process::Command::new("git").args(["rev-parse", "HEAD"]).current_dir(tools::root()));
    let commit = commit.unwrap_or_else(|_| "unknown".to_owned());
    let text = format!("# cargo ci full\n\ncommit {}\n\n```\n{}\n```\n", commit.trim(), report.summary());
    std::fs::write(&path, text).map_err(CiError::file(&path))?;
    println!("the report is {}", path.display());
    Ok(())
}
