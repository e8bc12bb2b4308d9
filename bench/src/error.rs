//! What can go wrong around a measurement; each message says what to do.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) type Result<T, E = BenchError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("{0}; see `bench --help`")]
    Usage(String),
    #[error("the scenario {name} cannot be read: {text}; correct the file or the --set of the command line")]
    Scenario { name: String, text: String },
    #[error("no server binary at {}: build it first (cargo build --release) or name it with --server FILE", .0.display())]
    NoServer(PathBuf),
    #[error("could not {act}: {source}")]
    System { act: String, source: std::io::Error },
    #[error("the server was not ready after {} s; its last words:\n{tail}", .waited.as_secs())]
    NotReady { waited: Duration, tail: String },
    #[error("the server ended ({status}); its last words:\n{tail}")]
    Died { status: String, tail: String },
    #[error("the answer is not HTTP/1.1 as expected: {0}")]
    Malformed(String),
    #[error("{request} was answered {status}, the preparation cannot go on: {text}")]
    Refused { request: String, status: u16, text: String },
    #[error("{request} was answered with unexpected content: {text}")]
    Unexpected { request: String, text: String },
    #[error("no request of {variant} was answered with success; the first refusal: {text}")]
    NothingMeasured { variant: String, text: String },
    #[error(
        "{needed} open files are needed and {allowed} are allowed: raise the limit (ulimit -n) or lower --connections"
    )]
    Descriptors { needed: u64, allowed: u64 },
}

impl BenchError {
    pub(crate) fn system(act: &str) -> impl FnOnce(std::io::Error) -> Self {
        let act = act.to_owned();
        move |source| Self::System { act, source }
    }
}
