//! Reads over keep-alive: trivial ones, access-info, and a page of events out of more and more.

use super::{DATA, Fixed, Place, Variant, measure_all};
use crate::accounts;
use crate::args::Options;
use crate::client::request;
use crate::error::{BenchError, Result};
use crate::report::{Goal, Report};
use crate::server::Server;

const TRIVIAL_PER_CPU_SECOND: f64 = 50_000.0;
const EVENT_PAGES_PER_CPU_SECOND: f64 = 5_000.0;

pub(super) fn run(options: &Options, report: &mut Report) -> Result<()> {
    let place = Place::new(options, &options.data)?;
    let server = Server::start(&place.setup, DATA)?;
    let variant = |name: String, goal: Option<f64>, request: Vec<u8>| Variant {
        name,
        goal: goal.map(|bound| Goal::at_least("req/cpu-s", bound)),
        connections: options.connections,
        load: Fixed::new(vec![request]),
    };
    let mut variants = vec![
        variant("health".to_owned(), Some(TRIVIAL_PER_CPU_SECOND), request("GET", "/health", "", b"")),
        variant("greeting".to_owned(), None, request("GET", "/", "", b"")),
    ];
    let counts: Vec<usize> = options.sizes.iter().map(|size| options.events * size).collect();
    let accounts = accounts::create(server.address(), counts.len().max(1))?;
    let first = accounts.first().ok_or_else(|| BenchError::Usage("at least one size is needed".to_owned()))?;
    let path = format!("/{}/access-info", first.username);
    variants.push(variant("access-info".to_owned(), None, request("GET", &path, &first.token, b"")));
    for (account, count) in accounts.iter().zip(counts) {
        let name = format!("events.get limit 100 of {count}");
        if options.wants(&name) {
            accounts::create_events(server.address(), account, 0, count)?;
            let path = format!("/{}/events?limit=100", account.username);
            let bytes = request("GET", &path, &account.token, b"");
            variants.push(variant(name, Some(EVENT_PAGES_PER_CPU_SECOND), bytes));
        }
    }
    variants.retain(|variant| options.wants(&variant.name));
    measure_all(options, report, &server, &mut variants)?;
    server.stop().map(|_| ())
}
