//! Real input: the heart-rate recordings shipped in the PyPI package heartpy (three formats, 86,000 samples, irregular
//! clocks) are posted as `series:` events, 1,000 points a post, read back, and compared point by point.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::account::Account;
use crate::error::{CiError, Result};
use crate::report::Report;
use crate::server::{Server, Setup, Workspace};
use crate::tools;

const PACKAGE: &str = "heartpy==1.2.7";
const POINTS_PER_POST: usize = 1_000;
/// The clock of `data.csv`, which has no time column, as heartpy's documentation gives it.
const UNTIMED_HZ: f64 = 100.0;
const SERIES_TYPE: &str = "series:count/generic";
/// Half of what tells two samples of the fastest recording apart is milliseconds; doubles near 1.5e9 s hold 0.24 us.
const TIME_TOLERANCE_S: f64 = 1e-6;

/// A recording: what is sent as time, and what must be read back.
struct Recording {
    name: &'static str,
    /// `deltaTime` (from the start) or `timestamp` (since the epoch).
    time_column: &'static str,
    /// The time of the holder event.
    start: f64,
    samples: Vec<(f64, f64)>,
}

pub(crate) fn run(binary: &Path, report: &mut Report) -> Result<()> {
    let folder = fetch()?;
    let mut workspace = Workspace::new("heartpy-")?;
    let server = Server::start(&Setup::new(binary, &workspace.path().join("server"))?)?;
    let account = Account::register(server.address(), "heart")?;
    account.create_stream("heart")?;
    let failed_before = report.failed();
    for recording in [untimed(&folder)?, milliseconds(&folder)?, dated(&folder)?] {
        let name = format!("{}: {} points", recording.name, recording.samples.len());
        match import_and_compare(&account, &recording)? {
            None => report.pass(&format!("{name} read back as they were posted")),
            Some(difference) => report.fail(&name, &difference),
        }
    }
    let by_command = import_by_command(binary, &account, &folder)?;
    report.check(
        "`coreward import csv` does the same",
        by_command.is_none(),
        by_command.as_deref().unwrap_or_default(),
    );
    if report.failed() > failed_before {
        workspace.keep();
    }
    Ok(())
}

/// Installs the package without its dependencies into an environment below `target/`, once.
fn fetch() -> Result<PathBuf> {
    let environment = tools::target_folder().join("ci-heartpy");
    if let Some(folder) = data_folder(&environment) {
        return Ok(folder);
    }
    tools::need("python3", "python3")?;
    let make = || tools::run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    if make().is_err() {
        tools::run(Command::new("apt-get").args(["install", "-qq", "-y", "python3-venv"]))?;
        make()?;
    }
    let mut pip = Command::new(environment.join("bin/pip"));
    tools::run(pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", PACKAGE]))?;
    data_folder(&environment).ok_or_else(|| CiError::format(&environment, "heartpy brought no data folder"))
}

fn data_folder(environment: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(environment.join("lib")).ok()?;
    let mut folders = versions.flatten().map(|version| version.path().join("site-packages/heartpy/data"));
    folders.find(|folder| folder.join("data3.csv").is_file())
}

fn untimed(folder: &Path) -> Result<Recording> {
    let samples = rows(&folder.join("data.csv"), |index, line| Some((index as f64 / UNTIMED_HZ, line.parse().ok()?)))?;
    Ok(Recording { name: "data.csv", time_column: "deltaTime", start: 1_500_000_000.0, samples })
}

fn milliseconds(folder: &Path) -> Result<Recording> {
    let samples = rows(&folder.join("data2.csv"), |_, line| {
        let (time, value) = line.split_once(',')?;
        Some((time.parse::<f64>().ok()? / 1_000.0, value.parse().ok()?))
    })?;
    Ok(Recording { name: "data2.csv", time_column: "deltaTime", start: 1_500_000_000.0, samples })
}

fn dated(folder: &Path) -> Result<Recording> {
    let samples = rows(&folder.join("data3.csv"), |_, line| {
        let (date, value) = line.split_once(',')?;
        Some((seconds_since_epoch(date)?, value.parse().ok()?))
    })?;
    let start = samples.first().map_or(0.0, |(time, _)| *time);
    Ok(Recording { name: "data3.csv", time_column: "timestamp", start, samples })
}

/// The rows of a file; a first line that is no sample is its heading.
fn rows(path: &Path, parse: impl Fn(usize, &str) -> Option<(f64, f64)>) -> Result<Vec<(f64, f64)>> {
    let text = tools::read_text(path)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_some_and(|line| parse(0, line).is_none()) {
        lines.next();
    }
    let parsed = lines.enumerate().map(|(index, line)| parse(index, line).ok_or_else(|| CiError::format(path, line)));
    parsed.collect()
}

/// `2016-11-24 13:58:58.081000`, taken as UTC.
fn seconds_since_epoch(date: &str) -> Option<f64> {
    let (day, time) = date.split_once(' ')?;
    let mut day = day.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (day.next()??, day.next()??, day.next()??);
    let mut time = time.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (time.next()??, time.next()??, time.next()??);
    // Days from the civil calendar, years beginning in March (H. Hinnant).
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days as f64 * 86_400.0 + hours * 3_600.0 + minutes * 60.0 + seconds)
}

fn import_and_compare(account: &Account, recording: &Recording) -> Result<Option<String>> {
    let event = account.create_series("heart", SERIES_TYPE, recording.start)?;
    let path = format!("/events/{event}/series");
    for samples in recording.samples.chunks(POINTS_PER_POST) {
        let points: Vec<_> = samples.iter().map(|(time, value)| json!([time, value])).collect();
        let fields = [recording.time_column, "value"];
        let body = json!({ "format": "flatJSON", "fields": fields, "points": points });
        account.call("POST", &path, Some(&body))?;
    }
    let answer = account.call("GET", &path, None)?;
    Ok(difference(
        &recording.expected(),
        answer.pointer("/points").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default(),
    ))
}

/// The same through the command that people use; the first difference, or what it complained about.
fn import_by_command(binary: &Path, account: &Account, folder: &Path) -> Result<Option<String>> {
    let recording = untimed(folder)?;
    let endpoint = format!("http://{}@{}/{}/", account.token, account.address, account.username);
    let mut command = Command::new(binary);
    command.args(["import", "csv"]).arg(folder.join(recording.name));
    let output = tools::output(command.args(["--endpoint", &endpoint, "--rate", &UNTIMED_HZ.to_string()]))?;
    let event = output.lines().find_map(|line| line.strip_prefix("event")).map(str::trim);
    let Some(event) = event else { return Ok(Some(format!("no event in its output: {output}"))) };
    let answer = account.call("GET", &format!("/events/{event}/series"), None)?;
    let points = answer.pointer("/points").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(difference(&recording.expected(), points))
}

impl Recording {
    /// Sorted by time from the start; of two samples at one time the later one counts.
    fn expected(&self) -> Vec<(f64, f64)> {
        let offset = if self.time_column == "timestamp" { self.start } else { 0.0 };
        let mut by_time = BTreeMap::new();
        for (time, value) in &self.samples {
            let time = time - offset;
            // Times are not negative here, so that their bits sort as they do.
            by_time.insert(time.to_bits(), (time, *value));
        }
        by_time.into_values().collect()
    }
}

/// The first difference, for a person.
fn difference(expected: &[(f64, f64)], found: &[Value]) -> Option<String> {
    if expected.len() != found.len() {
        return Some(format!("{} points expected, {} found", expected.len(), found.len()));
    }
    expected.iter().zip(found).enumerate().find_map(|(index, ((time, value), point))| {
        let number = |at: usize| point.get(at).and_then(Value::as_f64);
        let is_same =
            number(0).is_some_and(|found| (found - time).abs() <= TIME_TOLERANCE_S) && number(1) == Some(*value);
        (!is_same).then(|| format!("point {index}: [{time}, {value}] expected, {point} found"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        assert_eq!(seconds_since_epoch("1970-01-01 00:00:00"), Some(0.0));
        assert_eq!(seconds_since_epoch("2016-11-24 13:58:58.081000"), Some(1_479_995_938.081));
        assert_eq!(seconds_since_epoch("2000-02-29 00:00:01"), Some(951_782_401.0));
        assert_eq!(seconds_since_epoch("datetime"), None);
    }

    #[test]
    fn a_difference_is_found_and_equality_is_not_one() {
        let expected = [(0.0, 1.0), (0.5, 2.0)];
        assert_eq!(difference(&expected, &[json!([0, 1]), json!([0.5, 2.0])]), None);
        assert!(difference(&expected, &[json!([0, 1])]).is_some());
        assert!(difference(&expected, &[json!([0, 1]), json!([0.5, 2.5])]).is_some());
        assert!(difference(&expected, &[json!([0, 1]), json!([0.6, 2.0])]).is_some());
    }

    #[test]
    fn the_later_of_two_samples_at_one_time_is_expected() {
        let samples = vec![(10.0, 1.0), (11.0, 2.0), (10.0, 3.0)];
        let recording = Recording { name: "x", time_column: "timestamp", start: 10.0, samples };
        assert_eq!(recording.expected(), [(0.0, 3.0), (1.0, 2.0)]);
    }
}
