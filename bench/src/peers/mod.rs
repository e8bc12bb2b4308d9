//! Coreward beside other stores of points: the same points in the same posts over as many connections, in one run.
//!
//! Only one peer runs at a time, the others stand still (SIGSTOP): what a peer does in the background falls into its own
//! windows and is counted there. In the end each one gets the time to finish, has its points counted and its folder
//! measured.

mod coreward;
mod daemon;
mod family;
mod influxdb;
mod points;
mod postgresql;
mod postgresql_wire;
pub(crate) mod reading;
mod stand;
mod victoria_metrics;
pub(crate) mod writing;

use std::net::{SocketAddr, TcpStream};

use serde::Deserialize;

use self::family::Family;
use self::points::Row;
use crate::answer::{Answer, Reply};
use crate::client::{Client, request};
use crate::error::{BenchError, Result};
use crate::server::Setup;

#[cfg(feature = "bare-metal")]
pub(crate) use self::{
    coreward::Coreward,
    points::{Posts, Values},
};

/// A running server with an empty place for the points of some series.
pub(crate) trait Peer {
    /// Its version, and what an answer to a post means as it is configured here.
    fn about(&self) -> String;
    fn address(&self) -> SocketAddr;
    fn family(&self) -> Family;
    /// A request that stores the rows; those of a series come in order.
    fn write_request(&self, series: usize, rows: &[Row<'_>]) -> Vec<u8>;
    /// A request for all points of a series, times and values.
    fn read_request(&self, series: usize) -> Vec<u8>;
    /// Sends the requests one after the other; each must be answered with success.
    fn send(&self, requests: &[Vec<u8>]) -> Result<()> {
        let mut client = Client::connect(self.address())?;
        for request in requests {
            let answer = client.exchange(request)?;
            if !answer.is_success() {
                return Err(BenchError::Unexpected { request: "a post".to_owned(), text: answer.refusal() });
            }
        }
        Ok(())
    }

    /// How many points it has.
    fn count(&self) -> Result<u64>;
    /// Writes what it has in memory only into its files, if stopping does not do that.
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    /// Below the data folder.
    fn places(&self) -> Places;
    /// Stops in order.
    fn stop(self: Box<Self>) -> Result<()>;

    fn connect(&self) -> Result<TcpStream> {
        TcpStream::connect(self.address()).map_err(BenchError::system("connect to a peer"))
    }

    fn reply(&self) -> Box<dyn Reply> {
        Box::new(Answer::new())
    }
}

/// Where a peer keeps points.
pub(crate) struct Places {
    files: &'static str,
    /// What it would read after a crash.
    log: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Coreward,
    InfluxDb,
    VictoriaMetrics,
    PostgreSql,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Coreward => "Coreward",
            Self::InfluxDb => "InfluxDB",
            Self::VictoriaMetrics => "VictoriaMetrics",
            Self::PostgreSql => "PostgreSQL",
        }
    }

    fn start(self, setup: &Setup, series: usize) -> Result<Box<dyn Peer>> {
        Ok(match self {
            Self::Coreward => Box::new(coreward::Coreward::start(setup, series)?),
            Self::InfluxDb => Box::new(influxdb::InfluxDb::start(&setup.folder)?),
            Self::VictoriaMetrics => Box::new(victoria_metrics::VictoriaMetrics::start(&setup.folder)?),
            Self::PostgreSql => Box::new(postgresql::PostgreSql::start(&setup.folder)?),
        })
    }
}

/// A post in InfluxDB's line protocol, with times in seconds.
fn line_protocol(path: &str, measurement: &str, series: usize, rows: &[Row<'_>]) -> Vec<u8> {
    let line = |row: &Row<'_>| format!("{measurement},s={series} v={} {}\n", row.value, row.time);
    let body = rows.iter().map(line).collect::<String>();
    let bytes = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: {bytes}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn is_http_ready(address: SocketAddr, path: &str) -> bool {
    let answer = Client::connect(address).and_then(|mut client| client.exchange(&request("GET", path, "", b"")));
    answer.is_ok_and(|answer| answer.is_success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::points::{Posts, Values};

    #[test]
    fn a_post_in_line_protocol_has_a_line_for_each_point_and_its_length() {
        let mut posts = Posts::new(3, |rows| line_protocol("/write?precision=s", "bench", 7, rows));
        let mut request = Vec::new();
        posts.write_next(&Values::new(), &mut request);
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /write?precision=s HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let times: Vec<&str> = body.lines().map(|line| line.rsplit_once(' ').unwrap().1).collect();
        assert_eq!(times, ["1600000000", "1600000001", "1600000002"]);
        assert!(body.lines().all(|line| line.starts_with("bench,s=7 v=7")), "{body}");
    }

    #[test]
    fn a_peer_that_is_not_installed_names_its_package() {
        let error = daemon::program(&["/no/such/program"], "influxdb").unwrap_err();
        assert!(error.to_string().contains("apt-get install --no-install-recommends influxdb"), "{error}");
    }
}
