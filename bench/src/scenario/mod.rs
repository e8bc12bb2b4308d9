//! The kinds of scenarios. Each prepares a server, then alternates its variants round by round, so that a drift of the
//! machine meets all of them alike.

mod bytes;
mod ecg;
mod events_create;
mod file;
mod get;
mod idle;
mod recovery;
mod series_read;
mod series_write;
mod soak;
mod start;
mod template;

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::args::Options;
use crate::drive::{self, Flow, Load, Pace, Window};
use crate::error::{BenchError, Result};
use crate::report::Report;
use crate::server::{Server, Setup};

pub(crate) use file::{Common, Scenario};

/// Long enough for connections, caches and the first log file.
const WARM_UP: Duration = Duration::from_millis(300);
const DATA: &str = "data";

/// What a scenario does, with its numbers.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", content = "load", rename_all = "kebab-case")]
pub(crate) enum Kind {
    SeriesWrite(series_write::Plan),
    SeriesRead(series_read::Plan),
    EventsCreate(events_create::Plan),
    Get(get::Plan),
    Idle(idle::Plan),
    Bytes(bytes::Plan),
    Recovery(recovery::Plan),
    Ecg(ecg::Plan),
    Soak(soak::Plan),
    Start,
}

/// What a scenario works with.
pub(crate) struct Run<'a> {
    pub(crate) options: &'a Options,
    pub(crate) common: &'a Common,
    pub(crate) report: &'a mut Report,
}

pub(crate) fn list() -> Result<()> {
    for scenario in file::all()? {
        println!("{:<16} {}", scenario.name, scenario.common.about);
    }
    Ok(())
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let scenario = file::load(options)?;
    std::fs::create_dir_all(&options.data).map_err(BenchError::system("create the folder for data"))?;
    let mut report = Report::new(&scenario, options)?;
    let mut run = Run { options, common: &scenario.common, report: &mut report };
    match &scenario.kind {
        Kind::SeriesWrite(plan) => series_write::run(plan, &mut run),
        Kind::SeriesRead(plan) => series_read::run(plan, &mut run),
        Kind::EventsCreate(plan) => events_create::run(plan, &mut run),
        Kind::Get(plan) => get::run(plan, &mut run),
        Kind::Idle(plan) => idle::run(plan, &mut run),
        Kind::Bytes(plan) => bytes::run(plan, &mut run),
        Kind::Recovery(plan) => recovery::run(plan, &mut run),
        Kind::Ecg(plan) => ecg::run(plan, &mut run),
        Kind::Soak(plan) => soak::run(plan, &mut run),
        Kind::Start => start::run(&mut run),
    }?;
    report.finish()
}

/// A folder for one server, removed at the end of the scenario.
struct Place {
    setup: Setup,
    _folder: TempDir,
}

impl Place {
    fn new(run: &Run<'_>) -> Result<Self> {
        Self::below(run, &run.options.data)
    }

    fn below(run: &Run<'_>, parent: &Path) -> Result<Self> {
        let Options { server, driver, keep, .. } = run.options;
        let folder = tempfile::Builder::new().prefix("bench-").disable_cleanup(*keep).tempdir_in(parent);
        let folder = folder.map_err(BenchError::system("create a folder for a server"))?;
        let setup = Setup {
            binary: server.clone(),
            folder: folder.path().to_path_buf(),
            driver: driver.clone(),
            settings: run.common.server.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        };
        Ok(Self { setup, _folder: folder })
    }

    fn data(&self) -> std::path::PathBuf {
        self.setup.folder.join(DATA)
    }
}

/// A variant of a scenario: a load with a name, kept from round to round.
struct Variant<L> {
    name: String,
    connections: usize,
    load: L,
}

impl Run<'_> {
    /// One window of one variant against the server; says how many requests were refused.
    fn measure<L: Load>(&mut self, server: &Server, variant: &mut Variant<L>) -> Result<u64> {
        let window = Window { warm_up: WARM_UP, measured: self.common.window() };
        let flow = Flow { connections: variant.connections, pace: Pace::Closed, load: &mut variant.load };
        let measured = drive::drive(server.address(), server.process(), window, vec![flow])?;
        let Some(counts) = measured.flows.first().filter(|counts| counts.answered > 0) else {
            let refusal = measured.flows.into_iter().find_map(|counts| counts.first_refusal);
            let text = refusal.unwrap_or_else(|| "no answer at all".to_owned());
            return Err(BenchError::NothingMeasured { variant: variant.name.clone(), text });
        };
        if let Some(text) = &counts.first_refusal {
            self.report.note(format!("{}: requests were refused, the first: {text}", variant.name));
        }
        self.report.add(&variant.name, measured.figures(counts));
        Ok(counts.refused)
    }

    /// All rounds of all variants on one server.
    fn measure_all(&mut self, server: &Server, variants: &mut [Variant<Fixed>]) -> Result<()> {
        for _ in 0..self.common.rounds {
            for variant in &mut *variants {
                self.measure(server, variant)?;
            }
        }
        Ok(())
    }
}

/// Requests that do not change: one after the other, over all connections.
struct Fixed {
    requests: Vec<Vec<u8>>,
    next: usize,
    items_per_request: u64,
}

impl Fixed {
    fn new(requests: Vec<Vec<u8>>) -> Self {
        Self { requests, next: 0, items_per_request: 1 }
    }
}

impl Load for Fixed {
    fn next(&mut self, _connection: usize, out: &mut Vec<u8>) {
        if self.next >= self.requests.len() {
            self.next = 0;
        }
        out.extend_from_slice(self.requests.get(self.next).map(Vec::as_slice).unwrap_or_default());
        self.next += 1;
    }

    fn items_per_request(&self) -> u64 {
        self.items_per_request
    }
}

/// The finishing steps of splitmix64: near numbers become far ones.
fn mixed(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
