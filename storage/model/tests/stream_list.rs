//! `streams.get`: which streams are listed, in which order and shape.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use common::{World, app, personal, shared};
use model::Access;
use model::permission::{ListRefused, ListStreams};
use model::query::TrashState;
use serde_json::{Value, json};

fn list(world: &World, access: &Access, request: ListStreams<'_>) -> Result<Value, ListRefused> {
    world.caller(access).list_streams(request).map(Value::from)
}

fn roots(world: &World, access: &Access) -> Value {
    list(world, access, ListStreams::default()).unwrap()
}

/// `id(child child)`, so that a whole answer can be compared.
fn shape(streams: &Value) -> String {
    let one = |stream: &Value| {
        let children = shape(&stream["children"]);
        let id = stream["id"].as_str().unwrap().to_owned();
        if children.is_empty() { id } else { format!("{id}({children})") }
    };
    streams.as_array().map(|list| list.iter().map(one).collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

const ACCOUNT: &str = ":_system:account(:_system:language :_system:storageUsed(:_system:dbDocuments :_system:attachedFiles) :system:email)";

fn forest() -> World {
    World::new(&["zoo", "b", "b/bb", "A", "A/AA", "AA/AAA", "~t", "t/tt"])
}

#[test]
fn the_root_call_lists_stores_then_streams_by_name_then_the_account() {
    let streams = roots(&forest(), &personal());
    assert_eq!(shape(&streams), format!(":_audit: A(AA(AAA)) b(bb) :_emails: zoo {ACCOUNT}"));
    assert_eq!(streams[0]["childrenHidden"], true);
    assert_eq!(streams[0]["created"].to_string(), "10000001.00000001");
    let emails = json!({"id": ":_emails:", "name": "Emails", "parentId": null,
        "clientData": {"emails": {"kind": "reserved", "autoProvisioned": true}}, "children": []});
    assert_eq!(streams[3], emails);
    assert_eq!(streams[1]["children"][0]["parentId"], "A");
}

#[test]
fn without_audit_its_store_is_not_there() {
    let mut world = forest();
    world.audit_active = false;
    assert_eq!(shape(&roots(&world, &personal())), format!("A(AA(AAA)) b(bb) :_emails: zoo {ACCOUNT}"));
    assert_eq!(shape(&roots(&world, &shared(&[("b", "read")]))), "b(bb)");
}

#[test]
fn the_trash_is_listed_only_when_asked_for() {
    let request = ListStreams { state: TrashState::All, ..ListStreams::default() };
    let streams = list(&forest(), &personal(), request).unwrap();
    assert!(shape(&streams).contains(" t(tt) "), "{}", shape(&streams));
    let unknown = |parameter| ListRefused::UnknownStream { parameter, id: "t".into() };
    let by_id = ListStreams { id: Some("t"), ..ListStreams::default() };
    let by_parent = ListStreams { parent_id: Some("t"), ..ListStreams::default() };
    assert_eq!(list(&forest(), &personal(), by_id), Err(unknown("id")));
    assert_eq!(list(&forest(), &personal(), by_parent), Err(unknown("parentId")));
    let with_trash = ListStreams { state: TrashState::All, ..by_parent };
    assert_eq!(shape(&list(&forest(), &personal(), with_trash).unwrap()), "tt");
    let below = ListStreams { id: Some("tt"), ..ListStreams::default() };
    assert_eq!(shape(&list(&forest(), &personal(), below).unwrap()), "tt", "only its ancestor is in the trash");
}

#[test]
fn a_limited_access_sees_one_entry_per_permission_and_its_own_audit() {
    let access = shared(&[
        ("zoo", "read"),
        ("AA", "create-only"),
        ("A", "read"),
        ("b", "none"),
        ("gone", "read"),
        ("t", "read"),
    ]);
    let streams = roots(&forest(), &access);
    assert_eq!(shape(&streams), "zoo AA(AAA) A(AA(AAA)) :_audit:access-me");
    assert_eq!(streams[1]["parentId"], "A", "its parent is listable");
    let access = shared(&[("AA", "read"), ("AAA", "none"), ("selfAudit", "forbidden")]);
    let streams = roots(&forest(), &access);
    assert_eq!(shape(&streams), "AA");
    assert_eq!(streams[0]["parentId"], Value::Null);
    assert_eq!(streams[0]["children"], json!([]));
}

#[test]
fn granted_account_streams_are_entries_without_the_hidden_ones() {
    let access = app(&[(":_system:account", "read"), ("selfAudit", "forbidden")]);
    assert_eq!(shape(&roots(&forest(), &access)), ACCOUNT);
    let access = app(&[(":system:email", "read"), (":_system:appId", "read"), ("selfAudit", "forbidden")]);
    let streams = roots(&forest(), &access);
    assert_eq!(shape(&streams), ":system:email");
    assert_eq!(streams[0]["parentId"], Value::Null);
}

#[test]
fn a_star_lists_everything_but_closed_sub_trees_and_keeps_what_is_open_inside() {
    let access = app(&[("*", "read"), ("A", "none"), ("AAA", "read")]);
    let expected = format!(":_audit: b(bb) :_emails: zoo AAA :_audit:access-me {ACCOUNT}");
    assert_eq!(shape(&roots(&forest(), &access)), expected);
}

#[test]
fn secrets_of_others_and_the_inside_of_the_messaging_plugin_are_pruned() {
    let world = World::new(&[
        ":_shared-secrets:",
        ":_shared-secrets:/:_shared-secrets:me",
        ":_shared-secrets:/:_shared-secrets:x",
        ":_cmc:",
        ":_cmc:/:_cmc:_internal",
        ":_cmc:/:_cmc:inbox",
    ]);
    let access = app(&[("*", "read"), ("selfAudit", "forbidden")]);
    let expected = format!(":_audit: :_cmc:(:_cmc:inbox) :_emails: :_shared-secrets:me {ACCOUNT}");
    assert_eq!(shape(&roots(&world, &access)), expected);
    assert!(shape(&roots(&world, &personal())).contains(":_cmc:(:_cmc:inbox)"));
    assert!(shape(&roots(&world, &personal())).contains(":_shared-secrets:(:_shared-secrets:me :_shared-secrets:x)"));
}

#[test]
fn id_gives_one_stream_and_parent_id_its_children() {
    let ask = |id: Option<&str>, parent_id: Option<&str>| {
        let request = ListStreams { id, parent_id, state: TrashState::Default };
        list(&forest(), &personal(), request).map(|streams| shape(&streams))
    };
    assert_eq!(ask(Some("A"), None).unwrap(), "A(AA(AAA))");
    assert_eq!(ask(None, Some("A")).unwrap(), "AA(AAA)");
    assert_eq!(ask(Some("A"), Some("A")), Err(ListRefused::BothIdAndParent));
    assert_eq!(ask(None, Some(":_audit:")).unwrap(), ":_audit:accesses :_audit:actions");
    assert_eq!(ask(Some(":_audit:"), None).unwrap(), ":_audit:(:_audit:accesses :_audit:actions)");
    assert_eq!(ask(Some(":_system:appId"), None).unwrap(), ":_system:appId", "hidden, but named by the user");
    assert_eq!(ask(Some(":_system:account"), None).unwrap(), ACCOUNT);
    assert_eq!(ask(Some(":nostore:x"), None), Err(ListRefused::UnknownStore("nostore".into())));
}

#[test]
fn an_unknown_stream_is_told_to_the_user_and_forbidden_to_others() {
    let by_id = ListStreams { id: Some("nope"), ..ListStreams::default() };
    let unknown = ListRefused::UnknownStream { parameter: "id", id: "nope".into() };
    assert_eq!(list(&forest(), &personal(), by_id), Err(unknown.clone()));
    assert_eq!(list(&forest(), &app(&[("*", "read")]), by_id), Err(unknown));
    for access in [shared(&[("A", "read")]), shared(&[("nope", "read")])] {
        assert!(matches!(list(&forest(), &access, by_id), Err(ListRefused::Forbidden(_))));
    }
    let known = ListStreams { id: Some("b"), ..ListStreams::default() };
    assert!(matches!(list(&forest(), &shared(&[("A", "read")]), known), Err(ListRefused::Forbidden(_))));
}

#[test]
fn a_very_deep_tree_is_cut_instead_of_exhausting_the_stack() {
    let lines: Vec<String> =
        (0..5_000).map(|n| if n == 0 { "d0".to_owned() } else { format!("d{}/d{n}", n - 1) }).collect();
    let world = World::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let streams = roots(&world, &shared(&[("d0", "read"), ("selfAudit", "forbidden")]));
    let depth = shape(&streams).matches('(').count() + 1;
    assert_eq!(depth, model::permission::STREAM_DEPTH_MAX);
}
