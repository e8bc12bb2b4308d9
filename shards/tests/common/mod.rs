//! A small service that shows every feature of the shards, and a blocking HTTP client that hides nothing.
#![allow(dead_code, unreachable_pub)] // each test file is a crate of its own and uses a part
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::manual_async_fn)] // a failed helper is a failed test

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use shards::*;
use tokio::sync::{mpsc, oneshot};
use wire::http1::{Head, Method};

pub const BODY_BYTES_MAX: usize = 256 * 1024;
pub const BIG_BYTES: usize = 8 * 1024 * 1024;
pub const PAGE: &[u8] = &[b'p'; 50_000];
pub const PAGE_COUNT: usize = 40;
pub const PAGES_BYTES: u64 = 2_000_000;
const CLIENT_PATIENCE: Duration = Duration::from_secs(20);

pub const DRIVERS: [DriverChoice; 2] = [DriverChoice::Auto, DriverChoice::Epoll];

/// What a test and the service share.
#[derive(Default)]
pub struct Shared {
    pub gate: Mutex<Option<oneshot::Receiver<()>>>,
    pub stopped: Mutex<Vec<usize>>,
    pub ticks: Mutex<usize>,
    pub pages_sent: Mutex<usize>,
    pub bodies_cut: Mutex<usize>,
}

pub struct Showcase {
    handle: ShardHandle<oneshot::Sender<usize>>,
    shared: Arc<Shared>,
}

fn text(status: u16, text: impl Into<Bytes>) -> Response {
    Response::new(status, Body::Full(text.into())).header("Content-Type", "text/plain")
}

impl Showcase {
    async fn answer(self: Rc<Self>, request: Request) -> Response {
        match (&request.head.method, request.head.path()) {
            (Method::Get | Method::Head, "/hello") => text(200, "hello"),
            (Method::Post, "/echo") => text(200, request.body),
            (Method::Post, "/length") => text(200, request.body.len().to_string()),
            (_, "/port") => text(200, format!("{:?}", request.port)),
            (_, "/close") => Response { close: true, ..text(200, "bye") },
            (_, "/none") => Response::new(204, Body::Full(Bytes::from_static(b"never sent"))),
            (_, "/big") => text(200, vec![b'b'; BIG_BYTES]),
            (_, "/panic") => panic!("on purpose"),
            (_, "/stream") => Response::new(200, Body::Stream(self.pages(false))),
            (_, "/abort") => Response::new(200, Body::Stream(self.pages(true))),
            (_, "/sized") => Response::new(200, Body::Sized { length: PAGES_BYTES, pages: self.pages(false) }),
            (_, "/too-short") => Response::new(200, Body::Sized { length: PAGES_BYTES + 1, pages: self.pages(false) }),
            (Method::Post, "/read/count") => self.count(request).await,
            (Method::Post, "/read/refuse") => text(403, "not wanted"),
            (Method::Post, "/read/panic") => panic!("on purpose"),
            (_, "/hop") => self.hop().await,
            (_, "/pool") => {
                let answer = self.handle.pool.run(Lane::Cpu, || 6 * 7).await;
                text(200, format!("{answer:?}"))
            }
            (_, "/gate") => {
                let gate = self.shared.gate.lock().unwrap().take();
                if let Some(gate) = gate {
                    let _ = gate.await;
                }
                text(200, "through the gate")
            }
            _ => text(404, "nothing here"),
        }
    }

    /// Reads the body itself, and tells when it was cut.
    async fn count(&self, request: Request) -> Response {
        let mut body = request.reader.unwrap();
        let mut byte_count = 0;
        loop {
            match body.next().await {
                Ok(Some(part)) => byte_count += part.len(),
                Ok(None) => break,
                Err(BodyCut) => {
                    *self.shared.bodies_cut.lock().unwrap() += 1;
                    break;
                }
            }
        }
        assert_eq!(body.next().await.unwrap_or_default(), None, "nothing comes after the end");
        text(200, byte_count.to_string())
    }

    /// Asks every shard, itself as well, for its number.
    async fn hop(&self) -> Response {
        let mut sum = 0;
        for shard in 0..self.handle.count {
            let (sender, receiver) = oneshot::channel();
            self.handle.mailboxes.try_send(shard, sender).unwrap();
            sum += receiver.await.unwrap();
        }
        text(200, sum.to_string())
    }

    fn pages(&self, aborts: bool) -> mpsc::Receiver<Result<Bytes, Aborted>> {
        let (sender, receiver) = mpsc::channel(1);
        let shared = Arc::clone(&self.shared);
        rt::spawn(async move {
            for _ in 0..PAGE_COUNT {
                if sender.send(Ok(Bytes::from_static(PAGE))).await.is_err() {
                    return;
                }
                *shared.pages_sent.lock().unwrap() += 1;
            }
            if aborts {
                let _ = sender.send(Err(Aborted)).await;
            }
        });
        receiver
    }
}

impl Service for Showcase {
    type Message = oneshot::Sender<usize>;

    fn body_bytes_max(&self, _: &Head) -> usize {
        BODY_BYTES_MAX
    }

    fn reads_body(&self, head: &Head) -> bool {
        head.path().starts_with("/read/")
    }

    fn call(self: Rc<Self>, request: Request) -> impl Future<Output = Response> + 'static {
        self.answer(request)
    }

    fn receive(self: Rc<Self>, message: Self::Message) -> impl Future<Output = ()> + 'static {
        async move {
            let _ = message.send(self.handle.index);
        }
    }

    fn refuse(&self, why: &Refusal, head: Option<&Head>) -> Response {
        let path = head.map_or("-", Head::path).to_owned();
        text(why.status(), format!("{path}: {why}"))
    }

    fn tick(self: Rc<Self>) -> impl Future<Output = ()> + 'static {
        async move { *self.shared.ticks.lock().unwrap() += 1 }
    }

    fn stop(self: Rc<Self>) -> impl Future<Output = ()> + 'static {
        async move {
            // Mailboxes still work here.
            self.hop().await;
            self.shared.stopped.lock().unwrap().push(self.handle.index);
        }
    }
}

pub struct Server {
    pub running: Running,
    pub pool: Pool,
    pub shared: Arc<Shared>,
    pub address: SocketAddr,
}

pub fn config(driver: DriverChoice) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Config { shard_count: 2, main: vec![any], hfs: Some(any), driver, pin: false, ..Config::default() }
}

pub fn start(config: Config) -> Server {
    let shared = Arc::new(Shared::default());
    let pool = Pool::start(PoolConfig::default()).unwrap();
    let of_service = Arc::clone(&shared);
    let running =
        run(config, pool.clone(), move |handle| Rc::new(Showcase { handle, shared: Arc::clone(&of_service) })).unwrap();
    let address = running.addresses().main[0];
    Server { running, pool, shared, address }
}

impl Server {
    pub fn client(&self) -> Client {
        Client::to(self.address)
    }

    pub fn stop(self) {
        self.running.stop(Duration::from_secs(5));
        self.pool.shutdown();
    }
}

/// Runs a scenario on io_uring (where the system allows it) and on epoll.
pub fn on_both_drivers(scenario: impl Fn(Server)) {
    for driver in DRIVERS {
        let server = start(config(driver));
        eprintln!("driver: {}", server.running.driver());
        scenario(server);
    }
}

pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// The body came to its end as its framing says.
    pub is_whole: bool,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(CLIENT_PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, text: &str) -> &mut Self {
        self.send_bytes(text.as_bytes())
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.stream.write_all(bytes).unwrap();
        self
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).answer()
    }

    pub fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = body.len();
        self.send(&format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n"));
        self.send_bytes(body).answer()
    }

    /// Reads until the connection ends; true for an orderly end or a reset.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty() && self.buffer.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    pub fn answer_to(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.fill(), "the connection ended within a head: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let lower = head.to_ascii_lowercase();
        let length = lower.split_once("content-length: ").map(|(_, rest)| rest.split_once("\r\n").unwrap().0);
        let bodiless = method == "HEAD" || matches!(status, 100..200 | 204 | 304);
        let (body, is_whole) = match length {
            _ if bodiless => (Vec::new(), true),
            Some(length) => self.take(length.parse().unwrap()),
            None if lower.contains("transfer-encoding: chunked") => self.chunks(),
            None => {
                while self.fill() {}
                (std::mem::take(&mut self.buffer), true)
            }
        };
        Answer { status, head, body, is_whole }
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Some(line_end) = self.buffer.windows(2).position(|two| two == b"\r\n") else {
                if !self.fill() {
                    return (body, false);
                }
                continue;
            };
            let line: Vec<u8> = self.buffer.drain(..line_end + 2).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            let (mut data, is_whole) = self.take(size + 2);
            if !is_whole {
                return (body, false);
            }
            assert_eq!(data.split_off(size), b"\r\n");
            if size == 0 {
                return (body, true);
            }
            body.append(&mut data);
        }
    }

    fn take(&mut self, count: usize) -> (Vec<u8>, bool) {
        while self.buffer.len() < count {
            if !self.fill() {
                return (std::mem::take(&mut self.buffer), false);
            }
        }
        (self.buffer.drain(..count).collect(), true)
    }

    fn fill(&mut self) -> bool {
        let mut part = [0; 64 * 1024];
        match self.stream.read(&mut part) {
            Ok(count) => {
                self.buffer.extend_from_slice(&part[..count]);
                count > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("the server did not answer: {error}"),
        }
    }
}
