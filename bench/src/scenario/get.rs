//! Reads over keep-alive: trivial ones, access-info, and a page of events out of more and more.

use serde::Deserialize;

use super::{DATA, Fixed, Place, Run, Variant};
use crate::accounts;
use crate::client::request;
use crate::error::Result;
use crate::server::Server;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Numbers of events of one user, a user for each.
    pub(crate) events: Vec<usize>,
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    let place = Place::new(run)?;
    let server = Server::start(&place.setup, DATA)?;
    let connections = run.common.connections;
    let variant = |name: &str, bytes| Variant { name: name.to_owned(), connections, load: Fixed::new(vec![bytes]) };
    let mut variants =
        vec![variant("health", request("GET", "/health", "", b"")), variant("greeting", request("GET", "/", "", b""))];
    let accounts = accounts::create(server.address(), plan.events.len())?;
    if let Some(first) = accounts.first() {
        let path = format!("/{}/access-info", first.username);
        variants.push(variant("access-info", request("GET", &path, &first.token, b"")));
    }
    for (account, &count) in accounts.iter().zip(&plan.events) {
        let name = format!("events.get limit 100 of {count}");
        if run.options.wants(&name) {
            accounts::create_events(server.address(), account, 0, count)?;
            let path = format!("/{}/events?limit=100", account.username);
            variants.push(variant(&name, request("GET", &path, &account.token, b"")));
        }
    }
    variants.retain(|variant| run.options.wants(&variant.name));
    run.measure_all(&server, &mut variants)?;
    server.stop().map(|_| ())
}
