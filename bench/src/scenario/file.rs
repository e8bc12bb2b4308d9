//! A scenario as a file (`bench/scenarios/NAME.yaml`): what it is about, how often and how long it measures, its goals and
//! pictures, and a `load` whose shape is the business of its `kind`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_norway::{Mapping, Value};

use super::Kind;
use crate::args::Options;
use crate::error::{BenchError, Result};
use crate::report::Goal;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
const ENDING: &str = "yaml";
const QUICK_KEY: &str = "quick";
const LOAD_KEY: &str = "load";

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) common: Common,
    pub(crate) kind: Kind,
}

/// What every scenario says.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Common {
    /// One line for `bench list` and the head of the results.
    pub(crate) about: String,
    /// Variants alternate within a round.
    #[serde(default = "one")]
    pub(crate) rounds: usize,
    /// Length of a measured window.
    #[serde(default)]
    pub(crate) seconds: f64,
    /// Keep-alive connections, one request in flight on each.
    #[serde(default = "one")]
    pub(crate) connections: usize,
    /// Configuration of the server, such as `cluster:shards: 1`.
    #[serde(default)]
    pub(crate) server: BTreeMap<String, Scalar>,
    #[serde(default)]
    pub(crate) goals: Vec<Goal>,
    /// Figures that get a picture with a bar for each variant.
    #[serde(default)]
    pub(crate) bars: Vec<String>,
    /// Pictures over time, each of the figures that share its axis.
    #[serde(default)]
    pub(crate) lines: Vec<Vec<String>>,
}

impl Common {
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// A value as the server's command line takes it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Flag(bool),
    Whole(u64),
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(out),
            Self::Whole(number) => number.fmt(out),
            Self::Text(text) => text.fmt(out),
        }
    }
}

fn one() -> usize {
    1
}

/// All scenarios of the folder, by name.
pub(super) fn all() -> Result<Vec<Scenario>> {
    let entries = std::fs::read_dir(FOLDER).map_err(BenchError::system(&format!("read {FOLDER}")))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
    paths.sort();
    paths.iter().map(|path| parse(&name_of(path), &read(path)?, &[], false)).collect()
}

pub(super) fn load(options: &Options) -> Result<Scenario> {
    let path = if options.scenario.contains('/') {
        PathBuf::from(&options.scenario)
    } else {
        Path::new(FOLDER).join(&options.scenario).with_extension(ENDING)
    };
    if !path.is_file() {
        let text = format!("there is no scenario {:?}: `bench list` shows them", options.scenario);
        return Err(BenchError::Usage(text));
    }
    parse(&name_of(&path), &read(&path)?, &options.overrides, options.is_quick)
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(BenchError::system(&format!("read {}", path.display())))
}

fn parse(name: &str, text: &str, overrides: &[(String, String)], is_quick: bool) -> Result<Scenario> {
    let wrong = |error: serde_norway::Error| BenchError::Scenario { name: name.to_owned(), text: error.to_string() };
    let mut file: Mapping = serde_norway::from_str(text).map_err(wrong)?;
    let quick: Mapping = match file.remove(QUICK_KEY) {
        Some(quick) => serde_norway::from_value(quick).map_err(wrong)?,
        None => Mapping::new(),
    };
    if is_quick {
        for (key, value) in quick {
            put(&mut file, key.as_str().unwrap_or_default(), value)?;
        }
    }
    for (key, value) in overrides {
        put(&mut file, key, serde_norway::from_str(value).map_err(wrong)?)?;
    }
    let mut kind = Mapping::new();
    for key in ["kind", LOAD_KEY] {
        kind.extend(file.remove(key).map(|value| (Value::from(key), value)));
    }
    let scenario = Scenario {
        name: name.to_owned(),
        common: serde_norway::from_value(Value::Mapping(file)).map_err(wrong)?,
        kind: serde_norway::from_value(Value::Mapping(kind)).map_err(wrong)?,
    };
    check(&scenario)?;
    Ok(scenario)
}

/// Sets `a.b` in the mapping `a`; a key of its own that the file does not have belongs to the load.
fn put(file: &mut Mapping, key: &str, value: Value) -> Result<()> {
    let known = |key: &str| file.contains_key(key) || ["rounds", "seconds", "connections"].contains(&key);
    let (outer, inner) = match key.split_once('.') {
        Some(parts) => parts,
        None if known(key) => {
            file.insert(Value::from(key), value);
            return Ok(());
        }
        None => (LOAD_KEY, key),
    };
    let place = file.entry(Value::from(outer)).or_insert_with(|| Value::Mapping(Mapping::new()));
    let Some(place) = place.as_mapping_mut() else {
        return Err(BenchError::Usage(format!("{outer:?} of {key:?} has no parts")));
    };
    place.insert(Value::from(inner), value);
    Ok(())
}

fn check(scenario: &Scenario) -> Result<()> {
    let Common { rounds, connections, seconds, goals, .. } = &scenario.common;
    let wrong = |text: &str| Err(BenchError::Scenario { name: scenario.name.clone(), text: text.to_owned() });
    if *rounds == 0 || *connections == 0 {
        return wrong("rounds and connections must be above 0");
    }
    if Duration::try_from_secs_f64(*seconds).is_err() {
        return wrong("seconds must not be below 0");
    }
    if goals.iter().any(|goal| !goal.has_one_bound()) {
        return wrong("each goal needs one of at_least and at_most");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
kind: get
about: test
rounds: 5
seconds: 3
server: {'cluster:shards': 1, 'http:trustProxy': false}
goals: [{variants: health, figure: req/cpu-s, at_least: 50000}]
quick: {rounds: 1, load.events: [10]}
load: {events: [10000]}
";

    fn parsed(overrides: &[(&str, &str)], is_quick: bool) -> Result<Scenario> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        parse("test", TEXT, &overrides.iter().map(pair).collect::<Vec<_>>(), is_quick)
    }

    #[test]
    fn every_scenario_of_the_folder_can_be_read_also_when_it_is_quick() {
        let all = all().unwrap();
        assert!(all.len() >= 11, "{}", all.len());
        for scenario in all {
            assert!(!scenario.common.about.is_empty(), "{}", scenario.name);
            let text = read(&Path::new(FOLDER).join(&scenario.name).with_extension(ENDING)).unwrap();
            parse(&scenario.name, &text, &[], true).unwrap();
        }
    }

    #[test]
    fn quick_and_overrides_change_values_and_overrides_win() {
        let as_filed = parsed(&[], false).unwrap();
        assert_eq!((as_filed.common.rounds, as_filed.common.window()), (5, Duration::from_secs(3)));
        assert_eq!(parsed(&[], true).unwrap().common.rounds, 1);
        let changed = parsed(&[("rounds", "2"), ("events", "[7]"), ("server.cluster:shards", "2")], true).unwrap();
        assert_eq!(changed.common.rounds, 2);
        assert_eq!(changed.common.server["cluster:shards"].to_string(), "2");
        let Kind::Get(load) = changed.kind else { panic!("another kind") };
        assert_eq!(load.events, [7]);
    }

    #[test]
    fn what_no_scenario_can_mean_is_refused() {
        for (key, value) in [
            ("nothing", "1"),
            ("rounds", "0"),
            ("rounds", "x"),
            ("seconds", "-1"),
            ("about.x", "1"),
            ("goals", "[{figure: x}]"),
        ] {
            assert!(parsed(&[(key, value)], false).is_err(), "{key}={value}");
        }
    }
}
