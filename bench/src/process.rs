//! What the kernel says about a process: CPU time of all its threads, memory now and at its peak.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{BenchError, Result};

/// Fields of `/proc/PID/stat` behind the command's name (proc(5): utime is field 14, stime 15, the name 2).
const UTIME_INDEX: usize = 11;
const STIME_INDEX: usize = 12;
const KIB: f64 = 1024.0;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pub(crate) id: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Memory {
    pub(crate) rss_mib: f64,
    pub(crate) peak_mib: f64,
}

impl Process {
    pub(crate) fn own() -> Self {
        Self { id: std::process::id() }
    }

    /// User and system time of all threads, ended ones included; the kernel's grain is 10 ms.
    pub(crate) fn cpu(self) -> Result<Duration> {
        let text = self.read("stat")?;
        let ticks = cpu_ticks(&text).ok_or_else(|| unreadable("stat"))?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    pub(crate) fn memory(self) -> Result<Memory> {
        memory(&self.read("status")?).ok_or_else(|| unreadable("status"))
    }

    /// Open descriptors.
    pub(crate) fn descriptors(self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.id);
        let entries = std::fs::read_dir(&path).map_err(BenchError::system(&format!("read {path}")))?;
        Ok(entries.count())
    }

    pub(crate) fn threads(self) -> Result<u64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
        line.and_then(|count| count.trim().parse().ok()).ok_or_else(|| unreadable("status"))
    }

    /// From here on the peak is that of the coming measurement.
    pub(crate) fn reset_peak(self) {
        // Without the right to do so the peak stays that of the whole run, which is still an upper bound.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.id), "5");
    }

    fn read(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.id);
        std::fs::read_to_string(&path).map_err(BenchError::system(&format!("read {path}")))
    }
}

/// Lets this process open as many files as it may, if that is enough.
pub(crate) fn allow_descriptors(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    if needed > allowed {
        return Err(BenchError::Descriptors { needed, allowed });
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| BenchError::System { act: "raise the limit of open files".to_owned(), source: error.into() })
}

fn unreadable(file: &str) -> BenchError {
    BenchError::System { act: format!("understand /proc/PID/{file}"), source: std::io::ErrorKind::InvalidData.into() }
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name may hold blanks and parentheses: fields count from its last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(field(UTIME_INDEX)? + field(STIME_INDEX)?)
}

fn memory(status: &str) -> Option<Memory> {
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib / KIB)
    };
    Some(Memory { rss_mib: mib("VmRSS")?, peak_mib: mib("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 120 34 0 0 20 0 3";
        assert_eq!(cpu_ticks(stat), Some(154));
        assert_eq!(cpu_ticks("7 (short) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        let status = "Name:\tx\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(memory(status), Some(Memory { rss_mib: 2.0, peak_mib: 4.0 }));
        assert_eq!(memory("Name:\tzombie\n"), None);
    }

    #[test]
    fn the_own_process_has_memory_and_its_cpu_time_grows_with_work() {
        let own = Process::own();
        let before = own.cpu().unwrap();
        assert!(own.memory().unwrap().rss_mib > 0.0);
        assert!(own.descriptors().unwrap() >= 3 && own.threads().unwrap() >= 1);
        let mut sum = 0_u64;
        while own.cpu().unwrap() <= before {
            sum = (0..1_000_000).fold(sum, |sum, value| std::hint::black_box(sum ^ value));
        }
    }
}
