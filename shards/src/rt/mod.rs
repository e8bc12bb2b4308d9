//! The thin module over the shard runtime (monoio), so that it can be replaced: nobody else names it.
//!
//! Rules for code on a shard (measured, see `docs/`): no self-waking yields (timers stand still while the run queue is
//! not empty; use [`breathe`]), no blocking call, no monoio file I/O, no join handle on another thread. Sockets are
//! non-blocking and read with plain system calls after a wait for readiness, so that no buffer is ever owned by the
//! kernel and a waiting connection holds none.

pub mod net;
pub(crate) mod ring;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

/// Runs `future` on this shard. A panic in it is logged and ends only this task.
pub fn spawn<F>(future: F)
where
    F: Future<Output = ()> + 'static,
{
    let task = async move {
        if let Err(panic) = catch_panic(future).await {
            tracing::error!(panic = %panic, "a task on a shard panicked; the shard goes on");
        }
    };
    drop(monoio::spawn(task));
}

/// Waits for `duration`; the grain is one millisecond.
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

/// Lets the neighbours, sockets and timers of this shard run: what a yield would be if yields did not starve timers.
pub async fn breathe() {
    monoio::time::sleep(Duration::ZERO).await;
}

/// Runs `future` for at most `duration`; `None` when the time is over. Never put it round an accept or a file open.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    monoio::time::timeout(duration, future).await.ok()
}

/// What a panic said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PanicText(String);

impl PanicText {
    /// Reads the text out of what `catch_unwind` returned.
    pub fn of(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&'static str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic without a text".to_owned());
        Self(text)
    }
}

/// Runs `future` and turns a panic inside it into an error. The future is not polled again after a panic, so a value
/// it left half-changed is only seen through what it shared with others.
pub async fn catch_panic<F: Future>(future: F) -> Result<F::Output, PanicText> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(payload) => std::task::Poll::Ready(Err(PanicText::of(payload.as_ref()))),
        }
    })
    .await
}
