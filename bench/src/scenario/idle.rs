//! Memory of idle keep-alive connections on top of a started server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use socket2::{Domain, Socket, Type};

use super::{DATA, Place, Run};
use crate::client::{Client, request};
use crate::error::{BenchError, Result};
use crate::process::allow_descriptors;
use crate::server::Server;
use crate::stats::Figures;

/// The server gives buffers back and the allocator calms down.
const SETTLE: Duration = Duration::from_secs(2);
/// Far below the number of ephemeral ports of one address.
const CONNECTIONS_AN_ADDRESS: usize = 5_000;
/// Files that are not connections, in the bench and in the server.
const OTHER_FILES: u64 = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Numbers of idle connections, one variant each.
    idle: Vec<usize>,
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    let most = plan.idle.iter().copied().max().unwrap_or(0);
    allow_descriptors(u64::try_from(most).unwrap_or(u64::MAX).saturating_add(OTHER_FILES))?;
    let place = Place::new(run)?;
    for _ in 0..run.common.rounds {
        for &count in &plan.idle {
            let name = format!("{count} idle connections");
            if run.options.wants(&name) {
                let server = Server::start(&place.setup, DATA)?;
                run.report.add(&name, hold(&server, count)?);
                server.stop()?;
            }
        }
    }
    Ok(())
}

fn hold(server: &Server, count: usize) -> Result<Figures> {
    std::thread::sleep(SETTLE);
    let before = server.process().memory()?.rss_mib;
    let bytes = request("GET", "/health", "", b"");
    let mut clients = Vec::with_capacity(count);
    for index in 0..count {
        let mut client = connect(server.address(), index)?;
        // A connection that was never used may not have been accepted yet.
        client.exchange(&bytes)?;
        clients.push(client);
    }
    std::thread::sleep(SETTLE);
    let memory = server.process().memory()?;
    let alive = clients.iter_mut().filter_map(|client| client.exchange(&bytes).ok()).count();
    let over = memory.rss_mib - before;
    Ok(Figures::default()
        .with("start MiB", before)
        .with("over start MiB", over)
        .with("bytes/connection", over * 1024.0 * 1024.0 / count as f64)
        .with("peak MiB", memory.peak_mib)
        .with("still alive", alive as f64))
}

/// From 127.0.0.2 and up, so that no source address runs out of ports.
fn connect(server: SocketAddr, index: usize) -> Result<Client> {
    let host = u8::try_from(2 + index / CONNECTIONS_AN_ADDRESS).unwrap_or(u8::MAX);
    let open = || -> std::io::Result<std::net::TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into())?;
        socket.connect(&server.into())?;
        Ok(socket.into())
    };
    Client::over(open().map_err(BenchError::system("open an idle connection"))?)
}
