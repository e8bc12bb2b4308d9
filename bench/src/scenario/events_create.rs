//! events.create with one request in flight on each connection, by few users and by many.

use serde_json::json;

use super::{DATA, Fixed, Place, Variant, measure_all};
use crate::accounts::{self, Account, STREAM};
use crate::args::Options;
use crate::client::request;
use crate::error::Result;
use crate::report::{Goal, Report};
use crate::server::Server;

const REQUESTS_PER_CPU_SECOND: f64 = 8_000.0;

pub(super) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let place = Place::new(options, &options.data)?;
    let server = Server::start(&place.setup, DATA)?;
    let accounts = accounts::create(server.address(), options.users)?;
    let mut variants: Vec<Variant<Fixed>> = user_counts(options)
        .into_iter()
        .map(|users| Variant {
            name: if users == 1 { "1 user".to_owned() } else { format!("{users} users") },
            goal: Some(Goal::at_least("req/cpu-s", REQUESTS_PER_CPU_SECOND)),
            connections: options.connections,
            load: Fixed::new(accounts.iter().take(users).map(create_request).collect()),
        })
        .filter(|variant| options.wants(&variant.name))
        .collect();
    measure_all(options, report, &server, &mut variants)?;
    server.stop().map(|_| ())
}

/// One user, then the largest number divided by each size, ascending.
fn user_counts(options: &Options) -> Vec<usize> {
    let mut counts: Vec<usize> =
        options.sizes.iter().map(|size| options.users / size).filter(|count| *count > 0).collect();
    counts.push(1);
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn create_request(account: &Account) -> Vec<u8> {
    let event = json!({ "streamIds": [STREAM], "type": "mass/kg", "content": 71.25 });
    request("POST", &format!("/{}/events", account.username), &account.token, event.to_string().as_bytes())
}
