//! The blocking pool: three bounded lanes of plain threads for what a shard must not do itself.
//!
//! `db` for SQLite, `cpu` for password hashes, images and large parses (at most half the cores), `file` for
//! attachments. A full lane refuses at once; the caller answers 503.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::rt::PanicText;
use crate::threads;

/// Jobs that wait in a lane before it refuses.
pub const LANE_QUEUE_MAX: usize = 4096;
/// Threads of the `db` lane unless configured: one for each default slot.
pub const DB_THREADS_DEFAULT: usize = 4;
/// Threads of the `file` lane unless configured.
pub const FILE_THREADS_DEFAULT: usize = 4;

/// A lane of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Db,
    Cpu,
    File,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Db, Self::Cpu, Self::File];

    /// The name of the lane in thread names and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Db => "db",
            Self::Cpu => "cpu",
            Self::File => "file",
        }
    }
}

/// The sizes of the lanes.
#[derive(Debug, Clone, Copy)]
pub struct PoolConfig {
    pub db_threads: usize,
    pub cpu_threads: usize,
    pub file_threads: usize,
    /// Jobs that wait in each lane before it refuses.
    pub queue_max: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            db_threads: DB_THREADS_DEFAULT,
            cpu_threads: (cores / 2).max(1),
            file_threads: FILE_THREADS_DEFAULT,
            queue_max: LANE_QUEUE_MAX,
        }
    }
}

/// The lane cannot take the job now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {} lane is full or closed: answer 503 and let the client come again", .0.name())]
pub struct LaneFull(pub Lane);

/// Why a job gave no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    #[error(transparent)]
    LaneFull(#[from] LaneFull),
    #[error("the job panicked on the {} lane; its text is in the log", .0.name())]
    Panicked(Lane),
}

type Job = Box<dyn FnOnce() + Send + 'static>;

/// The pool; cheap to clone, usable from every thread.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    db: LaneQueue,
    cpu: LaneQueue,
    file: LaneQueue,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct LaneQueue {
    state: Mutex<LaneState>,
    wake: Condvar,
    queue_max: usize,
}

struct LaneState {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// Starts the threads of all lanes.
    pub fn start(config: PoolConfig) -> std::io::Result<Self> {
        let queue = || LaneQueue {
            state: Mutex::new(LaneState { jobs: VecDeque::new(), closed: false }),
            wake: Condvar::new(),
            queue_max: config.queue_max.max(1),
        };
        let threads = Mutex::new(Vec::new());
        let pool = Self { inner: Arc::new(Inner { db: queue(), cpu: queue(), file: queue(), threads }) };
        for lane in Lane::ALL {
            let count = match lane {
                Lane::Db => config.db_threads,
                Lane::Cpu => config.cpu_threads,
                Lane::File => config.file_threads,
            };
            for number in 0..count.max(1) {
                if let Err(error) = pool.start_thread(lane, number) {
                    pool.shutdown();
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    fn start_thread(&self, lane: Lane, number: usize) -> std::io::Result<()> {
        let inner = Arc::clone(&self.inner);
        let name = format!("coreward-{}-{number}", lane.name());
        let thread = threads::spawn(name, move || inner.lane(lane).work())?;
        lock(&self.inner.threads).push(thread);
        Ok(())
    }

    /// Puts `job` into the lane, or refuses at once. Its panic is logged and forgotten.
    pub fn submit(&self, lane: Lane, job: impl FnOnce() + Send + 'static) -> Result<(), LaneFull> {
        self.inner.lane(lane).push(Box::new(job)).map_err(|()| LaneFull(lane))
    }

    /// Runs `job` in the lane and waits for its result without blocking. The job is queued at the call, not at the
    /// first poll, and runs even if the future is dropped.
    pub fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, PoolError>> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        let queued = self.submit(lane, move || {
            // A receiver that went away wanted the effect only.
            let _ = sender.send(job());
        });
        async move {
            queued?;
            receiver.await.map_err(|_| PoolError::Panicked(lane))
        }
    }

    /// Jobs waiting in the lane.
    pub fn depth(&self, lane: Lane) -> usize {
        lock(&self.inner.lane(lane).state).jobs.len()
    }

    /// Takes no more jobs, finishes the queued ones and joins the threads. Never call it on a thread of the pool.
    pub fn shutdown(&self) {
        for lane in Lane::ALL {
            self.inner.lane(lane).close();
        }
        let threads = std::mem::take(&mut *lock(&self.inner.threads));
        for thread in threads {
            // Jobs are caught one by one, so a thread of the pool does not end by a panic.
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn lane(&self, lane: Lane) -> &LaneQueue {
        match lane {
            Lane::Db => &self.db,
            Lane::Cpu => &self.cpu,
            Lane::File => &self.file,
        }
    }
}

impl LaneQueue {
    fn push(&self, job: Job) -> Result<(), ()> {
        let mut state = lock(&self.state);
        if state.closed || state.jobs.len() >= self.queue_max {
            return Err(());
        }
        state.jobs.push_back(job);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next_job() {
            if let Err(payload) = std::panic::catch_unwind(AssertUnwindSafe(job)) {
                let panic = PanicText::of(payload.as_ref());
                tracing::error!(%panic, "a job of the blocking pool panicked; the thread goes on");
            }
        }
    }

    /// The next job; `None` when the lane is closed and empty.
    fn next_job(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_all();
    }
}

/// Jobs run outside the lock, so a poisoned lock still guards a whole queue.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(queue_max: usize) -> Pool {
        Pool::start(PoolConfig { db_threads: 1, cpu_threads: 1, file_threads: 1, queue_max }).unwrap()
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_job_gives_its_result_back() {
        let pool = small(8);
        assert_eq!(wait(pool.run(Lane::Cpu, || 6 * 7)), Ok(42));
        pool.shutdown();
    }

    #[test]
    fn a_panicking_job_is_reported_and_the_thread_lives_on() {
        let pool = small(8);
        assert_eq!(wait(pool.run(Lane::Db, || panic!("on purpose"))), Err::<(), _>(PoolError::Panicked(Lane::Db)));
        assert_eq!(wait(pool.run(Lane::Db, || 1)), Ok(1));
        pool.shutdown();
    }

    #[test]
    fn a_full_lane_refuses_at_once_and_the_others_go_on() {
        let pool = small(1);
        let (started, wait_started) = std::sync::mpsc::channel();
        let (release, wait_release) = std::sync::mpsc::channel::<()>();
        pool.submit(Lane::File, move || {
            started.send(()).unwrap();
            let _ = wait_release.recv();
        })
        .unwrap();
        wait_started.recv().unwrap();
        assert_eq!(pool.submit(Lane::File, || ()), Ok(()));
        assert_eq!(pool.depth(Lane::File), 1);
        assert_eq!(pool.submit(Lane::File, || ()), Err(LaneFull(Lane::File)));
        assert_eq!(wait(pool.run(Lane::Db, || 5)), Ok(5));
        drop(release);
        pool.shutdown();
    }

    #[test]
    fn shutdown_finishes_the_queued_jobs_and_refuses_later_ones() {
        let pool = small(100);
        let done = Arc::new(Mutex::new(0));
        for _ in 0..100 {
            let done = Arc::clone(&done);
            // A refused job would show in the count below.
            let _ = pool.submit(Lane::Db, move || *lock(&done) += 1);
        }
        pool.shutdown();
        assert_eq!(*lock(&done), 100);
        assert!(pool.submit(Lane::Db, || ()).is_err());
    }
}
