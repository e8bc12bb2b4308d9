//! Where reads run: the db lane of the blocking pool, given by the caller.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

pub type Job = Box<dyn FnOnce() + Send>;

/// A bounded set of threads that may block.
pub trait Lane: Send + Sync + 'static {
    fn submit(&self, job: Job) -> Result<(), LaneFull>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lane's queue is full; try again")]
pub struct LaneFull;

/// A plain lane for tests, tools and benchmarks.
pub struct ThreadLane {
    queue: SyncSender<Job>,
}

impl ThreadLane {
    pub fn start(threads: usize, queue: usize) -> std::io::Result<Arc<Self>> {
        let (sender, receiver) = sync_channel::<Job>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads {
            let receiver = Arc::clone(&receiver);
            std::thread::Builder::new().name(format!("db-{number}")).spawn(move || {
                loop {
                    let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    job();
                }
            })?;
        }
        Ok(Arc::new(Self { queue: sender }))
    }
}

impl Lane for ThreadLane {
    fn submit(&self, job: Job) -> Result<(), LaneFull> {
        self.queue.try_send(job).map_err(|_| LaneFull)
    }
}
