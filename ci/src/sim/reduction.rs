//! What a retention rule makes of rows, computed on its own: nothing, or a row for each bucket with the mean, the smallest
//! and the largest value and their count; of text and booleans the last.

use std::collections::BTreeMap;
use std::sync::Arc;

use series::Retain;

use super::rows::{Row, Value, row};

/// Rows that change; `None`: the row goes.
pub(super) fn reduce(rows: &BTreeMap<i64, Row>, rule: Retain) -> Vec<(i64, Option<Row>)> {
    let Retain { before_ns, bucket_ns, .. } = rule;
    let Some(bucket_ns) = bucket_ns else {
        return rows.range(..before_ns).map(|(time_ns, _)| (*time_ns, None)).collect();
    };
    let start_of = |time_ns: i64| time_ns.div_euclid(bucket_ns).saturating_mul(bucket_ns);
    let mut buckets: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
    for (time_ns, row) in rows.range(..start_of(before_ns)) {
        buckets.entry(start_of(*time_ns)).or_default().push(row);
    }
    let after: BTreeMap<i64, Row> = buckets.into_iter().map(|(start_ns, rows)| (start_ns, bucket(&rows))).collect();
    let gone = rows.range(..start_of(before_ns)).filter(|(time_ns, _)| !after.contains_key(time_ns));
    let mut changes: Vec<(i64, Option<Row>)> = gone.map(|(time_ns, _)| (*time_ns, None)).collect();
    let new = after.into_iter().filter(|(time_ns, row)| rows.get(time_ns) != Some(row));
    changes.extend(new.map(|(time_ns, row)| (time_ns, Some(row))));
    changes
}

struct Figures {
    mean: f64,
    min: f64,
    max: f64,
    count: f64,
}

/// The rows of a bucket, in order of time, as one.
fn bucket(rows: &[&Row]) -> Row {
    let mut figures: BTreeMap<Arc<str>, Figures> = BTreeMap::new();
    let mut last: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    for row in rows {
        for (name, value) in row.iter().filter(|(name, _)| !name.contains('.')) {
            match number(value) {
                None => drop(last.insert(Arc::clone(name), value.clone())),
                Some(mean) => add(&mut figures, name, figures_of(row, name, mean)),
            }
        }
    }
    let numbers = figures.into_iter().flat_map(|(name, Figures { mean, min, max, count })| {
        let beside = [("min", min), ("max", max), ("count", count)];
        let beside = beside.map(|(suffix, figure)| (Arc::from(format!("{name}.{suffix}")), figure));
        beside.into_iter().chain([(name, mean)])
    });
    let numbers = numbers.map(|(name, figure)| (name, Value::Number(figure.to_bits())));
    row(numbers.chain(last).collect())
}

/// Of a row that is a bucket already its figures, of any other its value.
fn figures_of(row: &Row, name: &Arc<str>, mean: f64) -> Figures {
    let beside = |suffix: &str| {
        let wanted = format!("{name}.{suffix}");
        row.iter().find(|(other, _)| **other == *wanted).and_then(|(_, value)| number(value))
    };
    match (beside("min"), beside("max"), beside("count")) {
        (Some(min), Some(max), Some(count)) => Figures { mean, min, max, count },
        _ => Figures { mean, min: mean, max: mean, count: 1.0 },
    }
}

fn add(figures: &mut BTreeMap<Arc<str>, Figures>, name: &Arc<str>, more: Figures) {
    let Some(so_far) = figures.get_mut(name) else {
        figures.insert(Arc::clone(name), more);
        return;
    };
    so_far.count += more.count;
    so_far.mean += (more.mean - so_far.mean) * (more.count / so_far.count);
    so_far.min = so_far.min.min(more.min);
    so_far.max = so_far.max.max(more.max);
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(bits) => Some(f64::from_bits(*bits)),
        Value::Text(_) | Value::Boolean(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{SeriesKey, SlotId};

    fn value(name: &str, number: f64) -> (Arc<str>, Value) {
        (name.into(), Value::Number(number.to_bits()))
    }

    #[test]
    fn old_rows_go_or_become_buckets_and_buckets_stay_as_they_are() {
        let key = SeriesKey::new(SlotId(0), 1).unwrap();
        let mut rows: BTreeMap<i64, Row> = [(1, 4.0), (3, 2.0), (12, 7.0), (25, 1.0)]
            .into_iter()
            .map(|(time_ns, number)| (time_ns, row(vec![value("v", number)])))
            .collect();
        let nothing = Retain { key, before_ns: 12, bucket_ns: None };
        assert_eq!(reduce(&rows, nothing), [(1, None), (3, None)]);
        let buckets = Retain { key, before_ns: 29, bucket_ns: Some(10) };
        let bucket = |mean, min, max, count| {
            Some(row(vec![value("v", mean), value("v.min", min), value("v.max", max), value("v.count", count)]))
        };
        let changes = reduce(&rows, buckets);
        let (first, second) = (bucket(3.0, 2.0, 4.0, 2.0), bucket(7.0, 7.0, 7.0, 1.0));
        assert_eq!(changes, [(1, None), (3, None), (12, None), (0, first), (10, second)]);
        for (time_ns, row) in changes {
            match row {
                Some(row) => drop(rows.insert(time_ns, row)),
                None => drop(rows.remove(&time_ns)),
            }
        }
        assert_eq!(reduce(&rows, buckets), []);
    }
}
