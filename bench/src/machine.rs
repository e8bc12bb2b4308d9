//! What the figures were measured on: a figure without its machine says little.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    memory_mib: u64,
    /// Type and device of the file system below the data folder.
    filesystem: String,
    /// Load average over a minute at the start: others may share the cores.
    load: String,
}

impl Machine {
    pub(crate) fn describe(data: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let after_colon = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory_kib = after_colon(&read("/proc/meminfo"), "MemTotal").replace(" kB", "").parse::<u64>();
        Self {
            cpu: after_colon(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: memory_kib.unwrap_or_default() / 1024,
            filesystem: filesystem(&read("/proc/self/mounts"), data).unwrap_or_else(|| "unknown".to_owned()),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, kernel, memory_mib, filesystem, load } = self;
        write!(out, "{cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}, {filesystem}, load {load} at the start")
    }
}

/// The mount with the longest path that holds the folder (proc(5): device, path, type).
fn filesystem(mounts: &str, folder: &Path) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, path, kind) = (words.next()?, words.next()?, words.next()?);
        folder.starts_with(path).then_some((path.len(), device, kind))
    });
    mounted.max_by_key(|(length, ..)| *length).map(|(_, device, kind)| format!("{kind} on {device}"))
}

/// Which server was measured, as far as it can be told from outside.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Build {
    path: String,
    version: String,
    bytes: u64,
    /// Of the checkout that holds the binary, and of the one that holds the bench.
    commit: String,
    bench_commit: String,
    /// When the measurement began, UTC.
    date: String,
}

impl Build {
    pub(crate) fn describe(server: &Path) -> Self {
        let version = said(Command::new(server).arg("--version").env_clear());
        Self {
            path: server.display().to_string(),
            version: version.lines().next().unwrap_or_default().to_owned(),
            bytes: std::fs::metadata(server).map_or(0, |meta| meta.len()),
            commit: commit(server.parent().unwrap_or(Path::new("/"))),
            bench_commit: commit(Path::new(env!("CARGO_MANIFEST_DIR"))),
            date: said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"])),
        }
    }
}

impl std::fmt::Display for Build {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, bytes, commit, bench_commit, date, .. } = self;
        write!(out, "{version} ({bytes} bytes, commit {commit}), bench of commit {bench_commit}, {date} UTC")
    }
}

fn commit(folder: &Path) -> String {
    let text = said(Command::new("git").arg("-C").arg(folder).args(["describe", "--always", "--dirty"]));
    if text.is_empty() { "unknown".to_owned() } else { text }
}

/// What a program prints; nothing when it is not there or fails.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_of_this_test_has_cores_memory_and_a_kernel() {
        let machine = Machine::describe(Path::new("/tmp"));
        assert!(machine.cores > 0 && machine.memory_mib > 0 && !machine.kernel.is_empty(), "{machine}");
    }

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n";
        assert_eq!(filesystem(mounts, Path::new("/dev/shm/x")).unwrap(), "tmpfs on tmpfs");
        assert_eq!(filesystem(mounts, Path::new("/dev/shmx")).unwrap(), "ext4 on /dev/vda");
    }

    #[test]
    fn a_program_that_is_not_there_says_nothing() {
        assert_eq!(said(&mut Command::new("/no/such/program")), "");
        assert!(!Build::describe(Path::new("/no/such/server")).date.is_empty());
    }
}
