//! The accept loop of a shard, and the binding of ports before the shards start.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::connection;
use super::link::Link;
use crate::rt;
use crate::rt::net::{Listener, Stream};
use crate::service::{Port, Service};
use crate::shard::Shard;

/// Connections the kernel keeps for a listener until they are accepted.
pub(crate) const BACKLOG: i32 = 1024;
/// Connections accepted in a row before the others of the shard get their turn.
const ACCEPT_BATCH_MAX: usize = 64;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Connections over the limit that are told so at once; the others beyond are closed without a word.
const REFUSING_MAX: usize = 256;

/// Binds a port for one shard. `reuse_port` lets the other shards bind it too.
pub(crate) fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // The IPv4 form of a wildcard is an address of its own in the configuration.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepts connections until the listener is closed.
pub(crate) async fn accept_all<S: Service>(shard: Rc<Shard<S>>, listener: Rc<Listener>, port: Port) {
    while !shard.links.is_draining() {
        if let Err(error) = listener.readable().await {
            tracing::warn!(%error, "waiting for connections failed");
            rt::sleep(ACCEPT_BACKOFF).await;
        }
        for _ in 0..ACCEPT_BATCH_MAX {
            match listener.try_accept() {
                Ok((stream, peer)) => open(&shard, stream, peer, port),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_of_the_connection(&error) => {}
                Err(_) if shard.links.is_draining() => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections: raise the limit of open files (ulimit -n)");
                    rt::sleep(ACCEPT_BACKOFF).await;
                    break;
                }
            }
        }
    }
}

/// Errors of a connection that ended while it waited; the next accept may well succeed.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(libc::EPROTO | libc::ENETDOWN | libc::EHOSTUNREACH | libc::ENETUNREACH))
}

fn open<S: Service>(shard: &Rc<Shard<S>>, stream: std::net::TcpStream, peer: SocketAddr, port: Port) {
    let open_count = shard.links.count();
    let limit = shard.limits.connections_max;
    shard.metrics().connections.add(1);
    if open_count >= limit.saturating_add(REFUSING_MAX) {
        shard.metrics().refusals.add(1);
        return;
    }
    let link = match Stream::from_std(stream) {
        Ok(stream) => shard.links.register(Rc::new(Link::new(stream))),
        Err(error) => {
            tracing::debug!(%error, "a connection ended before it could be served");
            return;
        }
    };
    let shard = Rc::clone(shard);
    if open_count >= limit {
        rt::spawn(connection::refuse_overload(shard, link));
    } else {
        rt::spawn(connection::serve(shard, link, peer, port));
    }
}
