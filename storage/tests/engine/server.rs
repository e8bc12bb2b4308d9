//! A real PostgreSQL server in a folder of its own, reached by a Unix socket; and a runtime for the engine. A shell watches the
//! server: it ends it and removes the folder when this process ends, however it ends.

use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use storage::postgres::{PostgresConfig, Runtime, Task};

/// Commands come line by line, each is answered by a line. No data here outlives the test: nothing is synced.
const WATCH: &str = r#"
set -eu
bin=$1
home=$(mktemp -d "${TMPDIR:-/tmp}/coreward-pg-XXXXXX")
children() { ps -o pid= --ppid "$server"; }
stop() { if [ -n "$server" ]; then kill -CONT "$server" $(children) 2>/dev/null || true; kill -INT "$server" 2>/dev/null || true; wait "$server" || true; server=; fi; }
finish() { stop; rm -rf "$home"; }
server=
trap finish EXIT
trap 'exit 1' INT TERM
"$bin/initdb" -D "$home/data" -U coreward -A trust -E UTF8 --locale=C --no-sync >"$home/initdb.log" 2>&1 || {
    cat "$home/initdb.log" >&2; exit 1; }
launch() {
    "$bin/postgres" -D "$home/data" -k "$home" -h "" -c fsync=off -c max_connections=200 -c shared_buffers=32MB \
        >>"$home/server.log" 2>&1 &
    server=$!
}
start() {
    launch
    tries=0
    until "$bin/psql" -X -q -h "$home" -U coreward -d postgres -c "" 2>/dev/null; do
        # It gives up at once while children of a killed server still live.
        kill -0 "$server" 2>/dev/null || launch
        tries=$((tries + 1)); [ $tries -lt 600 ] || { cat "$home/server.log" >&2; exit 1; }; sleep 0.1
    done
}
start
echo "$home"
while read -r order; do
    case $order in
        stop) stop ;;
        start) start ;;
        freeze) kill -STOP "$server" $(children) ;;
        thaw) kill -CONT "$server" $(children) ;;
        kill) kill -KILL "$server"; wait "$server" || true; server= ;;
    esac
    echo done
done
"#;

const PATIENCE: Duration = Duration::from_secs(120);

/// A running server.
pub(crate) struct Database {
    folder: String,
    schemas: AtomicU32,
    orders: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _watch: Child,
}

/// One for all tests of this process.
pub(crate) fn shared() -> Option<Arc<Database>> {
    static SHARED: OnceLock<Option<Arc<Database>>> = OnceLock::new();
    SHARED.get_or_init(|| Database::start().map(Arc::new)).clone()
}

impl Database {
    /// None where PostgreSQL is not installed and nobody insists.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let is_required = std::env::var_os("COREWARD_REQUIRE_POSTGRES").is_some();
            assert!(!is_required, "PostgreSQL's initdb is not installed: apt-get install postgresql");
            eprintln!("passed over: PostgreSQL's initdb is not installed (apt-get install postgresql)");
            return None;
        };
        // The server refuses to run as root; the package has made this user.
        let mut command = match rustix::process::getuid().is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "sh"]);
                command
            }
            false => Command::new("sh"),
        };
        command.args(["-c", WATCH, "watch"]).arg(programs).current_dir("/");
        let mut watch = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell starts");
        let input = watch.stdin.take().expect("it was piped");
        let mut output = BufReader::new(watch.stdout.take().expect("it was piped"));
        let folder = line(&mut output);
        assert!(folder.starts_with('/'), "the server did not start: its error is above");
        Some(Self { folder, schemas: AtomicU32::new(0), orders: Mutex::new((input, output)), _watch: watch })
    }

    /// `stop`, `start`, `kill`, `freeze` or `thaw`; returns when it is done.
    pub(crate) fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap();
        writeln!(orders.0, "{order}").unwrap();
        assert_eq!(line(&mut orders.1), "done");
    }

    pub(crate) fn fresh_schema(&self) -> String {
        format!("home_{}", self.schemas.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn config(&self, schema: &str) -> PostgresConfig {
        PostgresConfig {
            host: self.folder.clone(),
            database: "postgres".into(),
            user: "coreward".into(),
            schema: schema.into(),
            slots: 1,
            connections_max: 8,
            // The machine may be slow; what happens when it is too slow has tests of its own.
            wait_timeout: PATIENCE,
            statement_timeout: PATIENCE,
            ..PostgresConfig::default()
        }
    }

    /// Statements of an operator, beside the engine; the first column of the answer.
    pub(crate) fn psql(&self, sql: &str) -> Vec<String> {
        let output = self.psql_command().args(["-c", sql]).output().expect("psql starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Without `-c` it reads its input.
    pub(crate) fn psql_command(&self) -> Command {
        let target = format!("host={} dbname=postgres user=coreward", self.folder);
        let mut psql = Command::new(programs().expect("the server runs").join("psql"));
        psql.args(["-X", "-At", "-q", "-v", "ON_ERROR_STOP=1", "-d", &target]).current_dir("/");
        psql
    }
}

pub(crate) fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// The folder of the server's programs: Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// A thread with a tokio runtime, as the server's compat thread is one.
pub(crate) struct TokioThread {
    handle: tokio::runtime::Handle,
    _end: tokio::sync::oneshot::Sender<()>,
}

impl TokioThread {
    pub(crate) fn start() -> Arc<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (end, ended) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || drop(runtime.block_on(ended)));
        Arc::new(Self { handle, _end: end })
    }
}

impl Runtime for TokioThread {
    fn spawn(&self, task: Task) {
        drop(self.handle.spawn(task));
    }
}
