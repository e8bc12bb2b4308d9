//! Which driver the shards run on: io_uring when a real ring can be built for every shard, else epoll with the cause.
//!
//! monoio's own detection builds a ring of two entries and so does not see a low memlock limit; the real build then
//! fails. Here every shard builds its real ring first; one refusal makes the whole process use epoll.

use std::future::Future;
use std::io;

use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder, time::TimeDriver};

/// Entries of a shard's ring, tried in this order: 105 KiB, then 28 KiB of locked memory each.
const RING_ENTRIES: [u32; 2] = [1024, 256];
/// Locked memory that a large ring takes, rounded up.
const LARGE_RING_BYTES: u64 = 128 * 1024;
/// Events that one epoll call returns.
const EPOLL_EVENTS: u32 = 1024;
const SYSCTL_PATH: &str = "/proc/sys/kernel/io_uring_disabled";
/// The variable by which an operator asks for a driver.
pub(crate) const DRIVER_VARIABLE: &str = "COREWARD_DRIVER";

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriverChoice {
    /// io_uring when the system allows it, else epoll.
    #[default]
    Auto,
    /// epoll without trying io_uring.
    Epoll,
}

impl DriverChoice {
    /// Reads `COREWARD_DRIVER`: `epoll` asks for epoll, everything else leaves the choice to the server.
    pub fn from_env() -> Self {
        match std::env::var(DRIVER_VARIABLE) {
            Ok(value) if value.eq_ignore_ascii_case("epoll") => Self::Epoll,
            _ => Self::Auto,
        }
    }
}

/// The driver of all shards, decided once at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// Every shard has its own ring.
    IoUring,
    /// Readiness by epoll; slower by some per cent, all else the same.
    Epoll {
        /// Why not io_uring.
        cause: EpollCause,
    },
}

impl std::fmt::Display for Driver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::IoUring => formatter.write_str("io_uring"),
            Self::Epoll { cause } => write!(formatter, "epoll ({cause})"),
        }
    }
}

/// Why the shards run on epoll; each text names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpollCause {
    #[error("asked for by {DRIVER_VARIABLE}=epoll")]
    Asked,
    #[error(
        "io_uring is not permitted: allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile"
    )]
    NotPermitted,
    #[error("io_uring is disabled: set the sysctl kernel.io_uring_disabled to 0 (it is {value})")]
    DisabledBySysctl { value: u8 },
    #[error("not enough locked memory for the rings: raise the limit (--ulimit memlock=) or grant CAP_IPC_LOCK")]
    Memlock,
    #[error("this kernel has no io_uring: Linux 5.11 or newer has it")]
    NotInKernel,
    #[error("io_uring refused: {0}")]
    Other(String),
}

impl EpollCause {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => match disabled_by_sysctl() {
                Some(value) => Self::DisabledBySysctl { value },
                None => Self::NotPermitted,
            },
            Some(libc::ENOMEM) => Self::Memlock,
            Some(libc::ENOSYS) => Self::NotInKernel,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// The value of the sysctl, when it forbids rings to some processes at least.
fn disabled_by_sysctl() -> Option<u8> {
    let text = std::fs::read_to_string(SYSCTL_PATH).ok()?;
    text.trim().parse::<u8>().ok().filter(|value| *value > 0)
}

/// The runtime of one shard thread.
pub(crate) enum ShardRuntime {
    Ring(Runtime<TimeDriver<IoUringDriver>>),
    Epoll(Runtime<TimeDriver<LegacyDriver>>),
}

impl ShardRuntime {
    /// Builds a runtime on a ring of its own, on the thread that will use it.
    pub(crate) fn ring(shard_count: usize) -> Result<Self, EpollCause> {
        let mut cause = EpollCause::NotInKernel;
        for entries in RING_ENTRIES.into_iter().skip(usize::from(!has_room_for_large_rings(shard_count))) {
            // Kernels before 6.0 know no cooperative rings and answer EINVAL.
            let built = build_ring(entries, true).or_else(|error| match error.raw_os_error() {
                Some(libc::EINVAL) => build_ring(entries, false),
                _ => Err(error),
            });
            match built {
                Ok(runtime) => return Ok(Self::Ring(runtime)),
                Err(error) => cause = EpollCause::of(&error),
            }
            if cause != EpollCause::Memlock {
                break;
            }
        }
        Err(cause)
    }

    /// Builds a runtime on epoll.
    pub(crate) fn epoll() -> io::Result<Self> {
        let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(EPOLL_EVENTS);
        Ok(Self::Epoll(builder.enable_timer().build()?))
    }

    /// Runs `future` and what it spawns until `future` ends.
    pub(crate) fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        match self {
            Self::Ring(runtime) => runtime.block_on(future),
            Self::Epoll(runtime) => runtime.block_on(future),
        }
    }
}

/// Whether the memlock limit leaves room for large rings on all shards: else the first shards would take what the last
/// ones need. A process with CAP_IPC_LOCK is not bound by the limit, but small rings do as well.
fn has_room_for_large_rings(shard_count: usize) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let needed = LARGE_RING_BYTES.saturating_mul(u64::try_from(shard_count).unwrap_or(u64::MAX));
    limit.is_none_or(|limit| limit >= needed)
}

/// `cooperative`: completions wait for the next system call of this thread instead of interrupting it, and only this
/// thread submits. Measured with a trivial GET: 85 k requests per CPU-second without, 116-146 k with (epoll 118-136 k).
fn build_ring(entries: u32, cooperative: bool) -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    let mut setup = io_uring::IoUring::builder();
    if cooperative {
        setup.setup_coop_taskrun().setup_single_issuer();
    }
    RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(setup).enable_timer().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_names_its_remedy() {
        let texts = [libc::ENOMEM, libc::ENOSYS].map(|code| {
            let error = io::Error::from_raw_os_error(code);
            EpollCause::of(&error).to_string()
        });
        assert!(texts[0].contains("--ulimit memlock="), "{}", texts[0]);
        assert!(texts[1].contains("Linux 5.11"), "{}", texts[1]);
        assert!(EpollCause::NotPermitted.to_string().contains("io_uring_setup"));
    }

    #[test]
    fn an_unknown_refusal_keeps_the_text_of_the_system() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        assert!(matches!(EpollCause::of(&error), EpollCause::Other(text) if text == error.to_string()));
    }
}
