//! What accesses tell of their use: counted as differences in memory, stored every ten seconds and at a stop, which is what
//! this waits for.

use serde_json::{Value, json};

use crate::account::Account;
use crate::error::Result;
use crate::http::{Client, Request};
use crate::report::Report;
use crate::server::{Server, Setup};

const USERNAME: &str = "counted-user";

pub(super) fn run(setup: Setup, report: &mut Report) -> Result<Server> {
    let setup = setup.setting("cluster:shards", "2").setting("storages:engines:sqlite:slots", "2");
    let server = Server::start(&setup)?;
    let account = Account::register(server.address(), USERNAME)?;
    account.create_stream("home")?;
    let before = account.call("GET", "/access-info", None)?;
    counts_of_a_batch(&account)?;
    counts_of_failures(&account, report);
    report.check("usage: SIGTERM ends the server with 0", server.stop()?.success(), "another exit status");

    let server = Server::start(&setup)?;
    let account = Account { address: server.address(), ..account };
    let after = account.call("GET", "/access-info", None)?;
    let count = |method: &str| after.get("calls").and_then(|calls| calls.get(method)).and_then(Value::as_u64);
    for (method, expected) in EXPECTED {
        let found = count(method);
        let title = format!("usage: {method} is counted {expected:?} times");
        report.check(&title, found == *expected, &format!("{found:?} in {after}"));
    }
    let is_used = after.get("lastUsed").and_then(Value::as_f64) >= after.get("created").and_then(Value::as_f64);
    report.check("usage: the last use is told", is_used, &after.to_string());
    let is_same = after.get("modified") == before.get("modified");
    report.check("usage: being used is no modification", is_same, &after.to_string());
    Ok(server)
}

/// What the calls below come to, the creation of the stream and the reading of the access before them included.
const EXPECTED: &[(&str, Option<u64>)] = &[
    ("streams:create", Some(1)),
    ("getAccessInfo", Some(1)),
    ("streams:get", Some(1)),
    ("events:get", Some(1)),
    ("callBatch", None),
    ("events:create", Some(1)),
    ("accesses:create", None),
];

fn counts_of_a_batch(account: &Account) -> Result<()> {
    let calls = json!([{ "method": "streams.get", "params": {} }, { "method": "events.get", "params": {} }]);
    account.call("POST", "/", Some(&calls)).map(|_| ())
}

/// One of a kind that counts although it fails, and one of a kind that does not.
fn counts_of_failures(account: &Account, report: &mut Report) {
    for path in ["/events", "/accesses"] {
        let path = account.path(path);
        let request = Request::new("POST", &path).token(&account.token).json(&json!({ "unknown": true }));
        let status = Client::new(account.address).send(&request).map_or(0, |reply| reply.status);
        report.check(&format!("usage: {path} refuses what it does not know"), status == 400, &status.to_string());
    }
}
