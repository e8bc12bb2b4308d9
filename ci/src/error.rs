//! What can go wrong in a check. A failed check is reported by its `Report`; these errors mean it could not be made.

use std::path::PathBuf;

use crate::http::HttpError;

pub(crate) type Result<T> = std::result::Result<T, CiError>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CiError {
    #[error("{0}\n\n{usage}", usage = crate::USAGE)]
    Usage(String),
    #[error("could not start `{command}`: {source}; is it installed and in PATH?")]
    Spawn { command: String, source: std::io::Error },
    #[error("`{command}` ended with {status}; its own output says why")]
    Command { command: String, status: String },
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{call}: {source}")]
    Http { call: String, source: HttpError },
    #[error("{call} answered {status} where {expected} was expected: {body}")]
    Answer { call: String, status: u16, expected: &'static str, body: String },
    #[error("the server was not ready after {seconds} s; the end of its output:\n{tail}")]
    NotReady { seconds: u64, tail: String },
    #[error("the server ended by itself with {status}; the end of its output:\n{tail}")]
    Died { status: String, tail: String },
    #[error("could not {act}: {source}")]
    System { act: &'static str, source: std::io::Error },
    #[error("{path}: not understood: {what}", path = path.display())]
    Format { path: PathBuf, what: String },
}

impl CiError {
    /// For `map_err` on file calls.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn system(act: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { act, source }
    }

    pub(crate) fn format(path: impl Into<PathBuf>, what: impl ToString) -> Self {
        Self::Format { path: path.into(), what: what.to_string() }
    }
}
