//! A node in miniature: what the shard, its writer thread and the flush do, one after the other, on any disk.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use model::{Grant, Right, SeriesKey, ServerTask, SlotId, UserId};
use series::*;
use std::path::Path;

pub const LOG: &str = "/log";
pub const SERIES: &str = "/series";

pub fn key(number: u64) -> SeriesKey {
    SeriesKey::new(SlotId((number % 3) as u16), number).unwrap()
}

pub fn may_write(key: SeriesKey) -> Grant {
    Grant::server_itself(ServerTask::Operator, UserId::new("u"), key.slot(), Right::WriteSeries(key))
}

pub fn may_read(key: SeriesKey) -> Grant {
    Grant::server_itself(ServerTask::Operator, UserId::new("u"), key.slot(), Right::ReadSeries(key))
}

pub fn numbers(rows: &[(i64, f64)]) -> Points {
    let cells = Cells::Number(rows.iter().map(|(_, value)| *value).collect());
    Points {
        times_ns: rows.iter().map(|(time, _)| *time).collect(),
        columns: vec![Column { name: "value".into(), cells, present: None }],
    }
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Outcome {
    Acknowledged,
    NoSpace,
    Poisoned,
    Full,
}

pub struct Node<D> {
    pub disk: D,
    pub ingest: Ingest,
    pub writer: LogWriter,
    pub catalog: Catalog,
    pub report: RecoveryReport,
}

#[derive(Clone, Copy)]
pub struct Sizes {
    pub log_file_bytes: u64,
    pub recovery_bytes: u64,
}

pub const SMALL: Sizes = Sizes { log_file_bytes: 4096, recovery_bytes: 2000 };

/// A second handle on the same disk, for the thread that makes spare log files.
pub trait Twin: Disk {
    fn twin(&self) -> Box<dyn Disk>;
}

impl Twin for RealDisk {
    fn twin(&self) -> Box<dyn Disk> {
        Box::new(RealDisk::new())
    }
}

impl Twin for fault::MemoryDisk {
    fn twin(&self) -> Box<dyn Disk> {
        Box::new(self.clone())
    }
}

impl<D: Twin> Node<D> {
    pub fn start(mut disk: D, epoch: u64, sizes: Sizes, dirs: [&Path; 2]) -> Result<Self, String> {
        let catalog = Catalog::open(dirs[1], &mut disk).map_err(|error| error.to_string())?;
        let options = RecoveryOptions { memory_bytes_max: sizes.recovery_bytes, salvage: false };
        let report = recover(&mut disk, dirs[0], &catalog, &|_| true, options).map_err(|error| error.to_string())?;
        let mut file_id = epoch << 32;
        let options = LogOptions {
            dir: dirs[0].to_owned(),
            epoch,
            chain: 0,
            file_bytes: sizes.log_file_bytes,
            // Every other file is a spare, as when the thread that makes them lags behind.
            next_spare: {
                let (mut disk, dir, mut number) = (disk.twin(), dirs[0].to_owned(), 0);
                Box::new(move || {
                    number += 1;
                    let is_late = number % 2 == 0;
                    (!is_late)
                        .then(|| prepare_spare(&dir, 0, number, sizes.log_file_bytes, disk.as_mut()).ok())
                        .flatten()
                })
            },
            next_file_id: Box::new(move || {
                file_id += 1;
                file_id
            }),
        };
        let limits = IngestLimits { ring_bytes_max: 1 << 20, flush_bytes: 1 << 19 };
        Ok(Self { disk, ingest: Ingest::new(limits, epoch, 0), writer: LogWriter::new(options), catalog, report })
    }

    pub fn post(&mut self, batch: Vec<(SeriesKey, Points)>) -> Outcome {
        self.post_all(vec![batch])[0]
    }

    /// Posts that wait together for one step of the writer.
    pub fn post_all(&mut self, posts: Vec<Vec<(SeriesKey, Points)>>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut tickets = Vec::new();
        for batch in posts {
            let batch = batch.into_iter().map(|(key, points)| (may_write(key), points)).collect();
            match self.ingest.append(batch) {
                Ok((ticket, group)) => {
                    self.writer.push(group);
                    tickets.push((outcomes.len(), ticket));
                    outcomes.push(Outcome::Poisoned);
                }
                Err(IngestError::Full { .. }) => outcomes.push(Outcome::Full),
                Err(IngestError::Poisoned { .. }) => outcomes.push(Outcome::Poisoned),
                Err(error) => panic!("{error}"),
            }
        }
        for event in self.writer.step(&mut self.disk) {
            match event {
                LogEvent::Durable(durable) => {
                    self.ingest.durable(&durable);
                    for (position, ticket) in &tickets {
                        if Ingest::acknowledge(*ticket, &durable).is_some() {
                            outcomes[*position] = Outcome::Acknowledged;
                        }
                    }
                }
                LogEvent::NoSpace { refused, .. } => {
                    self.ingest.refused(&refused);
                    for (position, ticket) in &tickets {
                        if (refused.first()..=refused.last()).contains(&ticket.sequence()) {
                            outcomes[*position] = Outcome::NoSpace;
                        }
                    }
                }
                LogEvent::Poisoned { why } => self.ingest.poisoned(why),
            }
        }
        outcomes
    }

    /// Ring to segments, then the log is cut. Errors are left for the next try, as a driver would.
    pub fn flush(&mut self) -> Result<(), String> {
        self.ingest.freeze();
        let Some(frozen) = self.ingest.frozen_ready() else { return Ok(()) };
        self.catalog.flush(&frozen, &mut self.disk).map_err(|error| error.to_string())?;
        self.ingest.flushed(frozen.through());
        self.writer.checkpoint(frozen.through(), &mut self.disk).map_err(|error| error.to_string())?;
        Ok(())
    }

    pub fn plan(&self, key: SeriesKey, from_ns: i64, to_ns: i64) -> ReadPlan {
        let view = self.ingest.snapshot(&may_read(key), from_ns, to_ns).unwrap();
        ReadPlan::new(view, self.catalog.for_key(key, from_ns, to_ns), from_ns, to_ns)
    }

    /// All rows of the column `value`.
    pub fn read(&mut self, key: SeriesKey) -> Result<Vec<(i64, f64)>, String> {
        let mut plan = self.plan(key, i64::MIN, i64::MAX);
        let mut rows = Vec::new();
        while let Some(page) = plan.next_page(&mut self.disk, 100).map_err(|error| error.to_string())? {
            let Cells::Number(values) = &page.columns[0].cells else { panic!("not numbers") };
            rows.extend(page.times_ns.iter().copied().zip(values.iter().copied()));
        }
        assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "sorted, each time once");
        Ok(rows)
    }
}

/// What the upkeep of a server does with what is due.
pub fn erase_due(catalog: &Catalog, disk: &mut dyn Disk) -> Result<(), SegmentError> {
    catalog.due().into_iter().try_for_each(|name| catalog.erase(name, disk).map(drop))
}

pub fn start(disk: &fault::MemoryDisk, epoch: u64) -> Result<Node<fault::MemoryDisk>, String> {
    Node::start(disk.clone(), epoch, SMALL, [Path::new(LOG), Path::new(SERIES)])
}

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}
