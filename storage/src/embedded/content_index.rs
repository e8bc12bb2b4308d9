//! Declared indexes (Pryv: `storages.contentIndexes`): events ordered by the value at a path, so that a condition on it
//! finds them without a look at the others.
//!
//! An index gives a superset, on which the row decides: it knows no difference between `true` and `1`, cuts texts, and
//! reads numbers a last digit apart. What it may miss is never asked of it.

use model::query::{Condition, Test};
use rusqlite::Connection;
use rusqlite::types::Value as Bound;
use serde_json::Value;

use super::read::Sql;
use crate::StoreError;

/// Each is kept up to date by every write of an event.
pub const CONTENT_INDEXES_MAX: usize = 16;
/// Letters of a text that are in an index.
const TEXT_CHARS: usize = 100;
/// From here on not every whole number has a double of its own (2^53).
const WHOLE_MAX: u64 = 1 << 53;
const NUMBER_MAX: f64 = 9_007_199_254_740_992.0;
/// How far apart SQLite and we may be in reading the same digits, and more.
const DIGITS_SLACK: f64 = 1e-14;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentIndex {
    field: IndexedField,
    path: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexedField {
    Content,
    ClientData,
}

impl IndexedField {
    fn column(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::ClientData => "client_data",
        }
    }
}

impl ContentIndex {
    /// `path` as in a condition, already parsed: its segments hold letters, digits, `_`, `:` and `-` only.
    pub fn new(field: IndexedField, path: Vec<String>) -> Self {
        Self { field, path }
    }

    /// Names of indexes do not tell cases apart.
    fn name(&self) -> String {
        let mut name = format!("declared {} $", self.field.column());
        for segment in &self.path {
            name.push('.');
            for letter in segment.chars() {
                if letter.is_ascii_uppercase() {
                    name.push('^');
                }
                name.push(letter);
            }
        }
        name
    }

    /// The indexed value in SQL. Part of the definition in existing files: another text here needs another name.
    fn value(&self, table: &str) -> String {
        let column = format!("{table}{}", self.field.column());
        let path: String = self.path.iter().map(|segment| format!(".\"{segment}\"")).collect();
        format!(
            "CASE json_type({column}, '${path}') WHEN 'text' THEN substr(json_extract({column}, '${path}'), 1, {TEXT_CHARS})
             WHEN 'object' THEN NULL WHEN 'array' THEN NULL ELSE json_extract({column}, '${path}') END"
        )
    }
}

/// Makes the indexes that are declared and not there yet, removes those that are no longer declared.
pub(super) fn adjust(connection: &mut Connection, declared: &[ContentIndex]) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let wanted: Vec<String> = declared.iter().map(ContentIndex::name).collect();
    for name in names(&transaction)?.iter().filter(|name| !wanted.contains(name)) {
        transaction.execute_batch(&format!("DROP INDEX \"{name}\""))?;
    }
    let found = names(&transaction)?;
    for index in declared.iter().filter(|index| !found.contains(&index.name())) {
        let (name, value) = (index.name(), index.value(""));
        tracing::info!(index = name, "a declared index is made; this takes a while when there are many events");
        transaction.execute_batch(&format!(
            "CREATE INDEX IF NOT EXISTS \"{name}\" ON event (user, {value}, time) WHERE {value} IS NOT NULL"
        ))?;
    }
    Ok(transaction.commit()?)
}

fn names(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND name GLOB 'declared *' ORDER BY name",
    )?;
    let names = query.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// A condition that an index answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lookup {
    name: String,
    value: String,
    terms: Vec<Term>,
    /// One value: its events come in the order of their times.
    pub(super) is_ordered: bool,
    /// Events found, counted up to the asked limit and one more.
    pub(super) found: i64,
}

/// `operator` with as many `?` as there are values.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    operator: &'static str,
    values: Vec<Bound>,
}

impl Lookup {
    /// Of the conditions that a declared index answers, the one with the fewest events.
    pub(super) fn best(
        connection: &Connection,
        user: i64,
        conditions: [(IndexedField, &[Condition]); 2],
        count_max: i64,
    ) -> Result<Option<Self>, StoreError> {
        if conditions.iter().all(|(_, conditions)| conditions.is_empty()) {
            return Ok(None);
        }
        let there = names(connection)?;
        let mut best: Option<Self> = None;
        for (field, conditions) in conditions {
            for condition in conditions {
                let Some(mut lookup) = Self::of(field, condition).filter(|lookup| there.contains(&lookup.name)) else {
                    continue;
                };
                lookup.found = lookup.count(connection, user, count_max)?;
                if best.as_ref().is_none_or(|best| lookup.found < best.found) {
                    best = Some(lookup);
                }
            }
        }
        Ok(best)
    }

    fn of(field: IndexedField, condition: &Condition) -> Option<Self> {
        let (terms, is_ordered) = terms(&condition.test)?;
        let index = ContentIndex::new(field, condition.path.clone());
        Some(Self { name: index.name(), value: index.value("e."), terms, is_ordered, found: 0 })
    }

    fn count(&self, connection: &Connection, user: i64, count_max: i64) -> Result<i64, StoreError> {
        let mut sql = Sql::default();
        sql.push("SELECT count(*) FROM (SELECT 1");
        self.lead(&mut sql, user);
        sql.bind(" LIMIT ?", count_max + 1).push(")");
        let mut query = connection.prepare_cached(&sql.text)?;
        Ok(query.query_row(rusqlite::params_from_iter(sql.params), |row| row.get(0))?)
    }

    /// `FROM` and the first conditions of a statement over events `e`.
    pub(super) fn lead(&self, sql: &mut Sql, user: i64) {
        sql.bind(&format!(" FROM event e INDEXED BY \"{}\" WHERE e.user = ?", self.name), user);
        for term in &self.terms {
            sql.push(&format!(" AND {} {}", self.value, term.operator));
            sql.params.extend(term.values.iter().cloned());
            if term.operator == IN {
                let places = vec!["?"; term.values.len()];
                sql.push(&format!(" ({})", places.join(", ")));
            }
        }
    }
}

const IN: &str = "IN";

/// A superset of the values that pass, and whether it is a single one. `None`: an index cannot tell.
fn terms(test: &Test) -> Option<(Vec<Term>, bool)> {
    let one = |operator, value| Term { operator, values: vec![value] };
    // All numbers come before all texts.
    let numbers_only = Term { operator: "< ''", values: vec![] };
    Some(match test {
        Test::Equal(Value::Number(number)) if number.is_f64() => {
            let (low, high) = around(number.as_f64()?)?;
            (vec![one(">= ?", low.into()), one("<= ?", high.into())], false)
        }
        Test::Equal(value) => (vec![one("= ?", exact(value)?)], true),
        Test::In(values) => {
            let values = values.iter().map(exact).collect::<Option<Vec<_>>>()?;
            (vec![Term { operator: IN, values }], false)
        }
        Test::Greater(bound) | Test::GreaterOrEqual(bound) => {
            (vec![one(">= ?", around(*bound)?.0.into()), numbers_only], false)
        }
        Test::Less(bound) | Test::LessOrEqual(bound) => (vec![one("<= ?", around(*bound)?.1.into())], false),
        Test::Prefix(prefix) => {
            let Bound::Text(low) = text(prefix)? else { return None };
            let high = behind(&low)?;
            (vec![one(">= ?", low.into()), one("< ?", high.into())], false)
        }
        Test::NotEqual(_) | Test::Exists(_) => return None,
    })
}

fn exact(value: &Value) -> Option<Bound> {
    match value {
        Value::String(wanted) => text(wanted),
        Value::Bool(wanted) => Some(i64::from(*wanted).into()),
        Value::Number(number) => {
            let whole = number.as_i64()?;
            (whole.unsigned_abs() < WHOLE_MAX).then(|| whole.into())
        }
        _ => None,
    }
}

fn around(number: f64) -> Option<(f64, f64)> {
    let slack = number.abs() * DIGITS_SLACK;
    (number.abs() < NUMBER_MAX).then_some((number - slack, number + slack))
}

/// SQLite's functions end a text at a NUL.
fn text(wanted: &str) -> Option<Bound> {
    (!wanted.contains('\0')).then(|| wanted.chars().take(TEXT_CHARS).collect::<String>().into())
}

/// The first text behind all that begin with this one.
fn behind(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_letter() {
        assert_eq!(behind("ab").as_deref(), Some("ac"));
        assert_eq!(behind("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(behind("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(behind("\u{10ffff}"), None);
    }

    #[test]
    fn what_an_index_might_miss_is_not_asked_of_it() {
        for value in [json!("a\0b"), json!(9_007_199_254_740_993_i64), json!(u64::MAX), json!(1e17)] {
            assert_eq!(terms(&Test::Equal(value.clone())), None, "{value}");
        }
        assert_eq!(terms(&Test::In(vec![json!(1), json!(0.5)])), None);
        assert_eq!(terms(&Test::Greater(1e16)), None);
        assert_eq!(terms(&Test::NotEqual(json!(1))), None);
        assert_eq!(terms(&Test::Exists(true)), None);
    }

    #[test]
    fn names_tell_cases_and_fields_apart() {
        let name = |field, path: &[&str]| ContentIndex::new(field, path.iter().map(|&s| s.to_owned()).collect()).name();
        assert_eq!(name(IndexedField::Content, &["a", "bC"]), "declared content $.a.b^C");
        assert_ne!(name(IndexedField::Content, &["a"]), name(IndexedField::ClientData, &["a"]));
        assert_ne!(name(IndexedField::Content, &["A"]), name(IndexedField::Content, &["a"]));
    }
}
