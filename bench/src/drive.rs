//! The load: many keep-alive connections, one request in flight on each, driven by one thread over epoll.
//!
//! One thread and ready bytes keep the generator cheap: it shares the machine's cores with the server. A closed flow shows
//! the server at its own pace; a latency runs from handing the request to the kernel to the last byte of the answer. A paced
//! flow sends at fixed moments, whatever the server does; its latencies run from the moment a request was due, so that
//! waiting for a free connection counts.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::answer::Answer;
use crate::error::{BenchError, Result};
use crate::process::Process;
use crate::stats::{Figures, Latencies};

const READ_BYTES: usize = 256 * 1024;
const EVENTS_AT_ONCE: usize = 256;
/// Answers to what was in flight at the end of a window are waited for this long.
const DRAIN_MAX: Duration = Duration::from_secs(10);
const POLL_MAX: Duration = Duration::from_millis(100);
/// Buffers of requests that are kept for the next ones.
const SPARE_BUFFERS_MAX: usize = 256;

/// What is asked of the server.
pub(crate) trait Load {
    /// Writes the next request of a connection of the flow to `out`, which is empty.
    fn next(&mut self, connection: usize, out: &mut Vec<u8>);

    /// What one answered request counts for (points, events).
    fn items_per_request(&self) -> u64 {
        1
    }

    /// Told of each answer: whether it was a success.
    fn answered(&mut self, _connection: usize, _is_success: bool) {}
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// The next request of a connection goes out when the last one is answered.
    Closed,
    /// So many requests a second over all connections in turn, evenly spread.
    PerSecond(f64),
}

/// Connections with a load of their own.
pub(crate) struct Flow<'a> {
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) load: &'a mut dyn Load,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What was counted between the warm-up and the end of the window.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) flows: Vec<Counts>,
    seconds: f64,
    server_cpu_seconds: f64,
    generator_cpu_seconds: f64,
    peak_mib: f64,
}

/// What one flow saw.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    /// Connections that the server ended.
    pub(crate) broken: u64,
    pub(crate) body_bytes: u64,
    pub(crate) first_refusal: Option<String>,
    /// Paced requests whose connection was still busy when they were due.
    pub(crate) waited: u64,
    items_per_request: u64,
    latencies: Latencies,
}

impl Counts {
    fn new(items_per_request: u64) -> Self {
        Self {
            answered: 0,
            refused: 0,
            broken: 0,
            body_bytes: 0,
            first_refusal: None,
            waited: 0,
            items_per_request,
            latencies: Latencies::new(),
        }
    }

    fn count(&mut self, answer: &Answer, latency: Duration) {
        if answer.is_success() {
            self.answered += 1;
            self.body_bytes += answer.body_bytes();
            self.latencies.record(latency);
            return;
        }
        self.refused += 1;
        if self.first_refusal.is_none() {
            self.first_refusal = Some(format!("{} {}", answer.status(), String::from_utf8_lossy(answer.body())));
        }
    }
}

impl Measurement {
    pub(crate) fn figures(&self, counts: &Counts) -> Figures {
        let requests = counts.answered as f64;
        let items = requests * counts.items_per_request as f64;
        let mut figures = Figures::default()
            .with("req/s", requests / self.seconds)
            .with("req/cpu-s", requests / self.server_cpu_seconds);
        if counts.items_per_request > 1 {
            figures = figures.with("points/s", items / self.seconds);
            figures = figures.with("points/cpu-s", items / self.server_cpu_seconds);
        }
        self.usage(counts.latencies.add_to(figures))
            .with("refused", counts.refused as f64)
            .with("broken", counts.broken as f64)
    }

    /// What the server and the generator used, all flows together.
    pub(crate) fn usage(&self, figures: Figures) -> Figures {
        figures
            .with("server cpu s", self.server_cpu_seconds)
            .with("server cpu %", 100.0 * self.server_cpu_seconds / self.seconds)
            .with("bench cpu %", 100.0 * self.generator_cpu_seconds / self.seconds)
            .with("peak MiB", self.peak_mib)
    }

    /// A paced flow: what it sent and how late, without figures per CPU-second, which belong to all flows together.
    pub(crate) fn paced_figures(&self, counts: &Counts) -> Figures {
        let requests = counts.answered as f64;
        let mut figures = Figures::default().with("req/s", requests / self.seconds);
        if counts.items_per_request > 1 {
            figures = figures.with("points/s", requests * counts.items_per_request as f64 / self.seconds);
        }
        counts
            .latencies
            .add_to(figures)
            .with("waited", counts.waited as f64)
            .with("refused", counts.refused as f64)
            .with("broken", counts.broken as f64)
    }
}

/// Runs the flows against the server and measures `process`.
pub(crate) fn drive(
    address: SocketAddr,
    process: Process,
    window: Window,
    flows: Vec<Flow<'_>>,
) -> Result<Measurement> {
    let mut driver = Driver::new(address, flows)?;
    driver.run_until(Instant::now() + window.warm_up)?;

    driver.forget();
    process.reset_peak();
    let (server_before, own_before, started) = (process.cpu()?, Process::own().cpu()?, Instant::now());
    driver.run_until(started + window.measured)?;
    let seconds = started.elapsed().as_secs_f64();
    let (server_after, own_after) = (process.cpu()?, Process::own().cpu()?);

    let measurement = Measurement {
        flows: driver.forget(),
        seconds,
        server_cpu_seconds: server_after.saturating_sub(server_before).as_secs_f64(),
        generator_cpu_seconds: own_after.saturating_sub(own_before).as_secs_f64(),
        peak_mib: process.memory()?.peak_mib,
    };
    driver.drain()?;
    Ok(measurement)
}

struct Connection {
    stream: TcpStream,
    flow: usize,
    /// Within its flow.
    number: usize,
    out: Vec<u8>,
    sent_bytes: usize,
    asked_at: Instant,
    answer: Answer,
    is_waiting: bool,
    /// The kernel took no more of the request: the rest goes when the socket is writable.
    is_stuck: bool,
    /// Moments at which paced requests were due while the connection was busy.
    due: VecDeque<Instant>,
}

/// A flow at work.
struct Running<'a> {
    load: &'a mut dyn Load,
    /// Index of its first connection.
    first: usize,
    connections: usize,
    /// Of a paced flow: between two requests, and when the next one is due.
    gap: Option<Duration>,
    next_due: Instant,
    arrivals: usize,
    counts: Counts,
}

struct Driver<'a> {
    address: SocketAddr,
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
    flows: Vec<Running<'a>>,
    buffer: Vec<u8>,
    spare: Vec<Vec<u8>>,
    /// False at the end of the window: answers come in, no request goes out.
    is_asking: bool,
}

impl<'a> Driver<'a> {
    /// Opens all connections, then starts all flows.
    fn new(address: SocketAddr, flows: Vec<Flow<'a>>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| poll_error(error.into()))?;
        let mut driver = Self {
            address,
            epoll,
            connections: Vec::new(),
            flows: Vec::new(),
            buffer: vec![0; READ_BYTES],
            spare: Vec::new(),
            is_asking: true,
        };
        for Flow { connections, pace, load } in flows {
            let first = driver.connections.len();
            for number in 0..connections {
                driver.open(first + number, driver.flows.len(), number)?;
            }
            let gap = match pace {
                Pace::Closed => None,
                Pace::PerSecond(rate) => Some(Duration::from_secs_f64(1.0 / rate)),
            };
            let counts = Counts::new(load.items_per_request());
            let next_due = Instant::now();
            driver.flows.push(Running { load, first, connections, gap, next_due, arrivals: 0, counts });
        }
        driver.start()?;
        Ok(driver)
    }

    fn start(&mut self) -> Result<()> {
        let now = Instant::now();
        for flow in &mut self.flows {
            flow.next_due = now;
        }
        for index in 0..self.connections.len() {
            if self.flow_of(index).is_some_and(|flow| flow.gap.is_none()) {
                self.ask(index, Instant::now())?;
            }
        }
        Ok(())
    }

    fn flow_of(&mut self, index: usize) -> Option<&mut Running<'a>> {
        let flow = self.connections.get(index)?.flow;
        self.flows.get_mut(flow)
    }

    /// Starts counting anew, and gives what was counted so far.
    fn forget(&mut self) -> Vec<Counts> {
        let anew = |flow: &mut Running<'a>| {
            let counts = Counts::new(flow.load.items_per_request());
            std::mem::replace(&mut flow.counts, counts)
        };
        self.flows.iter_mut().map(anew).collect()
    }

    /// Connects as number `index`, in the place of a broken connection or as the next one.
    fn open(&mut self, index: usize, flow: usize, number: usize) -> Result<()> {
        let stream = TcpStream::connect(self.address).map_err(BenchError::system("connect to the server"))?;
        let prepare = || -> std::io::Result<()> {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let key = u64::try_from(index).unwrap_or(u64::MAX);
            Ok(epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
        };
        prepare().map_err(BenchError::system("prepare a connection"))?;
        let connection = Connection {
            stream,
            flow,
            number,
            out: Vec::new(),
            sent_bytes: 0,
            asked_at: Instant::now(),
            answer: Answer::new(),
            is_waiting: false,
            is_stuck: false,
            due: VecDeque::new(),
        };
        match self.connections.get_mut(index) {
            Some(place) => *place = connection,
            None => self.connections.push(connection),
        }
        Ok(())
    }

    fn run_until(&mut self, end: Instant) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_AT_ONCE);
        while Instant::now() < end {
            self.send_due(Instant::now())?;
            self.turn(&mut events, end)?;
        }
        Ok(())
    }

    /// Waits for what is still in flight, so that the next measurement finds an idle server.
    fn drain(&mut self) -> Result<()> {
        self.is_asking = false;
        let end = Instant::now() + DRAIN_MAX;
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_AT_ONCE);
        while self.connections.iter().any(|connection| connection.is_waiting) && Instant::now() < end {
            self.turn(&mut events, end)?;
        }
        Ok(())
    }

    /// Sends what paced flows owe by now; a busy connection owes it until it is free.
    fn send_due(&mut self, now: Instant) -> Result<()> {
        for at in 0..self.flows.len() {
            while let Some((index, due)) = self.flows.get_mut(at).and_then(|flow| flow.take_due(now)) {
                let Some(connection) = self.connections.get_mut(index) else { break };
                if connection.is_waiting {
                    connection.due.push_back(due);
                    self.flow_of(index).into_iter().for_each(|flow| flow.counts.waited += 1);
                } else {
                    self.ask(index, due)?;
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Vec<epoll::Event>, end: Instant) -> Result<()> {
        let paced = self.flows.iter().filter(|flow| flow.gap.is_some() && self.is_asking).map(|flow| flow.next_due);
        let until = paced.min().unwrap_or(end).min(end);
        let wait = until.saturating_duration_since(Instant::now()).min(POLL_MAX);
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(poll_error(error.into())),
        }
        for event in events.drain(..) {
            let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            // Copied out: the kernel's event is packed.
            let flags = event.flags;
            if flags.contains(epoll::EventFlags::OUT) {
                self.send(index)?;
            }
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                self.receive(index)?;
            }
        }
        Ok(())
    }

    fn ask(&mut self, index: usize, due: Instant) -> Result<()> {
        let spare = self.spare.pop();
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        let Some(flow) = self.flows.get_mut(connection.flow) else { return Ok(()) };
        connection.is_waiting = true;
        connection.out = spare.unwrap_or_default();
        connection.answer.reset();
        flow.load.next(connection.number, &mut connection.out);
        connection.sent_bytes = 0;
        connection.asked_at = if flow.gap.is_some() { due } else { Instant::now() };
        self.send(index)
    }

    fn send(&mut self, index: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        while let Some(rest) = connection.out.get(connection.sent_bytes..).filter(|rest| !rest.is_empty()) {
            match connection.stream.write(rest) {
                Ok(count) => connection.sent_bytes += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.is_stuck = true;
                    return self.watch(index, epoll::EventFlags::IN | epoll::EventFlags::OUT);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.replace(index),
            }
        }
        let mut sent = std::mem::take(&mut connection.out);
        connection.sent_bytes = 0;
        let was_stuck = std::mem::take(&mut connection.is_stuck);
        if self.spare.len() < SPARE_BUFFERS_MAX {
            sent.clear();
            self.spare.push(sent);
        }
        if was_stuck { self.watch(index, epoll::EventFlags::IN) } else { Ok(()) }
    }

    fn watch(&self, index: usize, flags: epoll::EventFlags) -> Result<()> {
        let Some(connection) = self.connections.get(index) else { return Ok(()) };
        let key = epoll::EventData::new_u64(u64::try_from(index).unwrap_or(u64::MAX));
        epoll::modify(&self.epoll, &connection.stream, key, flags).map_err(|error| poll_error(error.into()))
    }

    fn receive(&mut self, index: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        let count = match connection.stream.read(&mut self.buffer) {
            Ok(0) => return self.replace(index),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(_) => return self.replace(index),
        };
        let bytes = self.buffer.get(..count).unwrap_or_default();
        if connection.answer.feed(bytes)? < count || !connection.is_waiting {
            return Err(BenchError::Malformed("bytes behind the answer that nobody asked for".to_owned()));
        }
        if !connection.answer.is_done() {
            return Ok(());
        }
        connection.is_waiting = false;
        if let Some(flow) = self.flows.get_mut(connection.flow) {
            flow.counts.count(&connection.answer, connection.asked_at.elapsed());
            flow.load.answered(connection.number, connection.answer.is_success());
        }
        if connection.answer.closes() { self.replace(index) } else { self.ask_again(index) }
    }

    /// The next request of a free connection, if there is one by now.
    fn ask_again(&mut self, index: usize) -> Result<()> {
        if !self.is_asking {
            return Ok(());
        }
        let is_closed = self.flow_of(index).is_some_and(|flow| flow.gap.is_none());
        let due = self.connections.get_mut(index).and_then(|connection| connection.due.pop_front());
        match due.or_else(|| is_closed.then(Instant::now)) {
            Some(due) => self.ask(index, due),
            None => Ok(()),
        }
    }

    /// The server ended the connection: that is counted, and another one takes its place.
    fn replace(&mut self, index: usize) -> Result<()> {
        self.flow_of(index).into_iter().for_each(|flow| flow.counts.broken += 1);
        let is_asking = self.is_asking;
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        if !is_asking {
            connection.is_waiting = false;
            // Out of the poll, or its end would be reported for ever.
            let _ = epoll::delete(&self.epoll, &connection.stream);
            return Ok(());
        }
        let (flow, number, due) = (connection.flow, connection.number, std::mem::take(&mut connection.due));
        self.open(index, flow, number)?;
        if let Some(connection) = self.connections.get_mut(index) {
            connection.due = due;
        }
        self.ask_again(index)
    }
}

impl Running<'_> {
    /// The connection whose turn it is, and since when, if the flow is paced and owes a request by now.
    fn take_due(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let due = self.next_due;
        let gap = self.gap.filter(|_| due <= now)?;
        let index = self.first + self.arrivals % self.connections.max(1);
        self.arrivals += 1;
        self.next_due = due + gap;
        Some((index, due))
    }
}

fn poll_error(source: std::io::Error) -> BenchError {
    BenchError::System { act: "poll the connections".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::request;
    use crate::fake::{Fake, Said};

    struct Same(Vec<u8>);

    impl Load for Same {
        fn next(&mut self, _connection: usize, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0);
        }

        fn items_per_request(&self) -> u64 {
            10
        }
    }

    /// Turns of the driver until so much was counted.
    fn turns_until(fake: &Fake, pace: Pace, bytes: Vec<u8>, is_enough: impl Fn(&Counts) -> bool) -> Counts {
        let load = &mut Same(bytes);
        let mut driver = Driver::new(fake.address(), vec![Flow { connections: 4, pace, load }]).unwrap();
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        while !is_enough(&driver.flows[0].counts) {
            driver.send_due(Instant::now()).unwrap();
            driver.turn(&mut events, Instant::now() + POLL_MAX).unwrap();
        }
        driver.forget().remove(0)
    }

    #[test]
    fn figures_are_of_what_was_answered_within_the_window() {
        let fake = Fake::start(|_, _| Said::ok(r#"{"status":"ok"}"#));
        let window = Window { warm_up: Duration::from_millis(10), measured: Duration::from_millis(200) };
        let load = &mut Same(request("POST", "/u/events/e/series", "token", b"{}"));
        let flows = vec![Flow { connections: 4, pace: Pace::Closed, load }];
        let measured = drive(fake.address(), Process::own(), window, flows).unwrap();
        let counts = &measured.flows[0];
        assert_eq!(counts.body_bytes, counts.answered * 15);
        let (figures, seconds) = (measured.figures(counts), measured.seconds);
        let near = |name: &str, wanted: f64| (figures.get(name).unwrap() - wanted).abs() < 1e-6;
        assert!(near("req/s", counts.answered as f64 / seconds), "{figures:?}");
        assert!(near("points/s", counts.answered as f64 * 10.0 / seconds), "{figures:?}");
    }

    #[test]
    fn answers_are_counted_with_their_latencies() {
        let fake = Fake::start(|_, _| Said::ok(r#"{"status":"ok"}"#));
        let bytes = request("GET", "/", "", b"");
        let counts = turns_until(&fake, Pace::Closed, bytes, |counts| counts.answered >= 10);
        assert_eq!((counts.refused, counts.broken), (0, 0));
        assert_eq!(counts.latencies.count(), counts.answered);
        assert_eq!(counts.body_bytes, counts.answered * 15);
    }

    #[test]
    fn refusals_are_no_answers_and_the_first_is_kept() {
        let fake = Fake::start(|_, _| Said { status: 503, body: "full".to_owned(), closes: false });
        let bytes = request("GET", "/", "", b"");
        let counts = turns_until(&fake, Pace::Closed, bytes, |counts| counts.refused >= 5);
        assert_eq!(counts.answered, 0);
        assert_eq!(counts.first_refusal.as_deref(), Some("503 full"));
    }

    #[test]
    fn a_closed_connection_is_counted_and_replaced() {
        let fake = Fake::start(|_, _| Said { status: 200, body: "bye".to_owned(), closes: true });
        let bytes = request("GET", "/", "", b"");
        let counts = turns_until(&fake, Pace::Closed, bytes, |counts| counts.answered > 8);
        assert!(counts.broken > 4, "{counts:?}");
    }

    #[test]
    fn a_request_larger_than_the_socket_takes_arrives_whole() {
        let body = vec![b'x'; 8 * 1024 * 1024];
        let expected = body.len();
        let fake = Fake::start(move |_, body| {
            assert_eq!(body.len(), expected);
            Said::ok("{}")
        });
        let counts = turns_until(&fake, Pace::Closed, request("POST", "/", "", &body), |counts| counts.answered >= 4);
        assert_eq!(counts.broken, 0);
    }

    #[test]
    fn a_paced_flow_sends_nothing_before_it_is_due() {
        let fake = Fake::start(|_, _| Said::ok("{}"));
        let started = Instant::now();
        let bytes = request("GET", "/", "", b"");
        turns_until(&fake, Pace::PerSecond(100.0), bytes, |counts| counts.answered >= 6);
        assert!(started.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn what_is_due_on_a_busy_connection_waits_and_its_wait_counts() {
        let fake = Fake::start(|_, _| {
            std::thread::sleep(Duration::from_millis(20));
            Said::ok("{}")
        });
        let bytes = request("GET", "/", "", b"");
        let counts = turns_until(&fake, Pace::PerSecond(10_000.0), bytes, |counts| counts.answered >= 12);
        assert!(counts.waited >= 8, "{counts:?}");
        let figures = counts.latencies.add_to(Figures::default());
        // The third answer of a connection was due 40 ms of serving before, less the time between arrivals.
        assert!(figures.get("max ms").unwrap() > 50.0, "{figures:?}");
    }
}
