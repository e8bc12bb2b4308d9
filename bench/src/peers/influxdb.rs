//! InfluxDB 1.x: line protocol over HTTP, one measurement with a tag for the series.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::daemon::{Daemon, program, succeed};
use super::family::Family;
use super::points::{FIRST_TIME, Row};
use super::{Peer, Places, is_http_ready, line_protocol};
use crate::client::{Client, request};
use crate::error::{BenchError, Result};
use crate::server::free_address;

const DURABILITY: &str =
    "wal-fsync-delay = 0s, its default: answers after fsync of its write-ahead log, shared by posts that wait";
const PROGRAMS: [&str; 1] = ["/usr/bin/influxd"];
const MEASUREMENT: &str = "bench";

pub(super) struct InfluxDb {
    daemon: Daemon,
    address: SocketAddr,
    backup_address: SocketAddr,
    folder: PathBuf,
}

impl InfluxDb {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let (address, backup_address) = (free_address()?, free_address()?);
        let file = folder.join("influxdb.conf");
        std::fs::write(&file, configuration(folder, address, backup_address))
            .map_err(BenchError::system("write the configuration of InfluxDB"))?;
        let mut command = Command::new(program(&PROGRAMS, "influxdb")?);
        command.arg("-config").arg(&file).env_clear().current_dir(folder);
        let log = folder.join("influxdb.log");
        let daemon = Daemon::start(command, &log, Signal::TERM, || is_http_ready(address, "/ping"))?;
        // One shard for all times: changing shards is not what is compared.
        let create = "CREATE%20DATABASE%20bench%20WITH%20DURATION%20INF%20SHARD%20DURATION%205200w";
        Client::connect(address)?.call("POST", &format!("/query?q={create}"), "", None)?;
        Ok(Self { daemon, address, backup_address, folder: folder.to_path_buf() })
    }
}

/// The defaults of the package but for places, telemetry, its own metrics and the log line of every request.
fn configuration(folder: &Path, http: SocketAddr, backup: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        r#"reporting-disabled = true
bind-address = "{backup}"
[meta]
  dir = "{folder}/data/meta"
[data]
  dir = "{folder}/data/data"
  wal-dir = "{folder}/data/wal"
  wal-fsync-delay = "0s"
[monitor]
  store-enabled = false
[http]
  bind-address = "{http}"
  log-enabled = false
"#
    )
}

impl Peer for InfluxDb {
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
        line_protocol("/write?db=bench&precision=s", MEASUREMENT, series, rows)
    }

    fn read_request(&self, series: usize) -> Vec<u8> {
        let query = format!("SELECT%20v%20FROM%20bench%20WHERE%20s='{series}'%20AND%20time>={FIRST_TIME}s");
        request("GET", &format!("/query?db=bench&epoch=s&q={query}"), "", b"")
    }

    fn count(&self) -> Result<u64> {
        let path = "/query?db=bench&q=SELECT%20COUNT(v)%20FROM%20bench";
        let answer = Client::connect(self.address)?.call("GET", path, "", None)?;
        let count = answer.pointer("/results/0/series/0/values/0/1").and_then(serde_json::Value::as_u64);
        count.ok_or_else(|| BenchError::Unexpected { request: path.to_owned(), text: answer.to_string() })
    }

    /// A backup first writes the cache into files; stopping leaves it in the log.
    fn flush(&self) -> Result<()> {
        let mut backup = Command::new(program(&PROGRAMS, "influxdb")?);
        backup.args(["backup", "-database", "bench", "-host", &self.backup_address.to_string()]);
        succeed(backup.arg(self.folder.join("backup")).env_clear())
    }

    fn places(&self) -> Places {
        Places { files: "data", log: Some("wal") }
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.daemon.stop()
    }
}
