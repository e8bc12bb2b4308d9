//! Content conditions (Pryv: content queries): strict on JSON types, never across arrays.

use model::query::{Condition, Test};
use serde_json::Value;

/// Whether a stored JSON text (or its absence) passes all conditions.
pub(crate) fn pass(text: Option<&str>, conditions: &[Condition]) -> Result<bool, serde_json::Error> {
    if conditions.is_empty() {
        return Ok(true);
    }
    let root = text.map(serde_json::from_str::<Value>).transpose()?;
    Ok(conditions.iter().all(|condition| test(find(root.as_ref(), &condition.path), &condition.test)))
}

fn find<'a>(root: Option<&'a Value>, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(root?, |value, segment| value.as_object()?.get(segment))
}

fn test(found: Option<&Value>, test: &Test) -> bool {
    if let Test::Exists(wanted) = test {
        return found.is_some() == *wanted;
    }
    let Some(found) = found else { return false };
    let number = |pass: fn(f64, f64) -> bool, bound: f64| found.as_f64().is_some_and(|value| pass(value, bound));
    match test {
        Test::Exists(_) => true,
        Test::Equal(wanted) => equal(found, wanted),
        Test::NotEqual(wanted) => !equal(found, wanted),
        Test::In(wanted) => wanted.iter().any(|wanted| equal(found, wanted)),
        Test::Greater(bound) => number(|value, bound| value > bound, *bound),
        Test::GreaterOrEqual(bound) => number(|value, bound| value >= bound, *bound),
        Test::Less(bound) => number(|value, bound| value < bound, *bound),
        Test::LessOrEqual(bound) => number(|value, bound| value <= bound, *bound),
        Test::Prefix(prefix) => found.as_str().is_some_and(|text| text.starts_with(prefix)),
    }
}

/// Numbers by value (`1` is `1.0`), all else by type and value.
fn equal(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn passes(content: &str, path: &[&str], test: Test) -> bool {
        let condition = Condition { path: path.iter().map(|&s| s.to_owned()).collect(), test };
        pass(Some(content), &[condition]).unwrap()
    }

    #[test]
    fn types_are_never_mixed() {
        assert!(passes("1", &[], Test::Equal(json!(1.0))));
        assert!(!passes("1", &[], Test::Equal(json!(true))));
        assert!(!passes("\"1\"", &[], Test::Equal(json!(1))));
        assert!(!passes("\"5\"", &[], Test::Greater(1.0)));
        assert!(!passes("12", &[], Test::Prefix("1".into())));
        assert!(passes("true", &[], Test::NotEqual(json!(1))));
    }

    #[test]
    fn a_missing_path_matches_only_exists_false() {
        assert!(passes("{\"a\":null}", &["a"], Test::Exists(true)));
        assert!(passes("{}", &["a"], Test::Exists(false)));
        assert!(!passes("{}", &["a"], Test::NotEqual(json!(1))));
        assert!(pass(None, &[Condition { path: vec![], test: Test::Exists(false) }]).unwrap());
        assert!(!passes("[{\"a\":1}]", &["0", "a"], Test::Exists(true)));
    }

    #[test]
    fn prefixes_take_wildcards_literally() {
        assert!(passes("\"50% off\"", &[], Test::Prefix("50%".into())));
        assert!(!passes("\"500\"", &[], Test::Prefix("50%".into())));
        assert!(!passes("\"Abc\"", &[], Test::Prefix("abc".into())));
    }
}
