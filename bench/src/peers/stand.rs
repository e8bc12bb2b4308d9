//! A peer in a folder of its own, standing still until its window comes.

use super::{Kind, Peer};
use crate::drive::Load;
use crate::error::Result;
use crate::scenario::{Place, Run};

pub(super) struct Stand {
    pub(super) kind: Kind,
    pub(super) peer: Box<dyn Peer>,
    /// Removed after the peer has stopped.
    pub(super) place: Place,
}

impl Stand {
    pub(super) fn start(run: &Run<'_>, kind: Kind, series: usize) -> Result<Self> {
        let place = Place::new(run)?;
        let peer = kind.start(&place.setup, series)?;
        Ok(Self { kind, peer, place })
    }

    /// One window, in which no other peer does anything.
    pub(super) fn measure(&self, run: &mut Run<'_>, name: &str, connections: usize, load: &mut dyn Load) -> Result<()> {
        let family = self.peer.family();
        family.go_on();
        run.measure_at(self.peer.address(), family, name, connections, load)?;
        family.pause();
        // What the kernel still has to write for this peer must not disturb the next one.
        rustix::fs::sync();
        Ok(())
    }
}

/// All peers that can be had here; what is missing is noted.
pub(super) fn start_all<S>(run: &mut Run<'_>, kinds: &[Kind], start: impl Fn(&Run<'_>, Kind) -> Result<S>) -> Vec<S> {
    let mut stands = Vec::new();
    for kind in kinds {
        match start(run, *kind) {
            Ok(stand) => stands.push(stand),
            Err(error) => run.report.note(format!("{} was not measured: {error}", kind.name())),
        }
    }
    stands
}
