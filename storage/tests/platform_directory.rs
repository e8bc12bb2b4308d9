//! The embedded platform directory: what must be unique is decided by one conditional write.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::Arc;

use common::wait;
use model::{SlotId, UserEntry, UserId};
use serde_json::json;
use storage::StoreError;
use storage::platform::{Answer, Command, EmbeddedPlatform, PlatformStore};

fn entry(user: &str, username: &str) -> UserEntry {
    UserEntry { user: UserId::new(user), slot: SlotId(3), username: username.into() }
}

fn open(dir: &tempfile::TempDir) -> Arc<EmbeddedPlatform> {
    EmbeddedPlatform::open(dir.path()).unwrap()
}

fn reserve(user: &str, username: &str, email: &str) -> Command {
    Command::Reserve { entry: entry(user, username), unique: vec![("email".into(), email.into())] }
}

fn find(platform: &EmbeddedPlatform, name: &str) -> Option<UserEntry> {
    match wait(platform.call(Command::FindUser { name: name.into() })).unwrap() {
        Answer::User(found) => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_conflicts_are_named_at_once_and_nothing_is_written() {
    let dir = tempfile::TempDir::new().unwrap();
    let platform = open(&dir);
    let ask = |command| wait(platform.call(command));
    ask(reserve("u1", "ann", "a@x")).unwrap();
    let both = StoreError::Taken(
        [("username".to_owned(), json!("ann")), ("email".to_owned(), json!("a@x"))].into_iter().collect(),
    );
    assert_eq!(ask(reserve("u2", "ann", "a@x")).unwrap_err(), both);
    ask(reserve("u2", "bob", "b@x")).unwrap();
    assert!(matches!(ask(reserve("u3", "cid", "b@x")), Err(StoreError::Taken(_))));
    ask(reserve("u3", "cid", "c@x")).unwrap();
}

#[test]
fn of_two_reservations_of_one_name_at_the_same_time_one_wins() {
    let dir = tempfile::TempDir::new().unwrap();
    let platform = open(&dir);
    let replies: Vec<_> = (0..20).map(|n| platform.call(reserve(&format!("u{n}"), "ann", &format!("{n}@x")))).collect();
    let won = replies.into_iter().map(wait).filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

#[test]
fn half_made_users_are_listed_and_not_found_until_confirmed() {
    let dir = tempfile::TempDir::new().unwrap();
    let platform = open(&dir);
    wait(platform.call(reserve("u1", "ann", "a@x"))).unwrap();
    assert_eq!(find(&platform, "ann"), None);
    drop(platform);
    let platform = open(&dir);
    let half_made = || match wait(platform.call(Command::HalfMade)).unwrap() {
        Answer::Users(list) => list,
        other => panic!("{other:?}"),
    };
    assert_eq!(half_made(), [entry("u1", "ann")]);
    wait(platform.call(Command::Confirm { user: UserId::new("u1") })).unwrap();
    assert_eq!(half_made(), []);
    assert_eq!(find(&platform, "ann"), Some(entry("u1", "ann")));
    assert!(matches!(wait(platform.call(Command::Users)), Ok(Answer::Users(list)) if list == [entry("u1", "ann")]));
}

#[test]
fn a_release_frees_the_name_its_aliases_and_fields_and_leaves_no_byte() {
    let dir = tempfile::TempDir::new().unwrap();
    let platform = open(&dir);
    let ask = |command| wait(platform.call(command));
    let user = UserId::new("u1");
    ask(reserve("u1", "plantedann", "planted@x")).unwrap();
    ask(Command::Confirm { user: user.clone() }).unwrap();
    ask(Command::AddAlias { user: user.clone(), alias: "plantedalias".into(), slot: SlotId(3) }).unwrap();
    assert_eq!(find(&platform, "plantedalias"), Some(entry("u1", "plantedann")));
    assert_eq!(find(&platform, "plantedann"), Some(entry("u1", "plantedann")));
    ask(Command::Release { user }).unwrap();
    assert_eq!((find(&platform, "plantedann"), find(&platform, "plantedalias")), (None, None));
    for file in std::fs::read_dir(dir.path().join("platform")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"planted"));
    }
    ask(reserve("u2", "plantedann", "planted@x")).unwrap();
}

#[test]
fn names_and_aliases_share_one_space() {
    let dir = tempfile::TempDir::new().unwrap();
    let platform = open(&dir);
    let ask = |command| wait(platform.call(command));
    ask(reserve("u1", "ann", "a@x")).unwrap();
    ask(reserve("u2", "bob", "b@x")).unwrap();
    let alias = |alias: &str| Command::AddAlias { user: UserId::new("u1"), alias: alias.into(), slot: SlotId(3) };
    assert!(matches!(ask(alias("bob")), Err(StoreError::Taken(_))));
    ask(alias("nick")).unwrap();
    assert!(matches!(ask(reserve("u3", "nick", "n@x")), Err(StoreError::Taken(_))));
    ask(Command::RemoveAlias { alias: "nick".into() }).unwrap();
    assert_eq!(ask(Command::RemoveAlias { alias: "nick".into() }).unwrap_err(), StoreError::NotFound);
    ask(reserve("u3", "nick", "n@x")).unwrap();
}

#[test]
fn unique_fields_change_hands_only_when_free() {
    let dir = tempfile::TempDir::new().unwrap();
    let platform = open(&dir);
    let ask = |command| wait(platform.call(command));
    for (user, name, email) in [("u1", "ann", "a@x"), ("u2", "bob", "b@x")] {
        ask(reserve(user, name, email)).unwrap();
        ask(Command::Confirm { user: UserId::new(user) }).unwrap();
    }
    let set = |user: &str, value: Option<&str>| Command::SetUnique {
        user: UserId::new(user),
        field: "email".into(),
        value: value.map(str::to_owned),
    };
    let owner = |value: &str| match ask(Command::FindUnique { field: "email".into(), value: value.into() }).unwrap() {
        Answer::User(found) => found.map(|entry| entry.username),
        other => panic!("{other:?}"),
    };
    assert!(matches!(ask(set("u1", Some("b@x"))), Err(StoreError::Taken(_))));
    ask(set("u1", Some("new@x"))).unwrap();
    assert_eq!((owner("a@x"), owner("new@x").as_deref()), (None, Some("ann")));
    ask(set("u2", Some("a@x"))).unwrap();
    ask(set("u2", None)).unwrap();
    assert_eq!(owner("a@x"), None);
}

#[test]
fn a_unique_field_holds_both_values_until_its_change_is_settled() {
    let dir = tempfile::TempDir::new().unwrap();
    let platform = open(&dir);
    let ask = |command| wait(platform.call(command));
    for (user, name, email) in [("u1", "ann", "a@x"), ("u2", "bob", "b@x")] {
        ask(reserve(user, name, email)).unwrap();
        ask(Command::Confirm { user: UserId::new(user) }).unwrap();
    }
    let add = |user: &str, value: &str| Command::AddUnique {
        user: UserId::new(user),
        field: "email".into(),
        value: value.to_owned(),
    };
    let doubled = || match ask(Command::DoubledUnique).unwrap() {
        Answer::Fields(found) => found.into_iter().map(|(entry, field)| (entry.username, field)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(ask(add("u1", "b@x")), Err(StoreError::Taken(_))));
    assert!(doubled().is_empty());
    ask(add("u1", "new@x")).unwrap();
    ask(add("u1", "new@x")).unwrap();
    assert!(matches!(ask(add("u2", "new@x")), Err(StoreError::Taken(_))));
    assert!(matches!(ask(add("u2", "a@x")), Err(StoreError::Taken(_))));
    assert_eq!(doubled(), [("ann".to_owned(), "email".to_owned())]);
    let value = Some("new@x".to_owned());
    ask(Command::SetUnique { user: UserId::new("u1"), field: "email".into(), value }).unwrap();
    assert!(doubled().is_empty());
    ask(add("u2", "a@x")).unwrap();
}

#[test]
fn keys_are_set_read_and_removed() {
    let dir = tempfile::TempDir::new().unwrap();
    let platform = open(&dir);
    let set = |value| Command::Set { key: "k".into(), value };
    let get = || match wait(platform.call(Command::Get { key: "k".into() })).unwrap() {
        Answer::Value(value) => value,
        other => panic!("{other:?}"),
    };
    assert_eq!(get(), None);
    wait(platform.call(set(Some(json!({ "a": [1] }))))).unwrap();
    assert_eq!(get(), Some(json!({ "a": [1] })));
    wait(platform.call(set(None))).unwrap();
    assert_eq!(get(), None);
}
