//! Starting and stopping all shards of a process.
//!
//! ```text
//! bind ports -> threads: pin, build ring -> one driver for all -> make services -> listen -> Running
//! stop: drain all -> flush all -> exit all      (mailboxes work until the last shard has flushed)
//! ```

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;
use socket2::Socket;
use tokio::sync::watch;

use crate::config::{Config, Driver, DriverChoice, EpollCause};
use crate::mailbox::Mailboxes;
use crate::metrics::{Metrics, ShardMetrics, ShardSnapshot};
use crate::pool::Pool;
use crate::rt::PanicText;
use crate::rt::ring::ShardRuntime;
use crate::service::{Addresses, Port, Service, ShardHandle};
use crate::shard::{self, Phase, Report, ShardParts};
use crate::socket::listener::bind;

/// Time that all shards have to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that `Service::stop` has after the drain.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// Time on top of the drain for its own steps.
const DRAIN_SLACK: Duration = Duration::from_secs(3);

/// Time for a port in use to become free. The kernel takes a killed process's rings down some time after its end, and
/// with them its listeners: without patience every second restart after a `kill -9` failed (measured).
const PORT_PATIENCE: Duration = Duration::from_secs(2);
const PORT_RETRY: Duration = Duration::from_millis(10);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{address} is in use by another process: stop that one or choose another port")]
    PortTaken { address: SocketAddr },
    #[error("cannot bind {address}: {source}; choose an address of this machine, and a port this user may open")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("cannot start a thread: {0}; raise the limit of processes (ulimit -u)")]
    Thread(io::Error),
    #[error("shard {shard} did not start: {text}")]
    Shard { shard: usize, text: String },
    #[error("the shards were not ready after {} s; the log says what they wait for", START_TIMEOUT.as_secs())]
    Timeout,
}

/// The shards at work. Dropping it without [`Running::stop`] ends them without a drain.
pub struct Running {
    addresses: Addresses,
    driver: Driver,
    metrics: Metrics,
    phase: watch::Sender<Phase>,
    reports: mpsc::Receiver<(usize, Report)>,
    threads: Vec<JoinHandle<()>>,
}

/// Binds the ports, starts one thread for each shard, and returns when all of them listen.
///
/// `factory` is called once on the thread of each shard.
pub fn run<S: Service>(
    config: Config,
    pool: Pool,
    factory: impl Fn(ShardHandle<S::Message>) -> Rc<S> + Send + Sync + 'static,
) -> Result<Running, StartError> {
    let count = shard_count(config.shard_count);
    let (addresses, sockets) = bind_all(&config, count)?;
    let (mailboxes, mail) = Mailboxes::<S::Message>::new(count, config.mailbox_capacity);
    let metrics = new_metrics(&mailboxes);
    let (phase_sender, phase) = watch::channel(Phase::Prepare);
    let (report_sender, reports) = mpsc::channel();
    let cores = if config.pin { cores_for(count) } else { Vec::new() };
    let factory = Arc::new(factory);
    let mut starting = Starting::default();
    let is_serving = Arc::new(AtomicBool::new(false));
    for (index, (sockets, mail)) in sockets.into_iter().zip(mail).enumerate() {
        let (decision_sender, decision) = mpsc::channel();
        let choice = config.driver;
        let core = cores.get(index).copied();
        let (factory, rings) = (Arc::clone(&factory), starting.ring_sender.clone());
        let (mailboxes, pool, metrics) = (mailboxes.clone(), pool.clone(), metrics.clone());
        let (addresses, limits) = (addresses.clone(), config.limits);
        let (phase, reports) = (phase.clone(), report_sender.clone());
        let is_serving = Arc::clone(&is_serving);
        let thread = std::thread::Builder::new().name(format!("coreward-shard-{index}")).spawn(move || {
            let failed = reports.clone();
            let life = AssertUnwindSafe(move || {
                pin_to(core);
                let (mut runtime, driver) = build_runtime(choice, count, &rings, &decision)?;
                let handle = ShardHandle { index, count, mailboxes, pool, metrics, driver, addresses };
                let parts = ShardParts { handle, limits, sockets, mail, phase, reports };
                runtime.block_on(shard::run::<S>(parts, factory.as_ref()));
                Ok(())
            });
            let text = match std::panic::catch_unwind(life) {
                Ok(Ok(())) => return,
                Ok(Err(text)) => text,
                Err(payload) => PanicText::of(payload.as_ref()).to_string(),
            };
            tracing::error!(shard = index, %text, "a shard ended; its users are out of reach until a restart");
            let _ = failed.send((index, Report::Failed(text)));
            if is_serving.load(Ordering::Relaxed) {
                ask_process_to_stop();
            }
        });
        starting.threads.push(thread.map_err(StartError::Thread)?);
        starting.decisions.push(decision_sender);
    }
    let driver = starting.decide(config.driver)?;
    wait_reports(&reports, count, START_TIMEOUT, |report| matches!(report, Report::Ready))?;
    let _ = phase_sender.send(Phase::Serve);
    wait_reports(&reports, count, START_TIMEOUT, |report| matches!(report, Report::Serving))?;
    is_serving.store(true, Ordering::Relaxed);
    let threads = starting.threads;
    Ok(Running { addresses, driver, metrics, phase: phase_sender, reports, threads })
}

impl Running {
    /// Where the server listens, with true port numbers.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The driver of all shards.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// The counters of every shard.
    pub fn metrics(&self) -> Vec<ShardSnapshot> {
        self.metrics.snapshot()
    }

    /// Takes no more connections, ends idle ones, gives requests in flight `drain` to finish, flushes the services,
    /// and joins the threads. Blocks; for the main thread.
    pub fn stop(self, drain: Duration) {
        let mut alive = self.threads.len();
        self.advance(Phase::Drain { until: Instant::now() + drain });
        let drained = self.wait_alive(&mut alive, drain + DRAIN_SLACK, |report| matches!(report, Report::Drained));
        self.advance(Phase::Flush);
        let flushed = self.wait_alive(&mut alive, FLUSH_TIMEOUT, |report| matches!(report, Report::Flushed));
        self.advance(Phase::Exit);
        if !(drained && flushed) {
            tracing::error!("a shard did not stop in time; the process ends without it");
            return;
        }
        for thread in self.threads {
            // The panic of a shard was logged where it was caught.
            let _ = thread.join();
        }
    }

    /// Waits for the `wanted` report of every shard that is alive; false when the time is over before.
    fn wait_alive(&self, alive: &mut usize, timeout: Duration, wanted: impl Fn(&Report) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut seen = 0;
        while seen < *alive {
            match self.reports.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((_, Report::Failed(_))) => *alive -= 1,
                Ok((_, report)) if wanted(&report) => seen += 1,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn advance(&self, phase: Phase) {
        // Fails only when every shard has ended already.
        let _ = self.phase.send(phase);
    }
}

/// Shards on the way to one common driver.
struct Starting {
    threads: Vec<JoinHandle<()>>,
    decisions: Vec<mpsc::Sender<Driver>>,
    ring_sender: mpsc::Sender<Result<(), EpollCause>>,
    rings: mpsc::Receiver<Result<(), EpollCause>>,
}

impl Default for Starting {
    fn default() -> Self {
        let (ring_sender, rings) = mpsc::channel();
        Self { threads: Vec::new(), decisions: Vec::new(), ring_sender, rings }
    }
}

impl Starting {
    /// Waits until every shard has tried its ring, then tells all of them the same driver.
    fn decide(&self, choice: DriverChoice) -> Result<Driver, StartError> {
        let mut driver = match choice {
            DriverChoice::Auto => Driver::IoUring,
            DriverChoice::Epoll => Driver::Epoll { cause: EpollCause::Asked },
        };
        for _ in &self.decisions {
            let tried = self.rings.recv_timeout(START_TIMEOUT).map_err(|_| StartError::Timeout)?;
            if let (Err(cause), DriverChoice::Auto) = (tried, choice) {
                driver = Driver::Epoll { cause };
            }
        }
        for decision in &self.decisions {
            let _ = decision.send(driver.clone());
        }
        Ok(driver)
    }
}

/// Builds the runtime of a shard: its ring first when that is asked for, epoll when any shard could not build its own.
fn build_runtime(
    choice: DriverChoice,
    shard_count: usize,
    rings: &mpsc::Sender<Result<(), EpollCause>>,
    decision: &mpsc::Receiver<Driver>,
) -> Result<(ShardRuntime, Driver), String> {
    let ring = match choice {
        DriverChoice::Auto => ShardRuntime::ring(shard_count),
        DriverChoice::Epoll => Err(EpollCause::Asked),
    };
    let (ring, tried) = match ring {
        Ok(ring) => (Some(ring), Ok(())),
        Err(cause) => (None, Err(cause)),
    };
    let _ = rings.send(tried);
    let driver = decision.recv().map_err(|_| "the start was given up".to_owned())?;
    match (&driver, ring) {
        (Driver::IoUring, Some(ring)) => Ok((ring, driver)),
        (_, ring) => {
            drop(ring);
            let runtime = ShardRuntime::epoll().map_err(|error| format!("epoll refused: {error}"))?;
            Ok((runtime, driver))
        }
    }
}

fn shard_count(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

fn new_metrics<M: Send + 'static>(mailboxes: &Mailboxes<M>) -> Metrics {
    let shards = (0..mailboxes.count()).map(|_| ShardMetrics::default()).collect();
    let mailboxes = mailboxes.clone();
    Metrics { shards, mailbox_depth: Arc::new(move |shard| mailboxes.depth(shard)) }
}

/// The sockets of every shard, bound but not listening yet, and the addresses with true port numbers.
type Bound = (Addresses, Vec<Vec<(Socket, Port)>>);

fn bind_all(config: &Config, count: usize) -> Result<Bound, StartError> {
    let mut sockets: Vec<Vec<(Socket, Port)>> = (0..count).map(|_| Vec::new()).collect();
    let mut addresses = Addresses { main: Vec::new(), hfs: None };
    for address in &config.main {
        addresses.main.push(bind_for_all(*address, Port::Main, &mut sockets)?);
    }
    if let Some(address) = config.hfs {
        addresses.hfs = Some(bind_for_all(address, Port::Hfs, &mut sockets)?);
    }
    Ok((addresses, sockets))
}

fn bind_for_all(
    address: SocketAddr,
    port: Port,
    sockets: &mut [Vec<(Socket, Port)>],
) -> Result<SocketAddr, StartError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { address },
        _ => StartError::Bind { address, source },
    };
    let probe = bind_alone(address).map_err(failed)?;
    let bound = probe.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
    drop(probe);
    for of_shard in sockets {
        of_shard.push((bind(bound, true).map_err(failed)?, port));
    }
    Ok(bound)
}

/// Binds without SO_REUSEPORT: with it, a second server of the same user would silently share the port.
fn bind_alone(address: SocketAddr) -> io::Result<Socket> {
    let patient_until = Instant::now() + PORT_PATIENCE;
    loop {
        match bind(address, false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < patient_until => {
                std::thread::sleep(PORT_RETRY);
            }
            result => return result,
        }
    }
}

/// One core for each shard out of those this process may use; none when they do not suffice.
fn cores_for(count: usize) -> Vec<usize> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).take(count).collect();
    if cores.len() < count { Vec::new() } else { cores }
}

/// A process without one of its shards serves some users and fails the others for ever: it flushes what the other
/// shards hold and ends, so that its supervisor starts it anew.
fn ask_process_to_stop() {
    if let Err(error) = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM) {
        tracing::error!(%error, "the process could not ask itself to stop");
    }
}

fn pin_to(core: Option<usize>) {
    let Some(core) = core else { return };
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::warn!(core, %error, "a shard could not be pinned to its core; it runs unpinned");
    }
}

/// Waits until every shard has sent the report that is `wanted`.
fn wait_reports(
    reports: &mpsc::Receiver<(usize, Report)>,
    count: usize,
    timeout: Duration,
    wanted: impl Fn(&Report) -> bool,
) -> Result<(), StartError> {
    let deadline = Instant::now() + timeout;
    let mut missing = count;
    while missing > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        match reports.recv_timeout(left) {
            Ok((shard, Report::Failed(text))) => return Err(StartError::Shard { shard, text }),
            Ok((_, report)) if wanted(&report) => missing -= 1,
            Ok(_) => {}
            Err(_) => return Err(StartError::Timeout),
        }
    }
    Ok(())
}
