//! The load: many keep-alive connections, one request in flight on each, driven by one thread over epoll.
//!
//! One thread and ready bytes keep the generator cheap: it shares the machine's cores with the server. A closed loop shows
//! the server at its own pace; a latency runs from handing the request to the kernel to the last byte of the answer.

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
const POLL_MAX_MS: i64 = 100;

/// What is asked of the server.
pub(crate) trait Load {
    /// Writes the next request of a connection to `out`, which is empty.
    fn next(&mut self, connection: usize, out: &mut Vec<u8>);

    /// What one answered request counts for (points, events).
    fn items_per_request(&self) -> u64 {
        1
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What was counted between the warm-up and the end of the window.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    /// Connections that the server ended.
    pub(crate) broken: u64,
    pub(crate) body_bytes: u64,
    pub(crate) first_refusal: Option<String>,
    items_per_request: u64,
    latencies: Latencies,
    seconds: f64,
    server_cpu_seconds: f64,
    generator_cpu_seconds: f64,
    peak_mib: f64,
}

impl Measurement {
    fn new(items_per_request: u64) -> Self {
        Self {
            answered: 0,
            refused: 0,
            broken: 0,
            body_bytes: 0,
            first_refusal: None,
            items_per_request,
            latencies: Latencies::new(),
            seconds: 0.0,
            server_cpu_seconds: 0.0,
            generator_cpu_seconds: 0.0,
            peak_mib: 0.0,
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let requests = self.answered as f64;
        let items = requests * self.items_per_request as f64;
        let mut figures = Figures::default()
            .with("req/s", requests / self.seconds)
            .with("req/cpu-s", requests / self.server_cpu_seconds);
        if self.items_per_request > 1 {
            figures = figures.with("points/s", items / self.seconds);
            figures = figures.with("points/cpu-s", items / self.server_cpu_seconds);
        }
        self.latencies
            .add_to(figures)
            .with("server cpu %", 100.0 * self.server_cpu_seconds / self.seconds)
            .with("bench cpu %", 100.0 * self.generator_cpu_seconds / self.seconds)
            .with("peak MiB", self.peak_mib)
            .with("refused", self.refused as f64)
            .with("broken", self.broken as f64)
    }
}

/// Runs the load against the server and measures `process`.
pub(crate) fn drive(address: SocketAddr, process: Process, window: Window, load: &mut dyn Load) -> Result<Measurement> {
    let mut driver = Driver::new(address, load)?;
    for index in 0..window.connections {
        driver.open(index)?;
    }
    driver.run_until(Instant::now() + window.warm_up)?;

    driver.measurement = Measurement::new(driver.load.items_per_request());
    process.reset_peak();
    let (server_before, own_before, started) = (process.cpu()?, Process::own().cpu()?, Instant::now());
    driver.run_until(started + window.measured)?;
    let seconds = started.elapsed().as_secs_f64();
    let (server_after, own_after) = (process.cpu()?, Process::own().cpu()?);

    let measurement = &mut driver.measurement;
    measurement.seconds = seconds;
    measurement.server_cpu_seconds = server_after.saturating_sub(server_before).as_secs_f64();
    measurement.generator_cpu_seconds = own_after.saturating_sub(own_before).as_secs_f64();
    measurement.peak_mib = process.memory()?.peak_mib;
    let measurement = std::mem::replace(&mut driver.measurement, Measurement::new(1));
    driver.drain()?;
    Ok(measurement)
}

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    sent_bytes: usize,
    sent_at: Instant,
    answer: Answer,
    is_waiting: bool,
    /// The kernel took no more of the request: the rest goes when the socket is writable.
    is_stuck: bool,
}

struct Driver<'a> {
    address: SocketAddr,
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
    load: &'a mut dyn Load,
    buffer: Vec<u8>,
    measurement: Measurement,
    /// False at the end of the window: answers come in, no request goes out.
    is_asking: bool,
}

impl<'a> Driver<'a> {
    fn new(address: SocketAddr, load: &'a mut dyn Load) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        Ok(Self {
            address,
            epoll: epoll.map_err(|error| poll_error(error.into()))?,
            connections: Vec::new(),
            load,
            buffer: vec![0; READ_BYTES],
            measurement: Measurement::new(1),
            is_asking: true,
        })
    }

    /// Connects as number `index`, in the place of a broken connection or as the next one, and sends the first request.
    fn open(&mut self, index: usize) -> Result<()> {
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
            out: Vec::new(),
            sent_bytes: 0,
            sent_at: Instant::now(),
            answer: Answer::new(),
            is_waiting: false,
            is_stuck: false,
        };
        match self.connections.get_mut(index) {
            Some(place) => *place = connection,
            None => self.connections.push(connection),
        }
        self.ask(index)
    }

    fn run_until(&mut self, end: Instant) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_AT_ONCE);
        while Instant::now() < end {
            self.turn(&mut events)?;
        }
        Ok(())
    }

    /// Waits for what is still in flight, so that the next measurement finds an idle server.
    fn drain(&mut self) -> Result<()> {
        self.is_asking = false;
        let end = Instant::now() + DRAIN_MAX;
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_AT_ONCE);
        while self.connections.iter().any(|connection| connection.is_waiting) && Instant::now() < end {
            self.turn(&mut events)?;
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> Result<()> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: POLL_MAX_MS * 1_000_000 };
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

    fn ask(&mut self, index: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        connection.is_waiting = self.is_asking;
        if !self.is_asking {
            return Ok(());
        }
        connection.out.clear();
        connection.answer.reset();
        self.load.next(index, &mut connection.out);
        connection.sent_bytes = 0;
        connection.sent_at = Instant::now();
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
        if std::mem::take(&mut connection.is_stuck) {
            return self.watch(index, epoll::EventFlags::IN);
        }
        Ok(())
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
        let closes = connection.answer.closes();
        self.measurement.count(connection);
        if closes { self.replace(index) } else { self.ask(index) }
    }

    /// The server ended the connection: that is counted, and another one takes its place.
    fn replace(&mut self, index: usize) -> Result<()> {
        self.measurement.broken += 1;
        if self.is_asking {
            return self.open(index);
        }
        if let Some(connection) = self.connections.get_mut(index) {
            connection.is_waiting = false;
            // Out of the poll, or its end would be reported for ever.
            let _ = epoll::delete(&self.epoll, &connection.stream);
        }
        Ok(())
    }
}

impl Measurement {
    fn count(&mut self, connection: &Connection) {
        let answer = &connection.answer;
        if answer.is_success() {
            self.answered += 1;
            self.body_bytes += answer.body_bytes();
            self.latencies.record(connection.sent_at.elapsed());
            return;
        }
        self.refused += 1;
        if self.first_refusal.is_none() {
            self.first_refusal = Some(format!("{} {}", answer.status(), String::from_utf8_lossy(answer.body())));
        }
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

    fn drive_against(fake: &Fake, bytes: Vec<u8>) -> Measurement {
        let window =
            Window { connections: 4, warm_up: Duration::from_millis(10), measured: Duration::from_millis(200) };
        drive(fake.address(), Process::own(), window, &mut Same(bytes)).unwrap()
    }

    #[test]
    fn answers_are_counted_with_what_they_stand_for() {
        let fake = Fake::start(|_, _| Said::ok(r#"{"status":"ok"}"#));
        let measured = drive_against(&fake, request("POST", "/u/events/e/series", "token", b"{}"));
        assert!(measured.answered > 0 && measured.refused == 0 && measured.broken == 0, "{measured:?}");
        assert_eq!(measured.body_bytes, measured.answered * 15);
        let figures = measured.figures();
        let ratio = figures.get("points/s").unwrap() / figures.get("req/s").unwrap();
        assert!((ratio - 10.0).abs() < 1e-9, "{figures:?}");
        assert!(figures.get("p99 ms").unwrap() > 0.0, "{figures:?}");
    }

    #[test]
    fn refusals_are_no_answers_and_the_first_is_kept() {
        let fake = Fake::start(|_, _| Said { status: 503, body: "full".to_owned(), closes: false });
        let measured = drive_against(&fake, request("GET", "/", "", b""));
        assert_eq!(measured.answered, 0);
        assert!(measured.refused > 0);
        assert_eq!(measured.first_refusal.as_deref(), Some("503 full"));
    }

    #[test]
    fn a_closed_connection_is_counted_and_replaced() {
        let fake = Fake::start(|_, _| Said { status: 200, body: "bye".to_owned(), closes: true });
        let measured = drive_against(&fake, request("GET", "/", "", b""));
        assert!(measured.answered > 4 && measured.broken > 0, "{measured:?}");
    }

    #[test]
    fn a_request_larger_than_the_socket_takes_arrives_whole() {
        let body = vec![b'x'; 8 * 1024 * 1024];
        let expected = body.len();
        let fake = Fake::start(move |_, body| {
            assert_eq!(body.len(), expected);
            Said::ok("{}")
        });
        let window = Window { connections: 1, warm_up: Duration::ZERO, measured: Duration::from_secs(1) };
        let load = &mut Same(request("POST", "/", "", &body));
        let measured = drive(fake.address(), Process::own(), window, load).unwrap();
        assert!(measured.answered > 0 && measured.broken == 0, "{measured:?}");
    }
}
