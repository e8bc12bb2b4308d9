//! SIGTERM and SIGINT ask the process to stop; a second one ends it at once. SIGHUP is reserved for reloading.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

/// The exit code of a process that was asked to stop a second time.
const IMPATIENT_EXIT_CODE: i32 = 130;

/// What the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Drain, flush, exit 0.
    Stop,
    /// Reserved: certificates and log level will be read again.
    Reload,
}

/// The installed handlers.
pub struct Signals {
    inner: iterator::Signals,
}

impl Signals {
    /// Installs the handlers; from now on the first SIGTERM does not end the process by itself.
    pub fn install() -> io::Result<Self> {
        let stop_seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down and raises it, the second finds it up and exits.
            signal_hook::flag::register_conditional_shutdown(signal, IMPATIENT_EXIT_CODE, Arc::clone(&stop_seen))?;
            signal_hook::flag::register(signal, Arc::clone(&stop_seen))?;
        }
        Ok(Self { inner: iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])? })
    }

    /// Blocks until the next signal; for the main thread.
    pub fn wait(&mut self) -> Signal {
        match self.inner.forever().next() {
            Some(SIGHUP) => Signal::Reload,
            _ => Signal::Stop,
        }
    }

    /// A handle that ends [`Signals::wait`] from another thread as if the process had been asked to stop.
    pub fn stopper(&self) -> Stopper {
        Stopper { handle: self.inner.handle() }
    }
}

/// Ends a waiting [`Signals::wait`].
#[derive(Clone)]
pub struct Stopper {
    handle: iterator::Handle,
}

impl Stopper {
    /// Makes the waiting thread return [`Signal::Stop`].
    pub fn stop(&self) {
        self.handle.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_is_told_apart_from_a_stop() {
        let mut signals = Signals::install().unwrap();
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert_eq!(signals.wait(), Signal::Reload);
        signals.stopper().stop();
        assert_eq!(signals.wait(), Signal::Stop);
    }
}
