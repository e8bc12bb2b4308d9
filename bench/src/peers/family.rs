//! A peer's processes taken together: PostgreSQL forks one for each connection.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Result;
use crate::process::{Process, Usage, mib, unreadable};

/// A process and all that descend from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    pub(super) root: Process,
}

impl Family {
    /// Whoever is in it now, the root first.
    fn members(self) -> Vec<Process> {
        let mut members = vec![self.root];
        let mut looked_at = 0;
        while let Some(process) = members.get(looked_at).copied() {
            // A process that has ended meanwhile has no children.
            let children = process.read(&format!("task/{}/children", process.id)).unwrap_or_default();
            members.extend(children.split_whitespace().filter_map(|id| id.parse().ok()).map(|id| Process { id }));
            looked_at += 1;
        }
        members
    }

    /// Stops every process where it stands, so that what it does in the background falls into its own windows.
    pub(super) fn pause(self) {
        self.signal(Signal::STOP);
    }

    pub(super) fn go_on(self) {
        self.signal(Signal::CONT);
    }

    pub(super) fn kill(self) {
        self.signal(Signal::KILL);
    }

    fn signal(self, signal: Signal) {
        for member in self.members() {
            // One that has ended meanwhile needs no signal.
            let _ = pid(member).map(|id| kill_process(id, signal));
        }
    }

    /// Asks the root to stop, as its manual says.
    pub(super) fn ask_to_stop(self, signal: Signal) -> std::io::Result<()> {
        let id = pid(self.root).ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(kill_process(id, signal)?)
    }
}

fn pid(process: Process) -> Option<Pid> {
    i32::try_from(process.id).ok().and_then(Pid::from_raw)
}

impl Usage for Family {
    /// Of the living and of the ended: a parent counts the children that it has waited for.
    fn cpu(&self) -> Result<Duration> {
        let (root, rest) = (self.root.cpu_with_ended_children()?, self.members().into_iter().skip(1));
        Ok(rest.filter_map(|member| member.cpu_with_ended_children().ok()).fold(root, |sum, cpu| sum + cpu))
    }

    /// The peak of a single process. Several share memory: of them the sum of the proportional sizes now.
    fn peak_mib(&self) -> Result<f64> {
        let members = self.members();
        if members.len() == 1 {
            return self.root.peak_mib();
        }
        let root = self.root.read("smaps_rollup")?;
        let root = mib(&root, "Pss").ok_or_else(|| unreadable("smaps_rollup"))?;
        let rest = members.into_iter().skip(1).filter_map(|member| mib(&member.read("smaps_rollup").ok()?, "Pss"));
        Ok(root + rest.sum::<f64>())
    }

    fn reset_peak(&self) {
        self.root.reset_peak();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_work_of_children_counts_while_they_live_and_after_they_have_ended() {
        let script = "sh -c 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done'; exec sleep 1000";
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let family = Family { root: Process { id: child.id() } };
        while family.root.read("comm").unwrap().trim() != "sleep" {
            std::thread::yield_now();
        }
        let own = family.root.cpu().unwrap();
        assert!(family.cpu().unwrap() >= own && family.peak_mib().unwrap() > 0.0);
        family.kill();
        child.wait().unwrap();
    }

    #[test]
    fn a_family_holds_children_and_grandchildren() {
        let mut child = Command::new("sh").args(["-c", "sh -c 'sleep 1000; :'; :"]).spawn().unwrap();
        let family = Family { root: Process { id: child.id() } };
        while family.members().len() < 3 {
            std::thread::yield_now();
        }
        assert!(family.peak_mib().unwrap() > 0.0);
        family.kill();
        child.wait().unwrap();
    }
}
