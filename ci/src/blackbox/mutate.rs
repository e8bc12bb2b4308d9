//! Changes calls at random: values of the body, the path and its query, headers, the verb. The words come from the case
//! files themselves, so that a value of one method ends up in another one.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

use super::script::Script;
use crate::random::Random;

/// A request with nothing left to fill in.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
}

impl fmt::Display for Sent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        write!(out, "{} {} {:?}\n{body}", self.method, self.path, self.headers)
    }
}

const VERBS: &[&str] = &["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];
/// Texts that have been trouble elsewhere: control and non-ASCII characters, ids of the server's own, paths, prototypes,
/// numbers that are none, and what queries and types are made of.
const ODD_TEXTS: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "\n",
    "\u{7f}",
    "é",
    "日本",
    "🙂",
    "\u{202e}",
    "*",
    "!",
    ":",
    ":_",
    ":_system:account",
    ":_system:email",
    ":_system:language",
    ":system:email",
    ":_audit:",
    ":_audit:accesses",
    ":_audit:access-x",
    ":_audit:action-events.get",
    ":_emails:",
    ":_cmc:",
    ".",
    "..",
    "../..",
    "/",
    "%",
    "%00",
    "%ff",
    "null",
    "true",
    "NaN",
    "Infinity",
    "-1",
    "1e999",
    "__proto__",
    "constructor",
    "[",
    "{",
    "{\"any\":[\"*\"]}",
    "[{\"any\":[\"*\"],\"not\":[\"s\"]}]",
    "series:mass/kg",
    "series:",
    "note/txt",
    "a/b",
    "/",
    "$",
    "(",
    "\\",
    "'",
    "\"",
    "<script>",
    "c",
    "cabcdefghijklmnopqrstuvwx",
];
const KEYS: &[&str] = &[
    "id",
    "name",
    "type",
    "time",
    "duration",
    "streamIds",
    "streamId",
    "streams",
    "parentId",
    "params",
    "method",
    "content",
    "clientData",
    "trashed",
    "attachments",
    "integrity",
    "headId",
    "created",
    "modifiedBy",
    "permissions",
    "level",
    "token",
    "expireAfter",
    "expires",
    "any",
    "all",
    "not",
    "limit",
    "skip",
    "state",
    "fromTime",
    "toTime",
    "modifiedSince",
    "includeDeletions",
    "includeHistory",
    "running",
    "types",
    "fields",
    "points",
    "format",
    "data",
    "eventId",
    "update",
    "auth",
    "mergeEventsWithParent",
    "feature",
    "setting",
    "username",
    "password",
    "email",
    "appId",
    "children",
];
const CONTENT_TYPES: &[&str] = &[
    "application/json",
    "application/json; charset=latin1",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "text/plain",
    "",
    ";",
    "application/octet-stream",
];
const AUTHORIZATIONS: &[&str] =
    &["", " ", "x", "Basic", "Basic Og==", "Basic ====", "Bearer", "Bearer  ", "DPoP x", ": :"];
const INTEGERS: &[i64] = &[0, -1, 1, i64::MIN, i64::MAX, 9_007_199_254_740_993];
const FRACTIONS: &[f64] = &[0.5, -0.0, 1e308, -1e308, 1e-320, 1.7e9, 1.8e19];
const LONG_CHARS: usize = 9_000;
const DEEP: usize = 120;
const MANY: usize = 300;
const CHANGES_MAX: usize = 3;

pub(super) struct Mutator {
    pub(super) random: Random,
    words: Vec<String>,
    methods: Vec<String>,
}

impl Mutator {
    pub(super) fn new(random: Random, scripts: &[Script], methods: &[String]) -> Self {
        let mut words: BTreeSet<String> = ODD_TEXTS.iter().chain(KEYS).map(|word| (*word).to_owned()).collect();
        let steps =
            scripts.iter().flat_map(|script| script.fixture.iter().chain(script.cases.iter().flat_map(|c| &c.steps)));
        for body in steps.filter_map(|step| step.body.as_deref()) {
            collect_words(&serde_json::from_str(body).unwrap_or(Value::Null), &mut words);
        }
        Self { random, words: words.into_iter().collect(), methods: methods.to_vec() }
    }

    /// The same call with a few things changed.
    pub(super) fn changed(&mut self, sent: &Sent, user: &str) -> Sent {
        let mut changed = sent.clone();
        if self.random.one_in(5) {
            self.wrap_in_batch(&mut changed, user);
        }
        for _ in 0..=self.random.below(CHANGES_MAX) {
            match (self.random.below(10), changed.body.is_some()) {
                (0..6, true) => self.change_body(&mut changed),
                (0..7, _) => self.change_path(&mut changed),
                (7, _) => self.change_header(&mut changed),
                (8, _) if self.random.one_in(3) => changed.method = self.pick(VERBS),
                _ => self.add_query(&mut changed),
            }
        }
        changed.path = printable(&changed.path);
        changed
    }

    /// Some method by name, with what was the body, or the query, as its parameters.
    fn wrap_in_batch(&mut self, sent: &mut Sent, user: &str) {
        let params = sent.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
        let params: Value = params.unwrap_or_else(|| self.object());
        let calls: Vec<_> = (0..=self.random.below(2))
            .map(
                |_| json!({ "method": self.random.pick(&self.methods).cloned().unwrap_or_default(), "params": params }),
            )
            .collect();
        sent.method = "POST".to_owned();
        sent.path = format!("/{user}/");
        sent.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        sent.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        sent.body = Some(Value::Array(calls).to_string().into_bytes());
    }

    fn change_body(&mut self, sent: &mut Sent) {
        let Some(body) = &mut sent.body else { return };
        match serde_json::from_slice::<Value>(body) {
            Ok(mut value) if !self.random.one_in(20) => {
                self.change_value(&mut value);
                *body = value.to_string().into_bytes();
            }
            _ => self.change_bytes(body),
        }
    }

    fn change_bytes(&mut self, bytes: &mut Vec<u8>) {
        let place = self.random.below(bytes.len() + 1);
        match self.random.below(4) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, self.random.next().to_le_bytes()[7]),
            2 => bytes.get_mut(place).into_iter().for_each(|byte| *byte ^= 0x10),
            _ => {
                let word = self.text();
                bytes.splice(place..place, word.into_bytes());
            }
        }
    }

    /// Walks down at random, and changes what is there.
    fn change_value(&mut self, value: &mut Value) {
        let goes_deeper = !self.random.one_in(4);
        match value {
            Value::Array(items) if goes_deeper && !items.is_empty() => {
                let at = self.random.below(items.len());
                items.get_mut(at).into_iter().for_each(|item| self.change_value(item));
            }
            Value::Array(items) => self.change_list(items),
            Value::Object(fields) if goes_deeper && !fields.is_empty() => {
                let at = self.random.below(fields.len());
                fields.values_mut().skip(at).take(1).for_each(|field| self.change_value(field));
            }
            Value::Object(fields) => self.change_object(fields),
            other => *other = self.value(),
        }
    }

    fn change_list(&mut self, items: &mut Vec<Value>) {
        match (self.random.below(4), items.first().cloned()) {
            (0, _) => items.clear(),
            (1, Some(first)) => items.extend(std::iter::repeat_n(first, MANY)),
            (2, Some(first)) => items.push(first),
            _ => items.push(self.value()),
        }
    }

    fn change_object(&mut self, fields: &mut Map<String, Value>) {
        let at = self.random.below(fields.len().max(1));
        let name = fields.keys().nth(at).cloned();
        match (self.random.below(3), name) {
            (0, Some(name)) => drop(fields.remove(&name)),
            (1, Some(name)) => {
                let moved = fields.remove(&name).unwrap_or_default();
                fields.insert(self.key(), moved);
            }
            _ => {
                let value = self.value();
                fields.insert(self.key(), value);
            }
        }
    }

    fn change_path(&mut self, sent: &mut Sent) {
        let (path, query) =
            sent.path.split_once('?').map_or((sent.path.as_str(), None), |(path, query)| (path, Some(query)));
        let mut segments: Vec<_> = path.split('/').skip(1).map(str::to_owned).collect();
        // The user stays mostly: without one there is little to find.
        let first = if segments.len() > 1 && !self.random.one_in(12) { 1 } else { 0 };
        let at = first + self.random.below(segments.len() - first);
        let word = escaped(&self.text());
        match self.random.below(4) {
            0 => segments.truncate(at),
            1 => segments.insert(at, word),
            _ => segments.get_mut(at).into_iter().for_each(|segment| *segment = word.clone()),
        }
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        sent.path = format!("/{}{query}", segments.join("/"));
    }

    fn add_query(&mut self, sent: &mut Sent) {
        let value = match self.random.below(3) {
            0 => self.value().to_string(),
            _ => self.text(),
        };
        let bracket = self.pick(&["", "", "", "[]", "[a]", "[0][b]", "[", "]"]);
        let mark = if sent.path.contains('?') { '&' } else { '?' };
        sent.path.push_str(&format!("{mark}{}{bracket}={}", escaped(&self.key()), escaped(&value)));
    }

    fn change_header(&mut self, sent: &mut Sent) {
        let (name, value) = match self.random.below(4) {
            0 => ("Content-Type", self.pick(CONTENT_TYPES)),
            1 => ("Authorization", self.pick(AUTHORIZATIONS)),
            2 => ("Accept", self.pick(&["text/html", "*/*", "", ";;,"])),
            _ => ("Origin", self.pick(&["null", "", "https://é", "javascript:1"])),
        };
        sent.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        sent.headers.push((name.to_owned(), value));
    }

    fn value(&mut self) -> Value {
        match self.random.below(16) {
            0 => Value::Null,
            1 => self.random.one_in(2).into(),
            2 => self.random.pick(INTEGERS).copied().unwrap_or_default().into(),
            3 => self.random.pick(FRACTIONS).copied().unwrap_or_default().into(),
            4 => json!([]),
            5 => json!({}),
            6 => json!([self.text()]),
            7 => self.object(),
            8 => (0..DEEP).fold(json!("x"), |inner, _| json!([inner])),
            9 => (0..DEEP).fold(json!("x"), |inner, _| json!({ "a": inner })),
            10 => "x".repeat(LONG_CHARS).into(),
            _ => self.text().into(),
        }
    }

    fn object(&mut self) -> Value {
        let mut fields = Map::new();
        for _ in 0..self.random.below(4) {
            let value = self.text().into();
            fields.insert(self.key(), value);
        }
        fields.into()
    }

    fn key(&mut self) -> String {
        match self.random.one_in(6) {
            true => self.text(),
            false => self.pick(KEYS),
        }
    }

    fn text(&mut self) -> String {
        self.random.pick(&self.words).cloned().unwrap_or_default()
    }

    fn pick(&mut self, list: &[&str]) -> String {
        self.random.pick(list).copied().unwrap_or_default().to_owned()
    }
}

/// Texts and names, but for those that are filled in later.
fn collect_words(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if !text.contains('<') => drop(words.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| collect_words(item, words)),
        Value::Object(fields) => {
            for (name, field) in fields {
                words.insert(name.clone());
                collect_words(field, words);
            }
        }
        _ => {}
    }
}

/// Percent-encoded, every byte that has a meaning in a path or a query; mostly it should arrive as it is.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte.is_ascii_alphanumeric() || b"-._~:*!%".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// What may not stand in a request line would be a fault of the framing, which has its own fuzz targets.
fn printable(path: &str) -> String {
    let kept = |byte: u8| match byte.is_ascii_graphic() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.bytes().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(seed: u64) -> Vec<String> {
        let sent = Sent {
            method: "POST".to_owned(),
            path: "/user/events?a=b".to_owned(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: Some(br#"{"streamIds": ["s"], "type": "note/txt"}"#.to_vec()),
        };
        let mut mutator = Mutator::new(Random::new(seed), &[], &["events.get".to_owned()]);
        (0..500).map(|_| mutator.changed(&sent, "user").to_string()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_calls() {
        assert_eq!(changed(3), changed(3));
        assert_ne!(changed(3), changed(4));
    }

    #[test]
    fn a_changed_path_is_a_request_target() {
        for call in changed(5) {
            let path = call.split(' ').nth(1).unwrap_or_default();
            assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()), "{call}");
        }
    }
}
