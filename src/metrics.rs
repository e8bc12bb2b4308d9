//! Counters of the process and the time spent in each hop, for `/metrics`. Relaxed atomics: a figure may be a moment old.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::points::Points;

/// A stretch of flow 1 or flow 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    Edge,
    Mailbox,
    Space,
    Method,
    Parse,
    Log,
}

impl Hop {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Edge, "edge"),
        (Self::Mailbox, "mailbox"),
        (Self::Space, "space"),
        (Self::Method, "method"),
        (Self::Parse, "parse"),
        (Self::Log, "log"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(hop, _)| *hop == self).map_or("", |(_, name)| name)
    }
}

#[derive(Default)]
struct HopTimes {
    count: AtomicU64,
    total_ns: AtomicU64,
}

/// Status classes 1xx to 5xx.
const CLASSES: usize = 5;

pub struct Metrics {
    hops: [HopTimes; Hop::ALL.len()],
    answers: [AtomicU64; CLASSES],
    answer_ns: AtomicU64,
    points: AtomicU64,
    /// As of each shard's last tick.
    series: Vec<SeriesGauges>,
}

/// What of a shard's series is not in segments yet.
#[derive(Default)]
struct SeriesGauges {
    ring_bytes: AtomicU64,
    ring_age_ns: AtomicU64,
    log_files: AtomicU64,
    log_bytes: AtomicU64,
}

fn nanoseconds(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

impl Metrics {
    pub fn new(shards: usize) -> Self {
        Self {
            hops: Default::default(),
            answers: Default::default(),
            answer_ns: AtomicU64::new(0),
            points: AtomicU64::new(0),
            series: (0..shards).map(|_| SeriesGauges::default()).collect(),
        }
    }

    pub fn series(&self, shard: usize, points: &Points) {
        let Some(gauges) = self.series.get(shard) else { return };
        let ring = points.stats();
        let (files, bytes) = points.log_extent();
        gauges.ring_bytes.store(ring.active_bytes + ring.frozen_bytes, Ordering::Relaxed);
        gauges.ring_age_ns.store(nanoseconds(points.age()), Ordering::Relaxed);
        gauges.log_files.store(files, Ordering::Relaxed);
        gauges.log_bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn hop(&self, hop: Hop, elapsed: Duration) {
        let place = Hop::ALL.iter().position(|(known, _)| *known == hop);
        if let Some(times) = place.and_then(|place| self.hops.get(place)) {
            times.count.fetch_add(1, Ordering::Relaxed);
            times.total_ns.fetch_add(nanoseconds(elapsed), Ordering::Relaxed);
        }
    }

    pub fn answered(&self, status: u16, elapsed: Duration) {
        if let Some(count) = usize::from(status / 100).checked_sub(1).and_then(|class| self.answers.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.answer_ns.fetch_add(nanoseconds(elapsed), Ordering::Relaxed);
    }

    pub fn points_added(&self, count: usize) {
        self.points.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }

    /// Prometheus text.
    pub fn write(&self, out: &mut String) {
        header(out, "coreward_answers_total", "counter", "Answers by status class.");
        for (class, count) in self.answers.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(out, "coreward_answers_total{{class=\"{}xx\"}} {count}", class + 1);
        }
        header(out, "coreward_answer_seconds_total", "counter", "Time from a request's head to its answer, summed.");
        value(out, "coreward_answer_seconds_total", seconds(self.answer_ns.load(Ordering::Relaxed)));
        header(out, "coreward_points_total", "counter", "Points taken in for series.");
        value(out, "coreward_points_total", self.points.load(Ordering::Relaxed));
        type Gauge = fn(&SeriesGauges) -> &AtomicU64;
        let gauges: [(&str, &str, Gauge); 3] = [
            ("coreward_ring_bytes", "Points in memory that are not in a segment yet.", |s| &s.ring_bytes),
            ("coreward_series_log_files", "Log files that a restart would replay.", |s| &s.log_files),
            ("coreward_series_log_bytes", "Length of these log files.", |s| &s.log_bytes),
        ];
        for (name, help, gauge) in gauges {
            header(out, name, "gauge", help);
            for (shard, gauges) in self.series.iter().enumerate() {
                let _ = writeln!(out, "{name}{{shard=\"{shard}\"}} {}", gauge(gauges).load(Ordering::Relaxed));
            }
        }
        header(out, "coreward_ring_age_seconds", "gauge", "How long the oldest points in memory have been there.");
        for (shard, gauges) in self.series.iter().enumerate() {
            let age = seconds(gauges.ring_age_ns.load(Ordering::Relaxed));
            let _ = writeln!(out, "coreward_ring_age_seconds{{shard=\"{shard}\"}} {age}");
        }
        header(out, "coreward_hop_seconds_total", "counter", "Time spent in a hop of a call, summed.");
        for ((hop, _), times) in Hop::ALL.iter().zip(&self.hops) {
            let total = seconds(times.total_ns.load(Ordering::Relaxed));
            let _ = writeln!(out, "coreward_hop_seconds_total{{hop=\"{}\"}} {total}", hop.name());
        }
        header(out, "coreward_hop_passes_total", "counter", "Calls that passed a hop.");
        for ((hop, _), times) in Hop::ALL.iter().zip(&self.hops) {
            let count = times.count.load(Ordering::Relaxed);
            let _ = writeln!(out, "coreward_hop_passes_total{{hop=\"{}\"}} {count}", hop.name());
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a sum for a graph")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

pub fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

pub fn value(out: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name} {value}");
}
