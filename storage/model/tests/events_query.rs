//! What a checked query on events sees.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use common::{World, app, ids, personal, shared};
use model::Access;
use model::permission::{QueryRefused, Scope};
use model::query::{StreamFilter, TrashState};
use model::query_input::{StreamQuery, parse_streams};
use serde_json::{Value, json};

fn query(world: &World, access: &Access, streams: Value) -> Result<(StreamFilter, Scope), QueryRefused> {
    let requested = if streams.is_null() { StreamQuery::everything() } else { parse_streams(&streams, true).unwrap() };
    world.caller(access).query_events(&requested, TrashState::Default).map(|(_, filter, scope)| (filter, scope))
}

/// Which of `events` pass.
fn seen(world: &World, access: &Access, streams: Value, events: &[&[&str]]) -> Vec<usize> {
    let (filter, _) = query(world, access, streams).unwrap();
    (0..events.len()).filter(|event| filter.matches(&ids(events[*event]))).collect()
}

fn forest() -> World {
    World::new(&["A", "A/AA", "B", "B/D", "D/DD", "~T", "T/TT"])
}

#[test]
fn names_stand_for_their_sub_tree_unless_they_end_in_an_exclamation_mark() {
    let world = forest();
    let events: [&[&str]; 4] = [&["B"], &["D"], &["DD"], &["A"]];
    assert_eq!(seen(&world, &personal(), json!("B"), &events), [0, 1, 2]);
    assert_eq!(seen(&world, &personal(), json!(["B!", "A"]), &events), [0, 3]);
    assert_eq!(seen(&world, &personal(), json!({"any": ["B"], "not": ["D!"]}), &events), [0, 2]);
    assert_eq!(seen(&world, &personal(), json!({"any": ["B"], "not": ["D"]}), &events), [0]);
    assert_eq!(seen(&world, &personal(), json!({"any": ["*"], "not": ["B"]}), &events), [3]);
    assert_eq!(
        seen(&world, &personal(), json!({"any": ["B", "DD"], "not": ["D"]}), &events),
        [0, 2],
        "a named child survives"
    );
    assert_eq!(seen(&world, &personal(), json!([]), &events), [0; 0]);
}

#[test]
fn all_narrows_and_an_unknown_id_in_it_is_dropped() {
    let world = forest();
    let events: [&[&str]; 2] = [&["A"], &["A", "D"]];
    assert_eq!(seen(&world, &personal(), json!({"any": ["A"], "all": ["B"]}), &events), [1]);
    assert_eq!(seen(&world, &personal(), json!({"any": ["A"], "all": ["nope"]}), &events), [0, 1]);
    let reader = shared(&[("A", "read")]);
    assert_eq!(
        seen(&world, &reader, json!({"any": ["A"], "all": ["B"]}), &events),
        [1],
        "a forbidden id still narrows"
    );
}

#[test]
fn a_forbidden_stream_is_reported_before_unknown_ones() {
    let world = forest();
    let reader = shared(&[("A", "read"), ("D", "create-only")]);
    let Err(QueryRefused::Forbidden(message)) = query(&world, &reader, json!(["x", "A", "B"])) else { panic!() };
    assert!(message.contains("\"B\""), "{message}");
    assert!(matches!(query(&world, &reader, json!("D")), Err(QueryRefused::Forbidden(_))));
    let unknown = query(&world, &reader, json!(["x", "A", ":nostore:y"])).unwrap_err();
    assert_eq!(unknown, QueryRefused::UnknownStreams(ids(&["x", "y"])));
    assert!(query(&world, &reader, json!({"any": ["A"], "all": ["B", "x"], "not": ["y"]})).is_ok());
}

#[test]
fn an_event_that_is_also_in_a_closed_stream_is_hidden() {
    let world = forest();
    let access = shared(&[("*", "read"), ("B", "none")]);
    let events: [&[&str]; 4] = [&["A"], &["A", "B"], &["A", "DD"], &["DD"]];
    assert_eq!(seen(&world, &access, Value::Null, &events), [0]);
    let access = shared(&[("A", "read"), ("AA", "create-only")]);
    let events: [&[&str]; 4] = [&["A"], &["AA"], &["A", "AA"], &["A", "B"]];
    assert_eq!(seen(&world, &access, Value::Null, &events), [0, 3], "a stream without any level hides nothing");
}

#[test]
fn trash_is_left_out_unless_asked_for() {
    let world = forest();
    let events: [&[&str]; 3] = [&["T"], &["TT"], &["TT", "A"]];
    assert_eq!(seen(&world, &personal(), Value::Null, &events), [2]);
    assert_eq!(seen(&world, &personal(), json!("T"), &events), [0; 0], "named, it is empty and no error");
    assert_eq!(seen(&world, &personal(), json!("TT"), &events), [1, 2], "only an ancestor is in the trash");
    let all = world.caller(&personal()).query_events(&StreamQuery::everything(), TrashState::All).unwrap().1;
    assert!(events.iter().all(|event| all.matches(&ids(event))));
}

#[test]
fn everything_stays_unexpanded_when_nothing_is_in_the_trash() {
    let world = World::new(&["A", "B"]);
    let (filter, scope) = query(&world, &personal(), Value::Null).unwrap();
    assert!(matches!(filter, StreamFilter::All { .. }), "{filter:?}");
    assert_eq!((scope.ids, scope.total), (ids(&["*"]), 1));
    assert_eq!(scope.audit, StreamFilter::Nothing);
    let star = query(&world, &shared(&[("*", "read")]), Value::Null).unwrap().0;
    assert!(matches!(star, StreamFilter::All { .. }));
}

#[test]
fn without_anything_readable_the_answer_is_empty() {
    let world = forest();
    for access in [shared(&[]), shared(&[("A", "create-only")]), shared(&[("gone", "read")])] {
        let (filter, scope) = query(&world, &access, Value::Null).unwrap();
        assert_eq!((filter, scope.total), (StreamFilter::Nothing, 0));
    }
}

#[test]
fn secrets_and_emails_are_seen_only_when_the_user_names_them() {
    let world = World::new(&["A", ":_shared-secrets:", ":_shared-secrets:/:_shared-secrets:me"]);
    let events: [&[&str]; 3] = [&["A", ":_shared-secrets:me"], &[":_emails:"], &[":_shared-secrets:me"]];
    assert_eq!(seen(&world, &personal(), Value::Null, &events), [0; 0]);
    assert_eq!(seen(&world, &personal(), json!(":_emails:"), &events), [1]);
    assert_eq!(seen(&world, &personal(), json!(":_shared-secrets:"), &events), [0, 2]);
    let star = app(&[("*", "manage")]);
    assert!(matches!(query(&world, &star, json!(":_emails:")), Err(QueryRefused::Forbidden(_))));
    assert!(matches!(query(&world, &star, json!(":_shared-secrets:")), Err(QueryRefused::Forbidden(_))));
    assert_eq!(seen(&world, &star, json!(":_shared-secrets:me"), &events), [0, 2]);
}

#[test]
fn the_inner_streams_of_the_messaging_plugin_are_never_seen() {
    let world = World::new(&[
        ":_cmc:",
        ":_cmc:/:_cmc:_internal",
        ":_cmc:_internal/:_cmc:_internal:retries",
        ":_cmc:/:_cmc:inbox",
    ]);
    let events: [&[&str]; 2] = [&[":_cmc:_internal:retries"], &[":_cmc:inbox"]];
    assert_eq!(seen(&world, &personal(), Value::Null, &events), [1]);
    assert_eq!(seen(&world, &personal(), json!(":_cmc:"), &events), [1]);
    assert_eq!(seen(&world, &personal(), json!(":_cmc:_internal"), &events), [0; 0]);
}

#[test]
fn account_fields_come_with_the_wildcard_of_those_who_may_see_them() {
    let world = forest();
    let fields = |access: &Access, streams: Value| query(&world, access, streams).unwrap().1.account;
    let shown = ids(&[
        ":_system:language",
        ":_system:storageUsed",
        ":_system:dbDocuments",
        ":_system:attachedFiles",
        ":system:email",
    ]);
    assert_eq!(fields(&personal(), Value::Null), shown);
    assert_eq!(fields(&personal(), json!(":_system:account")), shown);
    assert_eq!(fields(&personal(), json!(":_system:appId")), ids(&[]), "hidden");
    assert_eq!(
        fields(&personal(), json!({"any": [":_system:account"], "not": [":_system:storageUsed", ":system:email"]})),
        ids(&[":_system:language"])
    );
    assert_eq!(fields(&shared(&[(":_system:account", "read")]), Value::Null), shown);
    assert_eq!(fields(&shared(&[("A", "read"), (":system:email", "read")]), Value::Null), ids(&[":system:email"]));
    let star = shared(&[("*", "manage"), (":system:email", "read")]);
    assert_eq!(fields(&star, Value::Null), ids(&[]), "only when named");
    assert_eq!(fields(&star, json!(":system:email")), ids(&[":system:email"]));
    assert!(matches!(query(&world, &star, json!(":_system:language")), Err(QueryRefused::Forbidden(_))));
}

#[test]
fn audit_records_are_seen_only_when_named() {
    let mut world = forest();
    let access = shared(&[("*", "manage")]);
    let audit =
        |world: &World, access: &Access, streams: Value| query(world, access, streams).map(|(_, scope)| scope.audit);
    let record = ids(&[":_audit:access-me", ":_audit:action-events.get"]);
    let own = audit(&world, &access, json!(":_audit:access-me")).unwrap();
    assert!(own.matches(&record) && !own.matches(&ids(&[":_audit:access-other", ":_audit:action-events.get"])));
    assert!(matches!(audit(&world, &access, json!(":_audit:action-events.get")), Err(QueryRefused::Forbidden(_))));
    let all =
        audit(&world, &personal(), json!({"any": [":_audit:accesses"], "not": [":_audit:access-other"]})).unwrap();
    assert_eq!(all, StreamFilter::All { not: ids(&[":_audit:access-other"]) });
    let narrowed =
        audit(&world, &personal(), json!({"any": [":_audit:"], "all": [":_audit:action-events.get"]})).unwrap();
    assert!(narrowed.matches(&record) && !narrowed.matches(&ids(&[":_audit:access-me", ":_audit:action-x"])));
    let unknown = audit(&world, &personal(), json!(":_audit:other"));
    assert_eq!(unknown, Err(QueryRefused::UnknownStreams(ids(&["other"]))));
    world.audit_active = false;
    assert!(matches!(audit(&world, &personal(), json!(":_audit:access-me")), Err(QueryRefused::UnknownStreams(_))));
}

#[test]
fn the_root_of_the_audit_stands_for_the_own_records_without_a_right_to_more() {
    let world = forest();
    let audit = |access: &Access, streams: Value| query(&world, access, streams).unwrap().1.audit;
    let own = ids(&[":_audit:access-me", ":_audit:action-events.get"]);
    let foreign = ids(&[":_audit:access-other", ":_audit:action-events.get"]);
    let narrowed = audit(&shared(&[("*", "manage")]), json!([":_audit:", "A"]));
    assert!(narrowed.matches(&own) && !narrowed.matches(&foreign));
    let blind = shared(&[("A", "read"), ("selfAudit", "forbidden")]);
    assert_eq!(audit(&blind, json!(":_audit:")), StreamFilter::Nothing);
    let granted = audit(&shared(&[(":_audit:", "read")]), json!(":_audit:"));
    assert!(granted.matches(&own) && granted.matches(&foreign));
}

#[test]
fn the_scope_names_at_most_a_hundred_streams_but_counts_all() {
    let lines: Vec<String> = std::iter::once("root".to_owned()).chain((0..150).map(|n| format!("root/c{n}"))).collect();
    let world = World::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let (_, scope) = query(&world, &shared(&[("root", "read")]), Value::Null).unwrap();
    assert_eq!((scope.ids.len(), scope.total), (100, 151));
}
