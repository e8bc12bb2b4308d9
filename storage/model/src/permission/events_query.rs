//! Which events a query may see: the named streams checked, expanded over the tree, and stripped of
//! what is masked (Pryv: events.get, `streams`).

use std::collections::{HashMap, HashSet};

use super::account_streams::ACCOUNT_ROOT;
use super::caller::{Caller, Refused};
use super::grant::{Grant, Right};
use super::level::{Levels, audit_stream_exists};
use super::reserved::{
    AUDIT_ROOT, CMC_INTERNAL, EMAILS_ROOT, SHARED_SECRETS_ROOT, Store, in_store, is_own_secret_stream,
};
use super::tree::Descend;
use crate::access::{Level, Permission};
use crate::query::{StreamClause, StreamFilter, TrashState};
use crate::query_input::{StreamQuery, split_suffix};
use crate::stream::Stream;

/// Stream ids named in an audit record.
pub const SCOPE_IDS_MAX: usize = 100;

/// What else comes with a checked query.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// Expanded ids of the `any` clauses for the audit record, at most [`SCOPE_IDS_MAX`]; `*` alone if unrestricted.
    pub ids: Vec<String>,
    /// Their true number.
    pub total: usize,
    /// Account fields whose events are part of the answer (stream ids).
    pub account: Vec<String>,
    /// Which audit records are part of the answer, by full stream ids. `Nothing` unless named.
    pub audit: StreamFilter,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QueryRefused {
    /// Pryv: forbidden (403).
    #[error("{0}")]
    Forbidden(String),
    /// Pryv: unknown-referenced-resource (400), `data.streams`.
    #[error("Unknown referenced streams: {}", .0.join(", "))]
    UnknownStreams(Vec<String>),
}

impl Caller<'_> {
    pub fn query_events(
        &self,
        requested: &[StreamQuery],
        state: TrashState,
    ) -> Result<(Grant, StreamFilter, Scope), QueryRefused> {
        let view = View { caller: self, levels: Levels::new(self), state };
        let requested = &view.own_part_of_audit(requested);
        view.check_named(requested)?;
        let mut plan = Plan::default();
        for query in requested {
            match query.any.first().map(|id| Store::of(id)) {
                Some(Store::Local) if query.is_wildcard() => view.add_wildcard(query, requested.len() == 1, &mut plan),
                Some(Store::Local) => view.add_local(query, &mut plan),
                Some(Store::Account) => view.add_account(query, &mut plan),
                Some(Store::Audit) => add_audit(query, &mut plan),
                Some(Store::Unknown(_)) | None => {}
            }
        }
        let (filter, scope) = plan.finish();
        Ok((self.grant(Right::Read), filter, scope))
    }
}

#[derive(Default)]
struct Plan {
    everything: Option<Vec<String>>,
    local: Vec<StreamClause>,
    account: Vec<String>,
    whole_audit: Option<Vec<String>>,
    audit: Vec<StreamClause>,
    scope: Vec<String>,
}

impl Plan {
    fn finish(self) -> (StreamFilter, Scope) {
        let some = |clauses: Vec<StreamClause>| match clauses.is_empty() {
            true => StreamFilter::Nothing,
            false => StreamFilter::Any(clauses),
        };
        let filter = self.everything.map_or_else(|| some(self.local), |not| StreamFilter::All { not });
        let audit = self.whole_audit.map_or_else(|| some(self.audit), |not| StreamFilter::All { not });
        let mut ids = without_repeats(self.scope);
        let total = ids.len();
        ids.truncate(SCOPE_IDS_MAX);
        (filter, Scope { ids, total, account: without_repeats(self.account), audit })
    }
}

struct View<'a> {
    caller: &'a Caller<'a>,
    levels: Levels<'a>,
    state: TrashState,
}

impl View<'_> {
    /// The root of the audit store stands for the caller's own stream in it, unless more is granted; for nothing if
    /// there is no such stream.
    fn own_part_of_audit(&self, requested: &[StreamQuery]) -> Vec<StreamQuery> {
        let is_closed = !self.levels.of(AUDIT_ROOT).is_some_and(Level::can_read_events);
        let narrow = |query: &StreamQuery| {
            let mut query = query.clone();
            if is_closed && self.caller.audit_active && query.any.iter().any(|id| split_suffix(id).0 == AUDIT_ROOT) {
                query.any.retain(|id| split_suffix(id).0 != AUDIT_ROOT);
                query.any.extend(self.caller.own_audit_stream());
            }
            query
        };
        requested.iter().map(narrow).filter(|query| !query.any.is_empty()).collect()
    }

    /// Only `any` is checked; a forbidden stream is reported before unknown ones.
    fn check_named(&self, requested: &[StreamQuery]) -> Result<(), QueryRefused> {
        let mut unknown = Vec::new();
        for id in requested.iter().flat_map(|query| &query.any) {
            let (id, _) = split_suffix(id);
            if id == "*" {
                continue;
            }
            if !self.exists(id) {
                unknown.push(in_store(id).to_owned());
            } else if !self.levels.of(id).is_some_and(Level::can_read_events) {
                return Err(QueryRefused::Forbidden(Refused::stream("read events", id).to_string()));
            }
        }
        if unknown.is_empty() { Ok(()) } else { Err(QueryRefused::UnknownStreams(unknown)) }
    }

    fn exists(&self, id: &str) -> bool {
        match Store::of(id) {
            Store::Local => self.caller.tree.contains(id) || id == EMAILS_ROOT || id == SHARED_SECRETS_ROOT,
            Store::Account => self.caller.account_streams.contains(id),
            Store::Audit => self.caller.audit_active && audit_stream_exists(in_store(id)),
            Store::Unknown(_) => false,
        }
    }

    fn add_local(&self, query: &StreamQuery, plan: &mut Plan) {
        let any = self.expand(texts(&query.any), &query.not);
        if let Some(clause) = self.clause(any, query, self.hidden_always()) {
            plan.scope.extend_from_slice(&clause.any);
            plan.local.push(clause);
        }
    }

    /// `alone`: no other query beside this one, so that "everything" may stay unexpanded.
    fn add_wildcard(&self, query: &StreamQuery, alone: bool, plan: &mut Plan) {
        let sees_all = self.levels.star().is_some_and(Level::can_read_events);
        plan.account.extend(self.wildcard_account_fields(sees_all));
        let mut hidden = self.hidden_always();
        hidden.push(EMAILS_ROOT.to_owned());
        hidden.extend(self.ids_under(SHARED_SECRETS_ROOT));
        if sees_all && alone && (self.state != TrashState::Default || self.caller.tree.trashed_count() == 0) {
            hidden.extend(self.expand(texts(&query.not), &[]));
            plan.everything = Some(sorted(hidden));
            plan.scope.push("*".into());
            return;
        }
        let any = match sees_all {
            true => self.expand(self.visible_roots(), &query.not),
            false => self.expand(self.readable_entries(), &query.not),
        };
        if let Some(clause) = self.clause(any, query, hidden) {
            if sees_all {
                plan.scope.push("*".into());
            } else {
                plan.scope.extend_from_slice(&clause.any);
            }
            plan.local.push(clause);
        }
    }

    /// `None` if no event can match.
    fn clause(&self, any: Vec<String>, query: &StreamQuery, hidden: Vec<String>) -> Option<StreamClause> {
        let masked: HashSet<&str> = hidden.iter().map(String::as_str).collect();
        let any = any.into_iter().filter(|id| !masked.contains(id.as_str())).collect();
        let any: Vec<String> = without_repeats(any);
        // An unknown id in `all` is dropped with its condition, as the reference does.
        let known = |id: &&String| self.exists(split_suffix(id).0);
        let all: Vec<Vec<String>> = query.all.iter().filter(known).map(|id| self.expand([id.as_str()], &[])).collect();
        if any.is_empty() || all.iter().any(Vec::is_empty) {
            return None;
        }
        // `not` leaves out what `any` names, so a named child survives the exclusion of its parent.
        let named: &[String] = if query.is_wildcard() { &[] } else { &query.any };
        let excluded = self.expand(texts(&query.not), named);
        Some(StreamClause { any, all, not: sorted(hidden.into_iter().chain(excluded).collect()) })
    }

    /// The streams and their descendants, without the sub-trees named in `but`, and without trash unless asked for.
    fn expand<'i>(&self, ids: impl IntoIterator<Item = &'i str>, but: &[String]) -> Vec<String> {
        let mut excluded: HashMap<&str, bool> = HashMap::new();
        for (id, whole) in but.iter().map(|id| split_suffix(id)) {
            *excluded.entry(id).or_default() |= whole;
        }
        let choose = |stream: &Stream| match excluded.get(stream.id.as_str()) {
            _ if stream.trashed && self.state == TrashState::Default => Descend::Prune,
            Some(true) => Descend::Prune,
            Some(false) => Descend::Skip,
            None => Descend::Take,
        };
        // Each sub-tree is walked once, however many of its streams are named.
        let mut walked: HashSet<&str> = HashSet::new();
        let mut expanded = Vec::new();
        for (id, with_descendants) in ids.into_iter().map(split_suffix) {
            match self.caller.tree.get(id) {
                None if excluded.contains_key(id) => {}
                None => expanded.push(id.to_owned()),
                Some(stream) if with_descendants => {
                    let mut once = |stream: &Stream| match self.caller.tree.get(&stream.id) {
                        Some(own) if !walked.insert(&own.id) => Descend::Prune,
                        _ => choose(stream),
                    };
                    expanded
                        .extend(self.caller.tree.walk(&stream.id, &mut once).iter().map(|stream| stream.id.clone()));
                }
                Some(stream) if choose(stream) == Descend::Take => expanded.push(id.to_owned()),
                Some(_) => {}
            }
        }
        expanded
    }

    fn visible_roots(&self) -> impl Iterator<Item = &str> {
        self.caller.tree.children(None).map(|stream| stream.id.as_str())
    }

    /// Streams of the access's own permissions that a wildcard stands for.
    fn readable_entries(&self) -> impl Iterator<Item = &str> {
        let in_trash = |id: &str| self.state == TrashState::Default && self.caller.tree.is_trashed_or_under_trashed(id);
        self.caller.access.permissions.iter().filter_map(Permission::stream_id).filter(move |id| {
            let readable = self.levels.of(id).is_some_and(Level::can_read_events);
            Store::of(id) == Store::Local && self.caller.tree.contains(id) && readable && !in_trash(id)
        })
    }

    /// With `*` the account is left out, unless its root was granted as well.
    fn wildcard_account_fields(&self, sees_all: bool) -> Vec<String> {
        if sees_all && !self.levels.of(ACCOUNT_ROOT).is_some_and(Level::can_read_events) {
            return Vec::new();
        }
        self.shown_account_fields(ACCOUNT_ROOT)
    }

    fn shown_account_fields(&self, id: &str) -> Vec<String> {
        let streams = self.caller.account_streams;
        let shown = streams
            .fields_under(id)
            .map(|field| field.id.as_str())
            .filter(|id| !streams.is_hidden(id) && self.levels.of(id).is_some_and(Level::can_read_events));
        shown.map(str::to_owned).collect()
    }

    fn add_account(&self, query: &StreamQuery, plan: &mut Plan) {
        let expand = |id: &String| match split_suffix(id) {
            (id, true) => self.shown_account_fields(id),
            (id, false) => self.shown_account_fields(id).into_iter().filter(|field| field == id).collect(),
        };
        let all: Vec<Vec<String>> = query.all.iter().filter(|id| self.exists(split_suffix(id).0)).map(expand).collect();
        let not: Vec<String> = query.not.iter().flat_map(expand).collect();
        for field in query.any.iter().flat_map(expand) {
            let kept = !not.contains(&field) && all.iter().all(|ids| ids.contains(&field));
            if kept && !plan.account.contains(&field) {
                plan.scope.push(field.clone());
                plan.account.push(field);
            }
        }
    }

    /// Streams whose events are never shown to this caller, wherever else they are.
    fn hidden_always(&self) -> Vec<String> {
        let mut hidden = self.ids_under(CMC_INTERNAL);
        if self.caller.is_personal() {
            return hidden;
        }
        hidden.push(EMAILS_ROOT.to_owned());
        let secrets = self.ids_under(SHARED_SECRETS_ROOT).into_iter();
        hidden.extend(secrets.filter(|id| !is_own_secret_stream(id, &self.caller.access.id)));
        let account = self.caller.account_streams.fields().iter().map(|field| field.id.as_str());
        let closed = |id: &&str| !self.levels.of(id).is_some_and(Level::can_read_events);
        hidden.extend(account.chain([ACCOUNT_ROOT]).filter(closed).map(str::to_owned));
        hidden.extend(self.masked());
        hidden
    }

    /// Streams with level `none` or `create-only`, whatever gives it to them.
    fn masked(&self) -> Vec<String> {
        let hides = |level: Level| !level.can_read_events();
        if self.levels.star().is_some_and(hides) {
            let masked = self.caller.tree.iter().filter(|stream| self.levels.of(&stream.id).is_some_and(hides));
            return masked.map(|stream| stream.id.clone()).collect();
        }
        let mut masked = Vec::new();
        for stream_id in self.caller.access.permissions.iter().filter_map(Permission::stream_id) {
            if Store::of(stream_id) != Store::Local || !self.levels.of(stream_id).is_some_and(hides) {
                continue;
            }
            let own_matter = |id: &str| id != stream_id && self.levels.has_entry(id);
            let choose = |stream: &Stream| if own_matter(&stream.id) { Descend::Prune } else { Descend::Take };
            masked.extend(self.caller.tree.walk(stream_id, choose).into_iter().map(|stream| stream.id.clone()));
        }
        masked
    }

    /// All at or below `id`; `id` itself need not be in the tree.
    fn ids_under(&self, id: &str) -> Vec<String> {
        let below = self.caller.tree.children(Some(id)).flat_map(|child| self.caller.tree.descendants(&child.id));
        std::iter::once(id.to_owned()).chain(below.map(|stream| stream.id.clone())).collect()
    }
}

/// The audit store has two levels: `accesses` and `actions` stand for everything below them.
fn add_audit(query: &StreamQuery, plan: &mut Plan) {
    let is_group = |id: &str| matches!(in_store(id), "" | "accesses" | "actions");
    let plain = |ids: &[String]| -> Vec<String> {
        ids.iter().map(|id| split_suffix(id).0).filter(|id| !is_group(id)).map(str::to_owned).collect()
    };
    let expanded_group = |id: &String| matches!(split_suffix(id), (id, true) if is_group(id));
    if query.not.iter().any(expanded_group) {
        return;
    }
    let (any, not) = (plain(&query.any), plain(&query.not));
    // A record is in one access stream and one action stream, so each group holds all of them.
    let whole_store = query.any.iter().any(expanded_group);
    let all: Vec<Vec<String>> = plain(&query.all).into_iter().map(|id| vec![id]).collect();
    if !whole_store && any.is_empty() {
        return;
    }
    plan.scope.extend(query.any.iter().map(|id| split_suffix(id).0.to_owned()));
    match all.first() {
        None if whole_store => plan.whole_audit = Some(not),
        // Every record meets `any`; the first condition of `all` can stand in for it.
        Some(first) if whole_store => plan.audit.push(StreamClause { any: first.clone(), all, not }),
        _ => plan.audit.push(StreamClause { any, all, not }),
    }
}

fn without_repeats(mut ids: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ids
}

fn texts(ids: &[String]) -> impl Iterator<Item = &str> {
    ids.iter().map(String::as_str)
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids.dedup();
    ids
}
