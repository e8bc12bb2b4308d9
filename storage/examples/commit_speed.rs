//! How many `events.create` a second the embedded engine commits, synced, with an audit record each.
//!
//! `cargo run --release -p storage --example commit_speed -- [seconds per run] [folder] [slots]`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool: it stops at the first error")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::integrity::Algorithm;
use model::{AuditRecord, Event, Grant, NewAccount, PasswordHash, Right, ServerTask, SlotId, UserId};
use serde_json::{Map, json};
use storage::base::{BaseStore, Write, WriteCall};
use storage::embedded::{EmbeddedConfig, EmbeddedStore, ThreadLane};

const IN_FLIGHT: usize = 64;

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().map_or(3, |text| text.parse().unwrap());
    let folder = args.next().map(PathBuf::from);
    println!("{IN_FLIGHT} in flight, synchronous FULL, audit and integrity on, {seconds} s a run");
    println!("{:>5} {:>6} {:>12} {:>14}", "slots", "users", "events/s", "per CPU-s");
    let only: Option<u16> = args.next().map(|text| text.parse().unwrap());
    for slots in [1, 2, 4, 8, 64].into_iter().filter(|slots| only.is_none_or(|only| only == *slots)) {
        for users in [1, 1000] {
            let (wall, cpu) = run(slots, users, Duration::from_secs(seconds), folder.as_deref());
            println!("{slots:>5} {users:>6} {wall:>12.0} {cpu:>14.0}");
        }
    }
}

fn run(slots: u16, users: usize, length: Duration, folder: Option<&std::path::Path>) -> (f64, f64) {
    let dir = folder.map_or_else(tempfile::TempDir::new, tempfile::TempDir::new_in).unwrap();
    let mut config = EmbeddedConfig::new(dir.path());
    config.slots = slots;
    config.seals.events = Some(Algorithm::Sha256);
    let store = EmbeddedStore::open(config, ThreadLane::start(2, 256).unwrap()).unwrap();
    let grants: Vec<Grant> = (0..users)
        .map(|n| {
            let slot = SlotId(u16::try_from(n % usize::from(slots)).unwrap());
            Grant::server_itself(ServerTask::Operator, UserId::new(format!("user{n:020}")), slot, Right::Write)
        })
        .collect();
    grants.iter().map(|grant| store.write(create_account(grant))).collect::<Vec<_>>().into_iter().for_each(|reply| {
        reply.blocking_recv().unwrap().unwrap();
    });
    let (begun, cpu_before) = (Instant::now(), cpu_seconds());
    let mut waiting = std::collections::VecDeque::with_capacity(IN_FLIGHT);
    let mut count = 0_u32;
    while begun.elapsed() < length {
        while waiting.len() < IN_FLIGHT {
            let grant = &grants[usize::try_from(mix(count)).unwrap() % users];
            waiting.push_back(store.write(create_event(grant, count)));
            count += 1;
        }
        waiting.pop_front().unwrap().blocking_recv().unwrap().unwrap();
    }
    let done = count - u32::try_from(waiting.len()).unwrap();
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    store.close();
    (f64::from(done) / wall, f64::from(done) / cpu)
}

fn create_account(grant: &Grant) -> WriteCall {
    let account = NewAccount {
        username: grant.user().as_str().into(),
        password: PasswordHash("none".into()),
        fields: Map::new(),
        session: None,
    };
    WriteCall {
        grant: grant.clone(),
        write: Write::CreateAccount(Box::new(account)),
        audit: None,
        batch: None,
        now: 1.0,
    }
}

/// As a small sensor reading would be: ids are spread like random ones.
fn create_event(grant: &Grant, count: u32) -> WriteCall {
    let now = 1_700_000_000.0 + f64::from(count) / 1000.0;
    let id = format!("c{:016x}{count:08x}", mix(count));
    let event = Event {
        id: id[..24].into(),
        stream_ids: vec![format!("stream{}", count % 4)],
        time: now,
        kind: "mass/kg".into(),
        content: Some(json!(f64::from(count % 1000) / 10.0)),
        ..Event::default()
    };
    let detail = json!({ "source": { "name": "http", "ip": "203.0.113.7" } }).as_object().unwrap().clone();
    let audit = AuditRecord {
        id: format!("c{:016x}{count:07x}", mix(count ^ 0x5555)),
        time: now,
        access_id: "ckaccess0000000000000000".into(),
        access_serial: None,
        action: "events.create".into(),
        error: None,
        detail,
    };
    let write = Write::CreateEvent { event: Box::new(event) };
    WriteCall { grant: grant.clone(), write, audit: Some(audit), batch: None, now }
}

/// splitmix64: spreads a counter.
fn mix(count: u32) -> u64 {
    let mut z = u64::from(count).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

/// User and system time of the process: the clock of CPU time.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "seconds of a short run")]
    let seconds = time.tv_sec as f64;
    #[allow(clippy::cast_precision_loss, reason = "below 1e9")]
    let nanoseconds = time.tv_nsec as f64;
    seconds + nanoseconds / 1e9
}
