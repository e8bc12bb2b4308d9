//! Each shape of query is led by an index: no statement looks at all events of the slot.

use std::path::Path;

use model::query::{Condition, StreamClause, StreamFilter, Test};

use super::*;
use crate::embedded::content_index::{self, ContentIndex};
use crate::embedded::schema;

fn slot(dir: &Path) -> Connection {
    let mut connection = schema::open_writer(&dir.join("slot.sqlite"), 256).unwrap();
    let declared = ContentIndex::new(IndexedField::Content, vec!["a".into()]);
    content_index::adjust(&mut connection, &[declared]).unwrap();
    connection
        .execute_batch(
            "INSERT INTO user (row, id, username, fields) VALUES (1, 'u', 'u', '{}');
             INSERT INTO kind (row, user, name) VALUES (5, 1, 'note/txt'), (6, 1, 'note/html');
             INSERT INTO stream_key (row, user, id) VALUES (7, 1, 'a'), (8, 1, 'b')",
        )
        .unwrap();
    connection
}

fn query() -> EventsQuery {
    EventsQuery {
        streams: StreamFilter::All { not: vec![] },
        from: None,
        to: Some(9.0),
        later_than: None,
        running_pass_from: true,
        only_running: false,
        types: vec![],
        content: vec![],
        client_data: vec![],
        ascending: false,
        skip: 0,
        limit: None,
        state: TrashState::Default,
        modified_since: None,
    }
}

fn streams(ids: &[&str]) -> StreamFilter {
    let any = ids.iter().map(|&id| id.to_owned()).collect();
    StreamFilter::Any(vec![StreamClause { any, ..StreamClause::default() }])
}

/// The details of `EXPLAIN QUERY PLAN`, one line each.
fn explain(connection: &Connection, sql: &Sql) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.text)).unwrap();
    let lines = statement.query_map(params_from_iter(&sql.params), |row| row.get::<_, String>(3)).unwrap();
    lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

fn plan_of(query: &EventsQuery, part: Part) -> String {
    let dir = tempfile::TempDir::new().unwrap();
    let connection = slot(dir.path());
    let plan = Plan::make(&connection, 1, query).unwrap().unwrap();
    let after = Cursor { time: 5.0, row: 3, delivered: 1 };
    let sql = match &plan.walk {
        Walk::Merged(lists) if part != Part::Overlapping => plan.merge_statement(lists, part, Some(&after)),
        _ => plan.statement(part, Some(&after)),
    };
    let plan = explain(&connection, &sql);
    assert!(!plan.contains("SCAN e") && !plan.contains("SCAN l") && !plan.contains("SCAN s"), "{plan}");
    plan
}

#[test]
fn a_time_range_is_led_by_time_and_not_sorted() {
    let plan = plan_of(&EventsQuery { from: Some(1.0), ..query() }, Part::Inside);
    assert!(plan.contains("event_time (user=? AND time>? AND time<?)") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn events_that_began_before_the_frame_are_found_by_their_end() {
    let plan = plan_of(&EventsQuery { from: Some(1.0), ..query() }, Part::Overlapping);
    assert!(plan.contains("event_long (user=? AND end_time>?)"), "{plan}");
    assert!(plan.contains("event_running (user=? AND time<?)"), "{plan}");
}

#[test]
fn one_stream_is_led_by_its_links_and_not_sorted() {
    let plan = plan_of(&EventsQuery { streams: streams(&["a"]), ..query() }, Part::Whole);
    assert!(plan.contains("SEARCH s USING PRIMARY KEY (stream=? AND time<?)"), "{plan}");
    assert!(plan.contains("SEARCH e USING INTEGER PRIMARY KEY") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn several_streams_are_merged_and_not_sorted() {
    let plan = plan_of(&EventsQuery { streams: streams(&["a", "b"]), ..query() }, Part::Whole);
    assert!(plan.contains("MERGE (UNION)") && !plan.contains("TEMP B-TREE"), "{plan}");
    assert_eq!(plan.matches("SEARCH s USING PRIMARY KEY (stream=? AND time<?)").count(), 2, "{plan}");
}

#[test]
fn one_type_is_led_by_its_index_and_not_sorted() {
    let types = vec![TypeFilter::Exact("note/txt".into())];
    let plan = plan_of(&EventsQuery { types, ..query() }, Part::Whole);
    assert!(plan.contains("event_kind (kind=? AND time<?)") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn few_changes_are_led_by_modified() {
    let plan = plan_of(&EventsQuery { modified_since: Some(3.0), ..query() }, Part::Whole);
    assert!(plan.contains("event_modified (user=? AND modified>?)"), "{plan}");
}

#[test]
fn running_events_have_their_own_index() {
    let plan = plan_of(&EventsQuery { only_running: true, ..query() }, Part::Whole);
    assert!(plan.contains("event_running (user=? AND time<?)") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn several_types_are_merged_and_not_sorted() {
    let types = vec![TypeFilter::Class("note/".into())];
    let plan = plan_of(&EventsQuery { types, ..query() }, Part::Whole);
    assert!(plan.contains("MERGE (UNION)") && !plan.contains("TEMP B-TREE"), "{plan}");
    assert_eq!(plan.matches("event_kind (kind=? AND time<?)").count(), 2, "{plan}");
}

#[test]
fn the_trash_has_its_own_index() {
    let plan = plan_of(&EventsQuery { state: TrashState::Trashed, ..query() }, Part::Whole);
    assert!(plan.contains("event_trashed (user=? AND time<?)") && !plan.contains("TEMP B-TREE"), "{plan}");
}

fn on_declared(test: Test) -> EventsQuery {
    EventsQuery { content: vec![Condition { path: vec!["a".into()], test }], ..query() }
}

#[test]
fn one_value_at_a_declared_path_is_led_by_its_index_and_not_sorted() {
    let plan = plan_of(&on_declared(Test::Equal("x".into())), Part::Whole);
    assert!(plan.contains("declared content $.a (user=? AND <expr>=? AND time<?)"), "{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn few_values_at_a_declared_path_are_led_by_its_index() {
    let texts = || vec!["x".into(), "y".into()];
    for test in [Test::Less(1.0), Test::Greater(0.5), Test::Prefix("x".into()), Test::In(texts())] {
        let plan = plan_of(&on_declared(test.clone()), Part::Whole);
        assert!(plan.contains("INDEX declared content $.a (user=? AND <expr>"), "{test:?}: {plan}");
    }
}

#[test]
fn types_are_looked_up_by_their_names() {
    let dir = tempfile::TempDir::new().unwrap();
    let connection = slot(dir.path());
    for (text, expected) in [(KIND_BY_NAME, "(user=? AND name=?)"), (KINDS_BY_CLASS, "(user=? AND name>? AND name<?)")]
    {
        let params = vec![1.into(), "note/".to_owned().into()];
        let plan = explain(&connection, &Sql { text: text.to_owned(), params });
        assert!(plan.contains(expected), "{plan}");
    }
}
