//! Levels of streams, and what each allows on events, series and streams.

mod common;

use common::{World, app, ids, personal, shared};
use model::permission::{Caller, Refused};
use model::{Level, Permission, Right, SeriesKey};

fn forest() -> World {
    World::new(&["A", "A/AA", "AA/AAA", "B"])
}

fn allowed(outcome: Result<model::Grant, Refused>) -> bool {
    outcome.is_ok()
}

#[test]
fn the_nearest_entry_going_up_wins_in_both_directions() {
    let world = forest();
    let access = shared(&[("A", "read"), ("AA", "manage"), ("*", "contribute"), ("B", "none")]);
    let caller = world.caller(&access);
    for (id, level) in [
        ("A", Level::Read),
        ("AA", Level::Manage),
        ("AAA", Level::Manage),
        ("B", Level::None),
        ("not-yet-made", Level::Contribute),
    ] {
        assert_eq!(caller.level(id), Some(level), "{id}");
    }
}

#[test]
fn the_last_of_two_entries_for_one_stream_wins() {
    let world = forest();
    let access = shared(&[("A", "manage"), ("A", "read")]);
    assert_eq!(world.caller(&access).level("A"), Some(Level::Read));
}

#[test]
fn without_an_entry_there_is_no_level() {
    let world = forest();
    let access = shared(&[("A", "read")]);
    assert_eq!(world.caller(&access).level("B"), None);
    assert_eq!(world.caller(&access).level(":nostore:x"), None);
}

#[test]
fn a_personal_access_manages_everything() {
    let world = forest();
    let access = personal();
    for id in ["A", "unknown", ":_system:account", ":_audit:actions", "*"] {
        assert_eq!(world.caller(&access).level(id), Some(Level::Manage), "{id}");
    }
}

#[test]
fn a_star_covers_neither_the_account_nor_the_audit_store() {
    let world = forest();
    let access = shared(&[("*", "manage"), ("selfAudit", "forbidden")]);
    let caller = world.caller(&access);
    assert_eq!(caller.level(":system:email"), Some(Level::None));
    assert_eq!(caller.level(":_audit:access-me"), None);
}

#[test]
fn an_explicit_entry_opens_account_streams_and_their_children() {
    let world = forest();
    let access = shared(&[(":_system:storageUsed", "read"), (":system:email", "contribute")]);
    let caller = world.caller(&access);
    assert_eq!(caller.level(":_system:dbDocuments"), Some(Level::Read));
    assert_eq!(caller.level(":system:email"), Some(Level::Contribute));
    assert_eq!(caller.level(":_system:language"), Some(Level::None));
    let root = shared(&[(":_system:account", "read")]);
    assert_eq!(world.caller(&root).level(":_system:language"), Some(Level::Read));
}

#[test]
fn every_access_reads_its_own_audit_stream_unless_forbidden() {
    let mut world = forest();
    let access = shared(&[]);
    assert_eq!(world.caller(&access).level(":_audit:access-me"), Some(Level::Read));
    assert_eq!(world.caller(&access).level(":_audit:access-other"), None);
    let root = shared(&[(":_audit:", "read")]);
    assert_eq!(world.caller(&root).level(":_audit:action-events.get"), Some(Level::Read));
    world.audit_active = false;
    assert_eq!(world.caller(&access).level(":_audit:access-me"), None);
}

#[test]
fn only_the_own_shared_secret_stream_is_open_whatever_the_permissions() {
    let world = World::new(&[":_shared-secrets:", ":_shared-secrets:/:_shared-secrets:me"]);
    let access = shared(&[("*", "manage"), (":_shared-secrets:other", "manage")]);
    let caller = world.caller(&access);
    assert!(caller.level(":_shared-secrets:me").is_some_and(Level::can_create_events));
    assert_eq!(caller.level(":_shared-secrets:other"), None);
    assert_eq!(caller.level(":_shared-secrets:"), None);
}

#[test]
fn the_email_list_is_neither_read_nor_written_without_a_personal_token() {
    let world = forest();
    for level in ["read", "create-only", "manage"] {
        let access = shared(&[("*", level), (":_emails:", level)]);
        assert!(world.caller(&access).read_event(&ids(&[":_emails:"])).is_err());
        assert!(world.caller(&access).create_event(&ids(&[":_emails:"])).is_err());
        assert!(world.caller(&access).delete_stream(":_emails:").is_err());
    }
    assert!(world.caller(&personal()).read_event(&ids(&[":_emails:"])).is_ok());
}

#[test]
fn access_info_shows_the_injected_permissions_first_and_last() {
    let world = forest();
    let stream = |id: &str, level| Permission::Stream { stream_id: id.into(), level };
    let access = app(&[("A", "read")]);
    let shown = world.caller(&access).visible_permissions();
    let expected =
        [stream(":_system:account", Level::None), stream("A", Level::Read), stream(":_audit:access-me", Level::Read)];
    assert_eq!(shown, expected);
    let silent = app(&[("selfAudit", "forbidden")]);
    assert_eq!(world.caller(&silent).visible_permissions().len(), 2);
    assert!(world.caller(&personal()).visible_permissions().is_empty());
}

/// Rows of the capability table: list is tested with `streams.get`.
#[test]
fn each_level_allows_what_the_table_says() {
    let world = forest();
    let key = SeriesKey::from_u64(1);
    let on_a = ids(&["A"]);
    type Ask = fn(&Caller<'_>, &[String], SeriesKey) -> Result<model::Grant, Refused>;
    let questions: [(Ask, [bool; 5]); 10] = [
        // none, read, create-only, contribute, manage
        (|c, s, _| c.read_event(s), [false, true, false, true, true]),
        (|c, s, _| c.create_event(s), [false, false, true, true, true]),
        (|c, _, _| c.create_event_somewhere().map(|()| c.any()), [false, false, true, true, true]),
        (|c, s, _| c.update_event(s, None), [false, false, false, true, true]),
        (|c, s, _| c.delete_event(s), [false, false, false, true, true]),
        (|c, s, k| c.read_series(s, k), [false, true, false, true, true]),
        (|c, s, k| c.write_series(s, k), [false, false, true, true, true]),
        (|c, _, _| c.create_stream(Some("AA")), [false, false, false, false, true]),
        (|c, _, _| c.update_stream("AA", None), [false, false, false, false, true]),
        (|c, _, _| c.delete_stream("A"), [false, false, false, false, true]),
    ];
    for (row, (ask, expected)) in questions.iter().enumerate() {
        for (level, expected) in ["none", "read", "create-only", "contribute", "manage"].iter().zip(expected) {
            let access = shared(&[("A", level)]);
            assert_eq!(allowed(ask(&world.caller(&access), &on_a, key)), *expected, "row {row}, {level}");
        }
        let nothing = shared(&[]);
        assert!(!allowed(ask(&world.caller(&nothing), &on_a, key)), "row {row}, no level");
        let user = personal();
        assert!(allowed(ask(&world.caller(&user), &on_a, key)), "row {row}, personal");
    }
}

#[test]
fn an_event_in_one_permitted_stream_is_read_and_changed_but_not_created() {
    let world = forest();
    let access = shared(&[("A", "contribute")]);
    let caller = world.caller(&access);
    let both = ids(&["B", "A"]);
    assert!(caller.read_event(&both).is_ok() && caller.delete_event(&both).is_ok());
    assert!(caller.update_event(&both, None).is_ok());
    assert!(caller.update_event(&both, Some(&ids(&["B", "A", "AA"]))).is_ok());
    assert!(caller.update_event(&both, Some(&ids(&["A"]))).is_err(), "removes the stream without permission");
    assert!(caller.update_event(&ids(&["A"]), Some(&both)).is_err(), "adds it");
    let refused = caller.create_event(&both).unwrap_err();
    assert!(refused.to_string().contains("\"B\""), "{refused}");
}

#[test]
fn a_hidden_account_stream_refuses_even_the_user() {
    let world = forest();
    let access = personal();
    assert!(world.caller(&access).read_event(&ids(&[":_system:appId"])).is_err());
    assert!(world.caller(&access).read_event(&ids(&[":_system:language"])).is_ok());
    let inner = world.caller(&access).read_event(&ids(&["A", ":_cmc:_internal:retries"]));
    assert!(matches!(inner, Err(Refused::Unknown(_))), "not even its existence is told");
}

#[test]
fn the_audit_store_is_read_only_for_everybody() {
    let world = forest();
    let access = personal();
    let caller = world.caller(&access);
    let record = ids(&[":_audit:access-me", ":_audit:action-events.get"]);
    assert!(caller.read_event(&record).is_ok());
    assert!(caller.create_event(&record).is_err() && caller.delete_event(&record).is_err());
    assert!(caller.update_event(&record, None).is_err() && caller.delete_stream(":_audit:actions").is_err());
}

#[test]
fn a_move_needs_the_target_and_an_unchanged_parent_is_not_tested() {
    let world = forest();
    let access = app(&[("AA", "manage"), ("B", "contribute")]);
    let caller = world.caller(&access);
    assert!(caller.update_stream("AA", None).is_ok());
    assert!(caller.update_stream("AA", Some(Some("A"))).is_ok(), "where it is already");
    assert!(caller.update_stream("AA", Some(Some("B"))).is_err());
    assert!(caller.update_stream("AA", Some(None)).is_err(), "to the root without a star");
    assert!(caller.update_stream("AAA", Some(Some("AA"))).is_ok());
    let star = app(&[("*", "manage")]);
    assert!(world.caller(&star).update_stream("AA", Some(None)).is_ok());
    assert!(world.caller(&star).create_stream(None).is_ok());
    assert!(caller.create_stream(None).is_err());
}

#[test]
fn a_grant_carries_user_author_and_the_version_of_the_space() {
    let world = forest();
    let mut access = app(&[("A", "manage")]);
    access.serial = Some(3);
    let mut caller = world.caller(&access);
    caller.caller_id = Some("nurse 7");
    let grant = caller.create_event(&ids(&["A"])).unwrap();
    assert_eq!(grant.author().as_str(), "me nurse 7");
    assert_eq!(grant.space_version(), Some(7));
    assert_eq!(grant.right(), &Right::Write);
    assert_eq!(caller.versioned_author().as_str(), "me:3 nurse 7");
    let key = SeriesKey::from_u64(5);
    assert_eq!(caller.write_series(&ids(&["A"]), key).unwrap().writable_series(), Some(key));
}

#[test]
fn account_calls_are_for_the_user_and_webhooks_for_apps() {
    let world = forest();
    let (user, app) = (personal(), app(&[]));
    assert!(world.caller(&user).own_account().is_ok() && world.caller(&app).own_account().is_err());
    assert!(world.caller(&user).own_webhooks().is_err() && world.caller(&app).own_webhooks().is_ok());
    assert!(!world.caller(&app).any().may_write());
}
