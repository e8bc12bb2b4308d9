//! Pages of events and of the audit: whatever the filters, the pages together are the naive answer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use common::*;
use model::query::{Condition, StreamClause, StreamFilter, Test, TrashState, TypeFilter};
use model::{Duration, Event, EventsQuery};
use proptest::prelude::*;
use serde_json::{Value, json};
use storage::base::{Answer, BaseStore, Read, Write, WriteCall};
use storage::embedded::{ContentIndex, IndexedField};

const STREAMS: &[&str] = &["s0", "s1", "s2", "s3"];

fn any_event() -> impl Strategy<Value = Event> {
    let streams = prop::collection::btree_set(0..STREAMS.len(), 1..3);
    let duration = prop_oneof![
        4 => Just(Duration::Instant),
        1 => Just(Duration::Running),
        2 => (-3..20_i32).prop_map(|n| Duration::Seconds(f64::from(n))),
    ];
    (0..40_i32, streams, duration, 0..3_u8, 0..5_u8, prop::bool::weighted(0.2)).prop_map(
        |(time, streams, duration, kind, content, trashed)| Event {
            stream_ids: streams.into_iter().map(|n| STREAMS[n].to_owned()).collect(),
            time: f64::from(time) / 2.0,
            duration,
            kind: ["note/txt", "note/html", "mass/kg"][usize::from(kind)].into(),
            content: [None, Some(json!(1)), Some(json!("ab")), Some(json!({ "a": { "b": 2.5 } })), Some(json!(true))]
                [usize::from(content)]
            .clone(),
            trashed,
            ..Event::default()
        },
    )
}

fn any_ids() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((0..6_usize).prop_map(|n| format!("s{n}")), 0..4)
}

fn any_filter() -> impl Strategy<Value = StreamFilter> {
    let clause = (any_ids(), prop::collection::vec(any_ids(), 0..2), any_ids())
        .prop_map(|(any, all, not)| StreamClause { any, all, not });
    prop_oneof![
        any_ids().prop_map(|not| StreamFilter::All { not }),
        prop::collection::vec(clause, 1..3).prop_map(StreamFilter::Any),
        (0..4_usize).prop_map(|n| StreamFilter::Any(vec![StreamClause {
            any: vec![STREAMS[n].into()],
            ..StreamClause::default()
        }])),
    ]
}

fn any_query() -> impl Strategy<Value = EventsQuery> {
    let types = prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec![TypeFilter::Exact("mass/kg".into())]),
        1 => Just(vec![TypeFilter::Class("note/".into())]),
        1 => Just(vec![TypeFilter::Exact("no/such".into()), TypeFilter::Exact("note/txt".into())]),
    ];
    let content = prop_oneof![
        4 => Just(vec![]),
        1 => Just(vec![Condition { path: vec![], test: Test::Equal(json!(1)) }]),
        1 => Just(vec![Condition { path: vec!["a".into(), "b".into()], test: Test::Greater(2.0) }]),
        1 => Just(vec![Condition { path: vec![], test: Test::Prefix("a".into()) }]),
        1 => Just(vec![Condition { path: vec![], test: Test::Exists(false) }]),
    ];
    let state = prop_oneof![Just(TrashState::Default), Just(TrashState::Trashed), Just(TrashState::All)];
    let time = || prop::option::of((0..20_i32).prop_map(f64::from));
    let frame = (time(), time(), any::<bool>(), prop::bool::weighted(0.2));
    let cut = (
        any::<bool>(),
        0..5_u64,
        prop::option::of(0..30_u64),
        prop::option::of(0..60_u8),
        prop::option::weighted(0.2, 0..20_i32),
    );
    (any_filter(), frame, types, content, state, cut).prop_map(
        |(streams, (from, to, running_pass_from, only_running), types, content, state, cut)| EventsQuery {
            streams,
            from,
            to,
            later_than: cut.4.map(f64::from),
            running_pass_from,
            only_running,
            types,
            content,
            client_data: vec![],
            ascending: cut.0,
            skip: cut.1,
            limit: cut.2,
            state,
            modified_since: cut.3.map(|n| NOW + f64::from(n) / 1e6),
        },
    )
}

/// On the paths that [`any_query`] names.
fn declared_indexes() -> Vec<ContentIndex> {
    [vec![], vec!["a".to_owned(), "b".to_owned()]].map(|path| ContentIndex::new(IndexedField::Content, path)).to_vec()
}

/// The rules of the contract, read off the specification.
fn matches(event: &Event, query: &EventsQuery) -> bool {
    let has = |ids: &[String]| event.stream_ids.iter().any(|id| ids.contains(id));
    let streams = match &query.streams {
        StreamFilter::Nothing => false,
        StreamFilter::All { not } => !has(not),
        StreamFilter::Any(clauses) => {
            clauses.iter().any(|c| has(&c.any) && c.all.iter().all(|ids| has(ids)) && !has(&c.not))
        }
    };
    let frame = match (query.only_running, query.from, event.end_time()) {
        (true, _, end) => end.is_none(),
        (false, None, _) => true,
        (false, Some(_), None) => query.running_pass_from,
        (false, Some(from), Some(end)) => end >= from,
    };
    let types = query.types.is_empty()
        || query.types.iter().any(|filter| match filter {
            TypeFilter::Exact(kind) => event.kind == *kind,
            TypeFilter::Class(class) => event.kind.starts_with(class.as_str()),
        });
    let content = query.content.iter().all(|condition| match &condition.test {
        Test::Equal(wanted) => event.content.as_ref() == Some(wanted),
        Test::Greater(bound) => event.content.as_ref().is_some_and(|c| c["a"]["b"].as_f64() > Some(*bound)),
        Test::Prefix(prefix) => {
            event.content.as_ref().and_then(Value::as_str).is_some_and(|text| text.starts_with(prefix.as_str()))
        }
        _ => event.content.is_none(),
    });
    let state = match query.state {
        TrashState::Default => !event.trashed,
        TrashState::Trashed => event.trashed,
        TrashState::All => true,
    };
    streams
        && frame
        && query.later_than.is_none_or(|bound| event.time > bound)
        && types
        && content
        && state
        && query.to.is_none_or(|to| event.time <= to)
        && query.modified_since.is_none_or(|since| event.modified > since)
}

/// Times are in order, and the items are those of the naive answer; among equal times any order may be cut.
fn check(shown: &[Value], stored: &[Event], query: &EventsQuery) {
    let mut all: Vec<&Event> = stored.iter().filter(|event| matches(event, query)).collect();
    all.sort_by(|a, b| a.time.total_cmp(&b.time));
    if !query.ascending {
        all.reverse();
    }
    let skip = usize::try_from(query.skip).unwrap().min(all.len());
    let limit = query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
    let wanted: Vec<f64> = all[skip..].iter().take(limit).map(|event| event.time).collect();
    let times: Vec<f64> = shown.iter().map(|item| item["time"].as_f64().unwrap()).collect();
    assert_eq!(times, wanted, "{query:?}");
    let mut seen = std::collections::BTreeSet::new();
    for item in shown {
        let event = all.iter().find(|event| item["id"] == event.id).unwrap_or_else(|| panic!("{item} of {query:?}"));
        assert_eq!(*item, Value::Object(event.to_json()));
        assert!(seen.insert(&event.id), "{} twice", event.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn pages_together_are_the_naive_answer(
        events in prop::collection::vec(any_event(), 0..60),
        queries in prop::collection::vec(any_query(), 40),
        declared in any::<bool>(),
    ) {
        let home = Home::with(|config| if declared { config.content_indexes = declared_indexes() });
        home.create_user("u1");
        home.create_user("u2");
        let mut stored = Vec::new();
        for (n, mut event) in events.into_iter().enumerate() {
            event.id = format!("e{n}");
            home.create_event("u2", event.clone());
            // Three pages at least: big items.
            event.description = (n % 7 == 0).then(|| "x".repeat(40_000));
            stored.push(home.create_event("u1", event));
        }
        for query in &queries {
            check(&home.events("u1", query), &stored, query);
        }
    }
}

#[test]
fn many_events_come_in_bounded_pages() {
    let home = Home::new();
    home.create_user("u1");
    let replies: Vec<_> = (0..3000_u16)
        .map(|n| {
            let mut event = event(&format!("e{n:05}"), f64::from(n / 3), &[["a", "b", "c"][usize::from(n % 3)]]);
            event.description = Some("d".repeat(200));
            home.store.write(call("u1", Write::CreateEvent { event: Box::new(event) }))
        })
        .collect();
    replies.into_iter().for_each(|reply| drop(wait(reply).unwrap()));
    let mut merged = every();
    merged.streams =
        StreamFilter::Any(vec![StreamClause { any: vec!["a".into(), "c".into()], ..StreamClause::default() }]);
    for (query, count) in [(every(), 3000), (merged, 2000)] {
        let first = home.page("u1", &query, None);
        assert!(first.json.len() < (256 << 10) + 1024 && first.next.is_some());
        let all = home.events("u1", &query);
        assert_eq!(all.len(), count);
        assert_eq!(ids(&all).iter().collect::<std::collections::BTreeSet<_>>().len(), count);
    }
    let mut cut = every();
    (cut.skip, cut.limit) = (10, Some(2500));
    let part = home.events("u1", &cut);
    assert_eq!((part.len(), ids(&part)[0]), (2500, "e02989"));
}

#[test]
fn versions_and_deleted_events_never_appear() {
    let home = Home::with(|config| config.keep_history = true);
    home.create_user("u1");
    let first = home.create_event("u1", event("a", 1.0, &["s"]));
    home.write("u1", Write::UpdateEvent { event: Box::new(first.clone()), expected_modified: first.modified }).unwrap();
    assert_eq!(ids(&home.events("u1", &every())), ["a"]);
    match home.read("u1", Read::EventHistory { id: "a".into() }).unwrap() {
        Answer::Events(list) => assert_eq!(list, [first]),
        other => panic!("{other:?}"),
    }
}

fn audit(home: &Home, query: &EventsQuery) -> Vec<Value> {
    match home.read("u1", Read::AuditPage { query: Box::new(query.clone()), after: None }).unwrap() {
        Answer::Page(page) => items(&page),
        other => panic!("{other:?}"),
    }
}

fn streams(any: &[&str], all: &[&str]) -> EventsQuery {
    let texts = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    let all = if all.is_empty() { vec![] } else { vec![texts(all)] };
    let clause = StreamClause { any: texts(any), all, not: vec![] };
    EventsQuery { streams: StreamFilter::Any(vec![clause]), ..every() }
}

#[test]
fn audit_records_read_back_in_pryvs_shape() {
    let home = Home::with(|config| config.seals.events = Some(model::integrity::Algorithm::Sha256));
    home.create_user("u1");
    let write = Write::CreateEvent { event: Box::new(event("e", 1.0, &["s"])) };
    let call = WriteCall { audit: Some(record("r1", "acc", "events.create", 10.0)), ..call("u1", write) };
    wait(home.store.write(call)).unwrap();
    let stored = home.event("u1", "e").unwrap();
    let mut refused = record("r2", "acc", "events.get", 11.0);
    (refused.access_serial, refused.error) = (Some(2), Some(("forbidden".into(), "No.".into())));
    let user = model::UserId::new("u1");
    let more = vec![(user.clone(), refused), (user, record("r3", "other", "events.get", 12.0))];
    wait(home.store.audit(model::SlotId(0), more)).unwrap();
    let key = format!("EVENT:0:e:{}", stored.modified);
    assert_eq!(
        audit(&home, &streams(&["access-acc"], &["action-events.create"])),
        [json!({
            "id": ":_audit:r1", "type": "audit-log/pryv-api", "time": 10,
            "streamIds": [":_audit:access-acc", ":_audit:action-events.create"],
            "content": {
                "source": { "name": "http", "ip": "::1" }, "action": "events.create", "query": { "limit": "1" },
                "record": { "key": key, "integrity": stored.integrity },
            },
            "created": 10, "createdBy": "system", "modified": 10, "modifiedBy": "system",
        })]
    );
    let refused = audit(&home, &streams(&["access-acc:2"], &[]));
    assert_eq!(refused[0]["streamIds"][1], ":_audit:access-acc:2");
    assert_eq!(refused[0]["content"]["id"], "forbidden");
    assert_eq!(refused[0]["type"], "audit-log/pryv-api-error");
    assert_eq!(ids(&audit(&home, &every())), [":_audit:r3", ":_audit:r2", ":_audit:r1"]);
    assert_eq!(ids(&audit(&home, &streams(&["access-acc"], &[]))), [":_audit:r2", ":_audit:r1"]);
    assert_eq!(ids(&audit(&home, &streams(&["action-events.get"], &[]))), [":_audit:r3", ":_audit:r2"]);
    assert_eq!(ids(&audit(&home, &streams(&["access-acc"], &["action-events.get"]))), [":_audit:r2"]);
    let mut errors = every();
    errors.types = vec![TypeFilter::Exact("audit-log/pryv-api-error".into())];
    (errors.from, errors.ascending) = (Some(10.5), true);
    assert_eq!(ids(&audit(&home, &errors)), [":_audit:r2"]);
}

#[test]
fn accesses_their_versions_and_methods_with_audit_records_are_named() {
    let home = Home::new();
    for user in ["u1", "u2"] {
        home.create_user(user);
    }
    let mut versioned = record("r2", "b", "streams.get", 2.0);
    versioned.access_serial = Some(3);
    let mine = [record("r1", "a", "events.get", 1.0), versioned, record("r3", "a", "events.get", 3.0)];
    let mut records: Vec<_> = mine.into_iter().map(|record| (model::UserId::new("u1"), record)).collect();
    records.push((model::UserId::new("u2"), record("r4", "foreign", "auth.login", 4.0)));
    wait(home.store.audit(model::SlotId(0), records)).unwrap();
    let names = |actions: bool| match home.read("u1", Read::AuditStreams { actions }).unwrap() {
        Answer::Names(names) => names,
        other => panic!("{other:?}"),
    };
    assert_eq!(names(false), ["access-a", "access-b", "access-b:3"]);
    assert_eq!(names(true), ["action-events.get", "action-streams.get"]);
}

#[test]
fn a_page_tells_where_properties_of_its_attachments_can_be_added() {
    let home = Home::new();
    home.create_user("u1");
    let file = |id: &str| model::Attachment {
        id: id.into(),
        file_name: "say \"}\" or \\.txt".into(),
        kind: "text/plain".into(),
        size: 5,
        integrity: None,
    };
    for (number, files) in [vec!["f1", "f2"], vec![], vec!["f3"]].into_iter().enumerate() {
        let content = json!({ "attachments": [{ "id": "not a file" }] });
        let attachments = files.into_iter().map(file).collect();
        let event = event(&format!("e{number}"), f64::from(u8::try_from(number).unwrap()), &["s"]);
        home.create_event("u1", Event { content: Some(content), attachments, ..event });
    }
    let query = EventsQuery { ascending: true, ..every() };
    let page = home.page("u1", &query, None);
    assert_eq!(page.files.iter().map(|file| file.id.as_str()).collect::<Vec<_>>(), ["f1", "f2", "f3"]);
    let mut text = String::from_utf8(page.json.to_vec()).unwrap();
    for file in page.files.iter().rev() {
        text.insert_str(file.at, &format!(",\"seen\":\"{}\"", file.id));
    }
    let events: Vec<Value> = serde_json::from_str(&format!("[{text}]")).unwrap();
    let files = events.iter().filter_map(|event| event.get("attachments")?.as_array()).flatten();
    assert!(files.clone().all(|file| file["seen"] == file["id"]), "{events:?}");
    assert_eq!(files.count(), 3);
}
