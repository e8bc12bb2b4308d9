//! `ci confine`: puts the process under the confinement and becomes the program. Run as a process of its own, because
//! nothing of this can be taken back.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set};

use super::profile;
use crate::error::{CiError, Result};
use crate::tools;

/// The hidden mode of this binary.
pub(crate) const MODE: &str = "confine";
/// Not the path of the file: a build during the run replaces that one.
const THIS_PROGRAM: &str = "/proc/self/exe";
const FILTERED: &str = "docker";
const UNFILTERED: &str = "none";

/// What a container gets without asking. CAP_IPC_LOCK, which lifts the memlock limit, is not among them.
const DOCKER_CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// The words that start a program under the confinement.
pub(super) fn words(is_filtered: bool, memlock_bytes: u64) -> Vec<String> {
    let profile = if is_filtered { FILTERED } else { UNFILTERED };
    vec![THIS_PROGRAM.to_owned(), MODE.to_owned(), profile.to_owned(), memlock_bytes.to_string()]
}

/// Does what the words of [`words`] and the program behind them say. Returns only with an error.
pub(crate) fn become_confined(arguments: &[String]) -> Result<Infallible> {
    let usage = || CiError::Usage(format!("{MODE} {FILTERED}|{UNFILTERED} MEMLOCK_BYTES PROGRAM [ARGUMENT...]"));
    let (profile, rest) = arguments.split_first().ok_or_else(usage)?;
    let (memlock, rest) = rest.split_first().ok_or_else(usage)?;
    let (program, rest) = rest.split_first().ok_or_else(usage)?;
    let memlock_bytes: u64 = memlock.parse().map_err(|_| usage())?;
    let limit = Rlimit { current: Some(memlock_bytes), maximum: Some(memlock_bytes) };
    setrlimit(Resource::Memlock, limit).map_err(|error| system("set the memlock limit", error))?;
    drop_capabilities()?;
    if profile == FILTERED {
        apply_profile()?;
    }
    let source = Command::new(program).args(rest).exec();
    Err(CiError::Spawn { command: program.clone(), source })
}

/// From the bounding set: at the exec, root keeps only what is left in it.
fn drop_capabilities() -> Result<()> {
    for capability in CapabilitySet::all().difference(DOCKER_CAPABILITIES).iter() {
        // A name newer than the kernel is not in the set, and asking for it is an error.
        if !capability_is_in_bounding_set(capability).unwrap_or(false) {
            continue;
        }
        remove_capability_from_bounding_set(capability).map_err(|error| system("drop a capability", error))?;
    }
    Ok(())
}

fn apply_profile() -> Result<()> {
    let path: PathBuf = tools::root().join("ci/seccomp/docker-default.json");
    for program in profile::compile(&path)? {
        seccompiler::apply_filter(&program).map_err(|error| CiError::format(&path, error))?;
    }
    Ok(())
}

fn system(act: &'static str, error: rustix::io::Errno) -> CiError {
    CiError::System { act, source: error.into() }
}
