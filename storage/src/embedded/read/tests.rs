//! Reads beside the pages of events are led by an index too.

use super::*;
use crate::embedded::schema;
use crate::embedded::write::linked_events_sql;

/// The details of `EXPLAIN QUERY PLAN`; none of them may be a scan.
fn plan_of(sql: &str) -> String {
    let dir = tempfile::TempDir::new().unwrap();
    let connection = schema::open_writer(&dir.path().join("slot.sqlite"), 256).unwrap();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let lines = statement.raw_query().mapped(|row| row.get::<_, String>(3)).map(Result::unwrap).collect::<Vec<_>>();
    assert!(!lines.iter().any(|line| line.contains("SCAN")), "{lines:?}");
    lines.join("\n")
}

#[test]
fn deletions_of_events_are_led_by_their_time_and_not_sorted() {
    for ascending in [false, true] {
        let plan = plan_of(&event_deletions_sql(ascending));
        assert!(plan.contains("event_deletion_time (user=? AND deleted>?)") && !plan.contains("TEMP"), "{plan}");
    }
}

#[test]
fn deletions_of_streams_are_led_by_their_time() {
    let plan = plan_of(STREAM_DELETIONS);
    assert!(plan.contains("stream_deletion_time (user=? AND deleted>?)"), "{plan}");
}

#[test]
fn a_history_is_led_by_its_event_and_not_sorted() {
    let plan = plan_of(EVENT_HISTORY);
    assert!(plan.contains("event_version_head (user=? AND event_id=?)") && !plan.contains("TEMP"), "{plan}");
}

#[test]
fn events_that_are_linked_to_a_stream_are_led_by_its_links() {
    for sql in [linked_events_sql(), ANY_EVENT_IN.to_owned()] {
        let plan = plan_of(&sql);
        assert!(plan.contains("SEARCH s USING PRIMARY KEY (stream=?)"), "{plan}");
        assert!(plan.contains("SEARCH e USING INTEGER PRIMARY KEY"), "{plan}");
    }
}
