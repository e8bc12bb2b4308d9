//! Finds a path in the key table, checks values against it, and names the nearest key of an unknown one.

use serde_json::Value;

use super::error::{Findings, Origin, Problem};
use super::keys::{KEYS, Key, Kind};
use super::tree::{PATH_SEPARATOR, join};

const WILDCARD: &str = "*";

pub(super) enum Found {
    /// The path is a key; `sections` tells whether other keys lie below it.
    Key {
        key: &'static Key,
        sections: bool,
    },
    /// The path lies below a key that takes any content.
    Inside(&'static Key),
    /// Keys lie below the path.
    Section,
    Unknown,
}

pub(super) fn find(path: &[String]) -> Found {
    let sections = KEYS.iter().any(|key| is_above(path, key));
    let exact =
        KEYS.iter().find(|key| matches(key, path, false)).or_else(|| KEYS.iter().find(|key| matches(key, path, true)));
    if let Some(key) = exact {
        return Found::Key { key, sections };
    }
    if sections {
        return Found::Section;
    }
    let inside = (1..path.len()).rev().filter_map(|length| path.get(..length)).find_map(|above| {
        let takes_any = |key: &&Key| matches!(key.kind, Kind::Map | Kind::Any) && matches(key, above, true);
        KEYS.iter().find(takes_any)
    });
    inside.map_or(Found::Unknown, Found::Inside)
}

/// Is one of the table's keys, written with any case, the first segment of this name?
pub(super) fn is_known_section(name: &str) -> bool {
    KEYS.iter().any(|key| segments(key).next().is_some_and(|first| first.eq_ignore_ascii_case(name)))
}

/// The table's spelling of a path whose case may differ (environment names are often upper-case).
pub(super) fn canonical(path: &[String]) -> Option<Vec<String>> {
    if !matches!(find(path), Found::Unknown) {
        return Some(path.to_vec());
    }
    (1..=path.len()).rev().find_map(|length| {
        let (head, tail) = path.split_at_checked(length)?;
        let fits = |key: &&Key| tail.is_empty() || matches!(key.kind, Kind::Map | Kind::Any);
        let spelled = KEYS.iter().filter(fits).find_map(|key| respell(key, head))?;
        Some(spelled.into_iter().chain(tail.iter().cloned()).collect())
    })
}

/// Checks a value of a source against the table, below `path`; what is wrong becomes a finding and is taken out.
pub(super) fn check(path: &mut Vec<String>, value: &mut Value, origin: &Origin, findings: &mut Findings) {
    match (find(path), &mut *value) {
        (Found::Unknown, _) => {
            findings.add(&join(path), Problem::UnknownKey { nearest: nearest(path), origin: origin.clone() });
            *value = Value::Null;
        }
        (_, Value::Null) | (Found::Inside(_), _) => {}
        (Found::Key { sections: true, .. } | Found::Section, Value::Object(fields)) => {
            for (name, field) in fields {
                path.push(name.clone());
                check(path, field, origin, findings);
                path.pop();
            }
        }
        (Found::Key { key, .. }, _) => {
            if let Err(got) = conform(key.kind, value) {
                let problem = Problem::Type { expected: key.kind.to_string(), got, origin: origin.clone() };
                findings.add(&join(path), problem);
                *value = Value::Null;
            }
        }
        (Found::Section, _) => {
            let problem =
                Problem::Type { expected: "a map".to_owned(), got: kind_of(value).to_owned(), origin: origin.clone() };
            findings.add(&join(path), problem);
            *value = Value::Null;
        }
    }
}

/// Makes the value fit the kind where nothing is lost by it; the error says what it is instead.
pub(super) fn conform(kind: Kind, value: &mut Value) -> Result<(), String> {
    let fits = match kind {
        Kind::Any => true,
        Kind::Bool => value.is_boolean(),
        Kind::Int { min, max } => return conform_integer(min, max, value),
        Kind::Number { min, max } => return conform_number(min, max, value),
        Kind::Text => return conform_text(value),
        Kind::Url => return conform_url(value),
        Kind::Choice(values) => match value.as_str() {
            Some(text) if values.contains(&text) => true,
            Some(text) => return Err(format!("\"{text}\"")),
            None => false,
        },
        Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        Kind::List => value.is_array(),
        Kind::Map => value.is_object(),
    };
    if fits { Ok(()) } else { Err(kind_of(value).to_owned()) }
}

fn conform_integer(min: u64, max: u64, value: &mut Value) -> Result<(), String> {
    let Some(number) = value.as_number() else { return Err(kind_of(value).to_owned()) };
    // 1e6 and 14.0 are integers too; printed without a fraction they parse as such.
    let whole =
        number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15).map(|float| format!("{float:.0}"));
    let integer = number.as_u64().or_else(|| whole.and_then(|digits| digits.parse().ok()));
    match integer {
        Some(integer) if (min..=max).contains(&integer) => {
            *value = integer.into();
            Ok(())
        }
        _ => Err(number.to_string()),
    }
}

fn conform_number(min: f64, max: f64, value: &Value) -> Result<(), String> {
    let Some(number) = value.as_number() else { return Err(kind_of(value).to_owned()) };
    let in_range = number.as_f64().is_some_and(|float| (min..=max).contains(&float));
    if in_range { Ok(()) } else { Err(number.to_string()) }
}

/// YAML reads an unquoted serial as a number; an integer has one spelling, so it may stand for its text.
fn conform_text(value: &mut Value) -> Result<(), String> {
    match value {
        Value::String(_) => Ok(()),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            *value = Value::String(number.to_string());
            Ok(())
        }
        other => Err(format!("{} (quote it if it is a text)", kind_of(other))),
    }
}

fn conform_url(value: &Value) -> Result<(), String> {
    let text = value.as_str().ok_or_else(|| kind_of(value).to_owned())?;
    // A placeholder gets its own, clearer finding later.
    let unset = text.is_empty() || super::validate::is_placeholder(text);
    if unset || super::service::origin_of(text).is_some() { Ok(()) } else { Err("another text".to_owned()) }
}

/// The value as words: values themselves may be secrets.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(items) if items.iter().all(Value::is_string) => "a list of texts",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// The known key or section most like this path: same letters first, then the same last segment elsewhere.
pub(super) fn nearest(path: &[String]) -> String {
    let wanted = join(path).replace('.', ":").to_lowercase();
    let mut best = (0.0, "");
    for key in KEYS.iter().filter(|key| !key.pattern.contains(WILDCARD)) {
        for candidate in prefixes(key.pattern) {
            let score = likeness(&wanted, &candidate.to_lowercase());
            if score > best.0 {
                best = (score, candidate);
            }
        }
    }
    best.1.to_owned()
}

fn likeness(wanted: &str, candidate: &str) -> f64 {
    /// A key in another section is a good guess, a near spelling a better one.
    const SAME_LAST_SEGMENT: f64 = 0.75;
    let whole = strsim::normalized_damerau_levenshtein(wanted, candidate);
    let last = |text: &str| text.rsplit(PATH_SEPARATOR).next().map(str::to_owned);
    // A name without a section says nothing of the section: the first in the table is the most common one.
    let section = if wanted.contains(PATH_SEPARATOR) { whole / 10.0 } else { 0.0 };
    if last(wanted) == last(candidate) { whole.max(SAME_LAST_SEGMENT + section) } else { whole }
}

fn prefixes(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    let ends = pattern.match_indices(PATH_SEPARATOR).map(|(index, _)| index).chain([pattern.len()]);
    ends.filter_map(move |end| pattern.get(..end))
}

fn segments(key: &Key) -> std::str::Split<'static, char> {
    key.pattern.split(PATH_SEPARATOR)
}

fn matches(key: &Key, path: &[String], wildcards: bool) -> bool {
    let fits = |(wanted, given): (&str, &String)| wanted == given || (wildcards && wanted == WILDCARD);
    segments(key).count() == path.len() && segments(key).zip(path).all(fits)
}

fn is_above(path: &[String], key: &Key) -> bool {
    let fits = |(wanted, given): (&str, &String)| wanted == given || wanted == WILDCARD;
    segments(key).count() > path.len() && segments(key).zip(path).all(fits)
}

fn respell(key: &Key, path: &[String]) -> Option<Vec<String>> {
    let fits = |(wanted, given): (&'static str, &String)| match wanted {
        WILDCARD => Some(given.clone()),
        _ if wanted.eq_ignore_ascii_case(given) => Some(wanted.to_owned()),
        _ => None,
    };
    if segments(key).count() == path.len() { segments(key).zip(path).map(fits).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tree::split;
    use super::*;

    fn findings_of(key: &str, mut value: Value) -> Vec<String> {
        let mut findings = Findings::default();
        check(&mut split(key), &mut value, &Origin::Default, &mut findings);
        findings
            .into_result(())
            .map_or_else(|errors| errors.findings.iter().map(ToString::to_string).collect(), |()| vec![])
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        for (wrong, right) in [
            ("http:prot", "http:port"),
            ("http.port", "http:port"),
            ("port", "http:port"),
            ("servce:name", "service:name"),
            ("servce", "service"),
            ("auth:trustedApp", "auth:trustedApps"),
            ("cluster:shard", "cluster:shards"),
            ("storages:engine", "storages:engines"),
        ] {
            assert_eq!(nearest(&split(wrong)), right, "for {wrong}");
        }
    }

    #[test]
    fn a_value_of_another_type_names_key_expectation_and_what_was_given() {
        assert_eq!(
            findings_of("http", json!({"port": "3000"})),
            ["Configuration is invalid at [http:port] must be an integer from 1 to 65535, got a text (default)"]
        );
        assert_eq!(findings_of("http", json!({"port": 0})).len(), 1);
        assert_eq!(findings_of("http", json!({"port": 70000})).len(), 1);
        assert_eq!(findings_of("http", json!({"port": -1})).len(), 1);
        assert_eq!(findings_of("http", json!({"port": 3000.5})).len(), 1);
        assert_eq!(findings_of("http", json!([1])).len(), 1);
        assert_eq!(findings_of("uploads", json!({"maxSizeMb": 0})).len(), 1);
        assert_eq!(findings_of("versioning", json!({"deletionMode": "keep"})).len(), 1);
        assert_eq!(findings_of("invitationTokens", json!(["a", 1])).len(), 1);
        assert_eq!(findings_of("http", json!({"prot": null})).len(), 1);
        assert_eq!(findings_of("dnsLess:publicUrl", json!("ftp://x")).len(), 1);
    }

    #[test]
    fn fitting_values_pass_and_an_unquoted_serial_becomes_its_text() {
        assert!(findings_of("http", json!({"port": 3e3, "ip": null})).is_empty());
        assert!(findings_of("services", json!({"email": {"enabled": false}})).is_empty());
        assert!(findings_of("services", json!({"email": {"enabled": {"welcome": true}}})).is_empty());
        assert!(findings_of("dns", json!({"staticEntries": {"www": {"a": ["1.2.3.4"]}}})).is_empty());
        assert!(findings_of("service", json!({"anything": {"deep": [1]}})).is_empty());
        assert!(findings_of("http", json!({"ssl": {"backloop.dev": false}})).is_empty());
        let mut serial = json!(2_019_062_301);
        check(&mut split("service:serial"), &mut serial, &Origin::Default, &mut Findings::default());
        assert_eq!(serial, json!("2019062301"));
    }

    #[test]
    fn an_error_about_a_text_never_shows_it() {
        for finding in findings_of("auth", json!({"adminAccessKey": ["hush-hush"], "sessionMaxAge": "hush-hush"})) {
            assert!(!finding.contains("hush-hush"), "{finding}");
        }
    }

    #[test]
    fn every_default_of_the_table_fits_its_own_kind() {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let mut value: Value = serde_json::from_str(key.default).unwrap();
            assert_eq!(conform(key.kind, &mut value), Ok(()), "{}", key.pattern);
            assert!(!key.pattern.contains(WILDCARD));
        }
    }

    #[test]
    fn no_pattern_is_there_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(!KEYS[..index].iter().any(|other| other.pattern == key.pattern), "{}", key.pattern);
        }
    }
}
