//! Declared indexes change no answer, whatever stands in the contents, and follow the configuration and every write.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::*;
use model::query::{Condition, Test};
use model::{Event, EventsQuery};
use rusqlite::Connection;
use serde_json::{Value, json};
use storage::base::Write;
use storage::embedded::{ContentIndex, IndexedField};

fn index(field: IndexedField, path: &[&str]) -> ContentIndex {
    ContentIndex::new(field, path.iter().map(|&part| part.to_owned()).collect())
}

fn declared() -> Vec<ContentIndex> {
    vec![
        index(IndexedField::Content, &["v"]),
        index(IndexedField::Content, &["V"]),
        index(IndexedField::ClientData, &["app:state", "v"]),
    ]
}

fn on_content(path: &str, test: Test) -> EventsQuery {
    EventsQuery { content: vec![Condition { path: vec![path.into()], test }], ascending: true, ..every() }
}

/// Values that indexes and JSON see differently, or that lie at an edge.
fn values() -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(1.0),
        json!("1"),
        json!(""),
        json!("50% off"),
        json!("50"),
        json!("ab"),
        json!("aB"),
        json!("a\u{10ffff}b"),
        json!("a\0b"),
        json!("a\"b\\c\n"),
        json!("x".repeat(99)),
        json!("x".repeat(150)),
        json!(format!("{}y", "x".repeat(150))),
        json!([1]),
        json!({ "v": 1 }),
        json!(0.1),
        json!(0.1 + 0.2),
        json!(0.3),
        json!(-1.5e-300),
        json!(1e300),
        json!(9_007_199_254_740_991_i64),
        json!(9_007_199_254_740_992_i64),
        json!(9_007_199_254_740_993_i64),
        json!(i64::MIN),
        json!(u64::MAX),
    ];
    values.extend((0..20).map(|n| json!(f64::from(n).sqrt() / 3.0)));
    values
}

fn tests() -> Vec<Test> {
    let mut tests = vec![Test::Exists(true), Test::Exists(false), Test::In(vec![json!(1), json!("ab"), json!(true)])];
    for value in values().into_iter().filter(|value| !value.is_null() && !value.is_array() && !value.is_object()) {
        if let Some(bound) = value.as_f64() {
            tests.extend([
                Test::Greater(bound),
                Test::GreaterOrEqual(bound),
                Test::Less(bound),
                Test::LessOrEqual(bound),
            ]);
        }
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            tests.push(Test::Prefix(text.to_owned()));
        }
        tests.extend([Test::NotEqual(value.clone()), Test::In(vec![value.clone()]), Test::Equal(value)]);
    }
    tests
}

fn fill(home: &Home) {
    home.create_user("u1");
    home.create_user("u2");
    for (n, value) in (0..).zip(values()) {
        let client_data = json!({ "app:state": { "v": value } }).as_object().cloned();
        let event = Event {
            content: Some(json!({ "v": value, "V": "other" })),
            client_data,
            ..event(&format!("e{n}"), f64::from(n), &["s"])
        };
        home.create_event("u1", event.clone());
        home.create_event("u2", event);
    }
    home.create_event("u1", Event { content: None, ..event("none", 1000.0, &["s"]) });
}

#[test]
fn every_condition_is_answered_as_without_an_index() {
    let (plain, indexed) = (Home::new(), Home::with(|config| config.content_indexes = declared()));
    fill(&plain);
    fill(&indexed);
    for test in tests() {
        let on_content = on_content("v", test.clone());
        let condition = Condition { path: vec!["app:state".into(), "v".into()], test: test.clone() };
        let on_client_data = EventsQuery { client_data: vec![condition], ..every() };
        for query in [on_content, on_client_data] {
            let (expected, found) = (plain.events("u1", &query), indexed.events("u1", &query));
            assert_eq!(ids(&found), ids(&expected), "{test:?}");
        }
    }
}

#[test]
fn indexes_follow_the_configuration() {
    let mut home = Home::new();
    fill(&home);
    let names = |home: &Home| -> Vec<String> {
        let file = Connection::open(home.slot_file()).unwrap();
        let mut names = file.prepare("SELECT name FROM sqlite_schema WHERE name GLOB 'declared *' ORDER BY 1").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    home.config.content_indexes = declared();
    home.reopen();
    assert_eq!(ids(&home.events("u1", &on_content("V", Test::Equal("other".into())))).len(), values().len());
    assert_eq!(names(&home), ["declared client_data $.app:state.v", "declared content $.^V", "declared content $.v"]);
    home.config.content_indexes.truncate(1);
    home.reopen();
    assert_eq!(ids(&home.events("u1", &on_content("v", Test::Equal("ab".into())))).len(), 1);
    assert_eq!(names(&home), ["declared content $.v"]);
}

#[test]
fn an_index_follows_every_write() {
    let home = Home::with(|config| config.content_indexes = declared());
    home.create_user("u1");
    let first = home.create_event("u1", Event { content: Some(json!({ "v": "old" })), ..event("a", 1.0, &["s"]) });
    let count = |text: &str| home.events("u1", &on_content("v", Test::Equal(text.into()))).len();
    assert_eq!((count("old"), count("new")), (1, 0));
    let expected_modified = first.modified;
    let second = Event { content: Some(json!({ "v": "new" })), ..first };
    home.write("u1", Write::UpdateEvent { event: Box::new(second), expected_modified }).unwrap();
    assert_eq!((count("old"), count("new")), (0, 1));
    let expected_modified = home.event("u1", "a").unwrap().modified;
    home.write("u1", Write::DeleteEvent { id: "a".into(), expected_modified }).unwrap();
    assert_eq!((count("old"), count("new")), (0, 0));
}
