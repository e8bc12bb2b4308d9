//! A query on events after every check: what a store needs to know, nothing of the caller.

use serde_json::Value;

use crate::time::Seconds;

#[derive(Clone, Debug, PartialEq)]
pub struct EventsQuery {
    pub streams: StreamFilter,
    /// Keeps events whose end is at or after this.
    pub from: Option<Seconds>,
    /// Keeps events whose time is at or before this.
    pub to: Option<Seconds>,
    /// Keeps events whose time is after this.
    pub later_than: Option<Seconds>,
    /// Whether running events (no end) pass the `from` filter: the frame includes now.
    pub running_pass_from: bool,
    /// Only running events; `from` is ignored.
    pub only_running: bool,
    pub types: Vec<TypeFilter>,
    pub content: Vec<Condition>,
    pub client_data: Vec<Condition>,
    pub ascending: bool,
    pub skip: u64,
    pub limit: Option<u64>,
    pub state: TrashState,
    /// Strict: modified after this.
    pub modified_since: Option<Seconds>,
}

/// Which events by their streams; ids are already expanded over the tree and stripped of what may not be seen.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamFilter {
    /// Every event of the account, but those in one of `not`.
    All {
        not: Vec<String>,
    },
    /// At least one clause must match.
    Any(Vec<StreamClause>),
    Nothing,
}

/// One of `any`, and one of each list of `all`, and none of `not`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamClause {
    pub any: Vec<String>,
    pub all: Vec<Vec<String>>,
    pub not: Vec<String>,
}

impl StreamFilter {
    /// Whether an event in these streams passes.
    pub fn matches(&self, stream_ids: &[String]) -> bool {
        match self {
            Self::All { not } => !one_of(stream_ids, not),
            Self::Any(clauses) => clauses.iter().any(|clause| clause.matches(stream_ids)),
            Self::Nothing => false,
        }
    }
}

impl StreamClause {
    pub fn matches(&self, stream_ids: &[String]) -> bool {
        one_of(stream_ids, &self.any)
            && self.all.iter().all(|ids| one_of(stream_ids, ids))
            && !one_of(stream_ids, &self.not)
    }
}

fn one_of(stream_ids: &[String], ids: &[String]) -> bool {
    stream_ids.iter().any(|id| ids.contains(id))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeFilter {
    Exact(String),
    /// `class/*`, kept as `class/`.
    Class(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TrashState {
    #[default]
    Default,
    Trashed,
    All,
}

/// One condition on a JSON field (Pryv: content queries). `path` is empty for the root.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub path: Vec<String>,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Equal(Value),
    NotEqual(Value),
    In(Vec<Value>),
    Exists(bool),
    Greater(f64),
    GreaterOrEqual(f64),
    Less(f64),
    LessOrEqual(f64),
    Prefix(String),
}
