//! A program of somebody else as a server under measurement: started with a folder of its own, stopped in order.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::family::Family;
use crate::error::{BenchError, Result};
use crate::machine::said;
use crate::process::Process;

const READY_WAIT_MAX: Duration = Duration::from_secs(60);
/// A database writes what it has in memory before it ends.
const STOP_WAIT_MAX: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);
const TAIL_CHARS: usize = 4_000;

pub(super) struct Daemon {
    child: Child,
    log: PathBuf,
    stop_signal: Signal,
    package: String,
}

impl Daemon {
    /// Starts `command` and waits until `is_ready`; its output goes to `log`.
    pub(super) fn start(
        mut command: Command,
        log: &Path,
        stop_signal: Signal,
        is_ready: impl Fn() -> bool,
    ) -> Result<Self> {
        let output = File::create(log).map_err(BenchError::system("create a peer's log"))?;
        let output_too = output.try_clone().map_err(BenchError::system("share a peer's log"))?;
        command.stdin(Stdio::null()).stdout(output).stderr(output_too);
        let act = format!("start {}", command.get_program().display());
        let package = package_of(command.get_program());
        let child = command.spawn().map_err(BenchError::system(&act))?;
        let mut daemon = Self { child, log: log.to_path_buf(), stop_signal, package };
        let started = Instant::now();
        while started.elapsed() < READY_WAIT_MAX {
            if is_ready() {
                return Ok(daemon);
            }
            daemon.refuse_end()?;
            std::thread::sleep(PAUSE);
        }
        Err(BenchError::NotReady { waited: READY_WAIT_MAX, tail: daemon.tail() })
    }

    pub(super) fn family(&self) -> Family {
        Family { root: Process { id: self.child.id() } }
    }

    /// Name and version.
    pub(super) fn package(&self) -> &str {
        &self.package
    }

    pub(super) fn stop(mut self) -> Result<()> {
        self.family().ask_to_stop(self.stop_signal).map_err(BenchError::system("stop a peer"))?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_WAIT_MAX {
            if self.child.try_wait().map_err(BenchError::system("wait for a peer's end"))?.is_some() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        let status = format!("no end {} s after it was asked to stop", STOP_WAIT_MAX.as_secs());
        Err(BenchError::Died { status, tail: self.tail() })
    }

    fn refuse_end(&mut self) -> Result<()> {
        match self.child.try_wait().map_err(BenchError::system("ask after a peer"))? {
            Some(status) => Err(BenchError::Died { status: status.to_string(), tail: self.tail() }),
            None => Ok(()),
        }
    }

    fn tail(&self) -> String {
        let output = std::fs::read_to_string(&self.log).unwrap_or_default();
        let skipped = output.chars().count().saturating_sub(TAIL_CHARS);
        output.chars().skip(skipped).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Whatever happened before, no peer outlives the comparison.
            self.family().kill();
            let _ = self.child.wait();
        }
    }
}

/// Name and version of the package that brought the program: not every program tells its own.
fn package_of(program: &OsStr) -> String {
    let owner = said(Command::new("dpkg-query").arg("-S").arg(program));
    let name = owner.split(':').next().unwrap_or_default();
    let known = said(Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Version}", name]));
    if known.is_empty() { program.display().to_string() } else { known }
}

/// The program among the places where Debian's packages put it.
pub(super) fn program(candidates: &[&str], package: &'static str) -> Result<PathBuf> {
    let found = candidates.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or(BenchError::NoPeer { package })
}

/// Runs a command that must end well.
pub(super) fn succeed(command: &mut Command) -> Result<()> {
    let act = format!("run {}", command.get_program().display());
    let output = command.output().map_err(BenchError::system(&act))?;
    if output.status.success() {
        return Ok(());
    }
    let tail = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(BenchError::Died { status: output.status.to_string(), tail })
}
