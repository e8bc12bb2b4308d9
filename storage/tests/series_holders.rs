//! What retention and the start learn of the holder events of all series.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::*;
use model::{Duration, Event, SlotId};
use storage::base::{BaseStore, LinkedEvents, SeriesExtent, SeriesHolder, Write};

fn holder(id: &str, streams: &[&str]) -> Event {
    Event { kind: "series:mass/kg".into(), content: None, ..event(id, 100.5, streams) }
}

fn holders(home: &Home) -> Vec<SeriesHolder> {
    home.store.series_holders(SlotId(0)).unwrap()
}

#[test]
fn a_slot_without_a_file_has_no_holders() {
    assert_eq!(holders(&Home::new()), []);
}

#[test]
fn every_holder_is_told_with_its_streams_and_those_above() {
    let home = Home::new();
    for user in ["u1", "u2"] {
        home.create_user(user);
    }
    for (id, parent) in [("body", None), ("heart", Some("body")), ("ecg", Some("heart")), ("sport", None)] {
        home.create_stream("u1", id, parent).unwrap();
    }
    let first = home.create_event("u1", holder("a", &["ecg", "sport"]));
    // The same id is another stream for another user, and none that exists.
    let second = home.create_event("u2", holder("b", &["ecg"]));
    home.create_event("u1", event("plain", 1.0, &["ecg"]));
    let found = holders(&home);
    let expected = SeriesHolder {
        key: first.series_key.unwrap(),
        user: model::UserId::new("u1"),
        event_id: "a".into(),
        time: 100.5,
        duration: Duration::Instant,
        kind: "series:mass/kg".into(),
        stream_ids: ["ecg", "sport", "heart", "body"].map(str::to_owned).to_vec(),
    };
    assert_eq!(found.first(), Some(&expected));
    let other = found.get(1).unwrap();
    assert_eq!((other.key, other.user.as_str()), (second.series_key.unwrap(), "u2"));
    assert_eq!(other.stream_ids, ["ecg"]);
    assert_eq!(found.len(), 2);
}

#[test]
fn a_holder_follows_its_event_and_goes_with_it_or_with_its_account() {
    let home = Home::new();
    for user in ["u1", "u2", "u3"] {
        home.create_user(user);
        home.create_stream(user, "s", None).unwrap();
        home.create_event(user, holder("a", &["s"]));
    }
    let extent = SeriesExtent { event_id: "a".into(), duration: 2.5, modified: NOW, modified_by: Some("acc".into()) };
    home.write("u1", Write::ExtendSeries { holders: vec![extent] }).unwrap();
    assert_eq!(holders(&home).first().map(|holder| holder.duration), Some(Duration::Seconds(2.5)));
    let linked = LinkedEvents::Delete;
    home.write("u2", Write::DeleteStreams { ids: vec!["s".into()], linked }).unwrap();
    home.write("u3", Write::EraseAccount { keep_audit: false }).unwrap();
    let users: Vec<_> = holders(&home).into_iter().map(|holder| holder.user.to_string()).collect();
    assert_eq!(users, ["u1"]);
}
