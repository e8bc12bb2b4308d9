//! Named figures of one measurement, and their medians over several rounds.

use hdrhistogram::Histogram;
use serde::ser::{Serialize, SerializeMap, Serializer};

const LATENCY_NS_MIN: u64 = 1_000;
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const LATENCY_DIGITS: u8 = 3;

/// Figures in the order in which they are shown. Every round of a variant has the same names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.push((name, value));
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.0.iter().copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// Each figure's own median: the round with the median rate need not be the one with the median latency.
    pub(crate) fn median_of(rounds: &[Self]) -> Self {
        let Some(first) = rounds.first() else { return Self::default() };
        let of = |name: &str| median(rounds.iter().filter_map(|round| round.get(name)).collect());
        Self(first.iter().map(|(name, _)| (name, of(name))).collect())
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = values.len().checked_sub(2).and_then(|_| values.get(values.len() / 2 - 1));
    lower.map_or(upper, |lower| (lower + upper) / 2.0)
}

/// Latencies up to the last byte of an answer: from sending the request, or from the moment it was due.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, LATENCY_DIGITS);
        Self(histogram.expect("the bounds are constants that hdrhistogram accepts"))
    }

    pub(crate) fn record(&mut self, latency: std::time::Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn add_to(&self, figures: Figures) -> Figures {
        let milliseconds = |ns: u64| ns as f64 / 1e6;
        figures
            .with("p50 ms", milliseconds(self.0.value_at_quantile(0.5)))
            .with("p90 ms", milliseconds(self.0.value_at_quantile(0.9)))
            .with("p99 ms", milliseconds(self.0.value_at_quantile(0.99)))
            .with("p99.9 ms", milliseconds(self.0.value_at_quantile(0.999)))
            .with("max ms", milliseconds(self.0.max()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_median_of_odd_and_even_counts_is_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
        assert_eq!(median(vec![7.0]), 7.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let round = |rate, latency| Figures::default().with("rate", rate).with("latency", latency);
        let medians = Figures::median_of(&[round(1.0, 30.0), round(2.0, 10.0), round(3.0, 20.0)]);
        assert_eq!(medians, round(2.0, 20.0));
    }

    #[test]
    fn percentiles_are_in_milliseconds_and_a_longer_wait_than_the_scale_counts_as_its_end() {
        let mut latencies = Latencies::new();
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        latencies.record(Duration::from_secs(1_000));
        let figures = latencies.add_to(Figures::default());
        let near = |name: &str, expected: f64| (figures.get(name).unwrap() / expected - 1.0).abs() < 0.01;
        assert!(near("p50 ms", 51.0) && near("p90 ms", 91.0) && near("p99 ms", 100.0), "{figures:?}");
        assert!(near("max ms", 60_000.0), "{figures:?}");
    }
}
