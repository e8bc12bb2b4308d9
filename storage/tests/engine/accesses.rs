//! Creating accesses.

use model::{AccessKind, Level, Permission};
use serde_json::json;
use storage::StoreError;
use storage::base::{Write, WriteCall, Written};

use crate::common::{access, call, every, record, wait};
use crate::home::Home;

pub(crate) fn unique(home: &Home) {
    home.create_user("u1");
    let taken = |pairs: &[(&str, serde_json::Value)]| {
        StoreError::Taken(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let make = |id: &str, token: &str, kind: AccessKind, device: Option<&str>| {
        let mut access = access(id, token, kind, "app");
        access.device_name = device.map(str::to_owned);
        home.write("u1", Write::CreateAccess { access: Box::new(access) })
    };
    make("a", "t1", AccessKind::App, None).unwrap();
    assert_eq!(make("b", "t1", AccessKind::Shared, None).unwrap_err(), taken(&[("token", json!("(hidden)"))]));
    let (kind, name) = (("type", json!("app")), ("name", json!("app")));
    assert_eq!(make("b", "t2", AccessKind::App, None).unwrap_err(), taken(&[kind, name]));
    make("b", "t2", AccessKind::App, Some("phone")).unwrap();
    make("c", "t3", AccessKind::Shared, None).unwrap();
    let shared = [("type", json!("shared")), ("name", json!("app")), ("deviceName", json!(null))];
    assert_eq!(make("d", "t4", AccessKind::Shared, None).unwrap_err(), taken(&shared));
    assert_eq!(make("c", "t5", AccessKind::Personal, None).unwrap_err(), taken(&[("id", json!("c"))]));
    assert_eq!(home.space("u1").accesses.len(), 3);
}

pub(crate) fn reads_back(home: &Home) {
    home.create_user("u1");
    let version = home.space("u1").version;
    let mut made = access("a", "t1", AccessKind::Shared, "name");
    made.permissions = vec![
        Permission::Stream { stream_id: "*".into(), level: Level::Contribute },
        Permission::Feature { feature: "selfRevoke".into(), setting: "forbidden".into() },
    ];
    made.client_data = json!({ "k": [1] }).as_object().cloned();
    (made.expires, made.alias, made.serial) = (Some(9e9), Some("alias".into()), Some(3));
    let write = Write::CreateAccess { access: Box::new(made) };
    let audit = Some(record("r1", "acc", "accesses.create", 10.0));
    let written = match wait(home.store.write(WriteCall { audit, ..call("u1", write) })).unwrap() {
        Written::Access(access) => *access,
        other => panic!("{other:?}"),
    };
    assert!(written.integrity.is_some() && written.created == written.modified && written.created_by == "system");
    let space = home.space("u1");
    assert_eq!((space.version, space.accesses.as_slice()), (version + 1, &[written.clone()][..]));
    let records = home.audit("u1", &every());
    assert_eq!(records[0]["content"]["record"]["integrity"], json!(written.integrity));
}
