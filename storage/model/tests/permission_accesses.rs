//! Who may see, make, change and delete accesses.

mod common;

use common::{World, app, personal, shared};
use model::permission::{AccessChange, NewAccess, Refused};
use model::{Access, AccessKind, Permission};
use serde_json::json;

fn forest() -> World {
    World::new(&["A", "A/AA", "B"])
}

fn create(world: &World, creator: &Access, kind: AccessKind, permissions: &[(&str, &str)]) -> Result<(), Refused> {
    let permissions = shared(permissions).permissions;
    world.caller(creator).create_access(&NewAccess { kind, permissions: &permissions, expires: None }).map(drop)
}

fn made_by(mut access: Access, id: &str, creator: &str) -> Access {
    access.id = id.into();
    access.created_by = creator.into();
    access
}

#[test]
fn a_shared_access_has_no_business_with_others() {
    let world = forest();
    let (me, other) = (shared(&[("*", "manage")]), made_by(shared(&[]), "x", "me"));
    let caller = world.caller(&me);
    assert!(caller.list_accesses().is_err() && caller.see_access(&other).is_err());
    assert!(create(&world, &me, AccessKind::Shared, &[("A", "read")]).is_err());
    assert!(caller.update_access(&other, &AccessChange::default(), None, &[]).is_err());
    assert!(caller.delete_access(&other).is_err());
    assert!(caller.delete_access(&me).is_ok(), "itself");
}

#[test]
fn what_each_level_may_give_is_the_table() {
    let world = forest();
    let all = ["none", "read", "create-only", "contribute", "manage"];
    for (own, given) in [
        ("none", &["none"][..]),
        ("read", &["none", "read"]),
        ("create-only", &[]),
        ("contribute", &["none", "read", "create-only", "contribute"]),
        ("manage", &all),
    ] {
        for level in all {
            let creator = app(&[("A", own)]);
            let outcome = create(&world, &creator, AccessKind::Shared, &[("AA", level)]);
            assert_eq!(outcome.is_ok(), given.contains(&level), "{own} gives {level}");
        }
    }
}

#[test]
fn an_app_gives_at_least_one_stream_and_only_to_shared_accesses() {
    let world = forest();
    let creator = app(&[("*", "manage")]);
    assert!(create(&world, &creator, AccessKind::Shared, &[("not-yet-made", "manage")]).is_ok());
    assert!(create(&world, &creator, AccessKind::Shared, &[]).is_err());
    assert!(create(&world, &creator, AccessKind::Shared, &[("selfRevoke", "forbidden")]).is_err());
    assert!(create(&world, &creator, AccessKind::App, &[("A", "read")]).is_err());
    assert!(create(&world, &personal(), AccessKind::App, &[]).is_ok());
    assert!(create(&world, &personal(), AccessKind::Personal, &[]).is_err());
    assert!(create(&world, &app(&[("A", "manage")]), AccessKind::Shared, &[("B", "none")]).is_err());
}

#[test]
fn feature_permissions_are_given_by_those_who_have_the_feature() {
    let world = forest();
    let give = |own: &[(&str, &str)], given: (&str, &str)| {
        let own: Vec<(&str, &str)> = [("A", "read")].iter().chain(own).copied().collect();
        create(&world, &app(&own), AccessKind::Shared, &[("A", "read"), given]).is_ok()
    };
    assert!(give(&[], ("selfRevoke", "allowed")) && give(&[], ("selfRevoke", "forbidden")));
    assert!(give(&[("selfRevoke", "forbidden")], ("selfRevoke", "forbidden")));
    assert!(!give(&[("selfRevoke", "forbidden")], ("selfRevoke", "allowed")));
    assert!(give(&[], ("selfAudit", "forbidden")));
    assert!(!give(&[("selfAudit", "allowed")], ("selfAudit", "forbidden")));
    assert!(!give(&[], ("my-feature", "allowed")));
    assert!(create(&world, &personal(), AccessKind::App, &[("my-feature", "allowed")]).is_ok());
}

#[test]
fn account_streams_are_given_with_care() {
    let world = forest();
    let give = |id: &str, level: &str| create(&world, &personal(), AccessKind::App, &[(id, level)]);
    assert!(matches!(give(":system:zzz", "read"), Err(Refused::Forbidden(_))));
    for (id, level) in [(":_system:invitationToken", "read"), (":system:email", "manage")] {
        let Err(Refused::InvalidOperation { data, .. }) = give(id, level) else { panic!("{id} {level}") };
        assert_eq!(data, json!({ "param": id }));
    }
    assert!(give(":system:email", "contribute").is_ok() && give(":_system:account", "manage").is_ok());
}

#[test]
fn forbidden_characters_in_a_stream_id_are_refused() {
    let world = forest();
    let outcome = create(&world, &personal(), AccessKind::App, &[("whdaup \"\" /", "read")]);
    assert!(matches!(outcome, Err(Refused::InvalidStructure(_))));
    assert!(create(&world, &personal(), AccessKind::App, &[(":az&", "read")]).is_ok());
}

#[test]
fn a_child_expires_no_later_than_its_maker() {
    let world = forest();
    let mut creator = app(&[("A", "read")]);
    creator.expires = Some(100.0);
    let permissions = shared(&[("A", "read")]).permissions;
    let ask = |expires| {
        let new = NewAccess { kind: AccessKind::Shared, permissions: &permissions, expires };
        world.caller(&creator).create_access(&new).map(drop)
    };
    assert!(ask(Some(100.0)).is_ok() && ask(None).is_ok());
    let Err(Refused::InvalidOperation { data, .. }) = ask(Some(101.0)) else { panic!("accepted") };
    assert_eq!(data, json!({ "parentExpires": 100.0, "requestedExpires": 101.0 }));
}

#[test]
fn the_restriction_on_secrets_is_inherited_once() {
    let world = forest();
    let restricted = app(&[("A", "manage"), ("secretSharing", "forbidden")]);
    let forbidden = Permission::Feature { feature: "secretSharing".into(), setting: "forbidden".into() };
    let inherited = world.caller(&restricted).inherited_permissions(Vec::new());
    assert_eq!(inherited, [forbidden]);
    assert_eq!(world.caller(&restricted).inherited_permissions(inherited.clone()), inherited);
    assert!(world.caller(&app(&[])).inherited_permissions(Vec::new()).is_empty());
}

#[test]
fn an_app_sees_itself_and_what_it_made() {
    let world = forest();
    let me = app(&[]);
    let caller = world.caller(&me);
    assert!(caller.see_access(&me).is_ok());
    assert!(caller.see_access(&made_by(shared(&[]), "x", "me:2 nurse")).is_ok());
    assert!(matches!(caller.see_access(&made_by(shared(&[]), "x", "other")), Err(Refused::Unknown(_))));
    assert!(caller.lists_access(&made_by(shared(&[]), "x", "me")));
    assert!(!caller.lists_access(&made_by(shared(&[]), "x", "me nurse")), "made with a caller id");
    assert!(!caller.lists_access(&me));
}

#[test]
fn nobody_changes_itself_or_a_personal_access() {
    let world = forest();
    let (user, me) = (personal(), app(&[("A", "manage")]));
    let change = AccessChange::default();
    let update =
        |caller: &Access, target: &Access| world.caller(caller).update_access(target, &change, None, &[]).is_ok();
    assert!(!update(&me, &me) && !update(&user, &user));
    assert!(!update(&user, &made_by(personal(), "x", "system")));
    assert!(update(&user, &made_by(app(&[]), "x", "me")) && update(&user, &made_by(shared(&[]), "x", "y")));
    assert!(update(&me, &made_by(shared(&[]), "x", "me")));
    assert!(!update(&me, &made_by(app(&[]), "x", "me")) && !update(&me, &made_by(shared(&[]), "x", "y")));
}

#[test]
fn a_changed_access_fits_into_the_one_that_made_it() {
    let world = forest();
    let user = made_by(personal(), "user", "system");
    let manager = made_by(app(&[("A", "contribute"), ("secretSharing", "forbidden")]), "app", "user");
    let target = made_by(shared(&[]), "x", "app");
    let update = |permissions: &[(&str, &str)]| {
        let permissions = shared(permissions).permissions;
        let change = AccessChange { permissions: Some(&permissions), expires: None };
        world.caller(&user).update_access(&target, &change, Some(&manager), &[]).map(drop)
    };
    assert!(update(&[("AA", "read"), ("secretSharing", "forbidden")]).is_ok());
    for exceeding in [&[("A", "manage"), ("secretSharing", "forbidden")][..], &[("AA", "read")]] {
        let Err(Refused::InvalidOperation { data, .. }) = update(exceeding) else { panic!("accepted") };
        assert_eq!(data, json!({ "managingAccessId": "app" }));
    }
}

#[test]
fn an_app_is_not_narrowed_below_what_it_gave() {
    let world = forest();
    let user = made_by(personal(), "user", "system");
    let target = made_by(app(&[("A", "manage")]), "app", "user");
    let mut child = made_by(shared(&[("AA", "contribute")]), "child", "app");
    child.expires = Some(50.0);
    let update = |permissions: Option<&[(&str, &str)]>, expires| {
        let permissions = permissions.map(|list| shared(list).permissions);
        let change = AccessChange { permissions: permissions.as_deref(), expires };
        world.caller(&user).update_access(&target, &change, None, &[&child]).map(drop)
    };
    assert!(update(Some(&[("A", "contribute")]), Some(Some(60.0))).is_ok());
    assert!(update(None, Some(None)).is_ok());
    for outcome in [update(Some(&[("A", "read")]), None), update(None, Some(Some(40.0)))] {
        let Err(Refused::InvalidOperation { data, .. }) = outcome else { panic!("accepted") };
        assert_eq!(data, json!({ "offendingChildren": ["child"] }));
    }
}

#[test]
fn an_access_deletes_itself_unless_forbidden() {
    let world = forest();
    for forbidden in [app(&[("selfRevoke", "forbidden")]), shared(&[("selfRevoke", "forbidden")])] {
        assert!(world.caller(&forbidden).delete_access(&forbidden).is_err());
        assert!(world.caller(&personal()).delete_access(&forbidden).is_ok());
    }
    let me = app(&[]);
    assert!(world.caller(&me).delete_access(&me).is_ok());
    assert!(world.caller(&me).delete_access(&made_by(shared(&[]), "x", "me")).is_ok());
    assert!(world.caller(&me).delete_access(&made_by(shared(&[]), "x", "me nurse")).is_err());
}

#[test]
fn the_author_of_a_changed_access_shows_the_version() {
    let world = forest();
    let mut me = app(&[("A", "manage")]);
    me.serial = Some(2);
    let target = made_by(shared(&[]), "x", "me");
    let grant = world.caller(&me).update_access(&target, &AccessChange::default(), None, &[]).unwrap();
    assert_eq!(grant.author().as_str(), "me:2");
}
