//! The scenario: rounds of posts to one series a connection, the connections shared out to the threads.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

use super::generator::{self, Order, Outcome};
use crate::drive::{Counts, Measurement};
use crate::error::{BenchError, Result};
use crate::peers::{Coreward, Peer};
use crate::peers::{Posts, Values};
use crate::process::{Process, Usage};
use crate::scenario::{Place, Run, WARM_UP};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Points a post.
    points: Vec<usize>,
    /// Threads of the generator, one a core from the first on.
    threads: usize,
}

pub(crate) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    if plan.threads == 0 {
        return Err(BenchError::Usage("load.threads must be above 0".to_owned()));
    }
    let mut targets = Vec::new();
    for points in &plan.points {
        targets.push(Target::start(plan, run, *points)?);
    }
    for _ in 0..run.common.rounds {
        for target in &mut targets {
            target.measure(run)?;
        }
    }
    targets.into_iter().try_for_each(Target::finish)
}

/// A server with the series of all connections.
struct Target {
    server: Coreward,
    points: usize,
    /// For each thread, the series of its connections.
    shares: Vec<Vec<Posts>>,
    values: Arc<Values>,
    _place: Place,
}

impl Target {
    fn start(plan: &Plan, run: &Run<'_>, points: usize) -> Result<Self> {
        let place = Place::new(run)?;
        let connections = run.common.connections;
        let server = Coreward::start(&place.setup, connections)?;
        let mut shares: Vec<Vec<Posts>> = (0..plan.threads).map(|_| Vec::new()).collect();
        for series in 0..connections {
            let posts = Posts::new(points, |rows| server.write_request(series, rows));
            shares.get_mut(series % plan.threads).expect("a remainder is below the divisor").push(posts);
        }
        Ok(Self { server, points, shares, values: Arc::new(Values::new()), _place: place })
    }

    fn measure(&mut self, run: &mut Run<'_>) -> Result<()> {
        let name = format!("{} points, {} threads", self.points, self.shares.len());
        let process = self.server.family();
        let from = Instant::now() + WARM_UP;
        let order = Order {
            address: self.server.address(),
            values: Arc::clone(&self.values),
            from,
            until: from + run.common.window(),
        };
        let shares = std::mem::take(&mut self.shares);
        let threads = shares.into_iter().enumerate().map(|(core, share)| generator::start(core, order.clone(), share));
        let threads = threads.collect::<Result<Vec<_>>>()?;

        std::thread::sleep(order.from.saturating_duration_since(Instant::now()));
        process.reset_peak();
        let (server_before, own_before, started) = (process.cpu()?, Process::own().cpu()?, Instant::now());
        std::thread::sleep(order.until.saturating_duration_since(started));
        let seconds = started.elapsed().as_secs_f64();
        let (server_after, own_after) = (process.cpu()?, Process::own().cpu()?);
        let peak_mib = process.peak_mib()?;

        let mut counts = Counts::new(u64::try_from(self.points).expect("a number of points fits"));
        for thread in threads {
            let Outcome { share, counts: of_thread } = thread.join()?;
            counts.merge(of_thread);
            self.shares.push(share);
        }
        let measured = Measurement {
            flows: vec![counts],
            seconds,
            server_cpu_seconds: server_after.saturating_sub(server_before).as_secs_f64(),
            generator_cpu_seconds: own_after.saturating_sub(own_before).as_secs_f64(),
            peak_mib,
        };
        for counts in &measured.flows {
            if let Some(text) = &counts.first_refusal {
                println!("  {name}: {} posts were refused, the first: {text}", counts.refused);
            }
            run.report.add(&name, measured.figures(counts));
        }
        Ok(())
    }

    /// All points must be there.
    fn finish(self) -> Result<()> {
        let sum = |of: fn(&Posts) -> u64| self.shares.iter().flatten().map(of).sum::<u64>();
        let (sent, acknowledged) = (sum(Posts::points_sent), sum(Posts::points_acknowledged));
        let stored = self.server.count()?;
        if !(acknowledged..=sent).contains(&stored) {
            let text = format!("{stored} are there; {acknowledged} were acknowledged, {sent} sent");
            return Err(BenchError::Unexpected { request: "counting the points".to_owned(), text });
        }
        Box::new(self.server).stop()
    }
}
