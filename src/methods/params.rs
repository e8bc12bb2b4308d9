//! Parameters of methods: where they come from, coercion of query strings, checks (spec 01, sections 4.3, 4.4, 6.3).

use model::schema::Schema;
use serde_json::{Map, Value, json};

use super::MethodId;
use crate::edge::Body;
use crate::error::{ApiError, ApiResult};

/// The parameters of an HTTP call: query and path for reads and deletions, the body for creations,
/// `{id, update}` for updates.
pub fn of_call(id: MethodId, item: Option<String>, query: Map<String, Value>, body: Body) -> ApiResult<Value> {
    let body = match body {
        Body::Json(value) => value,
        Body::Absent => Value::Object(Map::new()),
        // Files were taken out before; raw bodies belong to the series routes.
        Body::Multipart { json, .. } => json,
        Body::Raw { .. } | Body::Upload { .. } => Value::Object(Map::new()),
    };
    let is_update = matches!(id, MethodId::StreamsUpdate | MethodId::EventsUpdate);
    if id == MethodId::EventsAddAttachments {
        // A part with JSON is read and ignored (spec 03, section 6.4).
        return Ok(json!({ "id": item }));
    }
    let is_post = matches!(id, MethodId::StreamsCreate | MethodId::EventsCreate | MethodId::AccessesCreate);
    if is_post || id == MethodId::AuthLogin {
        return Ok(body);
    }
    if is_update {
        return Ok(json!({ "id": item, "update": body }));
    }
    let mut params = query;
    coerce(id, &mut params);
    if let Some(item) = item {
        params.insert("id".into(), item.into());
    }
    Ok(Value::Object(params))
}

/// Query strings carry text only; these are turned into what the method expects. What cannot be turned stays
/// text and fails the check.
fn coerce(id: MethodId, params: &mut Map<String, Value>) {
    let (numbers, booleans, lists): (&[&str], &[&str], &[&str]) = match id {
        MethodId::EventsGet => (
            &["fromTime", "toTime", "skip", "limit", "modifiedSince"],
            &["sortAscending", "includeDeletions", "running"],
            &["types"],
        ),
        MethodId::EventsGetOne => (&[], &["includeHistory"], &[]),
        MethodId::StreamsGet => (&["includeDeletionsSince"], &[], &[]),
        MethodId::StreamsDelete => (&[], &["mergeEventsWithParent"], &[]),
        MethodId::AccessesGet => (&[], &["includeExpired", "includeDeletions"], &[]),
        _ => (&[], &[], &[]),
    };
    let mut turn = |names: &[&str], into: fn(&str) -> Option<Value>| {
        for name in names {
            if let Some(value) = params.get(*name).and_then(Value::as_str).and_then(into) {
                params.insert((*name).to_owned(), value);
            }
        }
    };
    turn(numbers, |text| number(text).map(model::time::number));
    turn(booleans, |text| match text.to_ascii_lowercase().as_str() {
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        _ => None,
    });
    turn(lists, |text| Some(json!([text])));
}

/// ECMAScript `Number(text)`, finite results only.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.is_empty() {
        return Some(0.0);
    }
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok();
    let whole = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => Some(radix(text.get(2..)?, 16)?),
        Some("0o") => Some(radix(text.get(2..)?, 8)?),
        Some("0b") => Some(radix(text.get(2..)?, 2)?),
        _ => None,
    };
    #[allow(clippy::cast_precision_loss, reason = "Number() rounds to a double as well")]
    if let Some(whole) = whole {
        return Some(whole as f64);
    }
    // Rust also reads "inf", "nan" and "infinity"; a JSON number is none of them.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The parameters as an object, after the method's schema.
pub fn checked<'a>(schema: &Schema, params: &'a Value) -> ApiResult<&'a Map<String, Value>> {
    check(schema, params)?;
    params.as_object().ok_or_else(|| ApiError::invalid_parameters_text("The parameters must be an object."))
}

/// 400 with all problems, in the form of every validation error.
pub fn check(schema: &Schema, value: &Value) -> ApiResult<()> {
    schema.check(value).map_err(|problems| {
        ApiError::invalid_parameters(problems.iter().map(model::schema::Problem::to_json).collect())
    })
}

/// A compiled schema of ours; a mistake in it shows at the first test.
pub fn schema(document: Value) -> Schema {
    Schema::compile(&document).expect("the schemas of methods are constants that a test compiles")
}

pub fn text<'a>(params: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    params.get(name).and_then(Value::as_str)
}

pub fn object(params: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    params.get(name).and_then(Value::as_object).cloned()
}

pub fn flag(params: &Map<String, Value>, name: &str) -> bool {
    params.get(name).and_then(Value::as_bool).unwrap_or(false)
}

pub fn seconds(params: &Map<String, Value>, name: &str) -> Option<f64> {
    params.get(name).and_then(Value::as_f64)
}

/// Fields of an update that only the server may set (spec 01, section 4.5): an error that names them, or, with
/// `updates.ignoreProtectedFields`, dropped.
pub fn check_protected(update: &mut Map<String, Value>, protected: &[&str], ignore: bool) -> ApiResult<()> {
    let named: Vec<&str> = protected.iter().copied().filter(|field| update.contains_key(*field)).collect();
    if named.is_empty() {
        return Ok(());
    }
    if !ignore {
        return Err(ApiError::forbidden(format!(
            "Forbidden update was attempted on protected field(s): {}",
            named.join(", ")
        )));
    }
    tracing::warn!(fields = named.join(", "), "protected fields of an update were ignored");
    for field in named {
        update.remove(field);
    }
    Ok(())
}

/// `clientData` of an update: merged by top-level key, null removes a key, null as a whole removes all.
pub fn merge_client_data(current: Option<Map<String, Value>>, update: &Value) -> Option<Map<String, Value>> {
    let Value::Object(update) = update else { return None };
    let mut merged = current.unwrap_or_default();
    for (key, value) in update {
        if value.is_null() {
            merged.shift_remove(key);
        } else {
            merged.insert(key.clone(), value.clone());
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_query_are_read_as_ecmascript_does() {
        assert_eq!(number(""), Some(0.0));
        assert_eq!(number("1e3"), Some(1000.0));
        assert_eq!(number(" 12.5 "), Some(12.5));
        assert_eq!(number("0x10"), Some(16.0));
        for text in ["abc", "1,5", "Infinity", "nan", "12abc"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_null_removes_a_key_of_client_data_and_null_as_a_whole_removes_all() {
        let current = json!({ "a": 1, "b": 2 }).as_object().cloned();
        let merged = merge_client_data(current.clone(), &json!({ "b": null, "c": 3 }));
        assert_eq!(merged, json!({ "a": 1, "c": 3 }).as_object().cloned());
        assert_eq!(merge_client_data(current, &Value::Null), None);
    }

    #[test]
    fn protected_fields_are_refused_by_name_or_dropped() {
        let mut update = json!({ "name": "x", "id": "y" }).as_object().cloned().unwrap();
        let error = check_protected(&mut update, &["id", "created"], false).unwrap_err();
        assert_eq!((error.status, error.message.contains("id")), (403, true));
        assert!(check_protected(&mut update, &["id", "created"], true).is_ok());
        assert!(!update.contains_key("id"));
    }
}
