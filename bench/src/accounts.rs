//! The people a measurement needs: accounts with one stream each, made over the API before anything is measured.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::Client;
use crate::error::{BenchError, Result};

/// Hashing a password costs the server tens of milliseconds: more at once than it has cores for only wait.
const CLIENTS: usize = 8;
pub(crate) const STREAM: &str = "bench";
const PASSWORD: &str = "bench-password-1";
/// A series of one column of numbers, and one of seven of which five are optional.
pub(crate) const MASS: &str = "series:mass/kg";
pub(crate) const TRACK: &str = "series:position/wgs84";

#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) token: String,
}

/// Where the points of one series go.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) path: String,
    /// The path of the holder event.
    pub(crate) event: String,
    pub(crate) token: String,
}

/// Makes `count` accounts, several at a time.
pub(crate) fn create(address: SocketAddr, count: usize) -> Result<Vec<Account>> {
    println!("creating {count} users ...");
    in_parallel(address, count, create_one)
}

/// Makes `count` series of one type spread evenly over the accounts.
pub(crate) fn create_series(
    address: SocketAddr,
    accounts: &[Account],
    count: usize,
    kind: &str,
) -> Result<Vec<Series>> {
    in_parallel(address, count, |client, index| match accounts.get(index % accounts.len().max(1)) {
        Some(account) => create_one_series(client, account, kind),
        None => Err(BenchError::Usage("series need at least one user".to_owned())),
    })
}

pub(crate) fn create_one_series(client: &mut Client, account: &Account, kind: &str) -> Result<Series> {
    let Account { username, token } = account;
    let event = json!({ "streamIds": [STREAM], "type": kind, "time": 1_600_000_000 });
    let made = client.call("POST", &format!("/{username}/events"), token, Some(&event))?;
    let event = format!("/{username}/events/{}", text(&made, "/event/id")?);
    Ok(Series { path: format!("{event}/series"), event, token: token.clone() })
}

/// Fills an account up to `count` events, by batch calls.
pub(crate) fn create_events(address: SocketAddr, account: &Account, from: usize, count: usize) -> Result<()> {
    const CALLS_AT_ONCE: usize = 1_000;
    println!("creating events {from} to {count} of one user ...");
    let batches = count.saturating_sub(from).div_ceil(CALLS_AT_ONCE);
    let done = in_parallel(address, batches, |client, batch| {
        let first = from + batch * CALLS_AT_ONCE;
        let calls: Vec<Value> = (first..count.min(first + CALLS_AT_ONCE)).map(create_event_call).collect();
        let expected = calls.len();
        let path = format!("/{}", account.username);
        let answer = client.call("POST", &path, &account.token, Some(&Value::Array(calls)))?;
        let results = answer.get("results").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let made = results.iter().filter(|result| result.get("event").is_some()).count();
        if made == expected {
            return Ok(());
        }
        let text = results.iter().find(|result| result.get("event").is_none()).unwrap_or(&answer).to_string();
        Err(BenchError::Unexpected { request: format!("a batch of {expected} events.create"), text })
    });
    done.map(|_| ())
}

fn create_event_call(number: usize) -> Value {
    let params = json!({
        "streamIds": [STREAM], "type": "mass/kg", "time": 1_600_000_000 + number, "content": 70 + number % 10,
    });
    json!({ "method": "events.create", "params": params })
}

fn create_one(client: &mut Client, index: usize) -> Result<Account> {
    let username = format!("bench-{index:06}");
    let user = json!({
        "username": username, "password": PASSWORD, "email": format!("{username}@example.com"), "appId": "bench-load",
    });
    let made = client.call("POST", "/users", "", Some(&user))?;
    let token = token_of(&text(&made, "/apiEndpoint")?)?;
    let stream = json!({ "id": STREAM, "name": "Bench" });
    client.call("POST", &format!("/{username}/streams"), &token, Some(&stream))?;
    Ok(Account { username, token })
}

/// The token of `http://TOKEN@host/username/`.
fn token_of(endpoint: &str) -> Result<String> {
    let token =
        endpoint.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(token, _)| token.to_owned());
    token.ok_or_else(|| BenchError::Unexpected { request: "POST /users".to_owned(), text: endpoint.to_owned() })
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| BenchError::Unexpected {
        request: format!("what should hold {pointer}"),
        text: value.to_string(),
    })
}

/// `act` for each of 0..`count` on a few connections; the results in order.
pub(crate) fn in_parallel<T: Send>(
    address: SocketAddr,
    count: usize,
    act: impl Fn(&mut Client, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let act = &act;
    let work = |first: usize| -> Result<Vec<(usize, T)>> {
        let mut client = Client::connect(address)?;
        (first..count).step_by(CLIENTS).map(|index| Ok((index, act(&mut client, index)?))).collect()
    };
    let parts: Vec<Result<Vec<(usize, T)>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS.min(count)).map(|first| scope.spawn(move || work(first))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker only returns errors")).collect()
    });
    let mut results = Vec::with_capacity(count);
    for part in parts {
        results.extend(part?);
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Said};

    #[test]
    fn the_token_of_an_endpoint_stands_before_the_host() {
        assert_eq!(token_of("http://cabc123@127.0.0.1:3000/bench-000001/").unwrap(), "cabc123");
        assert!(token_of("http://127.0.0.1:3000/bench-000001/").is_err());
    }

    /// Answers as the API does, with the username as token and the path as event id.
    fn api() -> Fake {
        Fake::start(|target, body| {
            let sent: Value = serde_json::from_slice(body).unwrap();
            let username = sent["username"].as_str().unwrap_or_default();
            let answer = match target {
                "POST /users" => json!({ "apiEndpoint": format!("http://t-{username}@localhost/{username}/") }),
                target if target.ends_with("/streams") => json!({ "stream": { "id": sent["id"] } }),
                target if target.ends_with("/events") => json!({ "event": { "id": "e1" } }),
                _ => json!({ "results": vec![json!({ "event": {} }); sent.as_array().unwrap().len().min(700)] }),
            };
            Said { status: 201, body: answer.to_string(), closes: false }
        })
    }

    #[test]
    fn accounts_and_series_come_in_order_each_with_its_own_token() {
        let fake = api();
        let accounts = create(fake.address(), 20).unwrap();
        let names: Vec<&str> = accounts.iter().map(|account| account.username.as_str()).collect();
        assert!(names.is_sorted() && names.len() == 20, "{names:?}");
        let series = create_series(fake.address(), &accounts[..3], 5, MASS).unwrap();
        let expected =
            [0, 1, 2, 0, 1].map(|index| (format!("/bench-{index:06}/events/e1/series"), format!("t-bench-{index:06}")));
        assert_eq!(series.into_iter().map(|series| (series.path, series.token)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_batch_with_a_missing_event_ends_the_preparation() {
        let fake = api();
        let account = Account { username: "bench-000000".to_owned(), token: "t".to_owned() };
        assert!(create_events(fake.address(), &account, 0, 700).is_ok());
        let error = create_events(fake.address(), &account, 0, 1_500).unwrap_err();
        assert!(error.to_string().contains("1000 events.create"), "{error}");
    }
}
