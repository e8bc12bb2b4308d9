//! Plays one case: a new user, the fixture, the steps. The first answer that is not as claimed ends it.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::expect;
use super::script::{Case, Script, Step};
use crate::account::Account;
use crate::http::{self, Client, Reply, Request};
use crate::server::Server;

/// The method of a step whose body is everything that goes over the wire.
pub(super) const RAW: &str = "RAW";
/// The method of a step that only lets the server's clock go on, by the milliseconds in the place of the path.
pub(super) const PAUSE: &str = "PAUSE";

/// Longer than any head may be.
const LONG: usize = 20_000;
/// Deeper than JSON may nest.
const DEEP: usize = 200;

/// Names of `<...>` in paths, headers, bodies and expectations.
pub(super) type Variables = HashMap<String, String>;

pub(super) fn play(server: &Server, script: &Script, case: &Case, index: usize) -> Result<(), String> {
    let username = format!("{}-{index:04}", script.name);
    let account = Account::register(server.address(), &username).map_err(|error| error.to_string())?;
    let mut variables = Variables::from([
        ("u".to_owned(), username),
        ("personal".to_owned(), account.token),
        ("url".to_owned(), server.url()),
        ("long".to_owned(), "x".repeat(LONG)),
        ("deep".to_owned(), "[".repeat(DEEP)),
    ]);
    for step in script.fixture.iter().chain(&case.steps) {
        play_step(server, step, &mut variables)
            .map_err(|why| format!("line {}, {} {}: {why}", step.line, step.method, step.path))?;
    }
    Ok(())
}

fn play_step(server: &Server, step: &Step, variables: &mut Variables) -> Result<(), String> {
    if step.method == PAUSE {
        let pause_ms = step.path.parse().map_err(|_| format!("a pause of {} ms?", step.path))?;
        std::thread::sleep(Duration::from_millis(pause_ms));
        return Ok(());
    }
    let address = if step.is_on_hfs_port { server.hfs_address() } else { server.address() };
    let path = fill(&step.path, variables)?;
    let request = request(step, &path, variables)?;
    let reply: Reply = match step.method.as_str() {
        RAW => http::send_raw(address, &request.body.unwrap_or_default()),
        _ => Client::new(address).send(&request),
    }
    .map_err(|error| error.to_string())?;
    expect::check(step, &reply, variables)
        .map_err(|why| format!("{why}\n          the answer: {} {}", reply.status, reply.text()))
}

fn request<'a>(step: &'a Step, path: &'a str, variables: &Variables) -> Result<Request<'a>, String> {
    let mut request = Request::new(&step.method, path);
    for (name, value) in &step.headers {
        request = request.header(name, &fill(value, variables)?);
    }
    if let Some(token) = &step.token {
        request = request.token(variables.get(token).ok_or_else(|| format!("nobody has saved the token {token:?}"))?);
    }
    let Some(body) = &step.body else { return Ok(request) };
    let mut body = fill(body, variables)?.into_bytes();
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        request = request.header("Content-Type", "application/json");
    }
    if step.is_gzipped {
        body = gzip(&body)?;
        request = request.header("Content-Encoding", "gzip");
    }
    request.body = Some(body);
    Ok(request)
}

fn gzip(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).map_err(|error| error.to_string())
}

/// Replaces `<name>`; a name that nobody saved is an error, other angle brackets stay.
pub(super) fn fill(text: &str, variables: &Variables) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        filled.push_str(before);
        let name =
            after.split_once('>').filter(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        match name {
            Some((name, after)) => {
                filled.push_str(variables.get(name).ok_or_else(|| format!("nobody has saved <{name}>"))?);
                rest = after;
            }
            None => {
                filled.push('<');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_and_unknown_ones_refused() {
        let variables = Variables::from([("u".to_owned(), "joe".to_owned())]);
        assert_eq!(fill("/<u>/a < b", &variables).unwrap(), "/joe/a < b");
        assert!(fill("/<who>/", &variables).is_err());
    }
}
