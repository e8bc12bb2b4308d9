//! How bytes move: shards, sockets, mailboxes between shards, the blocking pool, the log's writer thread.
//!
//! Each core has a **shard**: a pinned thread with its own listeners (SO_REUSEPORT), its own ring (or epoll) and its own
//! [`Service`]. The layer above implements [`Service`] and calls [`run`]. Nothing here knows users, methods or storage.
//!
//! ```text
//! server.rs     start and stop of all shards          socket/listener.rs    accept
//! shard.rs      the life of one shard                 socket/connection.rs  one connection, request by request
//! rt/           the runtime, behind a thin module     socket/reply.rs       writing an answer
//! mailbox.rs    bounded messages between shards       socket/link.rs        deadlines of all connections
//! pool.rs       blocking work: db, cpu, file          placement.rs          user -> shard, user -> slot
//! compat.rs     the tokio thread                      log_writer.rs         the log's writer thread of a shard
//! ```

mod body;
pub mod compat;
pub mod config;
mod date;
pub mod log_spares;
pub mod log_writer;
pub mod mailbox;
pub mod metrics;
pub mod placement;
pub mod pool;
pub mod rt;
mod server;
pub mod service;
mod shard;
pub mod signals;
mod socket;
pub mod threads;

pub use body::{BodyCut, BodyReader};
pub use compat::{Compat, CompatError};
pub use config::{Config, Driver, DriverChoice, EpollCause, SocketLimits};
pub use log_writer::{CheckpointRefusal, CommitSlot, Log, LogRefusal};
pub use mailbox::{Mailboxes, SendError};
pub use metrics::{Metrics, ShardSnapshot};
pub use pool::{Lane, LaneFull, Pool, PoolConfig, PoolError};
pub use server::{Running, StartError, run};
pub use service::{Aborted, Addresses, Body, Port, Refusal, Request, Response, Service, ShardHandle};
pub use shard::TICK;
