//! `storages.contentIndexes`: paths in contents and client data by which events are found without a look at the others.

use model::query_input;
use serde_json::{Map, Value};
use storage::embedded::{CONTENT_INDEXES_MAX, ContentIndex, IndexedField};

use super::error::Findings;

pub(super) const KEY: &str = "storages:contentIndexes";
const FIELDS: [&str; 3] = ["field", "path", "types"];
const PATH_CHARS_MAX: usize = 200;

/// What is wrong in an item, and the name of the field that it is in (empty: the item itself).
type Wrong = (&'static str, &'static str);

/// The indexes of a list; what is wrong with one becomes a finding, and it is left out.
pub(super) fn indexes(list: &[Value], findings: &mut Findings) -> Vec<ContentIndex> {
    if list.len() > CONTENT_INDEXES_MAX {
        findings
            .rule(KEY, format!("may hold {CONTENT_INDEXES_MAX} indexes: each of them costs every write of an event"));
        return Vec::new();
    }
    let mut indexes = Vec::new();
    for (number, item) in list.iter().enumerate() {
        match index(item) {
            Ok(index) if indexes.contains(&index) => {}
            Ok(index) => indexes.push(index),
            Err(("", text)) => findings.rule(&format!("{KEY}:{number}"), text),
            Err((name, text)) => findings.rule(&format!("{KEY}:{number}:{name}"), text),
        }
    }
    indexes
}

fn index(item: &Value) -> Result<ContentIndex, Wrong> {
    let map = item.as_object().ok_or(("", "must be a map such as { field: content, path: device.id }"))?;
    if map.keys().any(|name| !FIELDS.contains(&name.as_str())) {
        return Err(("", "is made of field, path and types: remove what else is there"));
    }
    check_types(map)?;
    let field = match map.get("field").and_then(Value::as_str) {
        Some("content") => IndexedField::Content,
        Some("clientData") => IndexedField::ClientData,
        _ => return Err(("field", "must be content or clientData")),
    };
    let path = map.get("path").and_then(Value::as_str).filter(|path| path.len() <= PATH_CHARS_MAX);
    let path = path.and_then(query_input::parse_path).ok_or((
        "path",
        "must be a path as in a query, such as device.id, or $ for the whole; at most 200 characters",
    ))?;
    Ok(ContentIndex::new(field, path))
}

/// The embedded engine indexes a path in events of every type, so the list is checked and not used.
fn check_types(map: &Map<String, Value>) -> Result<(), Wrong> {
    let is_type = |item: &Value| item.as_str().is_some_and(query_input::is_event_type);
    match map.get("types") {
        None => Ok(()),
        Some(Value::Array(types)) if types.iter().all(is_type) => Ok(()),
        Some(_) => Err(("types", "must be a list of event types such as note/txt")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(list: &Value) -> Result<Vec<ContentIndex>, Vec<String>> {
        let mut findings = Findings::default();
        let indexes = indexes(list.as_array().unwrap(), &mut findings);
        findings.into_result(indexes).map_err(|errors| errors.findings.iter().map(|f| f.path.clone()).collect())
    }

    #[test]
    fn an_index_is_a_field_and_a_path_and_counts_once() {
        let indexes = read(&json!([
            {"field": "content", "path": "device.id", "types": ["note/txt"]},
            {"field": "clientData", "path": "my-app:state"},
            {"field": "content", "path": "$"},
            {"field": "content", "path": "device.id"},
        ]));
        let index = |field, path: &[&str]| ContentIndex::new(field, path.iter().map(|&part| part.to_owned()).collect());
        let expected = vec![
            index(IndexedField::Content, &["device", "id"]),
            index(IndexedField::ClientData, &["my-app:state"]),
            index(IndexedField::Content, &[]),
        ];
        assert_eq!(indexes.unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_where_it_is() {
        let wrong = read(&json!([
            7,
            {"field": "content", "path": "a", "unique": true},
            {"field": "type", "path": "a"},
            {"field": "content", "path": "a[0]"},
            {"field": "content"},
            {"field": "content", "path": "x".repeat(201)},
            {"field": "content", "path": "a", "types": ["note"]},
        ]));
        let at = |number: usize, name: &str| format!("{KEY}:{number}{name}");
        let expected =
            [at(0, ""), at(1, ""), at(2, ":field"), at(3, ":path"), at(4, ":path"), at(5, ":path"), at(6, ":types")];
        assert_eq!(wrong.unwrap_err(), expected);
        let many: Value =
            (0..=CONTENT_INDEXES_MAX).map(|n| json!({"field": "content", "path": format!("p{n}")})).collect();
        assert_eq!(read(&many).unwrap_err(), [KEY]);
    }
}
