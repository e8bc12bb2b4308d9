//! `cargo ci <mode>`: the project's checks. `test` is what every change must pass; the others are its parts, and `full`
//! is the long form of all of them.

mod account;
mod blackbox;
mod clients;
mod confinement;
mod durability;
mod error;
mod full;
mod heartpy;
mod http;
mod loop_mount;
mod random;
mod report;
mod server;
mod sim;
mod test;
mod tidy;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::ValueExt;

use crate::durability::Plan;
use crate::error::{CiError, Result};
use crate::random::Random;
use crate::report::Report;

pub(crate) const USAGE: &str = "\
usage: cargo ci MODE [OPTIONS]

  test [--driver io_uring|epoll]   everything a change must pass (under 40 minutes on 2 cores)
  tidy                             arrows between crates, lengths, banned calls, dead links; prints the figures of the style
  blackbox [--driver D]            HTTP cases of the specification against a started server
  fuzz-http [--seconds N] [--seed S]  calls of those cases, changed at random, for N seconds; no answer may be a 5xx
  conformance                      writes docs/conformance.md from the case files
  clients                          the npm clients in tests/js against a started server
  heartpy                          the recordings of the PyPI package heartpy as series, read back point by point
  crash --cycles N [--seed S]      kill -9 under load, restart, compare
  power --cycles N [--seed S]      the same with the file system cut off (needs root and loop mounts)
  sim [--seeds N] [--seed S]       N simulated worlds of the series engine, from seed S on, against a model
  sim-faults                       three simulated worlds in which the n-th disk operation fails, for every n
  sim-calibrate [--cycles N]       what power cuts of a real file system leave, against the rules of the simulated disk
  seccomp                          the server under Docker's seccomp profile and a small memlock limit
  full                             all of it with the numbers of a release, and a report under target/

  --binary FILE                    the server to test, instead of target/release/coreward";

/// Without `--cycles`: what every CI run does.
pub(crate) const CRASH_CYCLES: u32 = 5;
pub(crate) const POWER_CYCLES: u32 = 3;
pub(crate) const CALIBRATION_CYCLES: u32 = 100;
/// Without `--seeds`.
pub(crate) const SIM_SEEDS: u64 = 200;
/// For changed calls and for each fuzz target (F1 of the targets); without `--seconds`.
pub(crate) const FUZZ_SECONDS: u64 = 20;

/// The command line, parsed.
#[derive(Debug, Default)]
struct Arguments {
    mode: String,
    cycles: Option<u32>,
    seeds: Option<u64>,
    seed: Option<u64>,
    seconds: Option<u64>,
    driver: Option<String>,
    binary: Option<PathBuf>,
}

fn main() -> ExitCode {
    match start() {
        Ok(report) => {
            println!("{}", report.summary());
            ExitCode::from(u8::from(report.failed() > 0))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<Report> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let Some((mode, rest)) = words.split_first()
        && mode == confinement::launcher::MODE
    {
        match confinement::launcher::become_confined(rest)? {}
    }
    let arguments = Arguments::parse()?;
    let mut report = Report::default();
    run(&arguments, &mut report)?;
    Ok(report)
}

fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let binary = arguments.binary.clone().unwrap_or_else(|| tools::server_binary("release"));
    match arguments.mode.as_str() {
        "test" => test::run(arguments.driver.as_deref(), report)?,
        "full" => full::run(report)?,
        "tidy" => report.step("tidy", tidy::run),
        "conformance" => report.step("docs/conformance.md", |_| blackbox::write_document()),
        "blackbox" => report.step("black box", |report| blackbox::run(&binary, arguments.driver.as_deref(), report)),
        "fuzz-http" => {
            let (driver, seconds) = (arguments.driver.as_deref(), arguments.seconds.unwrap_or(FUZZ_SECONDS));
            report.step("fuzzed calls", |report| blackbox::fuzz(&binary, driver, arguments.seed(), seconds, report));
        }
        "clients" => report.step("npm clients", |report| clients::run(&binary, report)),
        "heartpy" => report.step("heartpy", |report| heartpy::run(&binary, report)),
        "seccomp" => report.step("confinement", |report| confinement::run(&binary, report)),
        "sim" => {
            let seeds = arguments.seeds.unwrap_or(SIM_SEEDS);
            report.step("simulation", |report| sim::run(arguments.seed(), seeds, report));
        }
        "sim-calibrate" => {
            let cycles = arguments.cycles.unwrap_or(CALIBRATION_CYCLES);
            report.step("the simulated disk", |report| sim::calibrate(arguments.seed(), cycles, report));
        }
        "sim-faults" => report.step("every disk operation fails", sim::run_exhaustive),
        "crash" => report.step("crash", |report| durability::crash(&arguments.plan(binary, CRASH_CYCLES), report)),
        "power" => report.step("power", |report| durability::power(&arguments.plan(binary, POWER_CYCLES), report)),
        "" => return Err(CiError::Usage("name a mode".to_owned())),
        other => return Err(CiError::Usage(format!("no mode `{other}`"))),
    }
    Ok(())
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut arguments = Self::default();
        let mut parser = lexopt::Parser::from_env();
        arguments.read(&mut parser).map_err(|error| CiError::Usage(error.to_string()))?;
        Ok(arguments)
    }

    fn read(&mut self, parser: &mut lexopt::Parser) -> std::result::Result<(), lexopt::Error> {
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Value(mode) if self.mode.is_empty() => self.mode = mode.string()?,
                lexopt::Arg::Long("cycles") => self.cycles = Some(parser.value()?.parse()?),
                lexopt::Arg::Long("seeds") => self.seeds = Some(parser.value()?.parse()?),
                lexopt::Arg::Long("seed") => self.seed = Some(parser.value()?.parse()?),
                lexopt::Arg::Long("seconds") => self.seconds = Some(parser.value()?.parse()?),
                lexopt::Arg::Long("driver") => {
                    self.driver = Some(parser.value()?.parse_with(|name| match name {
                        "io_uring" | "epoll" => Ok(name.to_owned()),
                        _ => Err("there is io_uring and epoll"),
                    })?);
                }
                lexopt::Arg::Long("binary") => self.binary = Some(parser.value()?.into()),
                other => return Err(other.unexpected()),
            }
        }
        Ok(())
    }

    fn plan(&self, binary: PathBuf, cycles: u32) -> Plan {
        Plan { binary, cycles: self.cycles.unwrap_or(cycles), seed: self.seed() }
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(Random::seed_from_clock)
    }
}
