//! `coreward import csv`: a recording becomes a series event, in posts of 1,000 points.

use std::io::BufRead;

use serde_json::{Value, json};

use super::{Options, UsageError, http};
use crate::boot::BootError;

const POINTS_PER_POST: usize = 1000;
const TYPE: &str = "count/generic";
const STREAM: &str = "recordings";

pub fn run(words: &[String], options: &Options) -> Result<(), BootError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (["csv", file], Some(endpoint)) = (words.as_slice(), options.get("endpoint")) else {
        return Err(UsageError::Usage(
            "import csv FILE --endpoint URL [--type TYPE] [--stream ID] [--rate HZ] [--column NAME-OR-NUMBER] [--points N]",
        )
        .into());
    };
    let (url, token) =
        http::split_endpoint(endpoint).ok_or("--endpoint must be an apiEndpoint such as http://TOKEN@host/name/")?;
    let recording = read(file, options)?;
    let server = Importer { url, token };
    let event = server.create_holder(options, file)?;
    let size = options.get("points").map_or(Ok(POINTS_PER_POST), str::parse)?.max(1);
    for chunk in recording.chunks(size) {
        server.add(&event, chunk)?;
    }
    println!("event   {event}\npoints  {}", recording.len());
    Ok(())
}

/// Points of one column: `(deltaTime, value)`. With `--rate` the times are counted, else the first column is the time
/// in seconds.
fn read(file: &str, options: &Options) -> Result<Vec<(f64, f64)>, BootError> {
    let rate: Option<f64> = options.get("rate").map(str::parse).transpose()?;
    if rate.is_some_and(|rate| rate.is_nan() || rate <= 0.0) {
        return Err("--rate must be above 0".into());
    }
    let column = options.get("column").unwrap_or(if rate.is_some() { "0" } else { "1" });
    let mut place: Option<usize> = column.parse().ok();
    let mut points = Vec::new();
    let opened = std::fs::File::open(file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    for (number, line) in std::io::BufReader::new(opened).lines().enumerate() {
        let line = line?;
        let cells: Vec<&str> = line.split([',', ';', '\t']).map(|cell| cell.trim().trim_matches('"')).collect();
        let parsed = place.and_then(|place| cells.get(place)).and_then(|cell| cell.parse::<f64>().ok());
        let time = match rate {
            #[allow(clippy::cast_precision_loss, reason = "a line number is far below 2^53")]
            Some(rate) => Some(points.len() as f64 / rate),
            None => cells.first().and_then(|cell| cell.parse().ok()),
        };
        match (time, parsed) {
            (Some(time), Some(value)) => points.push((time, value)),
            // A head line names the columns.
            _ if number == 0 => {
                place = cells.iter().position(|cell| *cell == column).or(place);
            }
            _ if line.trim().is_empty() => {}
            _ => return Err(format!("{file}:{}: not a number in column {column}: {line}", number + 1).into()),
        }
    }
    Ok(points)
}

struct Importer {
    url: String,
    token: String,
}

impl Importer {
    fn post(&self, path: &str, body: &Value, expected: &[u16]) -> Result<Value, BootError> {
        let (status, answer) = http::request("POST", &format!("{}{path}", self.url), Some(&self.token), Some(body))?;
        if expected.contains(&status) {
            return Ok(answer);
        }
        Err(format!("{path}: {}", http::refusal(status, &answer)).into())
    }

    /// The event that holds the series, in a stream that is made if need be.
    fn create_holder(&self, options: &Options, file: &str) -> Result<String, BootError> {
        let stream = options.get("stream").unwrap_or(STREAM);
        let name = options.get("name").unwrap_or(stream);
        self.post("streams", &json!({ "id": stream, "name": name }), &[201, 409])?;
        let kind = format!("series:{}", options.get("type").unwrap_or(TYPE));
        let event = json!({ "streamIds": [stream], "type": kind, "description": format!("imported from {file}") });
        let created = self.post("events", &event, &[201])?;
        let id = created.pointer("/event/id").and_then(Value::as_str);
        Ok(id.ok_or("the server created an event without an id")?.to_owned())
    }

    fn add(&self, event: &str, points: &[(f64, f64)]) -> Result<(), BootError> {
        let rows: Vec<Value> = points.iter().map(|(time, value)| json!([time, value])).collect();
        let body = json!({ "format": "flatJSON", "fields": ["deltaTime", "value"], "points": rows });
        self.post(&format!("events/{event}/series"), &body, &[200]).map(drop)
    }
}
