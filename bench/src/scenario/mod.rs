//! The scenarios; each prepares a server, then alternates its variants round by round, so that a drift of the machine
//! meets all of them alike.

mod events_create;
mod get;
mod idle;
mod series_read;
mod series_write;
mod start;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tempfile::TempDir;

use crate::args::Options;
use crate::drive::{self, Load, Window};
use crate::error::{BenchError, Result};
use crate::report::{Goal, Report};
use crate::server::{Server, Setup};

/// Long enough for connections, caches and the first log file.
const WARM_UP: Duration = Duration::from_millis(300);
const DATA: &str = "data";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    SeriesWrite,
    EventsCreate,
    Get,
    SeriesRead,
    Idle,
    Start,
}

impl Scenario {
    pub(crate) const ALL: [Self; 6] =
        [Self::SeriesWrite, Self::EventsCreate, Self::Get, Self::SeriesRead, Self::Idle, Self::Start];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SeriesWrite => "series-write",
            Self::EventsCreate => "events-create",
            Self::Get => "get",
            Self::SeriesRead => "series-read",
            Self::Idle => "idle",
            Self::Start => "start",
        }
    }
}

impl FromStr for Scenario {
    type Err = BenchError;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|scenario| scenario.name() == text);
        known.ok_or_else(|| BenchError::Usage(format!("there is no scenario {text:?}")))
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.data).map_err(BenchError::system("create the folder for data"))?;
    let mut report = Report::new(options.scenario.name(), options);
    match options.scenario {
        Scenario::SeriesWrite => series_write::run(options, &mut report),
        Scenario::EventsCreate => events_create::run(options, &mut report),
        Scenario::Get => get::run(options, &mut report),
        Scenario::SeriesRead => series_read::run(options, &mut report),
        Scenario::Idle => idle::run(options, &mut report),
        Scenario::Start => start::run(options, &mut report),
    }?;
    report.finish(options.json.as_deref())
}

/// A folder for one server, removed at the end of the scenario.
struct Place {
    setup: Setup,
    _folder: TempDir,
}

impl Place {
    fn new(options: &Options, parent: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").disable_cleanup(options.keep).tempdir_in(parent);
        let folder = folder.map_err(BenchError::system("create a folder for a server"))?;
        let setup = Setup {
            binary: options.server.clone(),
            folder: folder.path().to_path_buf(),
            driver: options.driver.clone(),
            settings: options.settings.clone(),
        };
        Ok(Self { setup, _folder: folder })
    }
}

/// A variant of a scenario: a load with a name, kept from round to round.
struct Variant<L> {
    name: String,
    goal: Option<Goal>,
    connections: usize,
    load: L,
}

/// One window of one variant against the server; says how many requests were refused.
fn measure<L: Load>(options: &Options, report: &mut Report, server: &Server, variant: &mut Variant<L>) -> Result<u64> {
    let window = Window { connections: variant.connections, warm_up: WARM_UP, measured: options.window };
    let measured = drive::drive(server.address(), server.process(), window, &mut variant.load)?;
    if measured.answered == 0 {
        let text = measured.first_refusal.unwrap_or_else(|| "no answer at all".to_owned());
        return Err(BenchError::NothingMeasured { variant: variant.name.clone(), text });
    }
    if let Some(text) = &measured.first_refusal {
        println!("  {}: {} requests were refused, the first: {text}", variant.name, measured.refused);
    }
    report.add(&variant.name, variant.goal, measured.figures());
    Ok(measured.refused)
}

/// All rounds of all variants on one server.
fn measure_all(options: &Options, report: &mut Report, server: &Server, variants: &mut [Variant<Fixed>]) -> Result<()> {
    for _ in 0..options.rounds {
        for variant in &mut *variants {
            measure(options, report, server, variant)?;
        }
    }
    Ok(())
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
