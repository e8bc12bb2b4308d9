//! Reads a seccomp profile in Docker's JSON form and compiles it to BPF.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::Deserialize;
use syscalls::Sysno;

use crate::error::{CiError, Result};
use crate::tools;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_errno_ret: u32,
    syscalls: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Vec<Argument>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The programs of a profile, to be applied one after the other. The kernel takes the strictest answer of all, so what is
/// refused with an error of its own gets a program of its own.
pub(super) fn compile(path: &Path) -> Result<Vec<BpfProgram>> {
    let profile: Profile =
        serde_json::from_str(&tools::read_text(path)?).map_err(|error| CiError::format(path, error))?;
    let bad = |error: seccompiler::BackendError| CiError::format(path, error);
    let mut allowed = Rules::new();
    let mut programs = Vec::new();
    for group in &profile.syscalls {
        let rules = group.rules().map_err(bad)?;
        if let Some(errno) = group.errno_ret.filter(|_| group.action == "SCMP_ACT_ERRNO") {
            programs.push(program(rules.clone(), SeccompAction::Allow, SeccompAction::Errno(errno)).map_err(bad)?);
        }
        for (number, mut rules) in rules {
            allowed.entry(number).or_default().append(&mut rules);
        }
    }
    let refuse = SeccompAction::Errno(profile.default_errno_ret);
    programs.push(program(allowed, refuse, SeccompAction::Allow).map_err(bad)?);
    Ok(programs)
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()
}

impl Group {
    /// Names of other architectures are left out; an empty list of rules means "whatever the arguments".
    fn rules(&self) -> std::result::Result<Rules, seccompiler::BackendError> {
        let numbers =
            self.names.iter().filter_map(|name| Sysno::from_str(name).ok()).map(|number| i64::from(number.id()));
        let conditions = self.args.iter().map(Argument::condition).collect::<std::result::Result<Vec<_>, _>>()?;
        let rules = match conditions.is_empty() {
            true => Vec::new(),
            false => vec![SeccompRule::new(conditions)?],
        };
        Ok(numbers.map(|number| (number, rules.clone())).collect())
    }
}

impl Argument {
    fn condition(&self) -> std::result::Result<SeccompCondition, seccompiler::BackendError> {
        let (op, value) = match self.op.as_str() {
            "SCMP_CMP_MASKED_EQ" => (SeccompCmpOp::MaskedEq(self.value), self.value_two),
            "SCMP_CMP_NE" => (SeccompCmpOp::Ne, self.value),
            _ => (SeccompCmpOp::Eq, self.value),
        };
        SeccompCondition::new(self.index, SeccompCmpArgLen::Qword, op, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("seccomp/docker-default.json")
    }

    #[test]
    fn the_stored_profile_compiles_and_does_not_name_io_uring_as_allowed() {
        assert_eq!(compile(&path()).unwrap().len(), 2);
        let profile: Profile = serde_json::from_str(&std::fs::read_to_string(path()).unwrap()).unwrap();
        let names: Vec<_> = profile.syscalls.iter().flat_map(|group| &group.names).collect();
        assert!(names.iter().all(|name| !name.starts_with("io_uring")));
        assert!(names.iter().any(|name| name.as_str() == "epoll_pwait"));
    }
}
