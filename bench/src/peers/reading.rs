//! A whole series read from every peer in turn, one request each, in the text that the peer gives.

use std::net::{SocketAddr, TcpStream};

use serde::Deserialize;

use super::points::{Posts, Values};
use super::stand::{Stand, start_all};
use super::{Kind, Peer};
use crate::answer::Reply;
use crate::drive::Load;
use crate::error::{BenchError, Result};
use crate::scenario::Run;

const POINTS_A_POST: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Points of the series, in thousands.
    thousands: usize,
    peers: Vec<Kind>,
}

pub(crate) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    let mut readings = start_all(run, &plan.peers, |run, kind| Reading::start(run, kind, plan.thousands));
    for reading in &readings {
        run.report.note(reading.stand.peer.about());
    }
    run.report.note("the series was just written: the peers may still have it in memory".to_owned());
    for _ in 0..run.common.rounds {
        for reading in &mut readings {
            reading.measure(run)?;
        }
    }
    for reading in readings {
        reading.stand.peer.family().go_on();
        reading.stand.peer.stop()?;
    }
    Ok(())
}

/// A peer that has the points of one series.
struct Reading {
    stand: Stand,
    points: u64,
}

impl Reading {
    fn start(run: &Run<'_>, kind: Kind, thousands: usize) -> Result<Self> {
        let stand = Stand::start(run, kind, 1)?;
        let mut posts = Posts::new(POINTS_A_POST, |rows| stand.peer.write_request(0, rows));
        let values = Values::new();
        let requests = (0..thousands).map(|_| {
            let mut request = Vec::new();
            posts.write_next(&values, &mut request);
            request
        });
        stand.peer.send(&requests.collect::<Vec<_>>())?;
        let (stored, sent) = (stand.peer.count()?, posts.points_sent());
        if stored != sent {
            let request = format!("counting the points of {}", kind.name());
            return Err(BenchError::Unexpected { request, text: format!("{stored} are there, {sent} were sent") });
        }
        stand.peer.family().pause();
        Ok(Self { stand, points: sent })
    }

    fn measure(&self, run: &mut Run<'_>) -> Result<()> {
        let request = self.stand.peer.read_request(0);
        let mut load = Reader { peer: self.stand.peer.as_ref(), points: self.points, request };
        let name = format!("{}, {} points", self.stand.kind.name(), self.points);
        self.stand.measure(run, &name, run.common.connections, &mut load)
    }
}

struct Reader<'a> {
    peer: &'a dyn Peer,
    points: u64,
    request: Vec<u8>,
}

impl Load for Reader<'_> {
    fn next(&mut self, _connection: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn items_per_request(&self) -> u64 {
        self.points
    }

    fn connect(&self, _address: SocketAddr) -> Result<TcpStream> {
        self.peer.connect()
    }

    fn reply(&self) -> Box<dyn Reply> {
        self.peer.reply()
    }
}
