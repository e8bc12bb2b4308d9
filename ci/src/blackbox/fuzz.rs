//! `cargo ci fuzz-http`: the calls of the case files, changed at random, against a started server. The case files have valid
//! calls of every method, so the changed ones come far. Whatever is sent, the answer is no error of the server's own, and
//! the server is still there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::mutate::{Mutator, Sent};
use super::play::{PAUSE, RAW, Variables, fill};
use super::script::{Script, Step, What};
use super::{SHARDS, on_a_server, scripts};
use crate::account::Account;
use crate::error::Result;
use crate::http::{Client, Reply, Request};
use crate::random::Random;
use crate::report::Report;
use crate::server::{Server, Setup};
use crate::tools;

const PLAYERS: u64 = 3;
/// After so many cases a player goes on as a new user, so that accounts do not grow without end.
const CASES_PER_USER: usize = 25;
/// Of each step, before it is sent as it stands.
const MUTANTS_PER_STEP: usize = 4;
/// More of them are mostly the same one.
const FAILURES_MAX: usize = 10;
const SHOWN_CHARS: usize = 1_500;
/// What the server says in place of the details of an error that it did not foresee; it also ends up in batches.
const APOLOGY: &str = "Sorry, something went wrong on our side";

pub(crate) fn run(binary: &Path, driver: Option<&str>, seed: u64, seconds: u64, report: &mut Report) -> Result<()> {
    report.note(format!("fuzz-http: seed {seed}, {seconds} s"));
    let scripts: Vec<_> = scripts()?.into_iter().filter(|script| script.settings.is_empty()).collect();
    let methods = method_names(&tools::read_text(&tools::root().join("src/methods/mod.rs"))?);
    report.check("the methods of the registry are found", methods.len() > 10, &format!("{methods:?}"));
    on_a_server(binary, driver, report, |setup, report| fuzz(setup, &scripts, &methods, seed, seconds, report))
}

/// The ids of methods, read from the registry's source: a new one is called from its first day on.
fn method_names(source: &str) -> Vec<String> {
    let quoted = source.split('"').skip(1).step_by(2);
    let is_method = |text: &&str| {
        let is_word = |part: &str| !part.is_empty() && part.chars().all(|char| char.is_ascii_alphabetic());
        text.split_once('.').is_some_and(|(resource, act)| is_word(resource) && is_word(act))
    };
    let names: BTreeSet<_> = quoted.filter(is_method).map(str::to_owned).collect();
    names.into_iter().chain(["getAccessInfo", "callBatch"].map(str::to_owned)).collect()
}

fn fuzz(
    setup: Setup,
    scripts: &[Script],
    methods: &[String],
    seed: u64,
    seconds: u64,
    report: &mut Report,
) -> Result<Server> {
    let server = Server::start(&setup.setting("cluster:shards", SHARDS))?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let seen = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        for index in 0..PLAYERS {
            let mutator = Mutator::new(Random::new(seed.wrapping_add(index)), scripts, methods);
            let (server, seen) = (&server, &seen);
            scope.spawn(move || Player::new(server, index, mutator, seen).play_until(end, scripts));
        }
    });
    let seen = seen.into_inner().unwrap_or_default();
    let answers: Vec<_> = seen.answers.iter().map(|(status, count)| format!("{status}: {count}")).collect();
    report.note(format!("fuzz-http: answers by status: {}", answers.join(", ")));
    for failure in &seen.failures {
        report.fail("a changed call", failure);
    }
    let count: u64 = seen.answers.values().sum();
    report.check(
        "changed calls were answered, and some with success",
        count > 0 && seen.answers.contains_key(&200),
        "",
    );
    report.check("no changed call is an error of the server", seen.failures.is_empty(), "see above");
    Ok(server)
}

#[derive(Default)]
struct Seen {
    answers: BTreeMap<u16, u64>,
    failures: Vec<String>,
}

/// One thread, with one user at a time.
struct Player<'a> {
    server: &'a Server,
    index: u64,
    mutator: Mutator,
    clients: [Client; 2],
    seen: &'a Mutex<Seen>,
    variables: Variables,
    users: u64,
}

impl<'a> Player<'a> {
    fn new(server: &'a Server, index: u64, mutator: Mutator, seen: &'a Mutex<Seen>) -> Self {
        let clients = [server.address(), server.hfs_address()].map(Client::new);
        Self { server, index, mutator, clients, seen, variables: Variables::new(), users: 0 }
    }

    fn play_until(&mut self, end: Instant, scripts: &[Script]) {
        for number in 0_usize.. {
            if Instant::now() >= end || self.failures() >= FAILURES_MAX {
                return;
            }
            if (number.is_multiple_of(CASES_PER_USER) || !self.is_signed_in())
                && let Err(error) = self.become_new_user()
            {
                return self.fail(format!("no user could be registered: {error}"));
            }
            let Some(script) = self.mutator.random.pick(scripts) else { return };
            for step in &script.fixture {
                self.send_as_it_is(step);
            }
            let Some(case) = self.mutator.random.pick(&script.cases) else { continue };
            for step in case.steps.iter().filter(|step| ![RAW, PAUSE].contains(&step.method.as_str())) {
                self.send_changed(step);
                self.send_as_it_is(step);
            }
        }
    }

    /// A call may have ended the session, or given the user another name.
    fn is_signed_in(&mut self) -> bool {
        let variable = |name: &str| self.variables.get(name).cloned().unwrap_or_default();
        let (path, token) = (format!("/{}/access-info", variable("u")), variable("personal"));
        let [main, _] = &mut self.clients;
        main.send(&Request::new("GET", &path).token(&token)).is_ok_and(|reply| reply.status == 200)
    }

    fn become_new_user(&mut self) -> Result<()> {
        self.users += 1;
        self.variables.clear();
        let username = format!("fuzz-{}-{:05}", self.index, self.users);
        let account = Account::register(self.server.address(), &username)?;
        self.variables.insert("u".to_owned(), username);
        self.variables.insert("personal".to_owned(), account.token);
        self.variables.insert("url".to_owned(), self.server.url());
        Ok(())
    }

    fn send_changed(&mut self, step: &Step) {
        let Some(sent) = self.filled(step) else { return };
        for _ in 0..MUTANTS_PER_STEP {
            let user = self.variables.get("u").cloned().unwrap_or_default();
            let changed = self.mutator.changed(&sent, &user);
            self.send(&changed, step.is_on_hfs_port);
        }
    }

    /// For what the steps after it need; what the answer should be is known only in the order of the cases.
    fn send_as_it_is(&mut self, step: &Step) {
        if [RAW, PAUSE].contains(&step.method.as_str()) {
            return;
        }
        let Some(sent) = self.filled(step) else { return };
        let Some(answer) = self.send(&sent, step.is_on_hfs_port).and_then(|reply| reply.json()) else { return };
        for claim in &step.claims {
            let found = claim.at.pointer().and_then(|pointer| answer.pointer(pointer));
            if let (What::SaveAs(name), Some(Value::String(text))) = (&claim.what, found) {
                self.variables.insert(name.clone(), text.clone());
            }
        }
    }

    /// `None` when it needs what no answer gave.
    fn filled(&self, step: &Step) -> Option<Sent> {
        let fill = |text: &str| fill(text, &self.variables).ok();
        let mut headers = Vec::new();
        for (name, value) in &step.headers {
            headers.push((name.clone(), fill(value)?));
        }
        if let Some(token) = &step.token {
            headers.push(("Authorization".to_owned(), self.variables.get(token)?.clone()));
        }
        let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if step.body.is_some() && !has_type {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        let body = match &step.body {
            Some(body) => Some(fill(body)?.into_bytes()),
            None => None,
        };
        Some(Sent { method: step.method.clone(), path: fill(&step.path)?, headers, body })
    }

    fn send(&mut self, sent: &Sent, is_on_hfs_port: bool) -> Option<Reply> {
        let request =
            Request { method: &sent.method, path: &sent.path, headers: sent.headers.clone(), body: sent.body.clone() };
        let [main, hfs] = &mut self.clients;
        let client = if is_on_hfs_port { hfs } else { main };
        match client.send(&request) {
            Ok(reply) => {
                if let Ok(mut seen) = self.seen.lock() {
                    *seen.answers.entry(reply.status).or_default() += 1;
                }
                if let Some(what) = complaint(&reply, sent.method == "HEAD") {
                    self.fail(format!("{what}: {} {}\n{sent}", reply.status, reply.text()));
                }
                Some(reply)
            }
            Err(error) => {
                self.fail(format!("no answer ({error})\n{sent}"));
                None
            }
        }
    }

    fn failures(&self) -> usize {
        self.seen.lock().map_or(FAILURES_MAX, |seen| seen.failures.len())
    }

    fn fail(&self, what: String) {
        if let Ok(mut seen) = self.seen.lock() {
            seen.failures.push(what.chars().take(SHOWN_CHARS).collect());
        }
    }
}

/// What is wrong with an answer, whatever was asked.
fn complaint(reply: &Reply, is_head: bool) -> Option<&'static str> {
    let json = reply.json();
    let at = |pointer: &str| json.as_ref().and_then(|json| json.pointer(pointer)).and_then(Value::as_str);
    if reply.text().contains(APOLOGY) {
        return Some("an unforeseen error");
    }
    let is_declared = match reply.status {
        // Not done, and said so: full queues; what this server cannot do yet.
        503 => reply.header("retry-after").is_some(),
        501 => is_head || at("/error/id") == Some("api-unavailable"),
        status => status < 500,
    };
    if !is_declared {
        return Some("an error of the server");
    }
    let is_envelope = at("/error/id").is_some() && at("/error/message").is_some();
    // A range beyond a file is refused in plain words, as the file would be sent: no call of the API failed.
    let is_range = reply.status == 416;
    (reply.status >= 400 && !is_head && !is_range && !is_envelope).then_some("an error without its envelope")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, headers: Vec::new(), body: body.as_bytes().to_vec(), chunk_count: 0 }
    }

    #[test]
    fn only_errors_of_the_server_and_bare_ones_are_complained_of() {
        let envelope = r#"{"error":{"id":"api-unavailable","message":"m"}}"#;
        assert_eq!(complaint(&reply(400, envelope), false), None);
        assert_eq!(complaint(&reply(501, envelope), false), None);
        assert_eq!(complaint(&reply(401, ""), true), None);
        assert!(complaint(&reply(503, envelope), false).is_some(), "without Retry-After");
        assert!(complaint(&reply(500, envelope), false).is_some());
        assert!(complaint(&reply(404, "{}"), false).is_some());
        assert!(complaint(&reply(200, &format!("{{\"results\":[\"{APOLOGY}\"]}}")), false).is_some());
    }

    #[test]
    fn ids_of_methods_are_found_between_other_texts() {
        let names = method_names(r#"(Self::A, "events.get"), "x", "a.b.c", "accesses.checkApp" => "{}.x""#);
        assert_eq!(names, ["accesses.checkApp", "events.get", "getAccessInfo", "callBatch"]);
    }
}
