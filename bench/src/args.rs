//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{BenchError, Result};
use crate::scenario::Scenario;

pub(crate) const HELP: &str = "\
Usage: bench SCENARIO [options]

Scenarios
  series-write   posts of points, acknowledged after the sync
  events-create  events.create by many users and by one
  get            /health, the greeting, access-info, events.get limit 100
  series-read    a whole series as JSON
  idle           memory of idle keep-alive connections
  start          time from the start of the process to its first answer

Options
  --seconds N        length of a measured window (3)
  --rounds R         rounds; variants alternate within a round (5)
  --connections C    keep-alive connections, one request in flight on each (64)
  --users N          users of the largest variant (1000)
  --sizes LIST       factors of the size that a scenario varies (1,10,100)
  --points LIST      points a post (10,100,1000)
  --events N         events of one user at size 1, for events.get (10000)
  --series-points N  points of a series at size 1, for series-read (1000)
  --idle N           idle connections of the largest variant (10000)
  --unsynced         series-write: also on a memory disk, where a sync costs nothing
  --only TEXT        only the variants whose name contains TEXT
  --server FILE      the server (coreward beside this program)
  --data DIR         where data folders are made and removed (bench-data beside this program)
  --driver NAME      io_uring (what the server takes by itself) or epoll
  --set KEY=VALUE    configuration of the server, such as cluster:shards=1; may be repeated
  --json FILE        all rounds, medians and the machine
  --keep             keep the data folders
";

#[derive(Debug)]
pub(crate) enum Asked {
    Help,
    Run(Box<Options>),
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) scenario: Scenario,
    pub(crate) window: Duration,
    pub(crate) rounds: usize,
    pub(crate) connections: usize,
    pub(crate) users: usize,
    pub(crate) sizes: Vec<usize>,
    pub(crate) points: Vec<usize>,
    pub(crate) events: usize,
    pub(crate) series_points: usize,
    pub(crate) idle: usize,
    pub(crate) unsynced: bool,
    pub(crate) only: Option<String>,
    pub(crate) server: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) driver: Option<String>,
    pub(crate) settings: Vec<String>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) keep: bool,
}

impl Options {
    fn of(scenario: Scenario) -> Self {
        let own = std::env::current_exe().unwrap_or_default();
        let beside = |name: &str| own.with_file_name(name);
        Self {
            scenario,
            window: Duration::from_secs(3),
            rounds: 5,
            connections: 64,
            users: 1_000,
            sizes: vec![1, 10, 100],
            points: vec![10, 100, 1_000],
            events: 10_000,
            series_points: 1_000,
            idle: 10_000,
            unsynced: false,
            only: None,
            server: beside("coreward"),
            data: beside("bench-data"),
            driver: None,
            settings: Vec::new(),
            json: None,
            keep: false,
        }
    }

    /// Whether `--only` lets this variant run.
    pub(crate) fn wants(&self, variant: &str) -> bool {
        self.only.as_ref().is_none_or(|text| variant.contains(text.as_str()))
    }
}

pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Asked> {
    use lexopt::prelude::{Long, Short, Value};
    let scenario = match parser.next().map_err(usage)? {
        Some(Value(name)) => Scenario::from_str(&name.to_string_lossy())?,
        Some(Long("help") | Short('h')) => return Ok(Asked::Help),
        _ => return Err(BenchError::Usage("the first argument is the scenario".to_owned())),
    };
    let mut options = Options::of(scenario);
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Long("help") | Short('h') => return Ok(Asked::Help),
            Long("unsynced") => options.unsynced = true,
            Long("keep") => options.keep = true,
            Long(name) => {
                let name = name.to_owned();
                let value = parser.value().map_err(usage)?.to_string_lossy().into_owned();
                set(&mut options, &name, &value)?;
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    Ok(Asked::Run(Box::new(options)))
}

fn set(options: &mut Options, name: &str, value: &str) -> Result<()> {
    let count = || positive(name, value);
    match name {
        "seconds" => options.window = seconds(value)?,
        "rounds" => options.rounds = count()?,
        "connections" => options.connections = count()?,
        "users" => options.users = count()?,
        "events" => options.events = count()?,
        "series-points" => options.series_points = count()?,
        "idle" => options.idle = count()?,
        "sizes" => options.sizes = list(name, value)?,
        "points" => options.points = list(name, value)?,
        "only" => options.only = Some(value.to_owned()),
        "server" => options.server = absolute(value)?,
        "data" => options.data = absolute(value)?,
        "json" => options.json = Some(absolute(value)?),
        "driver" if ["io_uring", "epoll"].contains(&value) => options.driver = Some(value.to_owned()),
        "driver" => return Err(BenchError::Usage(format!("the driver is io_uring or epoll, not {value:?}"))),
        "set" => options.settings.push(value.to_owned()),
        _ => return Err(BenchError::Usage(format!("there is no option --{name}"))),
    }
    Ok(())
}

/// The server runs in another folder than the bench.
fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(path).map_err(BenchError::system("find the current folder"))
}

fn positive(name: &str, value: &str) -> Result<usize> {
    let count = value.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| BenchError::Usage(format!("--{name} takes a number above 0, not {value:?}")))
}

fn list(name: &str, value: &str) -> Result<Vec<usize>> {
    value.split(',').map(|part| positive(name, part.trim())).collect()
}

fn seconds(value: &str) -> Result<Duration> {
    let seconds = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|window| !window.is_zero())
        .ok_or_else(|| BenchError::Usage(format!("--seconds takes a number above 0, not {value:?}")))
}

fn usage(error: lexopt::Error) -> BenchError {
    BenchError::Usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options> {
        match parse(lexopt::Parser::from_args(arguments))? {
            Asked::Run(options) => Ok(*options),
            Asked::Help => panic!("no help was asked for"),
        }
    }

    #[test]
    fn a_scenario_alone_takes_the_defaults_and_the_server_beside_the_program() {
        let options = parsed(&["events-create"]).unwrap();
        assert_eq!((options.scenario, options.rounds, options.connections), (Scenario::EventsCreate, 5, 64));
        assert_eq!(options.server.file_name().unwrap(), "coreward");
        assert!(options.wants("anything"));
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        let options = parsed(&[
            "series-write",
            "--seconds=0.5",
            "--points",
            "10,1000",
            "--set",
            "cluster:shards=1",
            "--set=a:b=c",
            "--only",
            "1 user",
            "--unsynced",
        ])
        .unwrap();
        assert_eq!(options.window, Duration::from_millis(500));
        assert_eq!(options.points, [10, 1000]);
        assert_eq!(options.settings, ["cluster:shards=1", "a:b=c"]);
        assert!(options.unsynced && options.wants("10 points, 1 user") && !options.wants("10 points, 64 users"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for arguments in [
            &["--rounds", "5"][..],
            &["nothing"],
            &["get", "--rounds", "0"],
            &["get", "--seconds", "-1"],
            &["get", "--driver", "kqueue"],
            &["get", "--sizes", "1,x"],
            &["get", "--unknown", "1"],
            &["get", "stray"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn the_help_names_every_scenario() {
        for scenario in Scenario::ALL {
            assert!(HELP.contains(&format!("\n  {} ", scenario.name())), "{}", scenario.name());
        }
    }
}
