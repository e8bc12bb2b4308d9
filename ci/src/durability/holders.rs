//! What a `kill -9` takes from the events of series: nothing. Their `duration` follows their points some seconds later, and
//! the next start makes up for what the end came before.

use serde_json::{Value, json};

use crate::account::Account;
use crate::durability::Plan;
use crate::error::Result;
use crate::report::Report;
use crate::server::{Server, Setup, Workspace};

pub(super) fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut workspace = Workspace::new("holders-")?;
    let setup = Setup::new(&plan.binary, &workspace.path().join("server"))?;
    let mut server = Server::start(&setup)?;
    let mut account = Account::register(server.address(), "holder")?;
    account.create_stream("s")?;
    let event = account.create_series("s", "series:count/generic", 1_700_000_000.0)?;
    let path = format!("/events/{event}");
    let body = json!({ "format": "flatJSON", "fields": ["deltaTime", "value"], "points": [[2.5, 1], [0, 1]] });
    account.call("POST", &format!("{path}/series"), Some(&body))?;
    let before = account.call("GET", &path, None)?;
    server.kill()?;
    let server = Server::start(&setup)?;
    account.address = server.address();
    let after = account.call("GET", &path, None)?;
    let is_right = after.pointer("/event/duration") == Some(&json!(2.5))
        && modified(&after) > modified(&before)
        && after.pointer("/event/modifiedBy") == before.pointer("/event/modifiedBy");
    report.check("a series event has its duration after a kill", is_right, &format!("{before} became {after}"));
    if !is_right {
        workspace.keep();
    }
    Ok(())
}

fn modified(answer: &Value) -> Option<f64> {
    answer.pointer("/event/modified").and_then(Value::as_f64)
}
