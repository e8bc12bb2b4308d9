//! What clients and operators are told while the disk is full, and after a sync has failed: refusals in Pryv's form, reads
//! that go on, and the remedy at `/ready`, `/health` and `/system/status`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::power::PowerCut;
use super::{Outage, Plan};
use crate::account::Account;
use crate::error::{CiError, Result};
use crate::http::{Client, Reply, Request};
use crate::report::Report;
use crate::server::{Server, Setup, Workspace};
use crate::tools;

/// Room for one slot's write-ahead log and the two log files below.
const SMALL_DISK: &str = "size=48m";
const SMALL_FILES: &[(&str, &str)] =
    &[("cluster:shards", "1"), ("storages:engines:sqlite:slots", "1"), ("series:log:fileBytes", "1048576")];
const POINTS_PER_POST: usize = 1_000;
/// Many times what fits into the two log files; and with the pause below, a minute for a disk that is emptied again.
const POSTS_MAX: usize = 600;
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// A disk that fills up and is emptied again (D7 of the targets).
pub(super) fn full(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut workspace = Workspace::new("full-")?;
    let disk = SmallDisk::mount(workspace.path())?;
    let mut setup = Setup::new(&plan.binary, &disk.mount_point.join("server"))?;
    setup.log = workspace.path().join("server.log");
    setup = SMALL_FILES.iter().fold(setup, |setup, (key, value)| setup.setting(key, value));
    let server = Server::start(&setup)?;
    let mut series = Series::create(&server)?;
    let failed_before = report.failed();
    OPEN.check("an empty disk", &server, report)?;
    let ballast = disk.fill()?;
    let refusal = series.post_until(507)?;
    report.check("full disk: posts get 507 in Pryv's form", is_unavailable(&refusal), &shown(&refusal));
    NO_SPACE.check("full disk", &server, report)?;
    series.check("full disk", report)?;
    std::fs::remove_file(&ballast).map_err(CiError::file(&ballast))?;
    series.post_until(200)?;
    OPEN.check("space again", &server, report)?;
    series.check("space again", report)?;
    report.check("full disk: SIGTERM ends the server with 0", server.stop()?.success(), "another exit status");
    if report.failed() > failed_before {
        workspace.keep();
    }
    Ok(())
}

/// A disk on which every sync fails from some moment on.
pub(super) fn dead(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut workspace = Workspace::new("dead-")?;
    let disk = PowerCut::prepare(workspace.path())?;
    let mut setup = Setup::new(&plan.binary, &disk.folder())?.setting("cluster:shards", "1");
    setup.log = disk.log();
    let mut server = Server::start(&setup)?;
    let mut series = Series::create(&server)?;
    let failed_before = report.failed();
    series.post_until(200)?;
    disk.shut_down()?;
    let refusal = series.post_until(503)?;
    report.check("dead disk: posts get 503 in Pryv's form", is_unavailable(&refusal), &shown(&refusal));
    READ_ONLY.check("dead disk", &server, report)?;
    series.check("dead disk", report)?;
    server.kill()?;
    if report.failed() > failed_before {
        workspace.keep();
    }
    Ok(())
}

/// What the paths for operators must say.
struct State {
    ready: u16,
    /// HTTP status and `status` of `/system/status`.
    series: (u16, &'static str),
    /// `seriesReadOnly` and `seriesSpace` of `/health`.
    health: (bool, &'static str),
    /// A part of the remedy; nothing where all is well.
    remedy: Option<&'static str>,
}

const OPEN: State = State { ready: 200, series: (200, "ok"), health: (false, "ok"), remedy: None };
const NO_SPACE: State =
    State { ready: 200, series: (200, "no-space"), health: (false, "full"), remedy: Some("free some") };
const READ_ONLY: State = State {
    ready: 503,
    series: (503, "read-only"),
    health: (true, "ok"),
    remedy: Some("repair the disk, then restart"),
};

impl State {
    fn check(&self, when: &str, server: &Server, report: &mut Report) -> Result<()> {
        let ready = get(server.address(), "/ready")?;
        let is_right = ready.status == self.ready && self.is_remedy(&ready, self.ready == 503);
        report.check(&format!("{when}: /ready"), is_right, &shown(&ready));
        let series = get(server.hfs_address(), "/system/status")?;
        let (status, word) = self.series;
        let is_right = series.status == status && field(&series, "status") == word && self.is_remedy(&series, true);
        report.check(&format!("{when}: /system/status"), is_right, &shown(&series));
        let health = get(server.address(), "/health")?;
        let (is_read_only, space) = self.health;
        let is_right = health.status == 200
            && field(&health, "seriesReadOnly") == is_read_only
            && field(&health, "seriesSpace") == space
            && self.is_remedy(&health, true);
        report.check(&format!("{when}: /health"), is_right, &shown(&health));
        Ok(())
    }

    fn is_remedy(&self, reply: &Reply, is_told: bool) -> bool {
        let problem = field(reply, "problem");
        match self.remedy.filter(|_| is_told) {
            Some(remedy) => problem.as_str().is_some_and(|text| text.contains(remedy)),
            None => problem.is_null(),
        }
    }
}

/// A series, and the points of it that were acknowledged.
struct Series {
    account: Account,
    path: String,
    acknowledged: Vec<Value>,
    posts: usize,
}

impl Series {
    fn create(server: &Server) -> Result<Self> {
        let account = Account::register(server.address(), "poster")?;
        account.create_stream("s")?;
        let event = account.create_series("s", "series:count/generic", 0.0)?;
        let path = account.path(&format!("/events/{event}/series"));
        Ok(Self { account, path, acknowledged: Vec::new(), posts: 0 })
    }

    /// Posts until one is answered with this status; its answer.
    fn post_until(&mut self, status: u16) -> Result<Reply> {
        let mut reply = Reply::default();
        for _ in 0..POSTS_MAX {
            reply = self.post()?;
            if reply.status == status {
                return Ok(reply);
            }
            if reply.status != 200 {
                std::thread::sleep(REFUSED_PAUSE);
            }
        }
        let call = format!("{POSTS_MAX} posts to {}", self.path);
        Err(CiError::Answer { call, status: reply.status, expected: "another status", body: reply.text() })
    }

    fn post(&mut self) -> Result<Reply> {
        let first = self.posts * POINTS_PER_POST;
        self.posts += 1;
        let points: Vec<Value> = (first..first + POINTS_PER_POST).map(|index| json!([index, index])).collect();
        let body = json!({ "format": "flatJSON", "fields": ["deltaTime", "value"], "points": points });
        let request = Request::new("POST", &self.path).token(&self.account.token).json(&body);
        let reply = send(self.account.address, &request)?;
        if reply.status == 200 {
            self.acknowledged.extend(points);
        }
        Ok(reply)
    }

    /// No acknowledged point is missing, no refused one is there.
    fn check(&self, when: &str, report: &mut Report) -> Result<()> {
        let reply = send(self.account.address, &Request::new("GET", &self.path).token(&self.account.token))?;
        let points = field(&reply, "points");
        let points = points.as_array().map(Vec::as_slice).unwrap_or_default();
        let counts = format!("status {}, {} points of {}", reply.status, points.len(), self.acknowledged.len());
        let title = format!("{when}: exactly what was acknowledged is read");
        report.check(&title, points == self.acknowledged, &counts);
        Ok(())
    }
}

/// A file system in memory, a few megabytes large.
struct SmallDisk {
    mount_point: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path) -> Result<Self> {
        let mount_point = folder.join("mnt");
        std::fs::create_dir_all(&mount_point).map_err(CiError::file(&mount_point))?;
        tools::output(Command::new("mount").args(["-t", "tmpfs", "-o", SMALL_DISK, "none"]).arg(&mount_point))?;
        Ok(Self { mount_point })
    }

    /// Writes a file that takes all the space there is.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.mount_point.join("ballast");
        let mut file = std::fs::File::create(&path).map_err(CiError::file(&path))?;
        match std::io::copy(&mut std::io::repeat(1), &mut file) {
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(path),
            Err(error) => Err(CiError::file(&path)(error)),
            Ok(_) => unreachable!("what repeats has no end"),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = tools::output(Command::new("umount").arg(&self.mount_point)) {
            println!("  {}: still mounted: {error}", self.mount_point.display());
        }
    }
}

fn get(address: SocketAddr, path: &str) -> Result<Reply> {
    send(address, &Request::new("GET", path))
}

fn send(address: SocketAddr, request: &Request<'_>) -> Result<Reply> {
    let call = format!("{} {}", request.method, request.path);
    Client::new(address).send(request).map_err(|source| CiError::Http { call, source })
}

fn is_unavailable(reply: &Reply) -> bool {
    reply.json().unwrap_or_default().pointer("/error/id") == Some(&json!("api-unavailable"))
}

fn field(reply: &Reply, name: &str) -> Value {
    reply.json().unwrap_or_default().get(name).cloned().unwrap_or_default()
}

fn shown(reply: &Reply) -> String {
    format!("the answer: {} {}", reply.status, reply.text())
}
