//! A long mixed run: appends, points that come late, overwrites, checked reads, deleted series, at a steady rate. Memory,
//! descriptors and files must stay flat, and no answer may be wrong.

mod model;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{DATA, Place, Run};
use crate::accounts::{self, Account, MASS, Series, TRACK};
use crate::error::{BenchError, Result};
use crate::sample::{Counters, Sampler, Watch};
use crate::server::Server;
use crate::stats::Figures;
use model::Model;
use worker::{Act, Held, Outcome, Worker};

/// The memory of a young server grows: growth is judged without one in so many of the first samples.
const WARM_UP_PART: usize = 10;
/// So many wrong answers are described; all are counted.
const WRONG_SHOWN_MAX: usize = 10;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    minutes: f64,
    users: usize,
    series_a_user: usize,
    /// Of the series of each user, one in so many is a track of positions with optional columns; the others are numbers.
    track_every: usize,
    requests_per_second: f64,
    points_a_post: u32,
    /// Positions of a read's range: as many points as were written within it.
    read_span: u32,
    threads: usize,
    sample_seconds: f64,
    seed: u64,
    /// Weights of what is done; a delete is two calls, a look and a new series.
    mix: BTreeMap<Act, u32>,
    /// By how much, in percent, the mean of a sampled figure may grow from the first half to the second.
    flat_percent: BTreeMap<String, f64>,
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    let place = Place::new(run)?;
    let server = Server::start(&place.setup, DATA)?;
    let workers = prepare(plan, &server)?;
    let watch = Watch {
        process: server.process(),
        data: place.data(),
        every: Duration::from_secs_f64(plan.sample_seconds),
        file: run.report.file("csv"),
    };
    println!("running for {} minutes; samples go to {}", plan.minutes, watch.file.display());
    let counters = Arc::new(Counters::default());
    let sampler = Sampler::start(watch, Arc::clone(&counters))?;
    let cpu_before = server.process().cpu()?;
    let started = Instant::now();
    let outcome = work(plan, workers, &counters);
    let seconds = started.elapsed().as_secs_f64();
    let samples = sampler.stop();
    let cpu = server.process().cpu()?.saturating_sub(cpu_before).as_secs_f64();
    let (outcome, samples) = (outcome?, samples?);
    let whole = Figures::default()
        .with("minutes", seconds / 60.0)
        .with("points written", outcome.points_written as f64)
        .with("points read", outcome.points_read as f64)
        .with("server cpu s", cpu)
        .with("server cpu %", 100.0 * cpu / seconds)
        .with("peak MiB", server.process().memory()?.peak_mib)
        .with("refused", outcome.refused as f64)
        .with("broken", outcome.broken as f64)
        .with("late starts", outcome.late_starts as f64)
        .with("wrong", outcome.wrong as f64);
    run.report.add("whole run", whole);
    tell(plan, run, outcome, samples);
    server.stop().map(|_| ())
}

fn tell(plan: &Plan, run: &mut Run<'_>, outcome: Outcome, samples: Vec<Figures>) {
    for (act, latencies) in &outcome.latencies {
        let figures = Figures::default().with("done", latencies.count() as f64);
        run.report.add(act.name(), latencies.add_to(figures));
    }
    for text in outcome.wrong_shown {
        run.report.note(format!("wrong: {text}"));
    }
    for (name, percent) in &plan.flat_percent {
        match growth_percent(&samples, name) {
            Some(grown) => {
                let text =
                    format!("{name} grew by {grown:.1} % from the first half to the second, at most {percent} %");
                run.report.judge(text, grown <= *percent);
            }
            None => run.report.note(format!("growth of {name} is unknown: too few samples")),
        }
    }
    run.report.samples(samples);
}

/// Accounts and series, dealt out to the workers.
fn prepare(plan: &Plan, server: &Server) -> Result<Vec<Worker>> {
    let accounts = accounts::create(server.address(), plan.users)?;
    let tracks_a_user = plan.series_a_user / plan.track_every.max(1);
    println!("creating {} series ...", plan.users * plan.series_a_user);
    let make = |kind: &'static str, a_user: usize| -> Result<Vec<(usize, Series, &'static str)>> {
        let series = accounts::create_series(server.address(), &accounts, a_user * plan.users, kind)?;
        Ok(series.into_iter().enumerate().map(|(at, series)| (at % plan.users, series, kind)).collect())
    };
    let mut all = make(MASS, plan.series_a_user - tracks_a_user)?;
    all.extend(make(TRACK, tracks_a_user)?);
    let held = |number: usize, (user, series, kind): (usize, Series, &'static str)| -> Option<Held> {
        let account: Account = accounts.get(user)?.clone();
        let key = u64::try_from(number).ok()?;
        Some(Held { account, series, kind, model: Model::new(key, kind == TRACK) })
    };
    let mut hands: Vec<Vec<Held>> = (0..plan.threads).map(|_| Vec::new()).collect();
    for (number, made) in all.into_iter().enumerate() {
        if let Some(hand) = hands.get_mut(number % plan.threads.max(1)) {
            hand.extend(held(number, made));
        }
    }
    let worker = |(number, hand)| Worker::new(plan, server.address(), number, hand);
    hands.into_iter().enumerate().map(worker).collect()
}

/// All workers until the time is over, or until one of them cannot go on.
fn work(plan: &Plan, workers: Vec<Worker>, counters: &Counters) -> Result<Outcome> {
    let is_over = AtomicBool::new(false);
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(plan.minutes * 60.0);
    let parts: Vec<Result<Outcome>> = std::thread::scope(|scope| {
        let spawn = |worker: Worker| scope.spawn(|| worker.run(started, end, counters, &is_over));
        let threads: Vec<_> = workers.into_iter().map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker only returns errors")).collect()
    });
    let mut whole = Outcome::default();
    for part in parts {
        whole.merge(part?);
    }
    whole.wrong_shown.truncate(WRONG_SHOWN_MAX);
    if whole.points_written == 0 {
        return Err(BenchError::NothingMeasured { variant: "soak".to_owned(), text: "no post succeeded".to_owned() });
    }
    Ok(whole)
}

/// From the mean of the first half to that of the second, behind the warm-up.
fn growth_percent(samples: &[Figures], name: &str) -> Option<f64> {
    let values: Vec<f64> = samples.iter().filter_map(|sample| sample.get(name)).collect();
    let values = values.get(values.len() / WARM_UP_PART..)?;
    let (first, second) = values.split_at_checked(values.len() / 2).filter(|(first, _)| !first.is_empty())?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let grown = mean(second) - mean(first);
    Some(if grown == 0.0 { 0.0 } else { 100.0 * grown / mean(first) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl Iterator<Item = f64>) -> Vec<Figures> {
        values.map(|value| Figures::default().with("rss MiB", value)).collect()
    }

    #[test]
    fn growth_is_between_the_halves_behind_the_warm_up() {
        let flat = samples((0..100).map(|at| if at < 10 { 1.0 } else { 50.0 }));
        assert_eq!(growth_percent(&flat, "rss MiB"), Some(0.0));
        let doubled = samples((0..100).map(|at| if at < 55 { 50.0 } else { 100.0 }));
        assert_eq!(growth_percent(&doubled, "rss MiB"), Some(100.0));
        assert_eq!(growth_percent(&samples((0..100).map(|_| 0.0)), "rss MiB"), Some(0.0));
        assert_eq!(growth_percent(&[], "rss MiB"), None);
        assert_eq!(growth_percent(&flat, "unknown"), None);
    }
}
