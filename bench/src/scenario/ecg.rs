//! Many people with an electrocardiogram each: everybody's device posts the samples of the last seconds, evenly spread and
//! whatever the server does; beside them somebody looks at the last seconds of one person after the other.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{DATA, Place, Run};
use crate::accounts::{self, MASS, Series};
use crate::client::{Client, head, request};
use crate::drive::{self, Flow, Load, Measurement, Pace, Window};
use crate::error::{BenchError, Result};
use crate::process::allow_descriptors;
use crate::sample::{Counters, Sampler, Watch};
use crate::server::Server;
use crate::stats::Figures;

/// Times have as many digits in the first post as in the last one of a long run: this many seconds are the first.
const FIRST_S: u64 = 100_000;
const SECOND_DIGITS: usize = 6;
/// Different hearts; more would only cost the generator memory.
const HEARTS: usize = 16;
/// Files that are not connections.
const OTHER_FILES: u64 = 200;
/// So many people's last posts are read back at the end.
const VERIFIED_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Numbers of people, ascending; what is seen over time is kept of the last.
    users: Vec<usize>,
    hz: usize,
    /// What one post holds, and how often everybody posts.
    post_seconds: u64,
    reads_per_second: f64,
    read_seconds: u64,
    read_connections: usize,
    warm_up_seconds: f64,
    sample_seconds: f64,
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    for &users in &plan.users {
        if run.options.wants(&format!("{users} users")) {
            measure(plan, run, users)?;
        }
    }
    Ok(())
}

fn measure(plan: &Plan, run: &mut Run<'_>, users: usize) -> Result<()> {
    let connections = users + plan.read_connections;
    allow_descriptors(u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES))?;
    let place = Place::new(run)?;
    let server = Server::start(&place.setup, DATA)?;
    let accounts = accounts::create(server.address(), users)?;
    let series = accounts::create_series(server.address(), &accounts, users, MASS)?;
    let counters = Arc::new(Counters::default());
    let people = Rc::new(People { posted: series.iter().map(|_| Cell::new(0)).collect(), series });
    let mut devices = Devices::new(plan, &people, &counters);
    let mut readers = Readers { plan, people: Rc::clone(&people), counters: Arc::clone(&counters), turn: 0 };

    let watch = Watch {
        process: server.process(),
        data: place.data(),
        every: Duration::from_secs_f64(plan.sample_seconds),
        file: run.report.file("csv"),
    };
    let sampler = Sampler::start(watch, counters)?;
    let posts_per_second = users as f64 / plan.post_seconds as f64;
    let flows = vec![
        Flow { connections: users, pace: Pace::PerSecond(posts_per_second), load: &mut devices },
        Flow { connections: plan.read_connections, pace: Pace::PerSecond(plan.reads_per_second), load: &mut readers },
    ];
    let window = Window { warm_up: Duration::from_secs_f64(plan.warm_up_seconds), measured: run.common.window() };
    let measured = drive::drive(server.address(), server.process(), window, flows)?;
    run.report.samples(sampler.stop()?);
    tell(run, users, &measured);
    verify(plan, &people, &devices, &server)?;
    server.stop().map(|_| ())
}

fn tell(run: &mut Run<'_>, users: usize, measured: &Measurement) {
    for (what, counts) in ["posts", "reads"].into_iter().zip(&measured.flows) {
        let name = format!("{users} users: {what}");
        run.report.add(&name, measured.paced_figures(counts));
        if let Some(text) = &counts.first_refusal {
            run.report.note(format!("{name}: the first refusal: {text}"));
        }
    }
    run.report.add(&format!("{users} users: server"), measured.usage(Figures::default()));
}

/// Whom the devices write for and the readers look at.
struct People {
    series: Vec<Series>,
    /// Posts that were acknowledged, from the first on.
    posted: Vec<Cell<u64>>,
}

impl People {
    fn posted(&self, index: usize) -> u64 {
        self.posted.get(index).map_or(0, Cell::get)
    }
}

/// Each connection is the device of one person.
struct Devices {
    people: Rc<People>,
    counters: Arc<Counters>,
    post_seconds: u64,
    points: usize,
    /// The next post of each person.
    next: Vec<u64>,
    is_whole: Vec<bool>,
    hearts: Vec<Heart>,
}

impl Devices {
    fn new(plan: &Plan, people: &Rc<People>, counters: &Arc<Counters>) -> Self {
        Self {
            people: Rc::clone(people),
            counters: Arc::clone(counters),
            post_seconds: plan.post_seconds,
            points: plan.hz * usize::try_from(plan.post_seconds).unwrap_or(usize::MAX),
            next: vec![0; people.series.len()],
            is_whole: vec![true; people.series.len()],
            hearts: (0..HEARTS).map(|number| Heart::new(plan.hz, plan.post_seconds, number)).collect(),
        }
    }
}

impl Load for Devices {
    fn next(&mut self, connection: usize, out: &mut Vec<u8>) {
        let (Some(next), Some(series)) = (self.next.get_mut(connection), self.people.series.get(connection)) else {
            return;
        };
        let Some(heart) = self.hearts.get(connection % HEARTS) else { return };
        out.extend_from_slice(head("POST", &series.path, &series.token, heart.body.len()).as_bytes());
        heart.write(FIRST_S + *next * self.post_seconds, out);
        *next += 1;
    }

    fn items_per_request(&self) -> u64 {
        u64::try_from(self.points).unwrap_or(u64::MAX)
    }

    fn answered(&mut self, connection: usize, is_success: bool) {
        let counter = if is_success { &self.counters.posts } else { &self.counters.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(is_whole) = self.is_whole.get_mut(connection) {
            *is_whole &= is_success;
        }
        if let (true, Some(posted)) = (is_success, self.people.posted.get(connection)) {
            posted.set(self.next.get(connection).copied().unwrap_or_default());
        }
    }
}

struct Readers<'a> {
    plan: &'a Plan,
    people: Rc<People>,
    counters: Arc<Counters>,
    turn: usize,
}

impl Load for Readers<'_> {
    fn next(&mut self, _connection: usize, out: &mut Vec<u8>) {
        /// Prime, so that the turns go through all people without an order that the writers have.
        const STRIDE: usize = 4_871;
        let index = self.turn.wrapping_mul(STRIDE) % self.people.series.len().max(1);
        self.turn += 1;
        let Some(series) = self.people.series.get(index) else { return };
        let end = FIRST_S + self.people.posted(index) * self.plan.post_seconds;
        let path = format!("{}?fromDeltaTime={}", series.path, end.saturating_sub(self.plan.read_seconds));
        out.extend_from_slice(&request("GET", &path, &series.token, b""));
    }

    fn answered(&mut self, _connection: usize, is_success: bool) {
        let counter = if is_success { &self.counters.reads } else { &self.counters.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What was acknowledged is there: all points of the last post of some people.
fn verify(plan: &Plan, people: &People, devices: &Devices, server: &Server) -> Result<()> {
    let mut client = Client::connect(server.address())?;
    let whole = (0..people.series.len()).filter(|index| devices.is_whole.get(*index) == Some(&true));
    for index in whole.filter(|index| people.posted(*index) > 0).take(VERIFIED_MAX) {
        let Some(series) = people.series.get(index) else { continue };
        let from = FIRST_S + (people.posted(index) - 1) * plan.post_seconds;
        let path = format!("{}?fromDeltaTime={from}&toDeltaTime={}", series.path, from + plan.post_seconds);
        let answer = client.call("GET", &path, &series.token, None)?;
        let rows = answer.get("points").and_then(Value::as_array).map_or(0, Vec::len);
        if rows != devices.points {
            let text = format!("{rows} points of the {} that were acknowledged", devices.points);
            return Err(BenchError::Unexpected { request: format!("GET {path}"), text });
        }
    }
    Ok(())
}

/// A ready body of one heart's samples; a post changes only the whole seconds of its times.
struct Heart {
    body: Vec<u8>,
    /// Where the seconds stand, with the second of the post that each is in.
    seconds_at: Vec<(usize, u64)>,
}

impl Heart {
    fn new(hz: usize, post_seconds: u64, number: usize) -> Self {
        let mut body = br#"{"format":"flatJSON","fields":["deltaTime","value"],"points":["#.to_vec();
        let mut seconds_at = Vec::new();
        for second in 0..post_seconds {
            for sample in 0..hz {
                if !seconds_at.is_empty() {
                    body.push(b',');
                }
                seconds_at.push((body.len() + 1, second));
                let time = sample as f64 / hz as f64;
                let fraction = format!("{time:.4}");
                let millivolts = millivolts(second as f64 + time, number, sample);
                let fraction = fraction.trim_start_matches('0').trim_end_matches('0').trim_end_matches('.');
                let row = format!("[{}{fraction},{millivolts:.3}]", "0".repeat(SECOND_DIGITS));
                body.extend_from_slice(row.as_bytes());
            }
        }
        body.extend_from_slice(b"]}");
        Self { body, seconds_at }
    }

    /// The body with its first sample at this second.
    fn write(&self, first: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.body);
        let Some(body) = out.get_mut(start..) else { return };
        let mut digits = (0, format!("{first:0SECOND_DIGITS$}"));
        for (at, second) in &self.seconds_at {
            if digits.0 != *second {
                digits = (*second, format!("{:0SECOND_DIGITS$}", first + second));
            }
            if let Some(place) = body.get_mut(*at..at + SECOND_DIGITS) {
                place.copy_from_slice(digits.1.as_bytes());
            }
        }
    }
}

/// One lead: the waves of a beat as bells around their moments, and a little noise of the amplifier.
fn millivolts(second: f64, number: usize, sample: usize) -> f64 {
    /// Moment within the beat, width, height: P, Q, R, S, T.
    const WAVES: [(f64, f64, f64); 5] =
        [(0.18, 0.025, 0.12), (0.27, 0.010, -0.12), (0.30, 0.012, 1.10), (0.33, 0.010, -0.25), (0.55, 0.050, 0.30)];
    let beats_per_second = 1.0 + number as f64 / 20.0;
    let phase = (second * beats_per_second).fract();
    let beat: f64 =
        WAVES.iter().map(|(at, width, height)| height * (-((phase - at) / width).powi(2) / 2.0).exp()).sum();
    let noise = (sample * 7_919 + number * 104_729) % 21;
    beat + (noise as f64 - 10.0) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_posts_follow_each_other_without_a_gap() {
        let heart = Heart::new(250, 4, 3);
        let times = |first: u64| -> Vec<f64> {
            let mut body = Vec::new();
            heart.write(first, &mut body);
            assert_eq!(body.len(), heart.body.len());
            let body: Value = serde_json::from_slice(&body).unwrap();
            let rows = body["points"].as_array().unwrap();
            assert!(rows.iter().all(|row| row[1].as_f64().unwrap().abs() < 2.0));
            rows.iter().map(|row| row[0].as_f64().unwrap()).collect()
        };
        let all = [times(100_000), times(100_004)].concat();
        assert_eq!(all.len(), 2_000);
        let expected = (0..2_000).map(|at| 100_000.0 + f64::from(at) / 250.0);
        assert!(all.iter().zip(expected).all(|(found, wanted)| (found - wanted).abs() < 1e-9), "{all:?}");
    }

    #[test]
    fn a_beat_has_one_high_peak() {
        let peaks = (0..250).filter(|at| millivolts(*at as f64 / 250.0, 0, *at) > 0.9).count();
        assert!((1..=6).contains(&peaks), "{peaks}");
    }
}
