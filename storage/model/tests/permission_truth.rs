//! Levels and query filters against plain truth functions, on random trees, permissions, queries and events.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use common::{World, access};
use model::query::TrashState;
use model::query_input::StreamQuery;
use model::{AccessKind, Level};
use proptest::prelude::*;

/// Streams `s0`... with a parent of a lower number, or none.
#[derive(Clone, Debug)]
struct Forest {
    parents: Vec<Option<usize>>,
    trashed: Vec<bool>,
}

impl Forest {
    fn world(&self) -> World {
        let line = |position: usize| {
            let mark = if self.trashed[position] { "~" } else { "" };
            let parent = self.parents[position].map_or(String::new(), |parent| format!("s{parent}/"));
            format!("{mark}{parent}s{position}")
        };
        let lines: Vec<String> = (0..self.parents.len()).map(line).collect();
        World::new(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// From the stream up to its root, itself first.
    fn path(&self, position: usize) -> Vec<usize> {
        let mut path = vec![position];
        while let Some(parent) = self.parents[path[path.len() - 1]] {
            path.push(parent);
        }
        path
    }
}

#[derive(Clone, Debug)]
struct Case {
    forest: Forest,
    personal: bool,
    permissions: Vec<(String, Level)>,
    queries: Vec<StreamQuery>,
    state: TrashState,
    events: Vec<Vec<usize>>,
}

const STREAMS: usize = 7;

fn forests() -> impl Strategy<Value = Forest> {
    let parents = proptest::collection::vec(proptest::option::weighted(0.7, 0..STREAMS), STREAMS);
    let trashed = proptest::collection::vec(proptest::bool::weighted(0.15), STREAMS);
    (parents, trashed).prop_map(|(wanted, trashed)| {
        let lower =
            |(position, parent): (usize, Option<usize>)| parent.filter(|_| position > 0).map(|p| p % position.max(1));
        Forest { parents: wanted.into_iter().enumerate().map(lower).collect(), trashed }
    })
}

fn stream_id() -> impl Strategy<Value = String> {
    (0..STREAMS).prop_map(|position| format!("s{position}"))
}

fn permissions() -> impl Strategy<Value = Vec<(String, Level)>> {
    let level = prop_oneof![
        1 => Just(Level::None),
        3 => Just(Level::Read),
        1 => Just(Level::CreateOnly),
        1 => Just(Level::Contribute),
        1 => Just(Level::Manage)
    ];
    let id = prop_oneof![5 => stream_id(), 1 => Just("*".to_owned())];
    proptest::collection::vec((id, level), 0..5)
}

fn queries() -> impl Strategy<Value = Vec<StreamQuery>> {
    let id = || prop_oneof![3 => stream_id(), 1 => stream_id().prop_map(|id| id + "!")];
    let list = move |size| proptest::collection::vec(id(), size);
    let named = (list(1..3), list(0..2), list(0..3)).prop_map(|(any, all, not)| StreamQuery { any, all, not });
    let wildcard = list(0..3).prop_map(|not| StreamQuery { any: vec!["*".into()], all: Vec::new(), not });
    proptest::collection::vec(prop_oneof![2 => named, 1 => wildcard], 1..3)
}

fn cases() -> impl Strategy<Value = Case> {
    let state = prop_oneof![Just(TrashState::Default), Just(TrashState::Trashed), Just(TrashState::All)];
    let events = proptest::collection::vec(proptest::collection::vec(0..STREAMS, 1..4), 12);
    (forests(), proptest::bool::weighted(0.2), permissions(), queries(), state, events).prop_map(
        |(forest, personal, permissions, queries, state, events)| Case {
            forest,
            personal,
            permissions,
            queries,
            state,
            events,
        },
    )
}

/// 06 §3.3, word by word.
fn true_level(case: &Case, position: usize) -> Option<Level> {
    if case.personal {
        return Some(Level::Manage);
    }
    let entry = |id: &str| case.permissions.iter().rev().find(|(other, _)| other == id).map(|(_, level)| *level);
    for step in case.forest.path(position) {
        if let Some(level) = entry(&format!("s{step}")) {
            return Some(level);
        }
    }
    entry("*")
}

fn readable(level: Option<Level>) -> bool {
    matches!(level, Some(Level::Read | Level::Contribute | Level::Manage))
}

fn position(id: &str) -> (usize, bool) {
    let bare = id.trim_end_matches('!');
    (bare[1..].parse().unwrap(), bare == id)
}

/// Whether `stream` is in the expansion of `id` without the ids in `but`.
fn expands_to(case: &Case, id: &str, but: &[String], stream: usize) -> bool {
    let (top, deep) = position(id);
    let path = case.forest.path(stream);
    let Some(top_at) = path.iter().position(|step| *step == top) else { return false };
    let way = &path[..=top_at];
    let in_trash = case.state == TrashState::Default && way.iter().any(|step| case.forest.trashed[*step]);
    let cut = but
        .iter()
        .map(|id| position(id))
        .any(|(other, whole)| if whole { way.contains(&other) } else { other == stream });
    (deep || stream == top) && !in_trash && !cut
}

fn in_visible_place(case: &Case, stream: usize) -> bool {
    case.state != TrashState::Default || case.forest.path(stream).iter().all(|step| !case.forest.trashed[*step])
}

fn wildcard_covers(case: &Case, query: &StreamQuery, stream: usize) -> bool {
    let star = case.permissions.iter().rev().find(|(id, _)| id == "*").map(|(_, level)| *level);
    if case.personal || readable(star) {
        return in_visible_place(case, stream);
    }
    case.permissions.iter().filter(|(id, _)| id != "*").any(|(id, _)| {
        let (top, _) = position(id);
        readable(true_level(case, top)) && in_visible_place(case, top) && expands_to(case, id, &query.not, stream)
    })
}

fn truly_matches(case: &Case, query: &StreamQuery, event: &[usize]) -> bool {
    let wildcard = query.any[0] == "*";
    let readable_at = |stream: usize| readable(true_level(case, stream));
    let any = event.iter().any(|stream| {
        let covered = if wildcard {
            wildcard_covers(case, query, *stream)
        } else {
            query.any.iter().any(|id| expands_to(case, id, &query.not, *stream))
        };
        covered && readable_at(*stream)
    });
    let all = query.all.iter().all(|id| event.iter().any(|stream| expands_to(case, id, &[], *stream)));
    let named: &[String] = if wildcard { &[] } else { &query.any };
    let not = event.iter().any(|stream| query.not.iter().any(|id| expands_to(case, id, named, *stream)));
    let masked = event.iter().any(|stream| matches!(true_level(case, *stream), Some(Level::None | Level::CreateOnly)));
    any && all && !not && !masked
}

fn caller_access(case: &Case) -> model::Access {
    let kind = if case.personal { AccessKind::Personal } else { AccessKind::App };
    let permissions: Vec<(&str, &str)> =
        case.permissions.iter().map(|(id, level)| (id.as_str(), level.as_str())).collect();
    access(kind, if case.personal { &[] } else { &permissions })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_level_of_a_stream_is_that_of_the_plain_rules(case in cases()) {
        let (world, access) = (case.forest.world(), caller_access(&case));
        for stream in 0..STREAMS {
            prop_assert_eq!(world.caller(&access).level(&format!("s{stream}")), true_level(&case, stream));
        }
    }

    #[test]
    fn a_query_shows_exactly_the_events_of_the_plain_rules(case in cases()) {
        let (world, access) = (case.forest.world(), caller_access(&case));
        let named = case.queries.iter().flat_map(|query| &query.any).filter(|id| *id != "*");
        let forbidden = named.clone().any(|id| !readable(true_level(&case, position(id).0)));
        let outcome = world.caller(&access).query_events(&case.queries, case.state);
        prop_assert_eq!(outcome.is_err(), forbidden);
        if let Ok((_, filter, _)) = outcome {
            for event in &case.events {
                let ids: Vec<String> = event.iter().map(|stream| format!("s{stream}")).collect();
                let expected = case.queries.iter().any(|query| truly_matches(&case, query, event));
                prop_assert_eq!(filter.matches(&ids), expected, "event {:?}, filter {:?}", ids, filter);
            }
        }
    }
}
