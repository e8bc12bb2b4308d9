//! Hashes that prove what an item was (Pryv: integrity), over a stable text form of its JSON.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use sha2::Digest;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Algorithm {
    #[default]
    Sha256,
    Sha512,
    Sha1,
    Md5,
}

/// Under which key an item's hash is audited, and the hash as the item shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity {
    /// `EVENT:0:<id>:<modified>`.
    pub key: String,
    /// `EVENT:0:sha256-<base64>`.
    pub hash: String,
}

impl Algorithm {
    /// By its name in the configuration; the server does not start with another one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512, Self::Sha1, Self::Md5].into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
        }
    }

    /// `<algorithm>-<base64>`, as attachments show it.
    pub fn of_bytes(self, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Of an event, or of what is left of a deleted one, as the API shows it.
    pub fn of_event(self, event: &Map<String, Value>) -> Integrity {
        let hashed = prepare_event(event);
        self.of_item("EVENT", event, &hashed)
    }

    /// Of an access as the API shows it.
    pub fn of_access(self, access: &Map<String, Value>) -> Integrity {
        let mut hashed = access.clone();
        for key in ["integrity", "lastUsed", "calls", "apiEndpoint"] {
            hashed.remove(key);
        }
        self.of_item("ACCESS", access, &hashed)
    }

    fn of_item(self, kind: &str, item: &Map<String, Value>, hashed: &Map<String, Value>) -> Integrity {
        let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
        let moment = item.get("modified").or_else(|| item.get("deleted")).map(stable).unwrap_or_default();
        let hash = self.of_bytes(stable_object(hashed).as_bytes());
        Integrity { key: format!("{kind}:0:{id}:{moment}"), hash: format!("{kind}:0:{hash}") }
    }
}

/// For content that comes in pieces.
#[derive(Debug)]
pub struct Hasher {
    algorithm: Algorithm,
    state: HasherState,
}

#[derive(Debug)]
enum HasherState {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Sha1(sha1::Sha1),
    Md5(md5::Md5),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => HasherState::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => HasherState::Sha512(sha2::Sha512::new()),
            Algorithm::Sha1 => HasherState::Sha1(sha1::Sha1::new()),
            Algorithm::Md5 => HasherState::Md5(md5::Md5::new()),
        };
        Self { algorithm, state }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            HasherState::Sha256(state) => state.update(bytes),
            HasherState::Sha512(state) => state.update(bytes),
            HasherState::Sha1(state) => state.update(bytes),
            HasherState::Md5(state) => state.update(bytes),
        }
    }

    pub fn finish(self) -> String {
        let base64 = match self.state {
            HasherState::Sha256(state) => STANDARD.encode(state.finalize()),
            HasherState::Sha512(state) => STANDARD.encode(state.finalize()),
            HasherState::Sha1(state) => STANDARD.encode(state.finalize()),
            HasherState::Md5(state) => STANDARD.encode(state.finalize()),
        };
        format!("{}-{base64}", self.algorithm.as_str())
    }
}

/// What does not change the meaning of an event is left out of its hash.
fn prepare_event(event: &Map<String, Value>) -> Map<String, Value> {
    let mut hashed = event.clone();
    let end = hashed.remove("endTime").and_then(|end| end.as_f64());
    if let (Some(end), Some(time)) = (end, event.get("time").and_then(Value::as_f64)) {
        hashed.insert("duration".into(), crate::time::number(end - time));
    }
    for key in ["integrity", "headId", "tags"] {
        hashed.remove(key);
    }
    if hashed.get("duration").and_then(Value::as_f64) == Some(0.0) {
        hashed.remove("duration");
    }
    if hashed.get("trashed") != Some(&Value::Bool(true)) {
        hashed.remove("trashed");
    }
    if let Some(Value::Array(attachments)) = hashed.get_mut("attachments") {
        attachments.iter_mut().filter_map(Value::as_object_mut).for_each(|file| drop(file.remove("readToken")));
    }
    if let Some(stream_id) = hashed.remove("streamId") {
        hashed.insert("streamIds".into(), vec![stream_id].into());
    }
    hashed
}

/// JSON with sorted keys, without spaces, without properties that are null.
pub fn stable(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn stable_object(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(&mut out, map);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => write_object(out, map),
    }
}

fn write_object(out: &mut String, map: &Map<String, Value>) {
    let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
    entries.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
    out.push('{');
    for (position, (key, value)) in entries.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_text(out, key);
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
}

/// ECMAScript `String(n)`: every number is a double.
fn write_number(out: &mut String, number: &Number) {
    let double = number.as_f64().unwrap_or_default();
    out.push_str(ryu_js::Buffer::new().format(double));
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{600}'..='\u{604}'
            | '\u{70f}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{200c}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{ffff}' => {
                write!(out, "\\u{:04x}", u32::from(letter)).expect("writing to a String never fails");
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    const EVENT: &str = r#"{"id":"cabcdefghijklmnopqrstuvwx","streamIds":["weight"],"type":"mass/kg","content":71.5,"time":1700000000,
        "created":1700000000.123,"createdBy":"caccessid0000000000000000","modified":1700000000.123,"modifiedBy":"caccessid0000000000000000",
        "attachments":[{"id":"file1","fileName":"a.txt","type":"text/plain","size":3,"readToken":"x-y"}],
        "clientData":{"z":null,"b":[1,null,{"k":null}],"a":"é\"\n"},"trashed":false,"duration":0,"integrity":"zzz"}"#;

    #[test]
    fn the_test_vector_of_the_specification_is_met() {
        let expected = r#"{"attachments":[{"fileName":"a.txt","id":"file1","size":3,"type":"text/plain"}],"clientData":{"a":"é\"\n","b":[1,null,{}]},"content":71.5,"created":1700000000.123,"createdBy":"caccessid0000000000000000","id":"cabcdefghijklmnopqrstuvwx","modified":1700000000.123,"modifiedBy":"caccessid0000000000000000","streamIds":["weight"],"time":1700000000,"type":"mass/kg"}"#;
        assert_eq!(stable_object(&prepare_event(&map(EVENT))), expected);
        let integrity = Algorithm::Sha256.of_event(&map(EVENT));
        assert_eq!(integrity.hash, "EVENT:0:sha256-BiO1OC050LHui6tlMuRtW2I0GkTF7F2dTMl5HpoVczc=");
        assert_eq!(integrity.key, "EVENT:0:cabcdefghijklmnopqrstuvwx:1700000000.123");
    }

    #[test]
    fn a_deletion_is_hashed_and_keyed_by_its_time() {
        let deletion = map(r#"{"deleted":1700000100.5,"id":"cabcdefghijklmnopqrstuvwx"}"#);
        let integrity = Algorithm::Sha256.of_event(&deletion);
        assert_eq!(integrity.hash, "EVENT:0:sha256-+4tWLFWaQKtsZK6lm36gXqo0fcWpf9Z0MaqOrQdvHg4=");
        assert_eq!(integrity.key, "EVENT:0:cabcdefghijklmnopqrstuvwx:1700000100.5");
    }

    #[test]
    fn what_means_the_same_has_the_same_hash() {
        let base = Algorithm::Sha256.of_event(&map(EVENT)).hash;
        let mut same = map(EVENT);
        for key in ["trashed", "duration", "integrity"] {
            same.remove(key);
        }
        same.insert("deleted".into(), Value::Null);
        assert_eq!(Algorithm::Sha256.of_event(&same).hash, base);
        let end_time = map(&EVENT.replace("\"duration\":0", "\"endTime\":1700000000"));
        assert_eq!(Algorithm::Sha256.of_event(&end_time).hash, base);
        let trashed = map(&EVENT.replace("\"trashed\":false", "\"trashed\":true"));
        assert_ne!(Algorithm::Sha256.of_event(&trashed).hash, base);
    }

    #[test]
    fn an_access_is_hashed_without_its_usage() {
        let bare = map(r#"{"id":"a","token":"t","permissions":[],"modified":1}"#);
        let used = map(
            r#"{"id":"a","token":"t","lastUsed":5,"calls":{"events:get":1},"apiEndpoint":"x","integrity":"y","deleted":null,"permissions":[],"modified":1}"#,
        );
        assert_eq!(Algorithm::Sha256.of_access(&bare), Algorithm::Sha256.of_access(&used));
        assert_eq!(Algorithm::Sha256.of_access(&bare).key, "ACCESS:0:a:1");
    }

    #[test]
    fn keys_are_sorted_by_utf16_units_and_numbers_are_printed_as_in_ecmascript() {
        // U+1F600 starts with the unit D83D, before U+FF00; in UTF-8 it comes after.
        let value: Value = serde_json::from_str(
            r#"{"\uff00":1,"\ud83d\ude00":2,"a":1e21,"ab":1e-7,"b":100000000000000000000,"c":-0.0}"#,
        )
        .unwrap();
        assert_eq!(
            stable(&value),
            "{\"a\":1e+21,\"ab\":1e-7,\"b\":100000000000000000000,\"c\":0,\"\u{1f600}\":2,\"\u{ff00}\":1}"
        );
        assert_eq!(stable(&Value::from("\u{7f}\u{200d}/\u{1}")), r#""\u007f\u200d/\u0001""#);
    }

    #[test]
    fn each_algorithm_gives_its_known_digest_of_abc() {
        for (name, digest) in [
            ("sha256", "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
            ("sha1", "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="),
            ("md5", "md5-kAFQmDzST7DWlj99KOF/cg=="),
        ] {
            assert_eq!(Algorithm::parse(name).unwrap().of_bytes(b"abc"), digest);
        }
        assert!(Algorithm::Sha512.of_bytes(b"abc").starts_with(
            "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
        ));
        assert_eq!(Algorithm::parse("sha3"), None);
    }
}
