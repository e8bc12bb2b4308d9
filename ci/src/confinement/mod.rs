//! The server inside the confinement of an ordinary container: Docker's default seccomp profile, its default capabilities
//! and a small memlock limit. It must start, take epoll and say why, and answer.

pub(crate) mod launcher;
mod profile;

use std::path::Path;

use crate::account::Account;
use crate::error::{CiError, Result};
use crate::report::Report;
use crate::server::{Server, Setup, Workspace};

/// Docker's and systemd's former default; too small for one ring of monoio's default size.
const MEMLOCK_SMALL_BYTES: u64 = 64 * 1024;
/// Too small for any ring.
const MEMLOCK_TINY_BYTES: u64 = 4 * 1024;

struct Case {
    title: &'static str,
    is_filtered: bool,
    memlock_bytes: u64,
    /// What the server must say of its driver, all of it, in lower case; empty where both drivers are right.
    said: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        title: "Docker's seccomp profile and 64 KiB memlock",
        is_filtered: true,
        memlock_bytes: MEMLOCK_SMALL_BYTES,
        said: &["epoll", "permitted"],
    },
    Case { title: "64 KiB memlock", is_filtered: false, memlock_bytes: MEMLOCK_SMALL_BYTES, said: &[] },
    Case {
        title: "no memlock to speak of",
        is_filtered: false,
        memlock_bytes: MEMLOCK_TINY_BYTES,
        said: &["epoll", "memlock"],
    },
];

/// `cargo ci seccomp`.
pub(crate) fn run(binary: &Path, report: &mut Report) -> Result<()> {
    for case in CASES {
        let result = check(case, binary, report);
        if let Err(error) = result {
            report.fail(case.title, &error.to_string());
        }
    }
    Ok(())
}

fn check(case: &Case, binary: &Path, report: &mut Report) -> Result<()> {
    let workspace = Workspace::new("confined-")?;
    let mut setup = Setup::new(binary, &workspace.path().join("server"))?.driver("io_uring");
    setup.launcher = launcher::words(case.is_filtered, case.memlock_bytes);
    let server = Server::start(&setup)?;
    let output = server.output().to_lowercase();
    let is_said = case.said.iter().all(|word| output.contains(word));
    report.check(&format!("{}: starts and names its driver", case.title), is_said, &output);
    answer(&server)?;
    report.pass(&format!("{}: a user is made, an event written and read", case.title));
    report.check(&format!("{}: SIGTERM ends it with 0", case.title), server.stop()?.success(), "another exit status");
    Ok(())
}

fn answer(server: &Server) -> Result<()> {
    let account = Account::register(server.address(), "confined")?;
    account.create_stream("notes")?;
    let event = account.create_series("notes", "series:mass/kg", 0.0)?;
    let points = serde_json::json!({ "format": "flatJSON", "fields": ["deltaTime", "value"], "points": [[0, 1.5]] });
    account.call("POST", &format!("/events/{event}/series"), Some(&points))?;
    let read = account.call("GET", &format!("/events/{event}/series"), None)?;
    match read.pointer("/points/0/1").and_then(serde_json::Value::as_f64) {
        Some(1.5) => Ok(()),
        _ => {
            let call = "GET series".to_owned();
            Err(CiError::Answer { call, status: 200, expected: "the point that was written", body: read.to_string() })
        }
    }
}
