//! What can be wrong with a configuration, in words that name the remedy. All problems are collected before one is shown.

use std::fmt;
use std::path::PathBuf;

/// Where an effective value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    /// `service.*` read from `serviceInfoUrl`.
    ServiceInfo(PathBuf),
    File(PathBuf),
    Environment(String),
    Argument(String),
    OverrideFile(PathBuf),
    /// Made by us and stored in this file.
    Generated(PathBuf),
    /// Follows from another key.
    Derived(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(out, "default"),
            Origin::ServiceInfo(path) => write!(out, "service info {}", path.display()),
            Origin::File(path) => write!(out, "file {}", path.display()),
            Origin::Environment(name) => write!(out, "environment {name}"),
            Origin::Argument(text) => write!(out, "argument {text}"),
            Origin::OverrideFile(path) => write!(out, "override file {}", path.display()),
            Origin::Generated(path) => write!(out, "generated, in {}", path.display()),
            Origin::Derived(from) => write!(out, "from {from}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("is not a known key; the nearest one is [{nearest}] ({origin})")]
    UnknownKey { nearest: String, origin: Origin },
    #[error("must be {expected}, got {got} ({origin})")]
    Type { expected: String, got: String, origin: Origin },
    #[error(
        "still holds a placeholder (REPLACE or ${{NAME}}, which is never expanded): write the real value ({origin})"
    )]
    Placeholder { origin: Origin },
    #[error("is missing: {remedy}")]
    Missing { remedy: String },
    #[error("asks for the engine \"{asked}\", which this build does not have; it has {existing}: {remedy}")]
    Engine { asked: String, existing: &'static str, remedy: &'static str },
    #[error(
        "is missing although [{configured}] is configured, so the data may lie there: name the engine (\"{existing}\" is what this build has; it starts with an EMPTY store, import the data with the backup tool)"
    )]
    EngineNotSelected { configured: String, existing: &'static str },
    #[error("is not built yet and is not safe to ignore: {remedy}")]
    NotBuilt { remedy: &'static str },
    #[error("{0}")]
    Rule(String),
    #[error("cannot be read: {reason}; correct the file or the path")]
    Unreadable { reason: String },
}

/// A problem and the key (`a:b`) or file it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Configuration is invalid at [{path}] {problem}")]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) problem: Problem,
}

/// Every problem of a configuration. `Display` is what the boot prints on stderr (spec 10, boot validation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigErrors {
    pub(crate) findings: Vec<Finding>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.findings.len();
        write!(out, "[config-validation] Configuration is invalid \u{2014} {count} problem(s) found:")?;
        self.findings.iter().try_for_each(|finding| write!(out, "\n{finding}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects findings, at most one for a key: the first says what to do, the next would only follow from it.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, path: &str, problem: Problem) {
        if !self.0.iter().any(|known| known.path == path) {
            self.0.push(Finding { path: path.to_owned(), problem });
        }
    }

    pub(super) fn rule(&mut self, path: &str, text: impl Into<String>) {
        self.add(path, Problem::Rule(text.into()));
    }

    pub(super) fn missing(&mut self, path: &str, remedy: impl Into<String>) {
        self.add(path, Problem::Missing { remedy: remedy.into() });
    }

    pub(super) fn into_result<T>(mut self, value: T) -> Result<T, ConfigErrors> {
        // What else is missing may stand in the file that could not be read.
        if self.0.iter().any(|finding| matches!(finding.problem, Problem::Unreadable { .. })) {
            self.0.retain(|finding| !matches!(finding.problem, Problem::Missing { .. }));
        }
        if self.0.is_empty() { Ok(value) } else { Err(ConfigErrors { findings: self.0 }) }
    }
}
