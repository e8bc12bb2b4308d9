//! Cycles of load, outage, restart and comparison (D1 and D2 of the targets): no acknowledged point or event is lost, none
//! is invented. `crash` kills the process; `power` cuts the file system under it.

mod bad_disk;
mod holders;
mod ledger;
mod load;
mod power;

use std::path::PathBuf;
use std::time::Duration;

use self::load::{Load, Signals};
use crate::error::Result;
use crate::random::Random;
use crate::report::Report;
use crate::server::{Server, Setup, Workspace};

const STRIKE_AFTER_MS_MIN: u64 = 50;
const STRIKE_AFTER_MS_MAX: u64 = 1_500;
/// Every so many cycles everything is read back, not only what is new, and a new generation of series begins.
const CYCLES_PER_GENERATION: u32 = 25;
/// A start must find the data of any other number of shards.
const SHARDS_MAX: u64 = 3;

/// The smallest values that the configuration takes.
const SMALL_ROOM: &[(&str, &str)] =
    &[("series:ring:bytesMax", "1048576"), ("series:ring:flushBytes", "524288"), ("series:log:fileBytes", "1048576")];

/// What a run does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) binary: PathBuf,
    pub(crate) cycles: u32,
    pub(crate) seed: u64,
}

/// A way to take the server away at once.
trait Outage {
    /// Where the server's folder is between outages.
    fn folder(&self) -> PathBuf;
    /// A file that no outage touches.
    fn log(&self) -> PathBuf;
    /// Takes it away; when this returns, the process is gone and the folder can be used again.
    fn strike(&mut self, server: &mut Server, signals: &Signals) -> Result<()>;
}

/// `cargo ci crash`.
pub(crate) fn crash(plan: &Plan, report: &mut Report) -> Result<()> {
    holders::run(plan, report)?;
    let mut workspace = Workspace::new("crash-")?;
    let mut outage = KillNine { folder: workspace.path().join("server") };
    let is_clean = run("crash", plan, &mut outage, report)?;
    if !is_clean {
        workspace.keep();
    }
    Ok(())
}

/// `cargo ci power`.
pub(crate) fn power(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut workspace = Workspace::new("power-")?;
    let mut outage = match power::PowerCut::prepare(workspace.path()) {
        Ok(outage) => outage,
        Err(error) => {
            report.skip("power cuts", &error.to_string());
            return Ok(());
        }
    };
    bad_disk::full(plan, report)?;
    bad_disk::dead(plan, report)?;
    let is_clean = run("power", plan, &mut outage, report)?;
    if !is_clean {
        outage.keep();
        workspace.keep();
    }
    Ok(())
}

struct KillNine {
    folder: PathBuf,
}

impl Outage for KillNine {
    fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    fn strike(&mut self, server: &mut Server, _signals: &Signals) -> Result<()> {
        server.kill()
    }
}

fn run(name: &str, plan: &Plan, outage: &mut dyn Outage, report: &mut Report) -> Result<bool> {
    report.note(format!("{name}: {} cycles, seed {}", plan.cycles, plan.seed));
    let mut random = Random::new(plan.seed);
    let mut setup = Setup::new(&plan.binary, &outage.folder())?;
    setup.log = outage.log();
    let mut server = Server::start(&vary(&setup, &mut random))?;
    let mut load = Load::prepare(server.address(), &mut random)?;
    let mut totals = (0, 0);
    let mut is_clean = true;
    for cycle in 1..=plan.cycles {
        let running = load.start();
        std::thread::sleep(Duration::from_millis(random.between(STRIKE_AFTER_MS_MIN, STRIKE_AFTER_MS_MAX)));
        if let Some(status) = server.has_died()? {
            return Err(server.died_error(Some(status)));
        }
        running.announce_outage();
        outage.strike(&mut server, running.signals())?;
        load = running.join()?;
        server = Server::start(&vary(&setup, &mut random))?;
        let ends_generation = cycle % CYCLES_PER_GENERATION == 0 || cycle == plan.cycles;
        is_clean &= settle_cycle(name, cycle, &mut load, ends_generation, report)?;
        if ends_generation {
            let (points, events) = load.acknowledged();
            totals = (totals.0 + points, totals.1 + events);
            load = Load::prepare(server.address(), &mut random)?;
        }
    }
    let (points, events) = totals;
    report.note(format!("{name}: {points} points and {events} events acknowledged over {} outages", plan.cycles));
    let panicked = server.output().contains("panicked at");
    report.check("nothing panicked, not even on a dead disk", !panicked, "see the server's output");
    report.check("SIGTERM ends the server with 0", server.stop()?.success(), "another exit status");
    Ok(is_clean && !panicked)
}

/// The number of shards and the driver change from start to start, since nothing on disk may depend on them; at every
/// other start rings and log files are so small that outages fall into flushes and truncations.
fn vary(setup: &Setup, random: &mut Random) -> Setup {
    let shards = random.between(1, SHARDS_MAX + 1).to_string();
    let driver = if random.next().is_multiple_of(2) { "epoll" } else { "io_uring" };
    let setup = setup.clone().setting("cluster:shards", &shards).driver(driver);
    match random.next().is_multiple_of(2) {
        true => setup,
        false => SMALL_ROOM.iter().fold(setup, |setup, (key, value)| setup.setting(key, value)),
    }
}

fn settle_cycle(name: &str, cycle: u32, load: &mut Load, whole: bool, report: &mut Report) -> Result<bool> {
    let findings = load.compare(whole)?;
    let complaints = load.take_complaints();
    let title = format!("{name} cycle {cycle}: nothing acknowledged is lost, nothing is invented");
    let counts = format!("{} lost, {} invented, {} torn", findings.lost, findings.invented, findings.torn);
    let is_clean = findings.is_clean() && complaints.is_empty();
    match is_clean {
        true => report.pass(&title),
        false => {
            let lines: Vec<_> = std::iter::once(counts).chain(findings.problems).chain(complaints).collect();
            report.fail(&title, &lines.join("\n          "));
        }
    }
    Ok(is_clean)
}
