//! What the shards are told at start: how many, where they listen, and every limit of a connection.

use std::net::SocketAddr;
use std::time::Duration;

pub use crate::rt::ring::{Driver, DriverChoice, EpollCause};

/// Time from a request's first byte (or from the accept) to the end of its head. Beyond it: 408 and close.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a kept-alive connection may wait for its next request. Beyond it: close.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time in which [`PROGRESS_BYTES_MIN`] of a body must arrive. Beyond it: 408 and close.
pub const BODY_PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);
/// Time in which [`PROGRESS_BYTES_MIN`] of an answer must be taken by the client. Beyond it: close.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that count as progress: fewer do not move the deadline, so a trickle does not hold a connection for ever.
pub const PROGRESS_BYTES_MIN: usize = 4 * 1024;
/// Connections a shard serves at once. Beyond it: 503 and close.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Messages a shard's mailbox holds, and messages a shard works on at once. Beyond it the sender answers 503.
pub const MAILBOX_CAPACITY: usize = 1024;

/// The limits of a connection; what the client sees beyond each is said at the constant.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    pub head_timeout: Duration,
    pub idle_timeout: Duration,
    pub body_progress_timeout: Duration,
    pub write_timeout: Duration,
    pub progress_bytes_min: usize,
    pub connections_max: usize,
    /// Sizes of heads, header counts and chunk lines.
    pub http1: wire::http1::Limits,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            body_progress_timeout: BODY_PROGRESS_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            progress_bytes_min: PROGRESS_BYTES_MIN,
            connections_max: CONNECTIONS_MAX,
            http1: wire::http1::Limits::default(),
        }
    }
}

/// What [`crate::run`] needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Threads that serve; 0 means one for each core this process may use.
    pub shard_count: usize,
    /// Addresses of the main port; port 0 takes a free one.
    pub main: Vec<SocketAddr>,
    /// Address of the port for high-frequency series, when it is open.
    pub hfs: Option<SocketAddr>,
    pub driver: DriverChoice,
    pub limits: SocketLimits,
    /// Pin each shard to a core of its own, when there are as many cores as shards.
    pub pin: bool,
    pub mailbox_capacity: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shard_count: 0,
            main: Vec::new(),
            hfs: None,
            driver: DriverChoice::from_env(),
            limits: SocketLimits::default(),
            pin: true,
            mailbox_capacity: MAILBOX_CAPACITY,
        }
    }
}
