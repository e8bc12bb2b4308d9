//! `series.retention` from outside: what readers see of old points, what the audit and the dry run say of them, and that
//! their space becomes free. Events in the past stand for the time that would have to pass.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::series::{Answer, Series, bytes_of, files_below, found_on_disk, wait_until};
use crate::account::Account;
use crate::error::Result;
use crate::report::Report;
use crate::server::{Server, Setup};
use crate::tools;

const SETTINGS: &[(&str, &str)] = &[
    ("cluster:shards", "2"),
    ("storages:engines:sqlite:slots", "2"),
    ("series:ring:flushAfterS", "1"),
    ("series:retentionEveryS", "1"),
];
const USERNAME: &str = "diarist";
/// How far back the series begin, how old points may become, and the age of the young ones.
const AGE_DAYS: u32 = 60;
const KEEP_DAYS: u32 = 30;
const YOUNG_DAYS: u32 = 1;
const DAY_S: u32 = 86_400;
const BUCKET_S: u32 = 60;
const BUCKETS: u32 = 100;
/// One a second from the beginning of the series.
const OLD_POINTS: u32 = BUCKETS * BUCKET_S;
const OLD_TEXT: &str = "[an old note]";
const YOUNG_TEXT: &str = "[a young note]";
/// What a run makes of it: of one series buckets, of the other's only point nothing.
const SERIES_REDUCED: u32 = 2;
const POINTS_BEFORE: u32 = OLD_POINTS + 1;
const POINTS_AFTER: u32 = BUCKETS;

pub(super) fn run(setup: Setup, report: &mut Report) -> Result<Server> {
    let setup = SETTINGS.iter().fold(setup, |setup, (key, value)| setup.setting(key, value));
    let server = Server::start(&setup)?;
    let diary = Diary::written(&server)?;
    report.check("retention: SIGTERM ends the server with 0", server.stop()?.success(), "another exit status");
    let setup = setup.setting("series:retention", &rules().to_string());
    check_dry_run(&setup, report)?;
    let data = setup.folder.join("data");
    let bytes_before = bytes_of_series(&data)?;
    let server = Server::start(&setup)?;
    diary.check_reduced(report)?;
    diary.check_audit(report)?;
    check_space(&data, bytes_before, report)?;
    diary.check_late_point(report)?;
    Ok(server)
}

/// By a stream above the series', and by type.
fn rules() -> Value {
    json!([
        { "streams": ["body"], "keepDays": KEEP_DAYS, "then": "buckets", "bucketSeconds": BUCKET_S },
        { "types": ["series:note/*"], "keepDays": KEEP_DAYS, "then": "nothing" },
    ])
}

/// The command for a stopped server: says what the next run would do, and does nothing.
fn check_dry_run(setup: &Setup, report: &mut Report) -> Result<()> {
    let data = setup.folder.join("data");
    let before = content_of_series(&data)?;
    let mut command = Command::new(&setup.binary);
    command.current_dir(&setup.folder).args(["series", "retention"]);
    command.args(setup.settings.iter().map(|(key, value)| format!("--{key}={value}")));
    let output = tools::output(&mut command)?;
    let counts = format!("{SERIES_REDUCED} series, {POINTS_BEFORE} points -> {POINTS_AFTER}");
    let is_told = output == format!("{USERNAME}  {counts}\ntotal  {counts}\n");
    report.check("retention: a dry run counts what a run would do", is_told, &output);
    let is_same = content_of_series(&data)? == before;
    report.check("retention: a dry run changes nothing", is_same, "files of the series or the log differ");
    Ok(())
}

fn check_space(data: &Path, bytes_before: usize, report: &mut Report) -> Result<()> {
    let wrong = wait_until(|| {
        let bytes = bytes_of_series(data)?;
        Ok((bytes >= bytes_before / 2).then(|| format!("{bytes} bytes of {bytes_before}")))
    })?;
    report.check("retention: the space becomes free", wrong.is_none(), wrong.as_deref().unwrap_or_default());
    let found = found_on_disk(data, &[OLD_TEXT.to_owned(), YOUNG_TEXT.to_owned()])?;
    let is_right = !found.is_empty() && found.iter().all(|(text, _)| text == YOUNG_TEXT);
    report.check("retention: of removed points nothing is on the disk", is_right, &format!("{found:?}"));
    Ok(())
}

fn content_of_series(data: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for folder in ["series", "log"] {
        for path in files_below(&data.join(folder))? {
            files.push((tools::relative(&path), bytes_of(&path)?));
        }
    }
    Ok(files)
}

fn bytes_of_series(data: &Path) -> Result<usize> {
    let mut bytes = 0;
    for path in files_below(&data.join("series"))? {
        bytes += bytes_of(&path)?.len();
    }
    Ok(bytes)
}

/// Three series with old and young points, and a rule for two of them.
struct Diary {
    account: Account,
    /// Below `body`, by a stream in between.
    pulse: Series,
    notes: Series,
    /// As `pulse`, elsewhere.
    unruled: Series,
}

impl Diary {
    fn written(server: &Server) -> Result<Self> {
        let account = Account::register(server.address(), USERNAME)?;
        for (stream, parent) in [("body", None), ("heart", Some("body")), ("pulse", Some("heart")), ("desk", None)] {
            let body = json!({ "id": stream, "name": stream, "parentId": parent });
            account.call("POST", "/streams", Some(&body))?;
        }
        let begin = now() - f64::from(AGE_DAYS * DAY_S);
        let diary = Self {
            pulse: Series::create(&account, "pulse", "series:frequency/bpm", begin)?,
            notes: Series::create(&account, "desk", "series:note/txt", begin)?,
            unruled: Series::create(&account, "desk", "series:frequency/bpm", begin)?,
            account,
        };
        let old: Vec<_> = (0..OLD_POINTS).map(|index| (f64::from(index), value(index).into())).collect();
        diary.pulse.post(&old)?;
        diary.pulse.post(&young_numbers())?;
        diary.notes.post(&[(0.0, OLD_TEXT.into()), (young_s(0), YOUNG_TEXT.into())])?;
        diary.unruled.post(&[(0.0, 1.into()), (1.0, 2.into())])?;
        Ok(diary)
    }

    fn check_reduced(&self, report: &mut Report) -> Result<()> {
        let mut expected: Vec<Value> = (0..BUCKETS).map(|bucket| Bucket::of_old_points(bucket).row()).collect();
        expected.extend(young_numbers().iter().map(|(time, value)| json!([time, value, null, null, null])));
        let wrong = wait_until(|| Ok(differences(&self.pulse.read()?, &expected)))?;
        report.check(
            "retention: old points are read as buckets, young ones as they were",
            wrong.is_none(),
            &text(wrong),
        );
        let wrong = wait_until(|| {
            let notes = self.notes.read()?;
            Ok((notes.texts() != [YOUNG_TEXT]).then(|| notes.0.to_string()))
        })?;
        report.check(
            "retention: of old points nothing is read, young ones as they were",
            wrong.is_none(),
            &text(wrong),
        );
        let unruled = self.unruled.read()?;
        let is_whole = unruled.points() == [json!([0, 1]), json!([1, 2])];
        report.check("retention: a series that no rule matches is whole", is_whole, &unruled.0.to_string());
        Ok(())
    }

    fn check_audit(&self, report: &mut Report) -> Result<()> {
        let path = "/events?streams=:_audit:action-series.retention";
        let wrong = wait_until(|| {
            let answer = self.account.call("GET", path, None)?;
            let counts = ["series", "pointsBefore", "pointsAfter"]
                .map(|name| answer.pointer(&format!("/events/0/content/{name}")).and_then(Value::as_u64));
            let expected = [SERIES_REDUCED, POINTS_BEFORE, POINTS_AFTER].map(|count| Some(u64::from(count)));
            let is_only_one = answer.get("events").and_then(Value::as_array).is_some_and(|events| events.len() == 1);
            Ok((counts != expected || !is_only_one).then(|| answer.to_string()))
        })?;
        report.check("retention: the user's audit tells what became of the points", wrong.is_none(), &text(wrong));
        Ok(())
    }

    fn check_late_point(&self, report: &mut Report) -> Result<()> {
        let late = 1_000.0;
        self.pulse.post(&[(0.5, late.into())])?;
        let mut first = Bucket::of_old_points(0);
        first.add(late);
        let expected = [first.row(), Bucket::of_old_points(1).row()];
        let wrong = wait_until(|| {
            let mut answer = self.pulse.read()?;
            if let Some(points) = answer.0.get_mut("points").and_then(Value::as_array_mut) {
                points.truncate(expected.len());
            }
            Ok(differences(&answer, &expected))
        })?;
        report.check("retention: a late point joins its bucket with the next run", wrong.is_none(), &text(wrong));
        Ok(())
    }
}

/// What stays of a minute.
struct Bucket {
    start_s: u32,
    values: Vec<f64>,
}

impl Bucket {
    fn of_old_points(index: u32) -> Self {
        let start_s = index * BUCKET_S;
        Self { start_s, values: (start_s..start_s + BUCKET_S).map(value).collect() }
    }

    fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    fn row(&self) -> Value {
        let (mut sum, mut count) = (0.0, 0_u32);
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in &self.values {
            (sum, count, min, max) = (sum + value, count + 1, min.min(*value), max.max(*value));
        }
        json!([self.start_s, sum / f64::from(count), min, max, count])
    }
}

/// The first difference; numbers may differ by the rounding of sums.
fn differences(answer: &Answer, expected: &[Value]) -> Option<String> {
    let fields = answer.fields();
    if fields != ["deltaTime", "value", "value.min", "value.max", "value.count"] {
        return Some(format!("the columns are {fields:?}"));
    }
    let points = answer.points();
    if points.len() != expected.len() {
        return Some(format!("{} points instead of {}", points.len(), expected.len()));
    }
    let mut pairs = points.iter().zip(expected);
    pairs.find(|(point, expected)| !is_same_row(point, expected)).map(|(point, row)| format!("{point} is not {row}"))
}

fn is_same_row(row: &Value, expected: &Value) -> bool {
    let is_same = |(cell, expected): (&Value, &Value)| match (cell.as_f64(), expected.as_f64()) {
        (Some(cell), Some(expected)) => (cell - expected).abs() <= 1e-9 * expected.abs(),
        _ => cell == expected,
    };
    match (row.as_array(), expected.as_array()) {
        (Some(row), Some(expected)) => row.len() == expected.len() && row.iter().zip(expected).all(is_same),
        _ => false,
    }
}

/// Without a pattern, so that it takes its space.
fn value(index: u32) -> f64 {
    60.0 + 100.0 * (f64::from(index) * 0.618_033_988_749_895).fract()
}

fn young_numbers() -> [(f64, Value); 3] {
    [0, 1, 2].map(|index| (young_s(index), value(index).into()))
}

/// Since the beginning of the series.
fn young_s(index: u32) -> f64 {
    f64::from((AGE_DAYS - YOUNG_DAYS) * DAY_S + index)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn text(wrong: Option<String>) -> String {
    wrong.unwrap_or_default()
}
