//! `series.retention`: how long points are kept, and what stays of older ones. A list of rules in which the first one
//! that matches a series counts; a series that none matches is kept for ever.

use serde_json::{Map, Value};

use super::error::{Findings, Origin, Problem};
use super::keys::Kind;
use super::lookup::conform;

pub(super) const KEY: &str = "series:retention";
const FIELDS: [&str; 5] = ["types", "streams", "keepDays", "then", "bucketSeconds"];
/// Each series is looked up in the list, in order.
const RULES_MAX: usize = 100;
/// A century: a larger number is a mistake of unit.
const KEEP_DAYS: Kind = Kind::Int { min: 1, max: 36_500 };
const THEN: Kind = Kind::Choice(&["buckets", "nothing"]);
/// At most a month.
const BUCKET_SECONDS: Kind = Kind::Int { min: 1, max: 31 * 86_400 };

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetentionRule {
    /// Empty: any type.
    types: Vec<TypePattern>,
    /// Ids; a series in one of them or below it matches. Empty: any stream.
    streams: Vec<String>,
    /// Points younger than this stay as they are.
    pub(crate) keep_days: u64,
    pub(crate) then: Then,
}

/// What stays of the points that are older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    /// Smallest, largest and mean value of each stretch of time.
    Buckets {
        seconds: u64,
    },
}

/// `series:class/format`, or `series:class/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TypePattern {
    Exactly(String),
    /// Everything that begins so: `series:class/`.
    Class(String),
}

impl RetentionRule {
    /// `stream_ids`: the streams of the series event and all streams above them.
    pub(crate) fn matches<S: AsRef<str>>(&self, kind: &str, stream_ids: &[S]) -> bool {
        let has_stream = |wanted: &String| stream_ids.iter().any(|id| id.as_ref() == wanted);
        (self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(kind)))
            && (self.streams.is_empty() || self.streams.iter().any(has_stream))
    }
}

impl TypePattern {
    fn parse(text: &str) -> Option<Self> {
        let (class, format) = text.strip_prefix("series:")?.split_once('/')?;
        let allowed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        let is_name = |name: &str| !name.is_empty() && name.chars().all(allowed);
        match format {
            _ if !is_name(class) => None,
            "*" => Some(Self::Class(format!("series:{class}/"))),
            _ => is_name(format).then(|| Self::Exactly(text.to_owned())),
        }
    }

    fn matches(&self, kind: &str) -> bool {
        match self {
            Self::Exactly(name) => kind == name,
            Self::Class(prefix) => kind.starts_with(prefix),
        }
    }
}

/// The rules of a list; what is wrong with one becomes a finding, and the rule is left out.
pub(super) fn rules(list: &[Value], origin: &Origin, findings: &mut Findings) -> Vec<RetentionRule> {
    if list.len() > RULES_MAX {
        findings.rule(KEY, format!("may hold {RULES_MAX} rules: let one rule name several types or streams"));
        return Vec::new();
    }
    let of = |(index, item)| rule(&mut Fields { path: format!("{KEY}:{index}"), origin, findings }, item);
    list.iter().enumerate().filter_map(of).collect()
}

fn rule(fields: &mut Fields<'_>, item: &Value) -> Option<RetentionRule> {
    let Some(map) = item.as_object() else {
        fields.wrong("", "must be a map such as { types: [series:mass/kg], keepDays: 30, then: nothing }");
        return None;
    };
    if let Some(unknown) = map.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        fields.wrong(unknown, &format!("is not known here: a rule is made of {}", FIELDS.join(", ")));
        return None;
    }
    let types = fields.texts(map, "types")?;
    let streams = fields.texts(map, "streams")?;
    if types.is_empty() && streams.is_empty() {
        fields.wrong("", "must say what it is for: name types, streams or both");
        return None;
    }
    let patterns: Vec<TypePattern> = types.iter().filter_map(|text| TypePattern::parse(text)).collect();
    if patterns.len() < types.len() {
        fields.wrong("types", "may list types such as series:mass/kg, and series:mass/* for the whole class");
        return None;
    }
    let keep_days = fields.required(map, "keepDays", KEEP_DAYS)?.as_u64()?;
    let then = then(fields, map)?;
    Some(RetentionRule { types: patterns, streams, keep_days, then })
}

fn then(fields: &mut Fields<'_>, map: &Map<String, Value>) -> Option<Then> {
    if fields.required(map, "then", THEN)? == "buckets" {
        let seconds = fields.required(map, "bucketSeconds", BUCKET_SECONDS)?.as_u64()?;
        return Some(Then::Buckets { seconds });
    }
    if map.contains_key("bucketSeconds") {
        fields.wrong("bucketSeconds", "goes with `then: buckets` only: remove it, or keep buckets");
        return None;
    }
    Some(Then::Nothing)
}

/// Reads the fields of one rule and says what is wrong with them under their full path.
struct Fields<'a> {
    path: String,
    origin: &'a Origin,
    findings: &'a mut Findings,
}

impl Fields<'_> {
    fn wrong(&mut self, name: &str, text: &str) {
        self.findings.rule(&self.at(name), text);
    }

    fn at(&self, name: &str) -> String {
        if name.is_empty() { self.path.clone() } else { format!("{}:{name}", self.path) }
    }

    fn required(&mut self, map: &Map<String, Value>, name: &str, kind: Kind) -> Option<Value> {
        let Some(value) = map.get(name) else {
            self.findings.missing(&self.at(name), format!("set it to {kind}"));
            return None;
        };
        self.fitting(value, name, kind)
    }

    /// Absent: empty. Given and empty would mean nothing or everything, so it is refused.
    fn texts(&mut self, map: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
        let Some(value) = map.get(name) else { return Some(Vec::new()) };
        let list: Vec<String> = serde_json::from_value(self.fitting(value, name, Kind::Texts)?).ok()?;
        if list.is_empty() {
            self.wrong(name, "must not be empty: remove it if the rule is for all of them");
            return None;
        }
        Some(list)
    }

    fn fitting(&mut self, value: &Value, name: &str, kind: Kind) -> Option<Value> {
        let mut value = value.clone();
        if let Err(got) = conform(kind, &mut value) {
            let problem = Problem::Type { expected: kind.to_string(), got, origin: self.origin.clone() };
            self.findings.add(&self.at(name), problem);
            return None;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(list: Value) -> Result<Vec<RetentionRule>, Vec<String>> {
        let mut findings = Findings::default();
        let rules = rules(list.as_array().unwrap(), &Origin::Default, &mut findings);
        let text = |finding: &super::super::error::Finding| format!("[{}] {}", finding.path, finding.problem);
        findings.into_result(rules).map_err(|errors| errors.findings.iter().map(text).collect())
    }

    fn one(rule: Value) -> RetentionRule {
        read(json!([rule])).unwrap().remove(0)
    }

    #[test]
    fn a_rule_keeps_buckets_or_nothing_after_some_days() {
        let rules = read(json!([
            {"types": ["series:mass/kg"], "keepDays": 30, "then": "nothing"},
            {"streams": ["heart"], "keepDays": 7.0, "then": "buckets", "bucketSeconds": 60}
        ]));
        let read: Vec<_> = rules.unwrap().into_iter().map(|rule| (rule.keep_days, rule.then)).collect();
        assert_eq!(read, [(30, Then::Nothing), (7, Then::Buckets { seconds: 60 })]);
    }

    #[test]
    fn types_match_as_a_whole_or_by_their_class() {
        let exact = one(json!({"types": ["series:mass/kg"], "keepDays": 1, "then": "nothing"}));
        let class = one(json!({"types": ["series:mass/*"], "keepDays": 1, "then": "nothing"}));
        let none: [&str; 0] = [];
        assert!(exact.matches("series:mass/kg", &none) && class.matches("series:mass/kg", &none));
        assert!(!exact.matches("series:mass/g", &none) && class.matches("series:mass/g", &none));
        assert!(!class.matches("series:massive/kg", &none) && !class.matches("mass/kg", &none));
    }

    #[test]
    fn streams_match_by_the_series_own_or_any_above() {
        let rule = one(json!({"streams": ["heart", "brain"], "keepDays": 1, "then": "nothing"}));
        assert!(rule.matches("series:mass/kg", &["ecg", "heart"]));
        assert!(!rule.matches("series:mass/kg", &["ecg", "body"]));
    }

    #[test]
    fn types_and_streams_must_both_match_when_both_are_given() {
        let rule = one(json!({"types": ["series:mass/*"], "streams": ["heart"], "keepDays": 1, "then": "nothing"}));
        assert!(rule.matches("series:mass/kg", &["heart"]));
        assert!(!rule.matches("series:mass/kg", &["body"]) && !rule.matches("series:note/txt", &["heart"]));
    }

    #[test]
    fn a_malformed_rule_is_named_with_its_place_and_the_remedy() {
        let valid = json!({"types": ["series:mass/kg"], "keepDays": 30, "then": "buckets", "bucketSeconds": 60});
        let cases = [
            ("", json!("all"), "[series:retention:0] must be a map"),
            ("types", Value::Null, "[series:retention:0] must say what it is for"),
            ("types", json!([]), "[series:retention:0:types] must not be empty"),
            ("types", json!("series:mass/kg"), "[series:retention:0:types] must be a list of texts, got a text"),
            ("types", json!(["mass/kg"]), "[series:retention:0:types] may list types such as series:mass/kg"),
            ("types", json!(["series:*"]), "[series:retention:0:types] may list"),
            ("types", json!(["series:mass/k*"]), "[series:retention:0:types] may list"),
            ("types", json!(["series:*/kg"]), "[series:retention:0:types] may list"),
            ("streams", json!([1]), "[series:retention:0:streams] must be a list of texts"),
            ("keepDays", Value::Null, "[series:retention:0:keepDays] is missing: set it to an integer from 1"),
            ("keepDays", json!(0), "[series:retention:0:keepDays] must be an integer from 1 to 36500, got 0"),
            ("keepDays", json!("30"), "[series:retention:0:keepDays] must be an integer"),
            ("then", Value::Null, "[series:retention:0:then] is missing: set it to one of buckets, nothing"),
            ("then", json!("averages"), "[series:retention:0:then] must be one of buckets, nothing, got \"averages\""),
            ("then", json!("nothing"), "[series:retention:0:bucketSeconds] goes with `then: buckets` only"),
            ("bucketSeconds", Value::Null, "[series:retention:0:bucketSeconds] is missing"),
            ("bucketSeconds", json!(0), "[series:retention:0:bucketSeconds] must be an integer from 1 to 2678400"),
            ("bucketSeconds", json!(2_678_401), "[series:retention:0:bucketSeconds] must be"),
            ("keepdays", json!(1), "[series:retention:0:keepdays] is not known here"),
        ];
        for (field, value, wanted) in cases {
            let mut rule = valid.clone();
            match value {
                value if field.is_empty() => rule = value,
                Value::Null => drop(rule.as_object_mut().unwrap().remove(field)),
                value => rule[field] = value,
            }
            let problems = read(json!([rule])).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(wanted), "{problems:?} for {wanted}");
        }
    }

    #[test]
    fn every_wrong_rule_is_named_and_their_number_is_limited() {
        assert_eq!(read(json!([1, 2])).unwrap_err().len(), 2);
        let many = vec![json!({"streams": ["a"], "keepDays": 1, "then": "nothing"}); RULES_MAX + 1];
        assert!(read(Value::Array(many)).unwrap_err()[0].contains("may hold 100 rules"));
    }
}
