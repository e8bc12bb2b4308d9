//! Pages: bounded, complete, and the same bytes from every engine.

use model::query::{Condition, StreamClause, StreamFilter, Test, TrashState, TypeFilter};
use model::{Duration, Event, EventsQuery, SlotId, UserId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::common::{NOW, event, every, ids, record, wait};
use crate::home::Home;

pub(crate) fn in_streams(any: &[&str]) -> EventsQuery {
    let any = any.iter().map(|&id| id.to_owned()).collect();
    EventsQuery { streams: StreamFilter::Any(vec![StreamClause { any, ..StreamClause::default() }]), ..every() }
}

pub(crate) fn same_bytes(home: &Home) {
    home.create_user("u1");
    let made = [
        super::events::full("full"),
        Event { duration: Duration::Running, content: None, ..event("running", 0.1 + 0.2, &["a"]) },
        Event { trashed: true, duration: Duration::Seconds(0.0), ..event("trashed", 1e-7, &["b"]) },
        Event { content: Some(json!(12)), ..event("number", 1_700_000_000.25, &["a", "b"]) },
    ];
    let mut written: Vec<Event> = made.map(|event| home.create_event("u1", event)).into();
    written.sort_by(|a, b| b.time.total_cmp(&a.time));
    let wanted: Vec<String> = written.iter().map(|event| Value::Object(event.to_json()).to_string()).collect();
    let query = EventsQuery { state: TrashState::All, ..every() };
    let page = home.page("u1", &query, None);
    assert_eq!(std::str::from_utf8(&page.json).unwrap(), wanted.join(","));
    assert_eq!((page.item_count, page.skip_left, page.next), (4, 0, None));
    // The one attachment, by the brace that closes it.
    let [file] = page.files.as_slice() else { panic!("{:?}", page.files) };
    assert_eq!((file.id.as_str(), page.json[file.at..].get(..2)), ("f1", Some(&b"}]"[..])));
}

pub(crate) fn bounded(home: &Home) {
    home.create_user("u1");
    let events = (0..2_000_u16).map(|n| {
        let stream = ["a", "b", "c", "d"][usize::from(n % 4)];
        let description = Some("d".repeat(400));
        Event { description, ..event(&format!("e{n:05}"), f64::from(n / 3), &[stream]) }
    });
    home.create_events("u1", events);
    for (query, count) in [(every(), 2_000), (in_streams(&["b"]), 500), (in_streams(&["a", "c"]), 1_000)] {
        let first = home.page("u1", &query, None);
        assert!(first.json.len() < (256 << 10) + 2048 && first.next.is_some());
        let all = home.events("u1", &query);
        assert_eq!(all.len(), count);
        assert_eq!(ids(&all).iter().collect::<std::collections::BTreeSet<_>>().len(), count);
        assert!(all.windows(2).all(|pair| pair[0]["time"].as_f64() >= pair[1]["time"].as_f64()));
    }
    let part = home.events("u1", &EventsQuery { skip: 10, limit: Some(1_500), ..every() });
    assert_eq!(part.len(), 1_500);
    assert_eq!(part, home.events("u1", &every())[10..1_510]);
    assert_eq!(home.events("u1", &EventsQuery { limit: Some(0), ..every() }).len(), 0);
}

pub(crate) fn audit(home: &Home) {
    for user in ["u1", "u2"] {
        home.create_user(user);
    }
    let mut refused = record("r2", "acc", "events.get", 11.0);
    (refused.access_serial, refused.error) = (Some(2), Some(("forbidden".into(), "No.".into())));
    let of = |user: &str, record| (UserId::new(user), record);
    let records = vec![
        of("u1", record("r1", "acc", "events.get", 10.0)),
        of("u1", refused),
        of("u1", record("r3", "other", "streams.get", 12.0)),
        of("u2", record("r4", "acc", "events.get", 13.0)),
        of("nobody", record("r5", "acc", "events.get", 14.0)),
    ];
    wait(home.store.audit(SlotId(0), records)).unwrap();
    let all = home.audit("u1", &every());
    assert_eq!(ids(&all), [":_audit:r3", ":_audit:r2", ":_audit:r1"]);
    assert_eq!(
        all[2],
        json!({
            "id": ":_audit:r1", "type": "audit-log/pryv-api", "time": 10,
            "streamIds": [":_audit:access-acc", ":_audit:action-events.get"],
            "content": { "source": { "name": "http", "ip": "::1" }, "action": "events.get", "query": { "limit": "1" } },
            "created": 10, "createdBy": "system", "modified": 10, "modifiedBy": "system",
        })
    );
    assert_eq!(ids(&home.audit("u1", &in_streams(&["access-acc"]))), [":_audit:r2", ":_audit:r1"]);
    assert_eq!(ids(&home.audit("u1", &in_streams(&["access-acc:2"]))), [":_audit:r2"]);
    let types = vec![TypeFilter::Exact("audit-log/pryv-api-error".into())];
    assert_eq!(ids(&home.audit("u1", &EventsQuery { types, ..every() })), [":_audit:r2"]);
    let cut = EventsQuery { from: Some(10.5), to: Some(11.5), ascending: true, ..every() };
    assert_eq!(ids(&home.audit("u1", &cut)), [":_audit:r2"]);
}

fn any_event() -> impl Strategy<Value = Event> {
    let duration = prop_oneof![
        4 => Just(Duration::Instant),
        1 => Just(Duration::Running),
        2 => (-3..20_i32).prop_map(|n| Duration::Seconds(f64::from(n))),
    ];
    let content = prop::option::of(prop_oneof![Just(json!(1)), Just(json!("ab")), Just(json!({ "a": { "b": 2.5 } }))]);
    let kind = prop::sample::select(vec!["note/txt", "note/html", "mass/kg"]);
    let streams = prop::collection::btree_set(0..4_usize, 1..3);
    (0..40_i32, streams, duration, kind, content, prop::bool::weighted(0.2)).prop_map(
        |(time, streams, duration, kind, content, trashed)| Event {
            stream_ids: streams.into_iter().map(|n| format!("s{n}")).collect(),
            time: f64::from(time) / 2.0,
            duration,
            kind: kind.into(),
            content,
            trashed,
            ..Event::default()
        },
    )
}

fn any_query() -> impl Strategy<Value = EventsQuery> {
    let ids = || prop::collection::vec((0..6_usize).prop_map(|n| format!("s{n}")), 0..4);
    let clause = (ids(), prop::collection::vec(ids(), 0..2), ids());
    let clause = clause.prop_map(|(any, all, not)| StreamClause { any, all, not });
    let one = (0..4_usize).prop_map(|n| vec![StreamClause { any: vec![format!("s{n}")], ..StreamClause::default() }]);
    let streams = prop_oneof![
        ids().prop_map(|not| StreamFilter::All { not }),
        prop::collection::vec(clause, 1..3).prop_map(StreamFilter::Any),
        one.prop_map(StreamFilter::Any),
    ];
    let types = prop::sample::select(vec![
        vec![],
        vec![TypeFilter::Exact("mass/kg".into())],
        vec![TypeFilter::Class("note/".into())],
        vec![TypeFilter::Exact("no/such".into()), TypeFilter::Exact("note/txt".into())],
    ]);
    let test = |path: &[&str], test| vec![Condition { path: path.iter().map(|&s| s.to_owned()).collect(), test }];
    let content = prop::sample::select(vec![
        vec![],
        vec![],
        test(&[], Test::Equal(json!(1))),
        test(&["a", "b"], Test::Greater(2.0)),
        test(&[], Test::Exists(false)),
    ]);
    let state = prop::sample::select(vec![TrashState::Default, TrashState::Trashed, TrashState::All]);
    let time = || prop::option::of((0..20_i32).prop_map(f64::from));
    let frame = (time(), time(), any::<bool>(), prop::bool::weighted(0.2), prop::option::weighted(0.2, 0..20_i32));
    let changed = prop::option::weighted(0.3, 0..60_u8);
    let cut = (any::<bool>(), 0..5_u64, prop::option::of(0..30_u64), changed);
    (streams, frame, types, content, state, cut).prop_map(|(streams, frame, types, content, state, cut)| EventsQuery {
        streams,
        from: frame.0,
        to: frame.1,
        later_than: frame.4.map(f64::from),
        running_pass_from: frame.2,
        only_running: frame.3,
        types,
        content,
        client_data: vec![],
        ascending: cut.0,
        skip: cut.1,
        limit: cut.2,
        state,
        modified_since: cut.3.map(|n| NOW + f64::from(n) / 1e6),
    })
}

#[test]
fn both_engines_give_the_same_pages_for_any_events_and_queries() {
    let Some(home) = Home::postgres() else { return };
    let cases = (prop::collection::vec(any_event(), 0..60), prop::collection::vec(any_query(), 40));
    let count = std::cell::Cell::new(0);
    TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() })
        .run(&cases, |(events, queries)| {
            count.set(count.get() + 1);
            let (user, embedded) = (format!("u{}", count.get()), Home::embedded());
            for home in [&home, &embedded] {
                home.create_user(&user);
                for (n, event) in events.iter().enumerate() {
                    // Three pages at least: big items.
                    let description = (n % 7 == 0).then(|| "x".repeat(40_000));
                    home.create_event(&user, Event { id: format!("e{n}"), description, ..event.clone() });
                }
            }
            for query in &queries {
                prop_assert_eq!(home.events(&user, query), embedded.events(&user, query), "{:?}", query);
            }
            Ok(())
        })
        .unwrap();
}
