//! The command line.

use std::path::PathBuf;

use crate::error::{BenchError, Result};

pub(crate) const HELP: &str = "\
Usage: bench SCENARIO [options]      runs bench/scenarios/SCENARIO.yaml, or the file of that path
       bench list                    shows the scenarios

Options
  --quick            short windows and few variants, to see that all works (what the scenario says under `quick`)
  --set KEY=VALUE    another value in the scenario, in YAML: rounds=1, load.points=[10,1000], server.cluster:shards=1;
                     may be repeated; a key without a dot that no scenario has is one of its `load`
  --minutes N        short for --set load.minutes=N
  --only TEXT        only the variants whose name contains TEXT
  --server FILE      the server (coreward beside this program)
  --data DIR         where data folders are made and removed (bench-data beside this program)
  --driver NAME      io_uring (what the server takes by itself) or epoll
  --results DIR      where SCENARIO.md, .json and .svg go (bench/results for a scenario as it is in its file,
                     else bench-results beside this program)
  --keep             keep the data folders
";

#[derive(Debug)]
pub(crate) enum Asked {
    Help,
    List,
    Run(Box<Options>),
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// A name below `bench/scenarios`, or the path of a file.
    pub(crate) scenario: String,
    /// `KEY=VALUE`, in the order given.
    pub(crate) overrides: Vec<(String, String)>,
    pub(crate) is_quick: bool,
    pub(crate) only: Option<String>,
    pub(crate) server: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) driver: Option<String>,
    pub(crate) results: Option<PathBuf>,
    pub(crate) keep: bool,
}

impl Options {
    fn of(scenario: String) -> Self {
        Self {
            scenario,
            overrides: Vec::new(),
            is_quick: false,
            only: None,
            server: beside("coreward"),
            data: beside("bench-data"),
            driver: None,
            results: None,
            keep: false,
        }
    }

    /// Whether `--only` lets this variant run.
    pub(crate) fn wants(&self, variant: &str) -> bool {
        self.only.as_ref().is_none_or(|text| variant.contains(text.as_str()))
    }

    /// Whether the scenario runs whole, as its file says.
    fn is_as_filed(&self) -> bool {
        self.overrides.is_empty() && !self.is_quick && self.only.is_none() && self.driver.is_none()
    }

    /// Results that are kept with the sources come from whole scenarios only.
    pub(crate) fn results_folder(&self) -> PathBuf {
        match &self.results {
            Some(folder) => folder.clone(),
            None if self.is_as_filed() => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/results")),
            None => beside("bench-results"),
        }
    }
}

fn beside(name: &str) -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name(name)
}

pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Asked> {
    use lexopt::prelude::{Long, Short, Value};
    let mut options = match parser.next().map_err(usage)? {
        Some(Value(name)) if name == "list" => return Ok(Asked::List),
        Some(Value(name)) => Options::of(name.to_string_lossy().into_owned()),
        Some(Long("help") | Short('h')) => return Ok(Asked::Help),
        _ => return Err(BenchError::Usage("the first argument is the scenario".to_owned())),
    };
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Long("help") | Short('h') => return Ok(Asked::Help),
            Long("quick") => options.is_quick = true,
            Long("keep") => options.keep = true,
            Long(name) => {
                let name = name.to_owned();
                let value = parser.value().map_err(usage)?.to_string_lossy().into_owned();
                set(&mut options, &name, value)?;
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    Ok(Asked::Run(Box::new(options)))
}

fn set(options: &mut Options, name: &str, value: String) -> Result<()> {
    match name {
        "set" => {
            let (key, value) = value
                .split_once('=')
                .ok_or_else(|| BenchError::Usage(format!("--set takes KEY=VALUE, not {value:?}")))?;
            options.overrides.push((key.to_owned(), value.to_owned()));
        }
        "minutes" => options.overrides.push(("load.minutes".to_owned(), value)),
        "only" => options.only = Some(value),
        "server" => options.server = absolute(&value)?,
        "data" => options.data = absolute(&value)?,
        "results" => options.results = Some(absolute(&value)?),
        "driver" if ["io_uring", "epoll"].contains(&value.as_str()) => options.driver = Some(value),
        "driver" => return Err(BenchError::Usage(format!("the driver is io_uring or epoll, not {value:?}"))),
        _ => return Err(BenchError::Usage(format!("there is no option --{name}"))),
    }
    Ok(())
}

/// The server runs in another folder than the bench.
fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(path).map_err(BenchError::system("find the current folder"))
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
            other => panic!("{other:?} instead of a run"),
        }
    }

    #[test]
    fn a_scenario_alone_runs_as_filed_with_the_server_beside_the_program() {
        let options = parsed(&["events-create"]).unwrap();
        assert_eq!(options.scenario, "events-create");
        assert_eq!(options.server.file_name().unwrap(), "coreward");
        assert!(options.wants("anything"));
        assert!(options.results_folder().ends_with("bench/results"));
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        let arguments =
            ["soak", "--set", "rounds=2", "--set=server.a:b=c=d", "--only", "1 user", "--minutes", "0.5", "--quick"];
        let options = parsed(&arguments).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(options.overrides, [pair("rounds", "2"), pair("server.a:b", "c=d"), pair("load.minutes", "0.5")]);
        assert!(options.is_quick && options.wants("10 points, 1 user") && !options.wants("10 points, 64 users"));
    }

    #[test]
    fn a_changed_scenario_does_not_overwrite_the_results_kept_with_the_sources() {
        for change in [&["--quick"][..], &["--set", "rounds=1"], &["--only", "x"], &["--driver", "epoll"]] {
            let options = parsed(&[&["get"], change].concat()).unwrap();
            assert!(options.results_folder().ends_with("bench-results"), "{change:?}");
        }
        assert!(parsed(&["get", "--results", "/r", "--quick"]).unwrap().results_folder().ends_with("r"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for arguments in [
            &["--quick"][..],
            &["get", "--set", "rounds"],
            &["get", "--driver", "kqueue"],
            &["get", "--unknown", "1"],
            &["get", "stray"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }
}
