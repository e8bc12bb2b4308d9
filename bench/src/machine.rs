//! What the figures were measured on: a figure without its machine says little.

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    memory_mib: u64,
    /// Load average over a minute at the start: others may share the cores.
    load: String,
}

impl Machine {
    pub(crate) fn describe() -> Self {
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
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, kernel, memory_mib, load } = self;
        write!(out, "{cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}, load {load} at the start")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_of_this_test_has_cores_memory_and_a_kernel() {
        let machine = Machine::describe();
        assert!(machine.cores > 0 && machine.memory_mib > 0 && !machine.kernel.is_empty(), "{machine}");
    }
}
