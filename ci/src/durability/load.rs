//! The load under which the server is struck: writers of series and creators of events, each on its own connection, each
//! keeping the ledger of what it was promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::ledger::{EventLedger, Findings, SeriesAnswer, SeriesLedger};
use crate::account::Account;
use crate::error::{CiError, Result};
use crate::http::{Client, HttpError, Reply, Request};
use crate::random::Random;

const WRITERS: u64 = 8;
const CREATORS: u64 = 2;
const POINTS_SMALL: u64 = 10;
const POINTS_LARGE: u64 = 1_000;
/// Keeps what must be read back within seconds while the log is never idle.
const WRITER_PAUSE: Duration = Duration::from_millis(4);
const CREATOR_PAUSE: Duration = Duration::from_millis(2);
/// After a refusal for want of room.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// More events than a run creates.
const EVENTS_LIMIT: u64 = 100_000_000;

/// Everything that writes, between two outages.
pub(crate) struct Load {
    writers: Vec<Writer>,
    creators: Vec<Creator>,
}

struct Writer {
    account: Account,
    event: String,
    ledger: SeriesLedger,
    random: Random,
    complaints: Vec<String>,
}

struct Creator {
    account: Account,
    stream: String,
    ledger: EventLedger,
    complaints: Vec<String>,
}

/// The load while it runs.
pub(crate) struct Running {
    writers: Vec<JoinHandle<Writer>>,
    creators: Vec<JoinHandle<Creator>>,
    signals: Arc<Signals>,
}

/// What the load is told about the outage while it runs.
#[derive(Default)]
pub(super) struct Signals {
    /// From here on a broken connection is what was asked for.
    outage: AtomicBool,
    /// The disk is gone: what is sent from here on cannot be acknowledged by an honest server.
    dead_disk: AtomicBool,
    stop: AtomicBool,
}

impl Signals {
    pub(super) fn declare_disk_dead(&self) {
        self.dead_disk.store(true, Ordering::SeqCst);
    }
}

impl Signals {
    fn is_disk_dead(&self) -> bool {
        self.dead_disk.load(Ordering::SeqCst)
    }
}

impl Load {
    /// Creates users, streams and series; two writers share a user.
    pub(crate) fn prepare(address: std::net::SocketAddr, random: &mut Random) -> Result<Self> {
        let mut accounts = Vec::new();
        for number in 0..WRITERS / 2 {
            let account = Account::register(address, &format!("user{number}-{:x}", random.next()))?;
            account.create_stream("series")?;
            accounts.push(account);
        }
        let mut writers = Vec::new();
        let mut creators = Vec::new();
        for (number, account) in (0..WRITERS).zip(accounts.iter().cycle()) {
            let event = account.create_series("series", "series:mass/kg", 0.0)?;
            let (ledger, random) = (SeriesLedger::new(number), Random::new(random.next()));
            writers.push(Writer { account: account.clone(), event, ledger, random, complaints: Vec::new() });
        }
        for (number, account) in (0..CREATORS).zip(accounts) {
            let stream = format!("events-{number}");
            account.create_stream(&stream)?;
            creators.push(Creator { account, stream, ledger: EventLedger::new(number), complaints: Vec::new() });
        }
        Ok(Self { writers, creators })
    }

    pub(crate) fn start(self) -> Running {
        let signals = Arc::new(Signals::default());
        let writers = self.writers.into_iter().map(|mut writer| {
            let signals = Arc::clone(&signals);
            std::thread::spawn(move || {
                writer.work(&signals);
                writer
            })
        });
        let writers = writers.collect();
        let creators = self.creators.into_iter().map(|mut creator| {
            let signals = Arc::clone(&signals);
            std::thread::spawn(move || {
                creator.work(&signals);
                creator
            })
        });
        Running { writers, creators: creators.collect(), signals: Arc::clone(&signals) }
    }

    /// Reads back and compares: since the last comparison, or `whole`, everything there is.
    pub(crate) fn compare(&mut self, whole: bool) -> Result<Findings> {
        let mut findings = Findings::default();
        for writer in &mut self.writers {
            findings.merge(writer.compare(whole)?);
        }
        for creator in &mut self.creators {
            findings.merge(creator.compare()?);
        }
        Ok(findings)
    }

    /// Acknowledged points and events.
    pub(crate) fn acknowledged(&self) -> (u64, u64) {
        let points = self.writers.iter().map(|writer| writer.ledger.acknowledged_count()).sum();
        (points, self.creators.iter().map(|creator| creator.ledger.acknowledged_count()).sum())
    }

    /// Answers that no server should give, taken out.
    pub(crate) fn take_complaints(&mut self) -> Vec<String> {
        let writers = self.writers.iter_mut().flat_map(|writer| writer.complaints.drain(..));
        writers.chain(self.creators.iter_mut().flat_map(|creator| creator.complaints.drain(..))).collect()
    }
}

impl Running {
    pub(crate) fn announce_outage(&self) {
        self.signals.outage.store(true, Ordering::SeqCst);
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Waits for the end of all threads.
    pub(crate) fn join(self) -> Result<Load> {
        self.signals.stop.store(true, Ordering::SeqCst);
        let broken = || CiError::System { act: "join a load thread", source: std::io::Error::other("it panicked") };
        let writers = self.writers.into_iter().map(|thread| thread.join().map_err(|_| broken())).collect::<Result<_>>();
        let creators = self.creators.into_iter().map(|thread| thread.join().map_err(|_| broken()));
        Ok(Load { writers: writers?, creators: creators.collect::<Result<_>>()? })
    }
}

impl Writer {
    fn work(&mut self, signals: &Signals) {
        let mut client = Client::new(self.account.address);
        let path = self.account.path(&format!("/events/{}/series", self.event));
        while !signals.stop.load(Ordering::SeqCst) {
            let count = if self.random.next().is_multiple_of(2) { POINTS_SMALL } else { POINTS_LARGE };
            let body = self.ledger.prepare(count);
            let is_disk_dead = signals.is_disk_dead();
            let answer = client.send(&Request::new("POST", &path).token(&self.account.token).json_text(body));
            match verdict(answer, 200, signals) {
                Verdict::Done(reply)
                    if reply.json().is_some_and(|json| text_at(&json, "/status").as_deref() == Some("ok")) =>
                {
                    // An answer that comes while the disk is taken away is a promise like any other.
                    if is_disk_dead {
                        self.complaints.push("POST series: 200 from a dead disk".to_owned());
                    } else {
                        self.ledger.acknowledge();
                    }
                }
                Verdict::Done(reply) => self.complaints.push(format!("POST series: 200 without ok: {}", reply.text())),
                Verdict::Refused => std::thread::sleep(REFUSED_PAUSE),
                Verdict::Cut => return,
                Verdict::Wrong(what) => return self.complaints.push(format!("POST series: {what}")),
            }
            std::thread::sleep(WRITER_PAUSE);
        }
    }

    fn compare(&mut self, whole: bool) -> Result<Findings> {
        let from = if whole { 0 } else { self.ledger.unsettled_from() };
        let path = self.account.path(&format!("/events/{}/series?fromDeltaTime={from}", self.event));
        let reply = read(&self.account, &path)?;
        let answer: SeriesAnswer =
            serde_json::from_slice(&reply.body).map_err(|error| CiError::format(&path, error.to_string()))?;
        if !answer.points.is_empty() && answer.fields != ["deltaTime", "value"] {
            return Err(CiError::format(&path, format!("fields {:?}", answer.fields)));
        }
        Ok(self.ledger.compare(from, &answer.points))
    }
}

impl Creator {
    fn work(&mut self, signals: &Signals) {
        let mut client = Client::new(self.account.address);
        let path = self.account.path("/events");
        while !signals.stop.load(Ordering::SeqCst) {
            let content = self.ledger.prepare();
            let is_disk_dead = signals.is_disk_dead();
            let body = json!({ "streamIds": [self.stream], "type": "note/txt", "content": content, "time": 1.0 });
            let answer = client.send(&Request::new("POST", &path).token(&self.account.token).json(&body));
            match verdict(answer, 201, signals) {
                Verdict::Done(reply) => match reply.json().and_then(|json| text_at(&json, "/event/id")) {
                    Some(_) if is_disk_dead => self.complaints.push("POST /events: 201 from a dead disk".to_owned()),
                    Some(id) => self.ledger.acknowledge(&content, &id),
                    None => self.complaints.push(format!("POST /events: 201 without an id: {}", reply.text())),
                },
                Verdict::Refused => std::thread::sleep(REFUSED_PAUSE),
                Verdict::Cut => return,
                Verdict::Wrong(what) => return self.complaints.push(format!("POST /events: {what}")),
            }
            std::thread::sleep(CREATOR_PAUSE);
        }
    }

    fn compare(&mut self) -> Result<Findings> {
        let query = format!("/events?streams={}&fromTime=0&toTime=2&limit={EVENTS_LIMIT}", self.stream);
        let path = self.account.path(&query);
        let json = read(&self.account, &path)?.json().ok_or_else(|| CiError::format(&path, "not JSON"))?;
        let events = json.pointer("/events").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let pairs: Vec<_> =
            events.iter().filter_map(|event| Some((text_at(event, "/id")?, text_at(event, "/content")?))).collect();
        Ok(self.ledger.compare(&pairs))
    }
}

enum Verdict {
    Done(Reply),
    /// No room now (503, 507): nothing was promised.
    Refused,
    /// The connection broke in an outage.
    Cut,
    Wrong(String),
}

fn verdict(answer: std::result::Result<Reply, HttpError>, expected: u16, signals: &Signals) -> Verdict {
    let is_outage = signals.outage.load(Ordering::SeqCst);
    match answer {
        Ok(reply) if reply.status == expected => Verdict::Done(reply),
        Ok(reply) if [503, 507].contains(&reply.status) => Verdict::Refused,
        // A server that lost its disk may say so in any words, as long as it does not say 200.
        Ok(reply) if is_outage && reply.status >= 500 => Verdict::Refused,
        Ok(reply) => Verdict::Wrong(format!("answered {}: {}", reply.status, reply.text())),
        Err(_) if is_outage => Verdict::Cut,
        Err(error) => Verdict::Wrong(format!("broke while the server was up: {error}")),
    }
}

fn read(account: &Account, path: &str) -> Result<Reply> {
    let call = || format!("GET {path}");
    let reply = Client::new(account.address).send(&Request::new("GET", path).token(&account.token));
    let reply = reply.map_err(|source| CiError::Http { call: call(), source })?;
    match reply.status {
        200 => Ok(reply),
        status => Err(CiError::Answer { call: call(), status, expected: "200", body: reply.text() }),
    }
}

fn text_at(json: &Value, pointer: &str) -> Option<String> {
    json.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}
