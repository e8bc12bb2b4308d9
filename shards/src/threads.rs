//! Threads beside the shards.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread that may run on every core of the process. A thread inherits the pinning of its maker, and one that
/// is made by a shard would fight with it for its core.
pub fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(move || {
        unpin();
        work();
    })
}

/// Takes the cores of the process's first thread, which is never pinned.
fn unpin() {
    let cores = rustix::thread::sched_getaffinity(Some(rustix::process::getpid()));
    if let Err(error) = cores.and_then(|cores| rustix::thread::sched_setaffinity(None, &cores)) {
        tracing::debug!(%error, "a thread keeps the pinning of its maker");
    }
}
