//! A power cut without a power switch: the data lies on a [`LoopMount`], which is shut down while the server is at work.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Outage;
use super::load::Signals;
use crate::error::Result;
use crate::loop_mount::LoopMount;
use crate::server::Server;

const IMAGE_BYTES: u64 = 4 << 30;
/// The server goes on for so long on the dead disk: an answer 200 in this time would be a lie that the comparison finds.
const AGONY: Duration = Duration::from_millis(100);

pub(super) struct PowerCut {
    mount: LoopMount,
}

impl PowerCut {
    /// The error says why this machine cannot.
    pub(super) fn prepare(folder: &Path) -> Result<Self> {
        Ok(Self { mount: LoopMount::prepare(folder, IMAGE_BYTES)? })
    }

    /// Leaves the image for inspection.
    pub(super) fn keep(&mut self) {
        self.mount.keep();
    }

    /// From here on every write and sync of the file system fails.
    pub(super) fn shut_down(&self) -> Result<()> {
        self.mount.shut_down()
    }
}

impl Outage for PowerCut {
    fn folder(&self) -> PathBuf {
        self.mount.mount_point().join("server")
    }

    fn log(&self) -> PathBuf {
        self.mount.beside("server.log")
    }

    fn strike(&mut self, server: &mut Server, signals: &Signals) -> Result<()> {
        self.mount.shut_down()?;
        signals.declare_disk_dead();
        std::thread::sleep(AGONY);
        server.kill()?;
        self.mount.mount_again()
    }
}
