//! PostgreSQL: one COPY, and so one transaction, for each post; a table with a primary key by series and time.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::daemon::{Daemon, succeed};
use super::family::Family;
use super::points::Row;
use super::postgresql_wire::{self as wire, Answered};
use super::{Peer, Places};
use crate::answer::Reply;
use crate::error::{BenchError, Result};
use crate::scenario::DATA;
use crate::server::free_address;

const DURABILITY: &str = "synchronous_commit = on: one transaction for each post, answered after fdatasync of its log, shared by those that wait";
const PACKAGE: &str = "postgresql";
const VERSIONS: &str = "/usr/lib/postgresql";
/// It refuses to run as root; the package makes this account.
const ACCOUNT: &str = "postgres";
/// What every guide sets first: the defaults are for a machine of 2001.
const SETTINGS: [&str; 6] = [
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "unix_socket_directories=",
    "listen_addresses=127.0.0.1",
];
const TABLE: &str = "CREATE TABLE points (series int NOT NULL, time bigint NOT NULL, value double precision NOT NULL, \
                     PRIMARY KEY (series, time))";

pub(super) struct PostgreSql {
    daemon: Daemon,
    address: SocketAddr,
}

impl PostgreSql {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let programs = programs()?;
        let account = Account::other_than_root()?;
        if let Some(Account { user, group }) = account {
            chown(folder, Some(user), Some(group)).map_err(BenchError::system("hand a folder to PostgreSQL"))?;
        }
        let data = folder.join(DATA);
        let mut prepare = command(&programs.join("initdb"), folder, account);
        prepare.arg("-D").arg(&data).args(["-U", wire::USER, "-A", "trust", "-E", "UTF8", "--no-locale"]);
        succeed(&mut prepare)?;

        let address = free_address()?;
        let mut serve = command(&programs.join("postgres"), folder, account);
        serve.arg("-D").arg(&data).args(["-p", &address.port().to_string()]);
        serve.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let log = folder.join("postgresql.log");
        // SIGINT is its fast shutdown, with a checkpoint.
        let daemon = Daemon::start(serve, &log, Signal::INT, || wire::connect(address).is_ok())?;
        wire::query(&mut wire::connect(address)?, TABLE)?;
        Ok(Self { daemon, address })
    }
}

impl Peer for PostgreSql {
    fn about(&self) -> String {
        format!("{}: {DURABILITY}", self.daemon.package())
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn family(&self) -> Family {
        self.daemon.family()
    }

    fn connect(&self) -> Result<TcpStream> {
        wire::connect(self.address)
    }

    fn reply(&self) -> Box<dyn Reply> {
        Box::new(Answered::new())
    }

    fn write_request(&self, series: usize, rows: &[Row<'_>]) -> Vec<u8> {
        let rows = rows.iter().map(|row| format!("{series}\t{}\t{}\n", row.time, row.value)).collect::<String>();
        wire::copy_in("COPY points FROM STDIN", rows.as_bytes())
    }

    fn read_request(&self, series: usize) -> Vec<u8> {
        let select = format!("SELECT time, value FROM points WHERE series = {series} ORDER BY time");
        wire::message(b'Q', format!("COPY ({select}) TO STDOUT (FORMAT csv)\0").as_bytes())
    }

    fn send(&self, requests: &[Vec<u8>]) -> Result<()> {
        let mut stream = wire::connect(self.address)?;
        requests.iter().try_for_each(|request| wire::exchange(&mut stream, request, "a post").map(|_| ()))
    }

    fn count(&self) -> Result<u64> {
        const QUERY: &str = "SELECT count(*) FROM points";
        let text = wire::query(&mut wire::connect(self.address)?, QUERY)?;
        text.parse().map_err(|_| BenchError::Unexpected { request: QUERY.to_owned(), text })
    }

    fn places(&self) -> Places {
        Places { files: "base", log: Some("pg_wal") }
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.daemon.stop()
    }
}

/// The programs of the newest version that is installed.
fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).map_err(|_| BenchError::NoPeer { package: PACKAGE })?;
    let versions = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.max().map(|version| Path::new(VERSIONS).join(version.to_string()).join("bin"));
    newest.filter(|folder| folder.join("initdb").is_file()).ok_or(BenchError::NoPeer { package: PACKAGE })
}

#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// `None` when the bench does not run as root: then PostgreSQL runs as the same account.
    fn other_than_root() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = std::fs::read_to_string("/etc/passwd").map_err(BenchError::system("read /etc/passwd"))?;
        Self::named(ACCOUNT, &accounts).map(Some).ok_or(BenchError::NoPeer { package: PACKAGE })
    }

    fn named(name: &str, accounts: &str) -> Option<Self> {
        let line = accounts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let mut fields = line.split(':').skip(1);
        Some(Self { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    }
}

fn command(program: &Path, folder: &Path, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(folder);
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts = "postgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:administrator:/var/lib:/bin/bash\n";
        let Account { user, group } = Account::named("postgres", accounts).unwrap();
        assert_eq!((user, group), (101, 104));
        assert!(Account::named("nobody", accounts).is_none());
    }
}
