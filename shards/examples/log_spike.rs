//! Spike: the log's group commit on a thread of its own against writes and syncs on the shard's ring.
//!
//! `cargo run --release -p shards --example log_spike -- [seconds a round] [rounds] [folder]`
//!
//! A pinned shard has N posts of 15 KB in flight; each waits until its bytes are synced. Both ways write the same
//! preallocated file, all waiting posts at once, one fdatasync for them. Rounds alternate; medians are printed.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "a measuring program: it may stop at the first surprise"
)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

const POST_BYTES: usize = 15 * 1024;
const FILE_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Thread,
    Ring,
}

struct Figures {
    posts_per_s: f64,
    posts_per_cpu_s: f64,
    p50_us: u128,
    p99_us: u128,
}

type Waiting = oneshot::Sender<()>;

fn main() {
    let mut words = std::env::args().skip(1);
    let seconds: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(2);
    let rounds: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(5);
    let folder = PathBuf::from(words.next().unwrap_or_else(|| ".".into()));
    println!("| in flight | way | posts/s | posts per CPU-second | p50 us | p99 us |\n|---|---|---|---|---|---|");
    for in_flight in [1, 16, 64] {
        let mut results = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (place, way) in [Way::Thread, Way::Ring].into_iter().enumerate() {
                let path = folder.join("log-spike.bin");
                results[place].push(run(way, in_flight, Duration::from_secs(seconds), &path));
                std::fs::remove_file(&path).expect("the file was made by run()");
            }
        }
        for (figures, way) in results.iter().zip(["thread", "ring"]) {
            let median = |value: fn(&Figures) -> f64| {
                let mut values: Vec<f64> = figures.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            println!(
                "| {in_flight} | {way} | {:.0} | {:.0} | {:.0} | {:.0} |",
                median(|f| f.posts_per_s),
                median(|f| f.posts_per_cpu_s),
                median(|f| f.p50_us as f64),
                median(|f| f.p99_us as f64),
            );
        }
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn prepare(path: &Path) {
    let file =
        OpenOptions::new().create(true).truncate(true).write(true).open(path).expect("the folder can be written");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, FILE_BYTES).expect("there is room");
    file.sync_all().expect("the disk works");
}

fn run(way: Way, in_flight: usize, length: Duration, path: &Path) -> Figures {
    prepare(path);
    let path = path.to_owned();
    std::thread::spawn(move || {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(0);
        rustix::thread::sched_setaffinity(None, &cores).expect("a thread may pin itself");
        let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
            .with_entries(1024)
            .enable_timer()
            .build()
            .expect("this spike needs io_uring");
        runtime.block_on(shard(way, in_flight, length, path))
    })
    .join()
    .expect("the spike does not panic")
}

async fn shard(way: Way, in_flight: usize, length: Duration, path: PathBuf) -> Figures {
    let queue: Rc<RefCell<VecDeque<Waiting>>> = Rc::default();
    let (wake, waked) = mpsc::channel::<()>(1);
    let (to_thread, from_shard) = mpsc::channel::<Waiting>(1024);
    match way {
        Way::Thread => drop(std::thread::spawn(move || write_on_thread(from_shard, &path))),
        Way::Ring => drop(monoio::spawn(write_on_ring(Rc::clone(&queue), waked, path))),
    }
    let (cpu, start) = (cpu_time(), Instant::now());
    let latencies: Rc<RefCell<Vec<u128>>> = Rc::default();
    let mut posts = Vec::new();
    for _ in 0..in_flight {
        let (queue, latencies) = (Rc::clone(&queue), Rc::clone(&latencies));
        let (wake, to_thread) = (wake.clone(), to_thread.clone());
        posts.push(monoio::spawn(async move {
            while start.elapsed() < length {
                let sent = Instant::now();
                let (done, synced) = oneshot::channel();
                if way == Way::Thread {
                    to_thread.send(done).await.expect("the thread outlives its sender");
                } else {
                    queue.borrow_mut().push_back(done);
                    let _ = wake.try_send(());
                }
                synced.await.expect("every post is synced");
                latencies.borrow_mut().push(sent.elapsed().as_micros());
            }
        }));
    }
    for post in posts {
        post.await;
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    let mut latencies = latencies.take();
    latencies.sort_unstable();
    let count = latencies.len();
    Figures {
        posts_per_s: count as f64 / wall,
        posts_per_cpu_s: count as f64 / cpu,
        p50_us: latencies[count / 2],
        p99_us: latencies[count * 99 / 100],
    }
}

fn write_on_thread(mut posts: mpsc::Receiver<Waiting>, path: &Path) {
    // The log's thread may run where it likes; the shard's pinning is not inherited.
    let all: rustix::thread::CpuSet = {
        let mut cores = rustix::thread::CpuSet::new();
        (0..std::thread::available_parallelism().map_or(1, |n| n.get()).max(2)).for_each(|core| cores.set(core));
        cores
    };
    let _ = rustix::thread::sched_setaffinity(None, &all);
    let file = OpenOptions::new().write(true).open(path).expect("prepared");
    let mut offset = 0;
    while let Some(first) = posts.blocking_recv() {
        let mut group = vec![first];
        while let Ok(next) = posts.try_recv() {
            group.push(next);
        }
        let bytes = vec![7_u8; POST_BYTES * group.len()];
        file.write_all_at(&bytes, offset).expect("the disk works");
        file.sync_data().expect("the disk works");
        offset = (offset + bytes.len() as u64) % (FILE_BYTES - 4 * 1024 * 1024);
        for post in group {
            let _ = post.send(());
        }
    }
}

async fn write_on_ring(queue: Rc<RefCell<VecDeque<Waiting>>>, mut waked: mpsc::Receiver<()>, path: PathBuf) {
    let file = monoio::fs::OpenOptions::new().write(true).open(path).await.expect("prepared");
    let mut offset = 0;
    while waked.recv().await.is_some() {
        loop {
            let group: Vec<Waiting> = queue.borrow_mut().drain(..).collect();
            if group.is_empty() {
                break;
            }
            let bytes = vec![7_u8; POST_BYTES * group.len()];
            let length = bytes.len() as u64;
            file.write_all_at(bytes, offset).await.0.expect("the disk works");
            file.sync_data().await.expect("the disk works");
            offset = (offset + length) % (FILE_BYTES - 4 * 1024 * 1024);
            for post in group {
                let _ = post.send(());
            }
        }
    }
}
