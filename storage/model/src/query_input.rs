//! The `streams`, `types`, `content` and `clientData` parameters of `events.get`, from what the client sent.

use serde_json::{Map, Value};

use crate::permission::reserved::{FORBIDDEN_CHARACTERS, Store};
use crate::query::{Condition, Test, TypeFilter};

/// Each query, and each id of an `all`, costs a walk over the tree of streams.
pub const STREAM_QUERIES_MAX: usize = 100;
pub const STREAM_ALL_IDS_MAX: usize = 100;

pub const CONDITIONS_MAX: usize = 10;
pub const CONDITION_VALUES_MAX: usize = 100;

/// One logical query; ids may end in `!` (this stream only, no descendants).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StreamQuery {
    pub any: Vec<String>,
    pub all: Vec<String>,
    pub not: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InputError {
    /// Pryv: invalid-request-structure.
    #[error("{message}")]
    Structure { message: String, data: Option<Value> },
    /// Pryv: invalid-parameters-format.
    #[error("{message}")]
    Parameters { message: String, data: Option<Value> },
}

impl InputError {
    /// The id of the error in the API.
    pub fn pryv_id(&self) -> &'static str {
        match self {
            Self::Structure { .. } => "invalid-request-structure",
            Self::Parameters { .. } => "invalid-parameters-format",
        }
    }

    pub fn data(&self) -> Option<&Value> {
        match self {
            Self::Structure { data, .. } | Self::Parameters { data, .. } => data.as_ref(),
        }
    }
}

impl StreamQuery {
    /// What an absent `streams` parameter means.
    pub fn everything() -> Vec<Self> {
        vec![Self { any: vec!["*".into()], ..Self::default() }]
    }

    pub fn is_wildcard(&self) -> bool {
        matches!(self.any.as_slice(), [star] if star == "*")
    }
}

/// The id without the `!` suffix, and whether descendants count.
pub fn split_suffix(id: &str) -> (&str, bool) {
    id.strip_suffix('!').map_or((id, true), |bare| (bare, false))
}

/// `native`: whether objects may come as such (batch, Socket.IO), not only as JSON text (query string).
pub fn parse_streams(sent: &Value, native: bool) -> Result<Vec<StreamQuery>, InputError> {
    const SHAPE: &str = "should be an array of streamIds or JSON logical query";
    let fail = |detail: String, data: Option<Value>| InputError::Structure {
        message: format!("Invalid 'streams' parameter: {detail}."),
        data,
    };
    let parsed;
    let value = match sent {
        Value::String(text) if text.starts_with(['[', '{']) => {
            let value = serde_json::from_str::<Value>(text);
            parsed = value.map_err(|error| fail(format!("{SHAPE} ({error})"), Some(sent.clone())))?;
            &parsed
        }
        Value::String(_) => sent,
        Value::Array(items) if native || items.iter().all(Value::is_string) => sent,
        Value::Object(_) if native => sent,
        // Nested query keys: the reference gives no data here.
        _ => return Err(fail(SHAPE.into(), None)),
    };
    queries_of(value).map_err(|problem| {
        let data = (!problem.without_data).then(|| sent.clone());
        fail(problem.detail, data)
    })
}

struct QueryProblem {
    detail: String,
    without_data: bool,
}

impl From<String> for QueryProblem {
    fn from(detail: String) -> Self {
        Self { detail, without_data: false }
    }
}

fn queries_of(value: &Value) -> Result<Vec<StreamQuery>, QueryProblem> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let id_count = items.iter().filter(|item| item.is_string()).count();
    if id_count == items.len() {
        let ids = items.iter().filter_map(Value::as_str);
        return group_by_store(ids);
    }
    if id_count > 0 {
        return Err("streams queries and streamIds cannot be mixed".to_owned().into());
    }
    if items.len() > STREAM_QUERIES_MAX {
        return Err(format!("{} stream queries, the maximum is {STREAM_QUERIES_MAX}", items.len()).into());
    }
    let queries = items.iter().map(query_of).collect::<Result<Vec<_>, _>>()?;
    let all_count: usize = queries.iter().map(|query| query.all.len()).sum();
    if all_count > STREAM_ALL_IDS_MAX {
        return Err(format!("{all_count} streamIds in 'all', the maximum is {STREAM_ALL_IDS_MAX}").into());
    }
    Ok(queries)
}

fn group_by_store<'a>(ids: impl Iterator<Item = &'a str>) -> Result<Vec<StreamQuery>, QueryProblem> {
    let mut queries: Vec<(Store<'a>, StreamQuery)> = Vec::new();
    for id in ids {
        check_id(id)?;
        let store = Store::of(id);
        let is_full = queries.len() == STREAM_QUERIES_MAX;
        match queries.iter_mut().find(|(other, _)| *other == store) {
            Some((_, query)) => query.any.push(id.to_owned()),
            None if is_full => return Err(format!("ids of more than {STREAM_QUERIES_MAX} data stores").into()),
            None => queries.push((store, StreamQuery { any: vec![id.to_owned()], ..StreamQuery::default() })),
        }
    }
    for (_, query) in &queries {
        check_query(query)?;
    }
    Ok(queries.into_iter().map(|(_, query)| query).collect())
}

fn query_of(item: &Value) -> Result<StreamQuery, QueryProblem> {
    let Value::Object(map) = item else {
        return Err(format!("stream query {item} is not an object, it must contain at least one of 'any'").into());
    };
    if let Some(key) = map.keys().find(|key| !matches!(key.as_str(), "any" | "all" | "not")) {
        return Err(format!("unknown property: '{key}' in stream query").into());
    }
    let list = |key: &str| map.get(key).map_or(Ok(None), |value| ids_of(key, value).map(Some));
    let Some(any) = list("any")? else {
        return Err(format!("stream query {item} must contain at least one of 'any'").into());
    };
    let query = StreamQuery { any, all: list("all")?.unwrap_or_default(), not: list("not")?.unwrap_or_default() };
    if query.any.is_empty() {
        let detail = format!("stream query {item} must have a valid {{any: [...]}} component");
        return Err(QueryProblem { detail, without_data: true });
    }
    check_query(&query)?;
    Ok(query)
}

fn ids_of(key: &str, value: &Value) -> Result<Vec<String>, QueryProblem> {
    let Value::Array(items) = value else {
        return Err(format!("value of '{key}' must be an array, got {value}").into());
    };
    let id = |item: &Value| match item {
        Value::String(id) => check_id(id).map(|()| id.clone()),
        other => Err(format!("all items of '{key}' must be streamIds, got {other}").into()),
    };
    items.iter().map(id).collect()
}

fn check_id(id: &str) -> Result<(), QueryProblem> {
    if id == "#*" {
        return Err(format!("streamId '{id}' is not valid").into());
    }
    if id.contains(FORBIDDEN_CHARACTERS) {
        return Err(format!("forbidden character(s) in streamId {id:?}").into());
    }
    Ok(())
}

fn check_query(query: &StreamQuery) -> Result<(), QueryProblem> {
    let has_star = |ids: &[String]| ids.iter().any(|id| id == "*");
    if has_star(&query.all) || has_star(&query.not) {
        return Err("only 'any' can contain '*'".to_owned().into());
    }
    if has_star(&query.any) && query.any.len() > 1 {
        return Err("'*' cannot be mixed with other streamIds in 'any'".to_owned().into());
    }
    if has_star(&query.any) && !query.all.is_empty() {
        return Err("{any: '*'} cannot be mixed with 'all'".to_owned().into());
    }
    let mut stores = query.any.iter().chain(&query.all).chain(&query.not).map(|id| Store::of(id));
    let first = stores.next();
    if stores.any(|store| Some(store) != first) {
        return Err("queries must me grouped by store".to_owned().into());
    }
    Ok(())
}

/// `class/format` or `class/*`, each side of lower-case letters, digits and dashes.
pub fn parse_type(text: &str) -> Option<TypeFilter> {
    let body = text.strip_prefix("series:").unwrap_or(text);
    let (class, format) = body.split_once('/')?;
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_type_byte);
    if !is_part(class) {
        return None;
    }
    match format {
        "*" => text.strip_suffix('*').map(|class| TypeFilter::Class(class.to_owned())),
        format => is_part(format).then(|| TypeFilter::Exact(text.to_owned())),
    }
}

/// Whether this may be the type of an event: `^(series:)?[a-z0-9-]+/[a-z0-9-]+$`.
pub fn is_event_type(text: &str) -> bool {
    matches!(parse_type(text), Some(TypeFilter::Exact(_)))
}

fn is_type_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// Conditions of `parameter` (`content` or `clientData`), as an array or as JSON text.
pub fn parse_conditions(parameter: &str, sent: &Value) -> Result<Vec<Condition>, InputError> {
    let fail = |detail: String| InputError::Parameters {
        message: format!("Invalid '{parameter}' parameter: {detail}."),
        data: Some(parameter.into()),
    };
    let parsed;
    let value = match sent {
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text).map_err(|error| fail(format!("not JSON ({error})")))?;
            &parsed
        }
        other => other,
    };
    let Value::Array(items) = value else {
        return Err(fail("it must be an array of conditions".into()));
    };
    if items.len() > CONDITIONS_MAX {
        return Err(fail(format!("{} conditions, the maximum is {CONDITIONS_MAX}", items.len())));
    }
    items.iter().map(|item| condition_of(item).map_err(&fail)).collect()
}

fn condition_of(item: &Value) -> Result<Condition, String> {
    let Value::Object(map) = item else {
        return Err(format!("condition {item} is not an object"));
    };
    let path = match map.get("path") {
        Some(Value::String(path)) => path_of(path)?,
        _ => return Err(format!("condition {item} needs a text 'path'")),
    };
    let mut operators = map.iter().filter(|(key, _)| key.as_str() != "path");
    let (Some((operator, value)), None) = (operators.next(), operators.next()) else {
        return Err(format!("condition {item} needs exactly one operator"));
    };
    Ok(Condition { path, test: test_of(operator, value)? })
}

fn path_of(path: &str) -> Result<Vec<String>, String> {
    parse_path(path).ok_or_else(|| {
        format!("path {path:?} must be segments of letters, digits, '_', ':' or '-' joined by '.', or '$'")
    })
}

/// The segments of a path; none for `$`, the whole value.
pub fn parse_path(path: &str) -> Option<Vec<String>> {
    if path == "$" {
        return Some(Vec::new());
    }
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-'))
    };
    path.split('.').all(is_segment).then(|| path.split('.').map(str::to_owned).collect())
}

fn test_of(operator: &str, value: &Value) -> Result<Test, String> {
    let wrong = |expected: &str| Err(format!("operator '{operator}' needs {expected}, got {value}"));
    let number = || value.as_f64().filter(|number| number.is_finite());
    let compare = |test: fn(f64) -> Test| number().map_or_else(|| wrong("a finite number"), |number| Ok(test(number)));
    match operator {
        "eq" if is_scalar(value) => Ok(Test::Equal(value.clone())),
        "neq" if is_scalar(value) => Ok(Test::NotEqual(value.clone())),
        "eq" | "neq" => wrong("a text, a finite number or a boolean"),
        "in" => match value.as_array() {
            Some(values)
                if !values.is_empty() && values.len() <= CONDITION_VALUES_MAX && values.iter().all(is_scalar) =>
            {
                Ok(Test::In(values.clone()))
            }
            _ => wrong("an array of 1 to 100 texts, numbers or booleans"),
        },
        "exists" => value.as_bool().map_or_else(|| wrong("a boolean"), |exists| Ok(Test::Exists(exists))),
        "gt" => compare(Test::Greater),
        "gte" => compare(Test::GreaterOrEqual),
        "lt" => compare(Test::Less),
        "lte" => compare(Test::LessOrEqual),
        "prefix" => match value.as_str() {
            Some(prefix) if !prefix.is_empty() => Ok(Test::Prefix(prefix.to_owned())),
            _ => wrong("a text that is not empty"),
        },
        other => Err(format!("'{other}' is not an operator")),
    }
}

fn is_scalar(value: &Value) -> bool {
    value.is_string() || value.is_boolean() || value.as_f64().is_some_and(f64::is_finite)
}

/// Whether a JSON object (or any value) meets a condition. Types are compared strictly; a missing path
/// matches nothing but `exists: false`.
pub fn matches(condition: &Condition, root: Option<&Value>) -> bool {
    let step = |value: &Value, segment: &String| {
        value.as_object().and_then(|map: &Map<String, Value>| map.get(segment)).cloned()
    };
    let found = condition
        .path
        .iter()
        .try_fold(root.cloned(), |value, segment| value.map(|value| step(&value, segment)).filter(Option::is_some));
    let found = found.flatten();
    match (&condition.test, &found) {
        (Test::Exists(wanted), found) => found.is_some() == *wanted,
        (_, None) => false,
        (Test::Equal(wanted), Some(value)) => same(wanted, value),
        (Test::NotEqual(wanted), Some(value)) => !same(wanted, value),
        (Test::In(wanted), Some(value)) => wanted.iter().any(|wanted| same(wanted, value)),
        (Test::Greater(bound), Some(value)) => value.as_f64().is_some_and(|number| number > *bound),
        (Test::GreaterOrEqual(bound), Some(value)) => value.as_f64().is_some_and(|number| number >= *bound),
        (Test::Less(bound), Some(value)) => value.as_f64().is_some_and(|number| number < *bound),
        (Test::LessOrEqual(bound), Some(value)) => value.as_f64().is_some_and(|number| number <= *bound),
        (Test::Prefix(prefix), Some(value)) => value.as_str().is_some_and(|text| text.starts_with(prefix.as_str())),
    }
}

/// `1` and `1.0` are the same JSON number.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}
