//! One thread of the long run with series of its own, so that it always knows what they hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::model::{Model, Post};
use super::{Plan, WRONG_SHOWN_MAX};
use crate::accounts::{self, Account, Series};
use crate::client::{Client, request};
use crate::error::Result;
use crate::sample::Counters;
use crate::scenario::mixed;
use crate::stats::Latencies;

/// A request that goes out this much after it was due is counted as late.
const LATE_START: Duration = Duration::from_millis(100);
/// Statuses of "nothing was done, try again later" (docs/limits.md).
const REFUSALS: [u16; 2] = [503, 507];
const RETRY_AFTER: Duration = Duration::from_secs(1);
const TRIES_MAX: usize = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Act {
    Append,
    Late,
    Overwrite,
    Read,
    Delete,
}

impl Act {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Late => "late points",
            Self::Overwrite => "overwrite",
            Self::Read => "checked read",
            Self::Delete => "delete and make new",
        }
    }
}

/// A series and what it must hold.
pub(super) struct Held {
    pub(super) account: Account,
    pub(super) series: Series,
    pub(super) kind: &'static str,
    pub(super) model: Model,
}

/// What a worker did and saw.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) latencies: BTreeMap<Act, Latencies>,
    pub(super) points_written: u64,
    pub(super) points_read: u64,
    pub(super) refused: u64,
    /// Connections that ended under a request; its series is deleted, as nobody knows what it holds.
    pub(super) broken: u64,
    pub(super) late_starts: u64,
    pub(super) wrong: u64,
    pub(super) wrong_shown: Vec<String>,
}

impl Outcome {
    pub(super) fn merge(&mut self, other: Self) {
        for (act, latencies) in other.latencies {
            self.latencies.entry(act).or_insert_with(Latencies::new).merge(&latencies);
        }
        self.points_written += other.points_written;
        self.points_read += other.points_read;
        self.refused += other.refused;
        self.broken += other.broken;
        self.late_starts += other.late_starts;
        self.wrong += other.wrong;
        self.wrong_shown.extend(other.wrong_shown);
    }

    fn wrong(&mut self, text: String) {
        self.wrong += 1;
        if self.wrong_shown.len() < WRONG_SHOWN_MAX {
            eprintln!("wrong: {text}");
            self.wrong_shown.push(text);
        }
    }
}

pub(super) struct Worker {
    plan: Plan,
    address: SocketAddr,
    number: usize,
    held: Vec<Held>,
    client: Client,
    /// The state of the random numbers: the same seed asks the same.
    random: u64,
    /// Keys of series made later, far from all others.
    next_key: u64,
    outcome: Outcome,
}

impl Worker {
    pub(super) fn new(plan: &Plan, address: SocketAddr, number: usize, held: Vec<Held>) -> Result<Self> {
        let own = u64::try_from(number).unwrap_or_default() + 1;
        Ok(Self {
            plan: plan.clone(),
            address,
            number,
            held,
            client: Client::connect(address)?,
            random: mixed(plan.seed ^ own << 32),
            next_key: own << 32,
            outcome: Outcome::default(),
        })
    }

    /// Asks at a steady rate until `end`; whoever cannot go on ends it for all.
    pub(super) fn run(
        mut self,
        started: Instant,
        end: Instant,
        counters: &Counters,
        is_over: &AtomicBool,
    ) -> Result<Outcome> {
        let gap = Duration::from_secs_f64(self.plan.threads as f64 / self.plan.requests_per_second);
        let share = u32::try_from(self.number).unwrap_or_default();
        let mut due = started + gap / u32::try_from(self.plan.threads).unwrap_or(u32::MAX) * share;
        while due < end && !is_over.load(Ordering::Relaxed) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if due.elapsed() > LATE_START {
                self.outcome.late_starts += 1;
            }
            if let Err(error) = self.step(due, counters) {
                is_over.store(true, Ordering::Relaxed);
                return Err(error);
            }
            due += gap;
        }
        Ok(self.outcome)
    }

    fn step(&mut self, due: Instant, counters: &Counters) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let index = self.below(self.held.len());
        let wanted = self.choose();
        let Some(held) = self.held.get(index) else { return Ok(()) };
        // Nothing can be read or changed before there is something.
        let act = if held.model.is_empty() { Act::Append } else { wanted };
        let refused_before = self.outcome.refused;
        let done = match act {
            Act::Append | Act::Late | Act::Overwrite => self.post(index, act),
            Act::Read => self.read(index),
            Act::Delete => self.renew(index),
        };
        if done.is_err() {
            self.outcome.broken += 1;
            self.client = Client::connect(self.address)?;
            return self.renew(index);
        }
        let kind = if act == Act::Read { &counters.reads } else { &counters.posts };
        if self.outcome.refused > refused_before {
            counters.refused.fetch_add(1, Ordering::Relaxed);
        } else {
            kind.fetch_add(u64::from(act != Act::Delete), Ordering::Relaxed);
            self.outcome.latencies.entry(act).or_insert_with(Latencies::new).record(due.elapsed());
        }
        Ok(())
    }

    fn post(&mut self, index: usize, act: Act) -> Result<()> {
        let place = self.random_u32();
        let count = self.plan.points_a_post;
        let Some(held) = self.held.get_mut(index) else { return Ok(()) };
        let post: Post = match act {
            Act::Late => held.model.late(count, place),
            Act::Overwrite => held.model.overwrite(count, place),
            _ => held.model.append(count),
        };
        let bytes = request("POST", &held.series.path, &held.series.token, &held.model.body(post));
        let (status, body) = exchange(&mut self.client, self.address, &bytes)?;
        match status {
            200 => {
                held.model.acknowledged(post);
                self.outcome.points_written += u64::from(count);
            }
            status if REFUSALS.contains(&status) => self.outcome.refused += 1,
            status => self.outcome.wrong(format!("a post of {} was answered {status} {body}", held.series.path)),
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let place = self.random_u32();
        let span = self.plan.read_span;
        let Some(held) = self.held.get(index) else { return Ok(()) };
        let range = held.model.range(span, place);
        let path = format!("{}?fromDeltaTime={}&toDeltaTime={}", held.series.path, range.start, range.end);
        let bytes = request("GET", &path, &held.series.token, b"");
        let (status, body) = exchange(&mut self.client, self.address, &bytes)?;
        match status {
            200 => match difference(&held.model, range, &body) {
                Ok(points) => self.outcome.points_read += points,
                Err(text) => self.outcome.wrong(format!("GET {path}: {text}")),
            },
            status if REFUSALS.contains(&status) => self.outcome.refused += 1,
            status => self.outcome.wrong(format!("GET {path} was answered {status} {body}")),
        }
        Ok(())
    }

    /// Deletes a series for good, looks that it is gone, and makes a new one in its place.
    fn renew(&mut self, index: usize) -> Result<()> {
        let Some(held) = self.held.get_mut(index) else { return Ok(()) };
        let Series { event, path, token } = &held.series;
        for _ in 0..2 {
            let (status, body) = insist(&mut self.client, self.address, &request("DELETE", event, token, b""))?;
            // Unknown: a connection broke under an earlier try that did it.
            if ![200, 404].contains(&status) {
                self.outcome.wrong(format!("DELETE {event} was answered {status} {body}"));
            }
        }
        let (status, body) = insist(&mut self.client, self.address, &request("GET", path, token, b""))?;
        // A deleted event is known as such, or not at all: either way without points.
        let is_gone = status == 404 || status == 200 && body.contains("\"points\":[]");
        if !is_gone {
            self.outcome.wrong(format!("GET {path} of a deleted series was answered {status} {body}"));
        }
        held.series = accounts::create_one_series(&mut self.client, &held.account, held.kind)?;
        self.next_key += 1;
        held.model = Model::new(self.next_key, held.kind == accounts::TRACK);
        Ok(())
    }

    fn choose(&mut self) -> Act {
        let total: u32 = self.plan.mix.values().sum();
        let mut left = self.random_u32() % total.max(1);
        for (act, weight) in &self.plan.mix {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *act,
            }
        }
        Act::Append
    }

    fn random_u32(&mut self) -> u32 {
        self.random = self.random.wrapping_add(1);
        u32::try_from(mixed(self.random) >> 32).unwrap_or_default()
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.random_u32()).unwrap_or_default() % count.max(1)
    }
}

/// As `exchange`, again and again while the server asks to.
fn insist(client: &mut Client, address: SocketAddr, bytes: &[u8]) -> Result<(u16, String)> {
    let mut said = exchange(client, address, bytes)?;
    for _ in 0..TRIES_MAX {
        if !REFUSALS.contains(&said.0) {
            break;
        }
        std::thread::sleep(RETRY_AFTER);
        said = exchange(client, address, bytes)?;
    }
    Ok(said)
}

/// Status and text of an answer; a connection that the server ends with it is replaced.
fn exchange(client: &mut Client, address: SocketAddr, bytes: &[u8]) -> Result<(u16, String)> {
    let answer = client.exchange(bytes)?;
    if answer.closes() {
        *client = Client::connect(address)?;
    }
    Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
}

/// The number of points of a right answer, or what is wrong with it.
fn difference(model: &Model, range: Range<u32>, body: &str) -> Result<u64, String> {
    let answer: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let list = |key: &str| answer.get(key).and_then(Value::as_array).ok_or_else(|| format!("no {key}"));
    let fields: Vec<&str> = list("fields")?.iter().filter_map(Value::as_str).collect();
    let points = list("points")?;
    let expected = model.rows(range);
    if expected.len() != points.len() {
        return Err(format!("{} points of {}", points.len(), expected.len()));
    }
    for ((position, number), row) in expected.into_iter().zip(points) {
        for (at, field) in fields.iter().enumerate() {
            let found = row.get(at).and_then(Value::as_f64);
            let wanted = match *field {
                "deltaTime" => Some(f64::from(position)),
                field => model.value(number, position, field),
            };
            if found != wanted {
                return Err(format!("{field} at {position} is {found:?}, not {wanted:?}"));
            }
        }
        let is_shown = |column: &&&str| fields.contains(*column);
        if let Some(column) = model.columns(number).iter().find(|column| !is_shown(column)) {
            return Err(format!("{column} at {position} is not there"));
        }
    }
    Ok(u64::try_from(points.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer of a right server to a read of everything.
    fn answer(rows: &[(u32, &[Option<f64>])]) -> String {
        let points: Vec<Value> = rows
            .iter()
            .map(|(position, values)| {
                std::iter::once(serde_json::json!(position))
                    .chain(values.iter().map(|value| serde_json::json!(value)))
                    .collect()
            })
            .collect();
        serde_json::json!({ "fields": ["deltaTime", "latitude", "longitude", "altitude"], "points": points })
            .to_string()
    }

    #[test]
    fn a_right_answer_is_told_from_a_wrong_one() {
        let mut model = Model::new(3, true);
        let (two, three) = (model.append(1), model.append(1));
        model.acknowledged(two);
        model.acknowledged(Post::clone(&three));
        let value = |column: &str| model.value(2, 0, column);
        let right = [value("latitude"), value("longitude"), value("altitude")];
        assert_eq!(difference(&model, 0..10, &answer(&[(0, &right)])), Ok(1));
        let nulled = [right[0], right[1], None];
        for wrong in [answer(&[]), answer(&[(1, &right)]), answer(&[(0, &nulled)]), "{}".to_owned()] {
            assert!(difference(&model, 0..10, &wrong).is_err(), "{wrong}");
        }
        let unshown = serde_json::json!({ "fields": ["deltaTime", "latitude"], "points": [[0, right[0]]] });
        assert!(difference(&model, 0..10, &unshown.to_string()).is_err());
    }
}
