//! From the start of the process to its first answer, on an empty data folder and on the same one again.

use super::Place;
use crate::args::Options;
use crate::error::Result;
use crate::report::{Goal, Report};
use crate::server::{Server, Setup};
use crate::stats::Figures;

const START_MS: f64 = 300.0;

pub(super) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let place = Place::new(options, &options.data)?;
    for round in 0..options.rounds {
        let data = format!("data-{round}");
        let goal = Some(Goal::at_most("start ms", START_MS));
        report.add("empty data folder", goal, start_once(&place.setup, &data)?);
        report.add("the same folder again", None, start_once(&place.setup, &data)?);
    }
    Ok(())
}

fn start_once(setup: &Setup, data: &str) -> Result<Figures> {
    let server = Server::start(setup, data)?;
    let figures = Figures::default()
        .with("start ms", server.started_in().as_secs_f64() * 1e3)
        .with("cpu ms", server.process().cpu()?.as_secs_f64() * 1e3)
        .with("rss MiB", server.process().memory()?.rss_mib);
    server.stop()?;
    Ok(figures)
}
