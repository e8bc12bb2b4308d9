//! One process of the server under test: started on free ports with a data folder of its own, watched, stopped or killed.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::{CiError, Result};
use crate::http::{Client, Request};
use crate::tools;

const READY_SECONDS_MAX: u64 = 60;
/// The server promises to drain within 10 s; the rest is for a loaded machine.
const STOP_SECONDS_MAX: u64 = 30;
const POLL_PAUSE: Duration = Duration::from_millis(10);
const TAIL_CHARS: usize = 4_000;

/// How to start a server.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) binary: PathBuf,
    /// Its working folder: the data is in `data` below it.
    pub(crate) folder: PathBuf,
    /// Where its output goes; beside the folder, so that it survives what happens to the data.
    pub(crate) log: PathBuf,
    pub(crate) port: u16,
    pub(crate) hfs_port: u16,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) driver: Option<String>,
    /// A program (with arguments) that starts the server under some confinement.
    pub(crate) launcher: Vec<String>,
}

impl Setup {
    pub(crate) fn new(binary: &Path, folder: &Path) -> Result<Self> {
        if !binary.is_file() {
            let source = std::io::Error::other("build it first: cargo build [--release] -p coreward");
            return Err(CiError::File { path: binary.to_path_buf(), source });
        }
        Ok(Self {
            // The server starts in a folder of its own.
            binary: std::path::absolute(binary).map_err(CiError::file(binary))?,
            folder: folder.to_path_buf(),
            log: folder.with_extension("log"),
            port: free_port()?,
            hfs_port: free_port()?,
            // The published list of event types is not fetched: what a check sees does not depend on the network.
            settings: vec![("service:eventTypes".to_owned(), "file://no-list.json".to_owned())],
            driver: std::env::var("COREWARD_DRIVER").ok(),
            launcher: Vec::new(),
        })
    }

    pub(crate) fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn driver(mut self, driver: &str) -> Self {
        self.driver = Some(driver.to_owned());
        self
    }

    fn command(&self) -> Command {
        let mut words = self.launcher.iter().map(PathBuf::from).chain([self.binary.clone()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command.arg(format!("--http:port={}", self.port)).arg(format!("--http:hfsPort={}", self.hfs_port));
        for (key, value) in &self.settings {
            command.arg(format!("--{key}={value}"));
        }
        // `io_uring` is what the server takes by itself; only `epoll` has to be asked for.
        match self.driver.as_deref() {
            Some("epoll") => command.env("COREWARD_DRIVER", "epoll"),
            _ => command.env_remove("COREWARD_DRIVER"),
        };
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }
}

pub(crate) struct Server {
    setup: Setup,
    child: Child,
}

impl Server {
    /// Starts and waits until `/ready` says so.
    pub(crate) fn start(setup: &Setup) -> Result<Self> {
        std::fs::create_dir_all(&setup.folder).map_err(CiError::file(&setup.folder))?;
        let log = open_log(&setup.log)?;
        let log_too = log.try_clone().map_err(CiError::file(&setup.log))?;
        let mut command = setup.command();
        let child = command.stdout(log).stderr(log_too).spawn();
        let program = command.get_program().to_string_lossy().into_owned();
        let child = child.map_err(|source| CiError::Spawn { command: program, source })?;
        let mut server = Self { setup: setup.clone(), child };
        server.wait_until_ready()?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.setup.port).into()
    }

    pub(crate) fn hfs_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.setup.hfs_port).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address())
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// All that this and former processes on the same folder printed.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.setup.log).unwrap_or_default()
    }

    /// The exit status when the process ended without being asked.
    pub(crate) fn has_died(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(CiError::system("ask after the server process"))
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().map_err(CiError::system("kill the server"))?;
        self.child.wait().map(|_| ()).map_err(CiError::system("wait for the killed server"))
    }

    /// SIGTERM, and waits for the end; the status says whether the server drained and flushed as promised.
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let Some(id) = id else { return Err(self.died_error(None)) };
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .map_err(|error| CiError::System { act: "send SIGTERM to the server", source: error.into() })?;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(STOP_SECONDS_MAX) {
            if let Some(status) = self.has_died()? {
                return Ok(status);
            }
            std::thread::sleep(POLL_PAUSE);
        }
        let tail = self.tail();
        self.kill()?;
        Err(CiError::Died { status: format!("no end {STOP_SECONDS_MAX} s after SIGTERM, killed"), tail })
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(READY_SECONDS_MAX) {
            if let Some(status) = self.has_died()? {
                return Err(self.died_error(Some(status)));
            }
            let answer = self.client().send(&Request::new("GET", "/ready"));
            if answer.is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            std::thread::sleep(POLL_PAUSE);
        }
        Err(CiError::NotReady { seconds: READY_SECONDS_MAX, tail: self.tail() })
    }

    pub(crate) fn died_error(&self, status: Option<ExitStatus>) -> CiError {
        let status = status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
        CiError::Died { status, tail: self.tail() }
    }

    fn tail(&self) -> String {
        let output = self.output();
        let skipped = output.chars().count().saturating_sub(TAIL_CHARS);
        output.chars().skip(skipped).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whatever a check did before it gave up, no server outlives it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).map_err(CiError::file(path))
}

/// A port that nobody listens on now; the kernel does not hand the same one out again soon.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(CiError::system("find a free port"))?;
    Ok(listener.local_addr().map_err(CiError::system("find a free port"))?.port())
}

/// A folder below `target/ci` for one run; it is kept when `keep` is called and removed otherwise.
pub(crate) struct Workspace {
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Workspace {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let parent = tools::target_folder().join("ci");
        std::fs::create_dir_all(&parent).map_err(CiError::file(&parent))?;
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(&parent).map_err(CiError::file(&parent))?;
        Ok(Self { path: folder.path().to_path_buf(), folder: Some(folder) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn keep(&mut self) {
        if let Some(folder) = self.folder.take() {
            println!("  kept for inspection: {}", folder.keep().display());
        }
    }
}
