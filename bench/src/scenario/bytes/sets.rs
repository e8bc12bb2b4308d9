//! What is weighed: recordings of hearts (PyPI `heartpy`), and made-up series of known nature.

use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::accounts::{MASS, TRACK};
use crate::error::{BenchError, Result};
use crate::scenario::mixed;

const PACKAGE: &str = "heartpy==1.2.7";
/// The clock of `data.csv`, which has no time column, as heartpy's documentation gives it.
const UNTIMED_HZ: f64 = 100.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// `data.csv` of heartpy: whole numbers at 100 Hz.
    HeartRegular,
    /// `data2.csv`: whole numbers on a clock in milliseconds that jitters.
    HeartMilliseconds,
    /// `data3.csv`: whole numbers with dates in microseconds.
    HeartDated,
    /// 0, 1, 2 ... at 1 Hz.
    Counter,
    /// A sensor at 1 Hz: two decimals within a band of five.
    Noise,
    /// Doubles between 0 and 1 with all their bits, at 1 Hz.
    Random,
    /// Positions of a walk at 1 Hz: latitude and longitude with seven decimals, altitude with one, speed with two.
    Track,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HeartRegular => "heartpy data.csv",
            Self::HeartMilliseconds => "heartpy data2.csv",
            Self::HeartDated => "heartpy data3.csv",
            Self::Counter => "counter",
            Self::Noise => "sensor noise",
            Self::Random => "random doubles",
            Self::Track => "wgs84 track",
        }
    }
}

pub(super) struct Set {
    kind: Kind,
    /// Of a recording: seconds from its start, and the value as it is in the file.
    samples: Vec<(f64, String)>,
}

impl Set {
    /// `folder` keeps what had to be fetched.
    pub(super) fn new(kind: Kind, folder: &Path) -> Result<Self> {
        let read = |name: &str, parse: fn(usize, &str) -> Option<(f64, &str)>| -> Result<Vec<(f64, String)>> {
            let path = fetch(folder)?.join(name);
            let act = format!("read {}", path.display());
            samples(&std::fs::read_to_string(path).map_err(BenchError::system(&act))?, parse)
        };
        let samples = match kind {
            Kind::HeartRegular => read("data.csv", |index, line| Some((index as f64 / UNTIMED_HZ, line)))?,
            Kind::HeartMilliseconds => read("data2.csv", |_, line| {
                let (time, value) = line.split_once(',')?;
                Some((time.parse::<f64>().ok()? / 1_000.0, value))
            })?,
            Kind::HeartDated => read("data3.csv", |_, line| {
                let (date, value) = line.split_once(',')?;
                Some((second_of_day(date)?, value))
            })?,
            _ => Vec::new(),
        };
        Ok(Self { kind, samples })
    }

    pub(super) fn series_type(&self) -> &'static str {
        if self.kind == Kind::Track { TRACK } else { MASS }
    }

    pub(super) fn columns(&self) -> &'static [&'static str] {
        if self.kind == Kind::Track { &["latitude", "longitude", "altitude", "speed"] } else { &["value"] }
    }

    pub(super) fn body(&self, range: Range<usize>) -> String {
        let mut body = r#"{"format":"flatJSON","fields":["deltaTime""#.to_owned();
        for column in self.columns() {
            let _ = write!(body, ",\"{column}\"");
        }
        body.push_str("],\"points\":[");
        for index in range.clone() {
            if index > range.start {
                body.push(',');
            }
            self.row(index, &mut body);
        }
        body.push_str("]}");
        body
    }

    fn row(&self, index: usize, out: &mut String) {
        let hash = || mixed(u64::try_from(index).unwrap_or_default());
        let _ = match self.kind {
            Kind::HeartRegular | Kind::HeartMilliseconds | Kind::HeartDated => self.recorded_row(index, out),
            Kind::Counter => write!(out, "[{index},{index}]"),
            Kind::Noise => write!(out, "[{index},{}.{:02}]", 70 + hash() % 500 / 100, hash() % 100),
            // The upper 53 bits are a double's fraction.
            Kind::Random => write!(out, "[{index},{}]", (hash() >> 11) as f64 / (1_u64 << 53) as f64),
            Kind::Track => track_row(index, out),
        };
    }

    /// A recording that is over begins again, a typical step behind its end.
    fn recorded_row(&self, index: usize, out: &mut String) -> std::fmt::Result {
        let count = self.samples.len().max(1);
        let (first, last) =
            (self.samples.first().map_or(0.0, |one| one.0), self.samples.last().map_or(0.0, |one| one.0));
        let turn_s = (last - first) * (1.0 + 1.0 / count as f64);
        let Some((time, value)) = self.samples.get(index % count) else { return Ok(()) };
        let time = format!("{:.6}", time - first + turn_s * (index / count) as f64);
        write!(out, "[{},{value}]", time.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Somebody who walks in wide turns, with the jitter of a receiver.
fn track_row(index: usize, out: &mut String) -> std::fmt::Result {
    let jitter = |column: u64| mixed(u64::try_from(index).unwrap_or_default() << 8 | column) % 100;
    let angle = index as f64 / 300.0;
    let latitude = 46.52 + 0.004 * angle.sin() + jitter(0) as f64 * 1e-7;
    let longitude = 6.63 + 0.006 * (angle * 0.7).cos() + jitter(1) as f64 * 1e-7;
    let altitude = 495.0 + 20.0 * (angle * 0.3).sin() + jitter(2) as f64 / 100.0;
    let speed = 1.4 + jitter(3) as f64 / 200.0;
    write!(out, "[{index},{latitude:.7},{longitude:.7},{altitude:.1},{speed:.2}]")
}

/// The rows of a file with their times; a first line that is no sample is its heading. Times must ascend.
fn samples(text: &str, parse: fn(usize, &str) -> Option<(f64, &str)>) -> Result<Vec<(f64, String)>> {
    let is_sample = |line: &&str| parse(0, line).is_some_and(|(_, value)| value.parse::<f64>().is_ok());
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut samples: Vec<(f64, String)> = Vec::new();
    for line in lines.filter(is_sample) {
        let Some((time, value)) = parse(samples.len(), line) else { continue };
        // Two samples with one time would be one point.
        if samples.last().is_none_or(|(last, _)| time > *last) {
            samples.push((time, value.to_owned()));
        }
    }
    if samples.is_empty() {
        return Err(BenchError::Unexpected {
            request: "reading a recording".to_owned(),
            text: "no samples".to_owned(),
        });
    }
    Ok(samples)
}

/// `2016-11-24 13:58:58.081000`: the recording is within a day.
fn second_of_day(date: &str) -> Option<f64> {
    let mut parts = date.split_once(' ')?.1.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(hours * 3_600.0 + minutes * 60.0 + seconds)
}

/// Installs the package without its dependencies into an environment below `folder`, once.
fn fetch(folder: &Path) -> Result<PathBuf> {
    let environment = folder.join("heartpy");
    if let Some(data) = data_folder(&environment) {
        return Ok(data);
    }
    let ran = |command: &mut Command| -> Result<()> {
        let act = format!("run {command:?}");
        let output = command.output().map_err(BenchError::system(&act))?;
        if output.status.success() {
            return Ok(());
        }
        Err(BenchError::Unexpected { request: act, text: String::from_utf8_lossy(&output.stderr).into_owned() })
    };
    ran(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let mut pip = Command::new(environment.join("bin/pip"));
    ran(pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", PACKAGE]))?;
    let missing =
        || BenchError::Unexpected { request: format!("installing {PACKAGE}"), text: "no data folder".to_owned() };
    data_folder(&environment).ok_or_else(missing)
}

fn data_folder(environment: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(environment.join("lib")).ok()?;
    let mut folders = versions.flatten().map(|version| version.path().join("site-packages/heartpy/data"));
    folders.find(|folder| folder.join("data3.csv").is_file())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn times(set: &Set, range: Range<usize>) -> Vec<f64> {
        let body: Value = serde_json::from_str(&set.body(range)).unwrap();
        let columns = set.columns().len();
        let rows = body["points"].as_array().unwrap();
        assert!(rows.iter().all(|row| row.as_array().unwrap().len() == columns + 1));
        rows.iter().map(|row| row[0].as_f64().unwrap()).collect()
    }

    #[test]
    fn times_of_every_made_up_set_ascend() {
        for kind in [Kind::Counter, Kind::Noise, Kind::Random, Kind::Track] {
            let set = Set { kind, samples: Vec::new() };
            let times = times(&set, 5..1_000);
            assert!(times.len() == 995 && times.is_sorted_by(|one, next| one < next), "{kind:?}");
        }
    }

    #[test]
    fn a_recording_begins_again_behind_its_end() {
        let text = "timer,hr\n100,512\n108,513\n108,514\n117,515\n";
        let parse: fn(usize, &str) -> Option<(f64, &str)> = |_, line| {
            let (time, value) = line.split_once(',')?;
            Some((time.parse::<f64>().ok()? / 1_000.0, value))
        };
        let set = Set { kind: Kind::HeartMilliseconds, samples: samples(text, parse).unwrap() };
        assert_eq!(set.samples.len(), 3);
        let times = times(&set, 0..9);
        assert!(times[0] == 0.0 && times.is_sorted_by(|one, next| one < next), "{times:?}");
        assert!(samples("no samples at all", parse).is_err());
    }

    #[test]
    fn the_second_of_a_day_is_in_a_date() {
        assert_eq!(second_of_day("2016-11-24 13:58:58.5"), Some(50_338.5));
        assert_eq!(second_of_day("datetime"), None);
    }
}
