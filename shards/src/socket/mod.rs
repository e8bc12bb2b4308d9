//! The sockets of a shard: listeners, connections, deadlines.

pub(crate) mod connection;
pub(crate) mod link;
pub(crate) mod listener;
mod pull;
mod reply;
