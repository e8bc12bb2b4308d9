//! One thread with a tokio runtime for what only lives there: the rqlite client, webhooks, mail, certificates.
//!
//! A shard gives it a future and awaits the result over a oneshot; nothing of tokio runs on a shard.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::rt::catch_panic;
use crate::threads;

/// Futures at work at once; beyond it the caller answers 503 or tries later.
pub const TASKS_MAX: usize = 4096;
/// Time that futures still at work have at the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a future gave no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompatError {
    #[error("the compat thread has too much to do: try again later")]
    Full,
    #[error("the future panicked, or the server is stopping; the log says which")]
    Ended,
}

/// The thread; cheap to clone, usable from every thread.
#[derive(Clone)]
pub struct Compat {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    tasks: AtomicUsize,
    end: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

/// One of the futures at work.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Compat {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let thread = threads::spawn("coreward-compat".to_owned(), move || {
            // Ends when told to, or when the last handle is gone.
            let _ = runtime.block_on(ended);
            runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        })?;
        let inner = Inner { handle, tasks: AtomicUsize::new(0), end: Mutex::new(Some((end, thread))) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs `future` on the thread, from the call on and even if the result is not awaited.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, CompatError>> + Send + 'static {
        let queued = self.try_spawn(future);
        async move { queued?.await.map_err(|_| CompatError::Ended) }
    }

    fn try_spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, CompatError> {
        let before = self.inner.tasks.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.inner));
        if before >= TASKS_MAX {
            return Err(CompatError::Full);
        }
        let (sender, receiver) = oneshot::channel();
        drop(self.inner.handle.spawn(async move {
            let _place = place;
            match catch_panic(future).await {
                // A receiver that went away wanted the effect only.
                Ok(value) => drop(sender.send(value)),
                Err(panic) => tracing::error!(%panic, "a future on the compat thread panicked"),
            }
        }));
        Ok(receiver)
    }

    /// Futures at work now.
    pub fn task_count(&self) -> usize {
        self.inner.tasks.load(Ordering::Relaxed)
    }

    /// Ends the thread; futures still at work are dropped. Never call it on the thread itself.
    pub fn shutdown(&self) {
        let end = self.inner.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((end, thread)) = end {
            let _ = end.send(());
            // Futures are caught one by one, so the thread does not end by a panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_future_gives_its_result_to_another_thread() {
        let compat = Compat::start().unwrap();
        let result = compat.spawn(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            7
        });
        assert_eq!(wait(result), Ok(7));
        compat.shutdown();
    }

    #[test]
    fn a_panicking_future_is_told_apart_and_the_thread_lives_on() {
        let compat = Compat::start().unwrap();
        assert_eq!(wait(compat.spawn(async { panic!("on purpose") })), Err::<(), _>(CompatError::Ended));
        assert_eq!(wait(compat.spawn(async { 1 })), Ok(1));
        compat.shutdown();
        assert_eq!(wait(compat.spawn(async { 1 })), Err(CompatError::Ended));
    }

    #[test]
    fn more_futures_than_the_limit_are_refused_at_once() {
        let compat = Compat::start().unwrap();
        let endless: Vec<_> = (0..TASKS_MAX).map(|_| compat.spawn(std::future::pending::<()>())).collect();
        assert_eq!(wait(compat.spawn(async { 1 })), Err(CompatError::Full));
        compat.shutdown();
        drop(endless);
        assert_eq!(compat.task_count(), 0);
    }
}
