//! events.create with one request in flight on each connection, by few users and by many.

use serde::Deserialize;
use serde_json::json;

use super::{DATA, Fixed, Place, Run, Variant};
use crate::accounts::{self, Account, STREAM};
use crate::client::request;
use crate::error::Result;
use crate::server::Server;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Numbers of users, one variant each.
    users: Vec<usize>,
}

pub(super) fn run(plan: &Plan, run: &mut Run<'_>) -> Result<()> {
    let place = Place::new(run)?;
    let server = Server::start(&place.setup, DATA)?;
    let accounts = accounts::create(server.address(), plan.users.iter().copied().max().unwrap_or(1))?;
    let mut variants: Vec<Variant<Fixed>> = plan
        .users
        .iter()
        .map(|&users| Variant {
            name: if users == 1 { "1 user".to_owned() } else { format!("{users} users") },
            connections: run.common.connections,
            load: Fixed::new(accounts.iter().take(users).map(create_request).collect()),
        })
        .filter(|variant| run.options.wants(&variant.name))
        .collect();
    run.measure_all(&server, &mut variants)?;
    server.stop().map(|_| ())
}

fn create_request(account: &Account) -> Vec<u8> {
    let event = json!({ "streamIds": [STREAM], "type": "mass/kg", "content": 71.25 });
    request("POST", &format!("/{}/events", account.username), &account.token, event.to_string().as_bytes())
}
