//! A user of the server under test and the few calls that every check makes, each refused unless it succeeds.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::error::{CiError, Result};
use crate::http::{Client, Reply, Request};

pub(crate) const PASSWORD: &str = "a-good-passphrase-1";
pub(crate) const APP_ID: &str = "coreward-ci";

/// A user with the personal token of the registration.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) token: String,
    pub(crate) address: SocketAddr,
}

impl Account {
    /// `POST /users`.
    pub(crate) fn register(address: SocketAddr, username: &str) -> Result<Self> {
        let body = json!({
            "username": username, "password": PASSWORD, "email": format!("{username}@example.com"), "appId": APP_ID,
        });
        let answer = expect(&mut Client::new(address), &Request::new("POST", "/users").json(&body), "201")?;
        let endpoint = answer.pointer("/apiEndpoint").and_then(Value::as_str).unwrap_or_default();
        let token = token_of(endpoint).unwrap_or_default().to_owned();
        Ok(Self { username: username.to_owned(), token, address })
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/{}{rest}", self.username)
    }

    /// A call with the personal token; the answer's JSON, or an error naming the call.
    pub(crate) fn call(&self, method: &str, rest: &str, body: Option<&Value>) -> Result<Value> {
        let path = self.path(rest);
        let request = Request::new(method, &path).token(&self.token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        expect(&mut Client::new(self.address), &request, "2xx")
    }

    pub(crate) fn create_stream(&self, id: &str) -> Result<()> {
        self.call("POST", "/streams", Some(&json!({ "id": id, "name": id }))).map(|_| ())
    }

    /// Creates a `series:` event and returns its id.
    pub(crate) fn create_series(&self, stream: &str, kind: &str, time: f64) -> Result<String> {
        let body = json!({ "streamIds": [stream], "type": kind, "time": time });
        let answer = self.call("POST", "/events", Some(&body))?;
        Ok(answer.pointer("/event/id").and_then(Value::as_str).unwrap_or_default().to_owned())
    }
}

/// The token of `https://TOKEN@host/...`.
pub(crate) fn token_of(endpoint: &str) -> Option<&str> {
    endpoint.split_once("://")?.1.split_once('@').map(|(token, _)| token)
}

fn expect(client: &mut Client, request: &Request<'_>, expected: &'static str) -> Result<Value> {
    let call = format!("{} {}", request.method, request.path);
    let reply: Reply = client.send(request).map_err(|source| CiError::Http { call: call.clone(), source })?;
    let refused = |reply: &Reply| CiError::Answer { call, status: reply.status, expected, body: reply.text() };
    if !reply.is_success() {
        return Err(refused(&reply));
    }
    reply.json().ok_or_else(|| refused(&reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_user_part_of_the_endpoint() {
        assert_eq!(token_of("http://abc@127.0.0.1:3000/joe/"), Some("abc"));
        assert_eq!(token_of("http://127.0.0.1:3000/joe/"), None);
    }
}
