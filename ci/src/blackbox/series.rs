//! Series of the checks that need a server of their own: made, filled, read, and looked for in the data folder.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::account::Account;
use crate::error::{CiError, Result};
use crate::http::{Client, Reply, Request};
use crate::server::{Server, Setup};

/// What the server does in its own time is waited for this long; it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// A series event of a user.
pub(super) struct Series {
    pub(super) account: Account,
    pub(super) event: String,
}

impl Series {
    pub(super) fn create(account: &Account, stream: &str, kind: &str, time: f64) -> Result<Self> {
        Ok(Self { account: account.clone(), event: account.create_series(stream, kind, time)? })
    }

    /// Below the user.
    pub(super) fn path(&self) -> String {
        format!("/events/{}/series", self.event)
    }

    /// Points of one column.
    pub(super) fn post(&self, points: &[(f64, Value)]) -> Result<()> {
        self.account.call("POST", &self.path(), Some(&body_of(points))).map(|_| ())
    }

    pub(super) fn read(&self) -> Result<Answer> {
        Ok(Answer(self.account.call("GET", &self.path(), None)?))
    }

    /// The answer to a read (without points) or a post, whatever it is.
    pub(super) fn attempt(&self, points: Option<&[(f64, Value)]>) -> Result<Reply> {
        let (path, method) = (self.account.path(&self.path()), if points.is_some() { "POST" } else { "GET" });
        let request = Request::new(method, &path).token(&self.account.token);
        let request = match points {
            Some(points) => request.json(&body_of(points)),
            None => request,
        };
        let call = format!("{method} {path}");
        Client::new(self.account.address).send(&request).map_err(|source| CiError::Http { call, source })
    }
}

fn body_of(points: &[(f64, Value)]) -> Value {
    let points: Vec<Value> = points.iter().map(|(time, value)| json!([time, value])).collect();
    json!({ "format": "flatJSON", "fields": ["deltaTime", "value"], "points": points })
}

/// The points that a read gave.
pub(super) struct Answer(pub(super) Value);

impl Answer {
    pub(super) fn fields(&self) -> Vec<&str> {
        let fields = self.0.get("fields").and_then(Value::as_array);
        fields.map(|fields| fields.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    pub(super) fn points(&self) -> &[Value] {
        self.0.get("points").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// The texts of the only column.
    pub(super) fn texts(&self) -> Vec<&str> {
        self.points().iter().filter_map(|point| point.get(1)?.as_str()).collect()
    }
}

/// SIGTERM and a new start: what was in memory is in segments then.
pub(super) fn restart(server: Server, setup: &Setup) -> Result<Server> {
    let status = server.stop()?;
    match status.success() {
        true => Server::start(setup),
        false => Err(CiError::Died { status: status.to_string(), tail: "after SIGTERM".to_owned() }),
    }
}

/// Looks until there is nothing to complain about; the last complaint when the patience ends.
pub(super) fn wait_until(mut complaint: impl FnMut() -> Result<Option<String>>) -> Result<Option<String>> {
    let started = Instant::now();
    loop {
        match complaint()? {
            Some(complaint) if started.elapsed() >= PATIENCE => return Ok(Some(complaint)),
            Some(_) => std::thread::sleep(LOOK_PAUSE),
            None => return Ok(None),
        }
    }
}

/// All files below a folder. A running server makes and removes some meanwhile.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(CiError::file(&folder))? {
            let path = entry.map_err(CiError::file(&folder))?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The bytes of a file; none when it was removed in between.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(CiError::file(path)),
    }
}

/// The last byte of every text that is looked for on the disk, and nowhere else in it.
const TEXT_END: u8 = b']';

/// Which of these texts are in which files: what somebody with access to the disk can read.
pub(super) fn found_on_disk(folder: &Path, texts: &[String]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for path in files_below(folder)? {
        let file = match File::open(&path) {
            // Removed in between.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(CiError::file(&path))?,
        };
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        // Pieces that end where a text may end: most of a log are zeros, which are passed over without a look.
        let mut file = BufReader::new(file);
        let mut piece = Vec::new();
        while file.read_until(TEXT_END, &mut piece).map_err(CiError::file(&path))? > 0 {
            let ends = texts.iter().filter(|text| piece.ends_with(text.as_bytes()));
            found.extend(ends.map(|text| (text.clone(), name.clone())));
            piece.clear();
        }
    }
    Ok(found)
}
