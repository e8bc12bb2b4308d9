//! From the start of the process to its first answer, on an empty data folder and on the same one again.

use super::{Place, Run};
use crate::error::Result;
use crate::server::{Server, Setup};
use crate::stats::Figures;

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    let place = Place::new(run)?;
    for round in 0..run.common.rounds {
        let data = format!("data-{round}");
        run.report.add("empty data folder", start_once(&place.setup, &data)?);
        run.report.add("the same folder again", start_once(&place.setup, &data)?);
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
