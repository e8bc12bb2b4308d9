//! `cargo ci test`: what every change must pass, in the order in which a mistake is cheapest to find. Each profile is built
//! once: the workspace's tests and the black-box cases run on the debug build (with its overflow and debug checks), the
//! outages, the confinement and the clients on the release build, which is what people run.

use std::process::Command;

use crate::durability::{self, Plan};
use crate::error::Result;
use crate::random::Random;
use crate::report::Report;
use crate::{
    CRASH_CYCLES, FUZZ_SECONDS, POWER_CYCLES, SIM_SEEDS, blackbox, clients, confinement, heartpy, sim, tidy, tools,
};

/// `driver` limits the black-box cases to one driver; both are tried otherwise.
pub(crate) fn run(driver: Option<&str>, report: &mut Report) -> Result<()> {
    report.step("what is needed", |_| install());
    report.step("format", format);
    report.step("tidy", tidy::run);
    report.step("lints", lint);
    report.step("tests of the workspace", workspace_tests);
    report.step("simulation", |report| sim::run(Random::seed_from_clock(), SIM_SEEDS, report));
    report.step("every disk operation fails", sim::run_exhaustive);
    report.step("fuzz targets", fuzz);
    report.step("release build", |_| tools::run(tools::cargo().args(["build", "--release", "--package", "coreward"])));
    let debug = tools::server_binary("debug");
    for driver in ["io_uring", "epoll"].into_iter().filter(|one| driver.is_none_or(|only| only == *one)) {
        report.step(&format!("black box on {driver}"), |report| blackbox::run(&debug, Some(driver), report));
    }
    report
        .step("fuzzed calls", |report| blackbox::fuzz(&debug, driver, Random::seed_from_clock(), FUZZ_SECONDS, report));
    let release = tools::server_binary("release");
    report.step("npm clients", |report| clients::run(&release, report));
    report.step("real input", |report| heartpy::run(&release, report));
    report.step("confinement", |report| confinement::run(&release, report));
    let plan = |cycles| Plan { binary: release.clone(), cycles, seed: Random::seed_from_clock() };
    report.step("kill -9 under load", |report| durability::crash(&plan(CRASH_CYCLES), report));
    report.step("power cuts under load", |report| durability::power(&plan(POWER_CYCLES), report));
    Ok(())
}

/// By package name, and only what is missing.
fn install() -> Result<()> {
    tools::need("cc", "build-essential")?;
    tools::need("node", "nodejs")?;
    tools::need("npm", "npm")?;
    tools::need("python3", "python3")?;
    if !tools::has_postgres_server() {
        tools::need("initdb", "postgresql")?;
    }
    for (component, program) in [("rustfmt", "cargo-fmt"), ("clippy", "cargo-clippy")] {
        if !tools::is_installed(program) {
            tools::run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

fn format(report: &mut Report) -> Result<()> {
    tools::run(tools::cargo().args(["fmt", "--all", "--check"]))?;
    report.pass("cargo fmt");
    Ok(())
}

fn lint(report: &mut Report) -> Result<()> {
    tools::run(tools::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    report.pass("cargo clippy");
    Ok(())
}

/// `cargo test` on the workspace; also builds the debug server.
fn workspace_tests(report: &mut Report) -> Result<()> {
    // Tests and programs in one go: built apart, their dependencies would be built for two sets of features.
    tools::run(tools::cargo().args(["build", "--workspace", "--all-targets"]))?;
    let mut counts = (0, 0);
    let mut command = tools::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).env("COREWARD_REQUIRE_POSTGRES", "1");
    let is_good = tools::run_reading(&mut command, |line| {
        let (passed, failed) = test_counts(line).unwrap_or_default();
        counts = (counts.0 + passed, counts.1 + failed);
    })?;
    report.add("cargo test", counts.0, counts.1);
    report.check("cargo test --workspace", is_good, "see its output above");
    Ok(())
}

/// Replays the stored inputs through the fuzz targets and mutates them for a while. Before, the tests tell that the stored
/// inputs still reach what they are for.
fn fuzz(report: &mut Report) -> Result<()> {
    let folder = tools::root().join("ci/fuzz");
    if !folder.join("Cargo.toml").is_file() {
        report.skip("fuzz targets", "there is no ci/fuzz");
        return Ok(());
    }
    let seconds = FUZZ_SECONDS.to_string();
    for arguments in
        [&["test", "--quiet", "--release"][..], &["run", "--quiet", "--release", "--", "--seconds", &seconds]]
    {
        let mut command = tools::cargo();
        // Its own target folder: the same packages with other flags would be built anew at every change of profile.
        command.current_dir(&folder).env("CARGO_TARGET_DIR", tools::target_folder().join("fuzz"));
        tools::run(command.args(arguments))?;
    }
    report.pass("the stored inputs and their mutations crash no fuzz target");
    Ok(())
}

/// The numbers of a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
fn test_counts(line: &str) -> Option<(usize, usize)> {
    let result = line.trim().strip_prefix("test result:")?;
    let number_before = |word: &str| result.split(word).next()?.split_whitespace().last()?.parse().ok();
    Some((number_before(" passed")?, number_before(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_test_result_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(test_counts(line), Some((12, 3)));
        assert_eq!(test_counts("running 3 tests"), None);
    }
}
