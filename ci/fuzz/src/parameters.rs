//! Targets of `model`: what stands between a client's JSON and the methods. The methods themselves are fed by
//! `cargo ci fuzz-http`.

use model::query_input::{self, CONDITIONS_MAX, STREAM_ALL_IDS_MAX, STREAM_QUERIES_MAX};
use model::schema::Schema;
use model::{integrity, permission::reserved, slug, username};
use serde_json::Value;

#[rustfmt::skip] // words, not statements
pub(crate) const QUERY_WORDS: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "false", "\"any\":", "\"all\":", "\"not\":", "\"and\":", "[\"*\"]",
    "\"a!\"", "\"s\"", ":_audit:", ":_system:account", "\"$\"", "\"field\":", "\"op\":", "\"path\":", "\"eq\"", "\"in\"",
    "\"exists\"", "\"gt\"", "\"value\":", "\"equals\":", "0", "-0.0", "1e308", "1e-7", "9007199254740993", "\\u0000", "\\ud800",
    "é", "[[]]", "{}",
];
#[rustfmt::skip] // the same
pub(crate) const SCHEMA_WORDS: &[&str] = &[
    "\n", "{", "}", "[", "]", ",", ":", "\"", "null", "true", "\"type\":", "\"object\"", "\"string\"", "\"array\"", "\"number\"",
    "\"integer\"", "\"properties\":", "\"required\":", "\"items\":", "\"additionalProperties\":", "\"enum\":", "\"pattern\":",
    "\"^(a+)+$\"", "\"minLength\":", "\"maximum\":", "\"exclusiveMaximum\":", "\"oneOf\":", "\"anyOf\":", "\"allOf\":", "\"not\":",
    "\"$ref\":", "\"#\"", "\"#/a\"", "\"format\":", "\"date-time\"", "\"uniqueItems\":", "\"multipleOf\":", "\"dependencies\":",
    "\"patternProperties\":", "\"messages\":", "\"a\"", "1", "-1", "0.1", "1e300", "é",
];
#[rustfmt::skip] // the same
pub(crate) const NAME_WORDS: &[&str] = &[
    ":", ":_", ":_system:", ":_audit:", ":_cmc:", "!", "*", "/", "-", " ", "é", "ß", "日", "🙂", "\u{0}", "..", "a", "9", "pryv",
    "admin", "series:", "mass/kg", "c",
];

/// Stream queries and conditions are read within their limits, and what a query string may say, a batch may say too.
pub(crate) fn fuzz_events_query(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let parsed = serde_json::from_str::<Value>(&text).ok();
    for sent in parsed.into_iter().chain([Value::String(text)]) {
        let in_query = query_input::parse_streams(&sent, false);
        let in_batch = query_input::parse_streams(&sent, true);
        if let Ok(queries) = &in_query {
            assert_eq!(Ok(queries), in_batch.as_ref(), "{sent}");
        }
        if let Ok(queries) = in_batch {
            assert!(queries.len() <= STREAM_QUERIES_MAX, "{} queries", queries.len());
            assert!(queries.iter().map(|query| query.all.len()).sum::<usize>() <= STREAM_ALL_IDS_MAX, "{queries:?}");
        }
        if let Ok(conditions) = query_input::parse_conditions("content", &sent) {
            assert!(conditions.len() <= CONDITIONS_MAX, "{} conditions", conditions.len());
            for condition in &conditions {
                query_input::matches(condition, None);
                query_input::matches(condition, Some(&sent));
            }
        }
    }
}

/// A schema on the first line, a value on the next: compiling and checking end, and a problem can be told.
pub(crate) fn fuzz_schema(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (document, value) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(document) = serde_json::from_str::<Value>(document) else { return };
    let Ok(schema) = Schema::compile(&document) else { return };
    let value = serde_json::from_str(value).unwrap_or(document);
    for problem in schema.check(&value).err().unwrap_or_default() {
        assert!(problem.path.starts_with('#'), "{problem:?}");
        assert!(problem.to_json().is_object());
    }
}

/// A name that was accepted is one of the kind that was asked for.
pub(crate) fn fuzz_names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let slug = slug::slugify(&text);
    assert_eq!(slug::slugify(&slug), slug, "a slug is its own slug");
    for made in [slug::stream_id(&text).ok(), slug::token(&text).ok()].into_iter().flatten() {
        // The schemas of the methods refuse the empty text.
        assert!(!made.is_empty() || text.is_empty(), "{text:?}");
    }
    if username::is_valid(&text) {
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{text:?}");
        username::is_reserved(&text);
    }
    reserved::reserved(&text);
    reserved::in_store(&text);
    query_input::parse_type(&text);
    query_input::is_event_type(&text);
    model::id::is_event_id(&text);
}

/// What is hashed does not depend on how it was written: the stable form of the stable form is itself.
pub(crate) fn fuzz_integrity(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let stable = integrity::stable(&value);
    if let Ok(again) = serde_json::from_str::<Value>(&stable) {
        assert_eq!(integrity::stable(&again), stable);
    }
}
