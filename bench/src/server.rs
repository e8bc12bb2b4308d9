//! One process of the server under measurement: started on free ports with a data folder of its own, stopped in order.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Client, request};
use crate::error::{BenchError, Result};
use crate::process::Process;

const READY_WAIT_MAX: Duration = Duration::from_secs(60);
/// The server promises to drain within 10 s; the rest is for a loaded machine.
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);
/// Short, since the time to the first answer is a figure of its own.
const READY_PAUSE: Duration = Duration::from_micros(500);
const STOP_PAUSE: Duration = Duration::from_millis(10);
const TAIL_CHARS: usize = 4_000;
const LOG_NAME: &str = "server.log";

/// How to start a server.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) binary: PathBuf,
    /// Below it the data folders and the server's output are made.
    pub(crate) folder: PathBuf,
    /// `io_uring` (what the server takes by itself) or `epoll`.
    pub(crate) driver: Option<String>,
    /// `key=value` of the server's configuration.
    pub(crate) settings: Vec<String>,
}

pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    started_in: Duration,
}

impl Server {
    /// Starts on the data folder `data` below the setup's, and waits until `/ready` says so.
    pub(crate) fn start(setup: &Setup, data: &str) -> Result<Self> {
        if !setup.binary.is_file() {
            return Err(BenchError::NoServer(setup.binary.clone()));
        }
        let log = setup.folder.join(LOG_NAME);
        let port = free_port()?;
        let mut command = command(setup, &setup.folder.join(data), port)?;
        let output = File::create(&log).map_err(BenchError::system("create the server's log"))?;
        let output_too = output.try_clone().map_err(BenchError::system("share the server's log"))?;
        let started = Instant::now();
        let child =
            command.stdout(output).stderr(output_too).spawn().map_err(BenchError::system("start the server"))?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut server = Self { child, address, log, started_in: Duration::ZERO };
        server.wait_until_ready(started)?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&self) -> Process {
        Process { id: self.child.id() }
    }

    /// From the start of the process to its first answer.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.expect("the kernel gave this process id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .map_err(|error| BenchError::System { act: "send SIGTERM to the server".into(), source: error.into() })?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_WAIT_MAX {
            if let Some(status) = self.end()? {
                return Ok(status);
            }
            std::thread::sleep(STOP_PAUSE);
        }
        Err(BenchError::Died {
            status: format!("no end {} s after SIGTERM", STOP_WAIT_MAX.as_secs()),
            tail: self.tail(),
        })
    }

    /// SIGKILL: whatever is not on disk, or on its way there in the kernel, is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().map_err(BenchError::system("kill the server"))?;
        self.child.wait().map(|_| ()).map_err(BenchError::system("wait for the killed server"))
    }

    fn end(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(BenchError::system("ask after the server process"))
    }

    fn wait_until_ready(&mut self, started: Instant) -> Result<()> {
        while started.elapsed() < READY_WAIT_MAX {
            if let Some(status) = self.end()? {
                return Err(BenchError::Died { status: status.to_string(), tail: self.tail() });
            }
            if is_ready(self.address) {
                self.started_in = started.elapsed();
                return Ok(());
            }
            std::thread::sleep(READY_PAUSE);
        }
        Err(BenchError::NotReady { waited: READY_WAIT_MAX, tail: self.tail() })
    }

    fn tail(&self) -> String {
        let output = std::fs::read_to_string(&self.log).unwrap_or_default();
        let skipped = output.chars().count().saturating_sub(TAIL_CHARS);
        output.chars().skip(skipped).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whatever a scenario did before it gave up, no server outlives it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(setup: &Setup, data: &Path, port: u16) -> Result<Command> {
    let mut command = Command::new(&setup.binary);
    command.arg(format!("--http:port={port}")).arg(format!("--http:hfsPort={}", free_port()?));
    command.arg(format!("--storages:path={}", data.display()));
    // Not the published list of event types: what is measured does not depend on the network.
    command.arg("--service:eventTypes=file://no-list.json");
    command.args(setup.settings.iter().map(|setting| format!("--{setting}")));
    // Nothing of the caller's environment may change a figure.
    command.env_clear().current_dir(&setup.folder).stdin(Stdio::null());
    if let Some(driver) = setup.driver.as_deref().filter(|driver| *driver != "io_uring") {
        command.env("COREWARD_DRIVER", driver);
    }
    Ok(command)
}

fn is_ready(address: SocketAddr) -> bool {
    let answer = Client::connect(address).and_then(|mut client| client.exchange(&request("GET", "/ready", "", b"")));
    answer.is_ok_and(|answer| answer.status() == 200)
}

/// A port that nobody listens on now; the kernel does not hand the same one out again soon.
fn free_port() -> Result<u16> {
    free_address().map(|address| address.port())
}

/// The same as an address of this machine.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(BenchError::system("find a free port"))?;
    listener.local_addr().map_err(BenchError::system("find a free port"))
}
