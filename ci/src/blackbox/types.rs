//! Event types from a list of the operator: taken over, kept when the list is gone, and never needed by series that exist.

use serde_json::{Value, json};

use super::series::restart;
use crate::account::Account;
use crate::error::{CiError, Result};
use crate::http::{Client, Request};
use crate::report::Report;
use crate::server::{Server, Setup};

const LIST: &str = "list.json";
/// In the working folder of the server.
const COPY: &str = "data/event-types.json";
const TYPES: &str = r#"{"types": {
    "my-own/number": {"type": "number", "minimum": 0},
    "my-own/pair": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}, "required": ["a"]}
}}"#;
/// The port of a service that discards everything and is never there.
const NOBODY: &str = "http://127.0.0.1:9/flat.json";

pub(super) fn run(setup: Setup, report: &mut Report) -> Result<Server> {
    let setup = setup.setting("service:eventTypes", &format!("file://{LIST}"));
    std::fs::create_dir_all(&setup.folder).map_err(CiError::file(&setup.folder))?;
    write(&setup, LIST, TYPES)?;
    let server = Server::start(&setup)?;
    let person = Person::register(&server)?;
    let series = person.account.create_series("A", "series:my-own/pair", 0.0)?;
    report.check("types: a listed type is checked", person.create_status(-1)? == 400, "-1 was accepted");
    person.check_post(&series, 1, "with the list", report)?;

    remove(&setup, LIST)?;
    let server = restart(server, &setup)?;
    report.check("types: without the list its copy is used", person.create_status(-1)? == 400, "-1 was accepted");
    person.check_post(&series, 2, "with the copy of the list", report)?;

    let setup = setup.setting("service:eventTypes", NOBODY);
    remove(&setup, COPY)?;
    let server = restart(server, &setup)?;
    report.check("types: a type that nobody lists takes anything", person.create_status(-1)? == 201, "-1 was refused");
    person.check_post(&series, 3, "without any list", report)?;
    person.check_update(&series, report)?;
    let another = person.status("POST", "/events", &json!({ "streamIds": ["A"], "type": "series:my-own/pair" }))?;
    report.check("types: no new series of an unknown type", another == 400, &format!("{another}"));
    let text = person.status("POST", "/events", &json!({ "streamIds": ["A"], "type": "mass/kg", "content": "70" }))?;
    report.check("types: without any list the bundled types are checked", text == 400, &format!("{text}"));

    write(&setup, LIST, "{\"types\": {\"my-own/number\": {\"type\": \"nonsense\"}}}")?;
    let setup = setup.setting("service:eventTypes", &format!("file://{LIST}"));
    let server = restart(server, &setup)?;
    report.check("types: a bad list is refused as a whole", person.create_status(-1)? == 201, "-1 was refused");
    person.check_post(&series, 4, "with a bad list", report)?;
    Ok(server)
}

struct Person {
    account: Account,
}

impl Person {
    fn register(server: &Server) -> Result<Self> {
        let account = Account::register(server.address(), "lister")?;
        account.create_stream("A")?;
        Ok(Self { account })
    }

    fn status(&self, method: &str, rest: &str, body: &Value) -> Result<u16> {
        let path = self.account.path(rest);
        let request = Request::new(method, &path).token(&self.account.token).json(body);
        let call = format!("{method} {path}");
        let reply = Client::new(self.account.address).send(&request);
        Ok(reply.map_err(|source| CiError::Http { call, source })?.status)
    }

    fn create_status(&self, number: i64) -> Result<u16> {
        self.status("POST", "/events", &json!({ "streamIds": ["A"], "type": "my-own/number", "content": number }))
    }

    /// Posts the point of this number; all points up to it must then be there.
    fn check_post(&self, series: &str, number: usize, when: &str, report: &mut Report) -> Result<()> {
        let path = format!("/events/{series}/series");
        let text = format!("text {number}");
        let post = json!({
            "format": "flatJSON", "fields": ["deltaTime", "a", "b"], "points": [[number, number, text]],
        });
        let posted = self.status("POST", &path, &post)?;
        let wrong = json!({ "format": "flatJSON", "fields": ["deltaTime", "b"], "points": [[number, "no a"]] });
        let refused = self.status("POST", &path, &wrong)?;
        let answer = self.account.call("GET", &path, None)?;
        let points = answer.get("points").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_last = points.last().and_then(|point| point.get(2)).and_then(Value::as_str) == Some(&text);
        let is_right = (posted, refused, points.len()) == (200, 400, number) && is_last;
        report.check(
            &format!("types: a series takes points {when}"),
            is_right,
            &format!("{posted} {refused} {answer}"),
        );
        Ok(())
    }

    fn check_update(&self, series: &str, report: &mut Report) -> Result<()> {
        let updated =
            self.account.call("PUT", &format!("/events/{series}"), Some(&json!({ "description": "mine" })))?;
        let fields = updated.pointer("/event/content/fields");
        let is_kept = fields == Some(&json!(["deltaTime", "a", "b"]));
        report.check("types: a series of an unlisted type keeps its content", is_kept, &updated.to_string());
        Ok(())
    }
}

fn write(setup: &Setup, name: &str, content: &str) -> Result<()> {
    let path = setup.folder.join(name);
    std::fs::write(&path, content).map_err(CiError::file(&path))
}

fn remove(setup: &Setup, name: &str) -> Result<()> {
    let path = setup.folder.join(name);
    std::fs::remove_file(&path).map_err(CiError::file(&path))
}
