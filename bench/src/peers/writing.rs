//! Posts of points to every peer in turn; in the end all points must be there.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::points::{Posts, Values};
use super::stand::{Stand, start_all};
use super::{Kind, Peer, Places};
use crate::answer::Reply;
use crate::drive::Load;
use crate::error::{BenchError, Result};
use crate::process::Usage;
use crate::scenario::Run;
use crate::stats::Figures;

/// A peer has settled when it has used less than this share of a core for some looks in a row.
const IDLE_CORES: f64 = 0.03;
const IDLE_LOOKS: usize = 3;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// Unit of `st_blocks`, whatever the file system's own is.
const BLOCK_BYTES: u64 = 512;
/// Figures of which the ratios are shown.
const COMPARED: [(&str, &str); 6] = [
    ("points/s", "x points/s"),
    ("points/cpu-s", "x points/cpu-s"),
    (CPU_IN_ALL, "x points/cpu-s in all"),
    ("p99 ms", "x p99 ms"),
    ("peak MiB", "x peak MiB"),
    (BYTES, "x bytes/point"),
];
const CPU_IN_ALL: &str = "points/cpu-s in all";
const BYTES: &str = "bytes/point";
const NOTES: [&str; 4] = [
    "one peer works at a time, the others are stopped (SIGSTOP); every peer has its points counted at the end",
    "points/cpu-s in all: from the first post until the peer had no more to do, all it did in the background included",
    "bytes/point: the files of points after the peer has written all and stopped; its log is a column of its own",
    "peak MiB: VmHWM; of PostgreSQL the proportional sizes (PSS) of its processes at the end of a window",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Points a post.
    points: Vec<usize>,
    /// The first one is compared with each of the others.
    peers: Vec<Kind>,
}

pub(crate) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    let values = Values::new();
    for (number, &points) in plan.points.iter().enumerate() {
        let mut writings = start_all(run, &plan.peers, |run, kind| Writing::start(run, kind, points));
        if number == 0 {
            writings.iter().for_each(|writing| run.report.note(writing.stand.peer.about()));
        }
        for _ in 0..run.common.rounds {
            for writing in &mut writings {
                writing.measure(run, &values)?;
            }
        }
        let kinds: Vec<Kind> = writings.iter().map(|writing| writing.stand.kind).collect();
        for writing in writings {
            writing.finish(run)?;
        }
        compare(run, &kinds, points);
    }
    NOTES.into_iter().for_each(|note| run.report.note(note.to_owned()));
    Ok(())
}

fn name(kind: Kind, points: usize) -> String {
    format!("{}, {points} points", kind.name())
}

fn name_at_rest(kind: Kind, points: usize) -> String {
    format!("{}, {points} points, at rest", kind.name())
}

/// Ratios of the medians of the first peer to those of the others.
fn compare(run: &mut Run<'_>, kinds: &[Kind], points: usize) {
    let Some((first, others)) = kinds.split_first() else { return };
    for other in others {
        let median = |kind: Kind, figure: &str| {
            let of = |variant: &str| run.report.median(variant).and_then(|median| median.get(figure));
            of(&name(kind, points)).or_else(|| of(&name_at_rest(kind, points))).unwrap_or(f64::NAN)
        };
        let ratio = |figure: &str| median(*first, figure) / median(*other, figure);
        let ratios = COMPARED.into_iter().map(|(figure, shown)| (shown, ratio(figure)));
        let figures = ratios.fold(Figures::default(), |figures, (shown, ratio)| figures.with(shown, ratio));
        run.report.add(&format!("{} : {}, {points} points", first.name(), other.name()), figures);
    }
}

/// A peer with what it was sent.
struct Writing {
    stand: Stand,
    points: usize,
    /// One series for each connection.
    series: Vec<Posts>,
    /// CPU time before the first post.
    prepared: Duration,
}

impl Writing {
    fn start(run: &Run<'_>, kind: Kind, points: usize) -> Result<Self> {
        let connections = run.common.connections;
        let stand = Stand::start(run, kind, connections)?;
        let posts = |series| Posts::new(points, |rows| stand.peer.write_request(series, rows));
        let series = (0..connections).map(posts).collect();
        let prepared = stand.peer.family().cpu()?;
        stand.peer.family().pause();
        Ok(Self { stand, points, series, prepared })
    }

    fn name(&self) -> String {
        name(self.stand.kind, self.points)
    }

    fn measure(&mut self, run: &mut Run<'_>, values: &Values) -> Result<()> {
        let (name, connections) = (self.name(), self.series.len());
        let mut load = Writer { peer: self.stand.peer.as_ref(), series: &mut self.series, values };
        self.stand.measure(run, &name, connections, &mut load)
    }

    /// Lets the peer finish its work, counts its points, stops it and measures its folder.
    fn finish(self, run: &mut Run<'_>) -> Result<()> {
        let family = self.stand.peer.family();
        family.go_on();
        let busy_for = settle(family)?;
        let cpu = family.cpu()?.saturating_sub(self.prepared);
        let stored = self.verified()? as f64;
        let name = name_at_rest(self.stand.kind, self.points);
        let Places { files, log } = self.stand.peer.places();
        self.stand.peer.flush()?;
        self.stand.peer.stop()?;
        let data = self.stand.place.data();
        let file_bytes = allocated_bytes(&data.join(files))?;
        let log_bytes = log.map_or(Ok(0), |log| allocated_bytes(&data.join(log)))?;
        let figures = Figures::default()
            .with("points stored", stored)
            .with(CPU_IN_ALL, stored / cpu.as_secs_f64())
            .with("busy s after", busy_for.as_secs_f64())
            .with(BYTES, file_bytes as f64 / stored)
            .with("log bytes/point", log_bytes as f64 / stored);
        run.report.add(&name, figures);
        Ok(())
    }

    /// The number of points that the peer has, if it can be true.
    fn verified(&self) -> Result<u64> {
        let sum = |of: fn(&Posts) -> u64| self.series.iter().map(of).sum::<u64>();
        let (sent, acknowledged) = (sum(Posts::points_sent), sum(Posts::points_acknowledged));
        let stored = self.stand.peer.count()?;
        if (acknowledged..=sent).contains(&stored) {
            return Ok(stored);
        }
        Err(BenchError::Unexpected {
            request: format!("counting the points of {}", self.name()),
            text: format!("{stored} are there; {acknowledged} were acknowledged, {sent} sent"),
        })
    }
}

struct Writer<'a> {
    peer: &'a dyn Peer,
    series: &'a mut [Posts],
    values: &'a Values,
}

impl Load for Writer<'_> {
    fn next(&mut self, connection: usize, out: &mut Vec<u8>) {
        if let Some(series) = self.series.get_mut(connection) {
            series.write_next(self.values, out);
        }
    }

    fn items_per_request(&self) -> u64 {
        self.series.first().map_or(1, Posts::points_a_post)
    }

    fn answered(&mut self, connection: usize, is_success: bool) {
        if let Some(series) = self.series.get_mut(connection).filter(|_| is_success) {
            series.acknowledge();
        }
    }

    fn connect(&self, _address: SocketAddr) -> Result<TcpStream> {
        self.peer.connect()
    }

    fn reply(&self) -> Box<dyn Reply> {
        self.peer.reply()
    }
}

/// Waits until the processes have nothing more to do; says for how long they had.
fn settle(usage: impl Usage) -> Result<Duration> {
    let started = Instant::now();
    let (mut idle_looks, mut busy_for, mut before) = (0, Duration::ZERO, usage.cpu()?);
    while idle_looks < IDLE_LOOKS && started.elapsed() < SETTLE_MAX {
        std::thread::sleep(LOOK_EVERY);
        let now = usage.cpu()?;
        if now.saturating_sub(before) < LOOK_EVERY.mul_f64(IDLE_CORES) {
            idle_looks += 1;
        } else {
            (idle_looks, busy_for) = (0, started.elapsed());
        }
        before = now;
    }
    Ok(busy_for)
}

/// What a folder takes of the file system, preallocated space included.
fn allocated_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let entries = std::fs::read_dir(folder).map_err(BenchError::system(&format!("read {}", folder.display())))?;
    for entry in entries {
        let entry = entry.map_err(BenchError::system("read a folder"))?;
        let metadata = entry.metadata().map_err(BenchError::system("look at a file"))?;
        bytes += metadata.blocks() * BLOCK_BYTES;
        if metadata.is_dir() {
            bytes += allocated_bytes(&entry.path())?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;

    #[test]
    fn a_folder_takes_what_its_files_and_folders_take() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        let empty = allocated_bytes(folder.path()).unwrap();
        let file = folder.path().join("inner/file");
        std::fs::write(&file, vec![1; 100_000]).unwrap();
        // Blocks are given when the bytes go to the disk.
        std::fs::File::open(&file).unwrap().sync_all().unwrap();
        assert!(allocated_bytes(folder.path()).unwrap() >= empty + 100_000);
    }

    #[test]
    fn the_settled_are_not_waited_for_long() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        assert_eq!(settle(Process { id: child.id() }).unwrap(), Duration::ZERO);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
