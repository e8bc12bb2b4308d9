//! What a server uses over time: memory, descriptors, threads, files and bytes of its data folder, written to a file as it
//! goes, so that a run that is cut short leaves its figures.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{BenchError, Result};
use crate::process::Process;
use crate::stats::Figures;

const MIB: f64 = 1024.0 * 1024.0;

/// What the load counts while it runs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) posts: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// Whom to look at, and how often.
pub(crate) struct Watch {
    pub(crate) process: Process,
    pub(crate) data: PathBuf,
    pub(crate) every: Duration,
    pub(crate) file: PathBuf,
}

pub(crate) struct Sampler {
    thread: JoinHandle<Result<Vec<Figures>>>,
    stop: Sender<()>,
}

impl Sampler {
    pub(crate) fn start(watch: Watch, counters: std::sync::Arc<Counters>) -> Result<Self> {
        let file =
            File::create(&watch.file).map_err(BenchError::system(&format!("create {}", watch.file.display())))?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut taker = Taker { watch, counters, file, started: Instant::now(), last: None, samples: Vec::new() };
            loop {
                taker.take()?;
                let wait = taker.next_due().saturating_duration_since(Instant::now());
                // The sampler is dropped only when its owner gives up; that ends it too.
                if !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                    return Ok(taker.samples);
                }
            }
        });
        Ok(Self { thread, stop })
    }

    pub(crate) fn stop(self) -> Result<Vec<Figures>> {
        // A sampler that ended by itself has an error to tell.
        let _ = self.stop.send(());
        self.thread.join().expect("a sampler only returns errors")
    }
}

struct Taker {
    watch: Watch,
    counters: std::sync::Arc<Counters>,
    file: File,
    started: Instant,
    last: Option<Totals>,
    samples: Vec<Figures>,
}

/// What grows for ever: shown as what was added a second.
#[derive(Debug, Clone, Copy)]
struct Totals {
    at: Instant,
    posts: u64,
    reads: u64,
    cpu: Duration,
}

impl Taker {
    fn next_due(&self) -> Instant {
        let count = u32::try_from(self.samples.len() + 1).unwrap_or(u32::MAX);
        self.started + self.watch.every.saturating_mul(count)
    }

    fn take(&mut self) -> Result<()> {
        let Watch { process, data, .. } = &self.watch;
        let memory = process.memory()?;
        let (log, segments, slots) =
            (usage(&data.join("log"), ""), usage(&data.join("series"), ".seg"), usage(&data.join("slots"), ""));
        let totals = Totals {
            at: Instant::now(),
            posts: self.counters.posts.load(Ordering::Relaxed),
            reads: self.counters.reads.load(Ordering::Relaxed),
            cpu: process.cpu()?,
        };
        // What is told a second needs a look before.
        let Some(since) = self.last.replace(totals) else { return Ok(()) };
        let seconds = totals.at.duration_since(since.at).as_secs_f64().max(1e-3);
        let figures = Figures::default()
            .with("s", totals.at.duration_since(self.started).as_secs_f64())
            .with("rss MiB", memory.rss_mib)
            .with("peak MiB", memory.peak_mib)
            .with("descriptors", process.descriptors()? as f64)
            .with("threads", process.threads()? as f64)
            .with("server cpu %", 100.0 * totals.cpu.saturating_sub(since.cpu).as_secs_f64() / seconds)
            .with("posts/s", (totals.posts - since.posts) as f64 / seconds)
            .with("reads/s", (totals.reads - since.reads) as f64 / seconds)
            .with("posts", totals.posts as f64)
            .with("refused", self.counters.refused.load(Ordering::Relaxed) as f64)
            .with("log files", log.files as f64)
            .with("log MiB", log.bytes as f64 / MIB)
            .with("segment files", segments.files as f64)
            .with("segment MiB", segments.bytes as f64 / MIB)
            .with("slots MiB", slots.bytes as f64 / MIB);
        self.write(&figures).map_err(BenchError::system("write a sample"))?;
        self.samples.push(figures);
        Ok(())
    }

    fn write(&mut self, figures: &Figures) -> std::io::Result<()> {
        if self.samples.is_empty() {
            let names: Vec<&str> = figures.iter().map(|(name, _)| name).collect();
            writeln!(self.file, "{}", names.join(","))?;
        }
        let values: Vec<String> = figures.iter().map(|(_, value)| format!("{value:.3}")).collect();
        writeln!(self.file, "{}", values.join(","))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Files below a folder whose names end like this. Files come and go meanwhile: what is gone counts nothing.
pub(crate) fn usage(folder: &Path, ending: &str) -> Usage {
    let mut usage = Usage::default();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            let below = self::usage(&entry.path(), ending);
            usage = Usage { files: usage.files + below.files, bytes: usage.bytes + below.bytes };
        } else if entry.file_name().to_string_lossy().ends_with(ending) {
            usage = Usage { files: usage.files + 1, bytes: usage.bytes + meta.len() };
        }
    }
    usage
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn files_and_bytes_of_a_folder_are_counted_by_ending() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        for (name, bytes) in [("a.seg", 10), ("below/b.seg", 5), ("c.tmp", 1)] {
            std::fs::write(folder.path().join(name), vec![0; bytes]).unwrap();
        }
        assert_eq!(usage(folder.path(), ".seg"), Usage { files: 2, bytes: 15 });
        assert_eq!(usage(folder.path(), ""), Usage { files: 3, bytes: 16 });
        assert_eq!(usage(&folder.path().join("absent"), ""), Usage::default());
    }

    #[test]
    fn samples_are_in_the_file_as_they_are_returned() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("samples.csv");
        let watch = Watch {
            process: Process::own(),
            data: folder.path().to_path_buf(),
            every: Duration::from_millis(5),
            file: file.clone(),
        };
        let counters = Arc::new(Counters::default());
        let sampler = Sampler::start(watch, Arc::clone(&counters)).unwrap();
        counters.posts.store(7, Ordering::Relaxed);
        while std::fs::read_to_string(&file).unwrap().lines().count() < 4 {
            std::thread::yield_now();
        }
        let samples = sampler.stop().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), samples.len() + 1);
        assert!(text.starts_with("s,rss MiB,"), "{text}");
        let last = samples.last().unwrap();
        assert!(last.get("rss MiB").unwrap() > 0.0 && last.get("posts") == Some(7.0), "{last:?}");
    }
}
