//! VictoriaMetrics, single node: line protocol over HTTP, one metric with a label for the series.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::daemon::{Daemon, program};
use super::family::Family;
use super::points::Row;
use super::{Peer, Places, is_http_ready, line_protocol};
use crate::client::{Client, request};
use crate::error::{BenchError, Result};
use crate::scenario::DATA;
use crate::server::free_address;

const DURABILITY: &str = "answers with the points in memory; they reach files after a second or more, and a power cut loses what is not there";
const PROGRAMS: [&str; 2] = ["/usr/bin/victoria-metrics", "/usr/bin/victoria-metrics-prod"];
const MEASUREMENT: &str = "bench";

pub(super) struct VictoriaMetrics {
    daemon: Daemon,
    address: SocketAddr,
}

impl VictoriaMetrics {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(program(&PROGRAMS, "victoria-metrics")?);
        command
            .arg(format!("-storageDataPath={}", folder.join(DATA).display()))
            .arg(format!("-httpListenAddr={address}"))
            // By default it keeps a month, and refuses to count more than some millions of points of a series.
            .args(["-retentionPeriod=100y", "-search.maxSamplesPerSeries=1000000000"])
            .args(["-search.maxSamplesPerQuery=100000000000", "-search.maxQueryDuration=10m"])
            .env_clear()
            .current_dir(folder);
        let log = folder.join("victoria-metrics.log");
        let daemon = Daemon::start(command, &log, Signal::TERM, || is_http_ready(address, "/health"))?;
        Ok(Self { daemon, address })
    }
}

impl Peer for VictoriaMetrics {
    fn about(&self) -> String {
        format!("{}: {DURABILITY}", self.daemon.package())
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn family(&self) -> Family {
        self.daemon.family()
    }

    fn write_request(&self, series: usize, rows: &[Row<'_>]) -> Vec<u8> {
        line_protocol("/write?precision=s", MEASUREMENT, series, rows)
    }

    fn read_request(&self, series: usize) -> Vec<u8> {
        let path = format!("/api/v1/export?match[]=bench_v%7Bs=%22{series}%22%7D");
        request("GET", &path, "", b"")
    }

    fn count(&self) -> Result<u64> {
        let mut client = Client::connect(self.address)?;
        // What it has only in memory is invisible to queries for some seconds.
        client.exchange(&request("GET", "/internal/force_flush", "", b""))?;
        let path = "/api/v1/query?query=sum(count_over_time(bench_v%5B20y%5D))&nocache=1";
        let answer = client.call("GET", path, "", None)?;
        let count = answer.pointer("/data/result/0/value/1").and_then(serde_json::Value::as_str);
        count
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| BenchError::Unexpected { request: path.to_owned(), text: answer.to_string() })
    }

    fn places(&self) -> Places {
        Places { files: "data", log: None }
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.daemon.stop()
    }
}
