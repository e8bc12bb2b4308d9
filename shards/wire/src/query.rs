//! Query strings and urlencoded forms, with the nesting syntax Pryv clients use: `a=1&a=2`, `a[]=1`, `a[0]=1`,
//! `a[b][c]=d`. The rules are those of the npm package `qs`, which the clients write for:
//!
//! - values are strings; a key without `=` has the value `""`; empty keys are skipped;
//! - `+` is a space; a key or value with a malformed percent sequence, or that is not UTF-8, stays as it was sent;
//! - `a[b]=1&a=2` gives `{"a": {"b": "1", "2": true}}`, the only way to a value that is not text, list or object.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Parameters read; what follows is ignored, as in `qs`.
pub const PARAMETER_COUNT_MAX: usize = 1000;
/// Brackets read behind the first name: the rest becomes one key, brackets included.
pub const DEPTH_MAX: usize = 5;
/// `a[21]=x` makes an object with the key "21": an index must not allocate a list of its size.
pub const LIST_INDEX_MAX: usize = 20;

/// Parses with nesting. The argument comes without its `?`.
pub fn parse(query: &str) -> Map<String, Value> {
    let mut root = Map::new();
    for (key, value) in collect(query, true) {
        let nested = nest(&key, value);
        if let Value::Object(nested) = as_object(nested) {
            merge_objects(&mut root, nested);
        }
    }
    root.into_iter().map(|(key, value)| (key, compact(value))).collect()
}

/// Parses without nesting: keys are literal, a repeated key gives a list.
pub fn parse_flat(form: &str) -> Map<String, Value> {
    collect(form, false)
}

/// Key to text, or to the list of its texts if it was repeated; in the order of first appearance.
fn collect(query: &str, is_nested: bool) -> Map<String, Value> {
    let mut values = Map::new();
    let parts = query.split('&').filter(|part| !part.is_empty());
    for part in parts.take(PARAMETER_COUNT_MAX) {
        let (key, value) = split_part(part, is_nested);
        if !key.is_empty() {
            append(&mut values, decode(key), Value::String(decode(value)));
        }
    }
    values
}

fn split_part(part: &str, is_nested: bool) -> (&str, &str) {
    // `a[b=c]=d` has the key `a[b=c]`; the brackets may come percent-encoded.
    let plain = part.find("]=").map(|at| at + 1);
    let escaped = find_ignoring_case(part, "%5d=").map(|at| at + 3);
    let cut = match (plain, escaped) {
        (Some(plain), Some(escaped)) => Some(plain.min(escaped)),
        (plain, escaped) => plain.or(escaped),
    };
    match cut.and_then(|equals| Some((part.get(..equals)?, part.get(equals + 1..)?))) {
        Some(cut) if is_nested => cut,
        _ => part.split_once('=').unwrap_or((part, "")),
    }
}

fn find_ignoring_case(text: &str, needle: &str) -> Option<usize> {
    text.as_bytes().windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

fn append(values: &mut Map<String, Value>, key: String, value: Value) {
    match values.get_mut(&key) {
        None => {
            values.insert(key, value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

fn decode(text: &str) -> String {
    let text = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    if !text.contains('%') {
        return text.into_owned();
    }
    let is_well_formed = text
        .split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    match percent_decode_str(&text).decode_utf8() {
        Ok(decoded) if is_well_formed => decoded.into_owned(),
        _ => text.into_owned(),
    }
}

/// Wraps a value into the lists and objects its key names. Lists may have holes (null), removed at the end.
fn nest(key: &str, value: Value) -> Value {
    let (parent, segments) = split_key(key);
    let mut nested = value;
    for segment in segments.iter().rev() {
        nested = wrap(segment, nested);
    }
    match parent {
        "" => nested,
        parent => Value::Object(Map::from_iter([(parent.to_owned(), nested)])),
    }
}

enum Segment<'a> {
    Push,
    Name(&'a str),
    /// Beyond the depth limit: the remaining key as it is.
    Rest(&'a str),
}

fn split_key(key: &str) -> (&str, Vec<Segment<'_>>) {
    let mut segments = Vec::new();
    let Some((start, _)) = next_brackets(key) else { return (key, segments) };
    let (parent, mut rest) = key.split_at_checked(start).unwrap_or((key, ""));
    while let Some((start, inner)) = next_brackets(rest) {
        if segments.len() == DEPTH_MAX {
            segments.push(Segment::Rest(rest.get(start..).unwrap_or_default()));
            break;
        }
        segments.push(if inner.is_empty() { Segment::Push } else { Segment::Name(inner) });
        rest = rest.get(start + inner.len() + 2..).unwrap_or_default();
    }
    (parent, segments)
}

/// The first `[...]` without brackets inside: where it starts and what is in it.
fn next_brackets(text: &str) -> Option<(usize, &str)> {
    let mut open = None;
    for (at, byte) in text.bytes().enumerate() {
        match (byte, open) {
            (b'[', _) => open = Some(at),
            (b']', Some(start)) => return Some((start, text.get(start + 1..at)?)),
            _ => {}
        }
    }
    None
}

fn wrap(segment: &Segment<'_>, value: Value) -> Value {
    match segment {
        Segment::Push => match value {
            list @ Value::Array(_) => list,
            single => Value::Array(vec![single]),
        },
        Segment::Name(name) => match list_index(name) {
            Some(index) => {
                let mut list = vec![Value::Null; index];
                list.push(value);
                Value::Array(list)
            }
            None => Value::Object(Map::from_iter([((*name).to_owned(), value)])),
        },
        Segment::Rest(rest) => Value::Object(Map::from_iter([((*rest).to_owned(), value)])),
    }
}

/// An index in its shortest form, within the limit.
fn list_index(name: &str) -> Option<usize> {
    let is_canonical = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_canonical {
        return None;
    }
    name.parse().ok().filter(|index| *index <= LIST_INDEX_MAX)
}

fn merge(target: Value, source: Value) -> Value {
    match (target, source) {
        (Value::Object(mut target), Value::Object(source)) => {
            merge_objects(&mut target, source);
            Value::Object(target)
        }
        (Value::Array(target), Value::Array(source)) => Value::Array(merge_lists(target, source)),
        (target @ Value::Array(_), source @ Value::Object(_)) => merge(as_object(target), source),
        (target @ Value::Object(_), source @ Value::Array(_)) => merge(target, as_object(source)),
        (Value::Array(mut target), source) => {
            target.push(source);
            Value::Array(target)
        }
        (Value::Object(mut target), source) => {
            if let Value::String(name) = source {
                target.insert(name, Value::Bool(true));
            }
            Value::Object(target)
        }
        (target, Value::Array(mut source)) => {
            source.insert(0, target);
            Value::Array(source)
        }
        (target, source) => Value::Array(vec![target, source]),
    }
}

fn merge_objects(target: &mut Map<String, Value>, source: Map<String, Value>) {
    for (key, value) in source {
        let merged = match target.get_mut(&key) {
            Some(present) => merge(present.take(), value),
            None => value,
        };
        target.insert(key, merged);
    }
}

fn merge_lists(mut target: Vec<Value>, source: Vec<Value>) -> Vec<Value> {
    for (index, item) in source.into_iter().enumerate() {
        match target.get_mut(index) {
            _ if item.is_null() => {}
            Some(hole) if hole.is_null() => *hole = item,
            Some(present) if is_container(present) && is_container(&item) => *present = merge(present.take(), item),
            Some(_) => target.push(item),
            None => {
                target.resize(index, Value::Null);
                target.push(item);
            }
        }
    }
    target
}

fn is_container(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

/// A list as an object with its indexes as keys; a text as an object with itself as a key.
fn as_object(value: Value) -> Value {
    match value {
        Value::Array(list) => Value::Object(
            list.into_iter()
                .enumerate()
                .filter(|(_, item)| !item.is_null())
                .map(|(index, item)| (index.to_string(), item))
                .collect(),
        ),
        other => other,
    }
}

/// Removes the holes of lists. Recursion is bounded by [`DEPTH_MAX`].
fn compact(value: Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.into_iter().filter(|item| !item.is_null()).map(compact).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, item)| (key, compact(item))).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parsed(query: &str) -> Value {
        Value::Object(parse(query))
    }

    #[test]
    fn repeated_keys_brackets_and_indexes_give_lists() {
        assert_eq!(parsed("a=1&a=2&b=3"), json!({"a": ["1", "2"], "b": "3"}));
        assert_eq!(parsed("a[]=1"), json!({"a": ["1"]}));
        assert_eq!(parsed("a[]=1&a[]=2"), json!({"a": ["1", "2"]}));
        assert_eq!(parsed("a%5B%5D=1&a%5b%5d=2"), json!({"a": ["1", "2"]}));
        assert_eq!(parsed("a[1]=x&a[0]=y"), json!({"a": ["y", "x"]}));
        assert_eq!(parsed("a[0]=1&a=2"), json!({"a": ["1", "2"]}));
        assert_eq!(parsed("a=1&a[]=2"), json!({"a": ["1", "2"]}));
    }

    #[test]
    fn names_in_brackets_give_objects() {
        assert_eq!(parsed("a[b]=c"), json!({"a": {"b": "c"}}));
        assert_eq!(parsed("a[b][c]=d&a[b][e]=f"), json!({"a": {"b": {"c": "d", "e": "f"}}}));
        assert_eq!(parsed("a[0][b]=1&a[0][c]=2&a[1][b]=3"), json!({"a": [{"b": "1", "c": "2"}, {"b": "3"}]}));
        assert_eq!(parsed("a[b=c]=d"), json!({"a": {"b=c": "d"}}));
        assert_eq!(parsed("a[b]=c&a=d"), json!({"a": {"b": "c", "d": true}}));
        assert_eq!(parsed("a=d&a[b]=c"), json!({"a": ["d", {"b": "c"}]}));
        assert_eq!(parsed("a[0]=b&a[b]=c"), json!({"a": {"0": "b", "b": "c"}}));
        assert_eq!(parsed("[a]=b"), json!({"a": "b"}));
    }

    #[test]
    fn unbalanced_brackets_are_part_of_the_name() {
        assert_eq!(parsed("a[b=c"), json!({"a[b": "c"}));
        assert_eq!(parsed("a]b=c"), json!({"a]b": "c"}));
        assert_eq!(parsed("a[[b]]=c"), json!({"a[": {"b": "c"}}));
    }

    #[test]
    fn an_index_above_the_limit_gives_an_object_instead_of_a_huge_list() {
        assert_eq!(parsed("a[20]=x"), json!({"a": ["x"]}));
        assert_eq!(parsed("a[21]=x"), json!({"a": {"21": "x"}}));
        assert_eq!(parsed("a[99999999999999999999]=x"), json!({"a": {"99999999999999999999": "x"}}));
        assert_eq!(parsed("a[01]=x"), json!({"a": {"01": "x"}}));
    }

    #[test]
    fn nesting_stops_at_the_depth_limit_and_keeps_the_rest_as_one_key() {
        assert_eq!(
            parsed("a[b][c][d][e][f][g][h]=x"),
            json!({"a": {"b": {"c": {"d": {"e": {"f": {"[g][h]": "x"}}}}}}})
        );
    }

    #[test]
    fn parameters_behind_the_limit_are_ignored() {
        let query: Vec<String> = (0..PARAMETER_COUNT_MAX + 5).map(|n| format!("k{n}=1")).collect();
        assert_eq!(parse(&query.join("&")).len(), PARAMETER_COUNT_MAX);
        assert_eq!(parse_flat(&query.join("&")).len(), PARAMETER_COUNT_MAX);
    }

    #[test]
    fn percent_and_plus_are_decoded_and_what_cannot_be_stays_as_sent() {
        assert_eq!(parsed("a+b=c+d%20e%C3%A9"), json!({"a b": "c d eé"}));
        assert_eq!(parsed("a=100%&b=%zz&c=%ff&d=%2"), json!({"a": "100%", "b": "%zz", "c": "%ff", "d": "%2"}));
        assert_eq!(parsed("a=%2B%26%3D"), json!({"a": "+&="}));
    }

    #[test]
    fn missing_values_are_empty_text_and_empty_keys_are_skipped() {
        assert_eq!(parsed("a&b=&=x&&c=1=2"), json!({"a": "", "b": "", "c": "1=2"}));
        assert_eq!(parsed(""), json!({}));
    }

    #[test]
    fn a_flat_form_keeps_brackets_in_its_keys() {
        assert_eq!(
            Value::Object(parse_flat("a[b]=1&c=2&c=3&_json=%7B%22x%22%3A1%7D")),
            json!({"a[b]": "1", "c": ["2", "3"], "_json": "{\"x\":1}"})
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_without_holes_and_within_the_depth_limit(query in "[ab0-9=&+%\\[\\]é]{0,60}") {
            fn check(value: &Value, depth: usize) {
                assert!(!value.is_null() && depth <= DEPTH_MAX + 2, "{value}");
                match value {
                    Value::Array(list) => list.iter().for_each(|item| check(item, depth + 1)),
                    Value::Object(map) => map.values().for_each(|item| check(item, depth + 1)),
                    _ => {}
                }
            }
            check(&parsed(&query), 0);
        }

        #[test]
        fn plain_pairs_come_back_as_they_were(
            pairs in proptest::collection::btree_map("[a-zé ]{1,8}", "[a-z&=%+é ]{0,8}", 0..8)
        ) {
            let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
            let query: Vec<String> = pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
            let parsed: std::collections::BTreeMap<String, String> = parse(&query.join("&"))
                .into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect();
            prop_assert_eq!(parsed, pairs);
        }
    }
}
