//! Coreward itself, as every scenario starts it: a user for each series.

use std::net::SocketAddr;

use memchr::memmem;

use super::family::Family;
use super::points::Row;
use super::{Peer, Places};
use crate::accounts::{self, Series};
use crate::client::{Client, request};
use crate::error::Result;
use crate::scenario::DATA;
use crate::server::{Server, Setup};

const DURABILITY: &str = "answers after fdatasync of its log; a post is stored whole or not at all";

pub(crate) struct Coreward {
    server: Server,
    series: Vec<Series>,
}

impl Coreward {
    pub(crate) fn start(setup: &Setup, series: usize) -> Result<Self> {
        let server = Server::start(setup, DATA)?;
        let accounts = accounts::create(server.address(), series)?;
        let series = accounts::create_series(server.address(), &accounts, series, accounts::MASS)?;
        Ok(Self { server, series })
    }

    fn of(&self, series: usize) -> &Series {
        self.series.get(series).expect("a number below that of the series that were asked for")
    }
}

impl Peer for Coreward {
    fn about(&self) -> String {
        format!("Coreward: {DURABILITY}")
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn family(&self) -> Family {
        Family { root: self.server.process() }
    }

    fn write_request(&self, series: usize, rows: &[Row<'_>]) -> Vec<u8> {
        let Series { path, token, .. } = self.of(series);
        let rows: Vec<String> = rows.iter().map(|row| format!("[{},{}]", row.time, row.value)).collect();
        let points = rows.join(",");
        let body = format!(r#"{{"format":"flatJSON","fields":["timestamp","value"],"points":[{points}]}}"#);
        request("POST", path, token, body.as_bytes())
    }

    fn read_request(&self, series: usize) -> Vec<u8> {
        let Series { path, token, .. } = self.of(series);
        request("GET", path, token, b"")
    }

    fn count(&self) -> Result<u64> {
        let mut client = Client::connect(self.address())?;
        let mut count = 0;
        for series in 0..self.series.len() {
            let answer = client.exchange(&self.read_request(series))?;
            count += rows_of(answer.body());
        }
        Ok(count)
    }

    fn places(&self) -> Places {
        Places { files: "series", log: Some("log") }
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.server.stop().map(|_| ())
    }
}

/// Rows of an answer, which may be too long to build values of it.
fn rows_of(body: &[u8]) -> u64 {
    let Some(start) = memmem::find(body, b"[[") else { return 0 };
    let between = memmem::find_iter(body.get(start..).unwrap_or_default(), b"],[").count();
    1 + u64::try_from(between).expect("a count fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_in_the_text_of_an_answer() {
        assert_eq!(rows_of(br#"{"fields":["deltaTime","value"],"points":[[1,2],[3,4],[5,6]]}"#), 3);
        assert_eq!(rows_of(br#"{"points":[[1,2]]}"#), 1);
        assert_eq!(rows_of(br#"{"fields":["deltaTime"],"points":[]}"#), 0);
    }
}
