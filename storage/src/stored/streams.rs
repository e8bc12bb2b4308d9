//! Which items pass a stream filter, by the ids that stand in their row.

use model::query::{StreamClause, StreamFilter};
use rustc_hash::FxHashSet;

/// A filter with its ids ready for look-ups.
pub(crate) enum Streams<'a> {
    Every,
    Not(FxHashSet<&'a str>),
    Any(Vec<Clause<'a>>),
}

pub(crate) struct Clause<'a> {
    any: FxHashSet<&'a str>,
    all: Vec<FxHashSet<&'a str>>,
    not: FxHashSet<&'a str>,
}

fn set(ids: &[String]) -> FxHashSet<&str> {
    ids.iter().map(String::as_str).collect()
}

impl<'a> Streams<'a> {
    /// `None`: nothing can match.
    pub(crate) fn of(filter: &'a StreamFilter) -> Option<Self> {
        match filter {
            StreamFilter::Nothing => None,
            StreamFilter::All { not } if not.is_empty() => Some(Self::Every),
            StreamFilter::All { not } => Some(Self::Not(set(not))),
            StreamFilter::Any(clauses) => Some(Self::Any(clauses.iter().map(Clause::of).collect())),
        }
    }

    /// All ids of which an item must have one; `None` when there is no such list.
    pub(crate) fn wanted(&self) -> Option<FxHashSet<&'a str>> {
        match self {
            Self::Every | Self::Not(_) => None,
            Self::Any(clauses) => Some(clauses.iter().flat_map(|clause| clause.any.iter().copied()).collect()),
        }
    }

    /// The one stream that decides alone, so that a row found by it needs no further look.
    pub(crate) fn is_one_stream(&self) -> bool {
        match self {
            Self::Any(clauses) => match clauses.as_slice() {
                [clause] => clause.any.len() == 1 && clause.all.is_empty() && clause.not.is_empty(),
                _ => false,
            },
            Self::Every | Self::Not(_) => false,
        }
    }

    pub(crate) fn pass(&self, ids: &[&str]) -> bool {
        match self {
            Self::Every => true,
            Self::Not(not) => !ids.iter().any(|id| not.contains(id)),
            Self::Any(clauses) => clauses.iter().any(|clause| clause.pass(ids)),
        }
    }
}

impl<'a> Clause<'a> {
    fn of(clause: &'a StreamClause) -> Self {
        Self { any: set(&clause.any), all: clause.all.iter().map(|ids| set(ids)).collect(), not: set(&clause.not) }
    }

    fn pass(&self, ids: &[&str]) -> bool {
        ids.iter().any(|id| self.any.contains(id))
            && self.all.iter().all(|wanted| ids.iter().any(|id| wanted.contains(id)))
            && !ids.iter().any(|id| self.not.contains(id))
    }
}
