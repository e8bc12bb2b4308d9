//! Rounds and medians as a table on the terminal and as JSON in a file.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::args::Options;
use crate::error::{BenchError, Result};
use crate::machine::Machine;
use crate::stats::Figures;

const COLUMN_CHARS_MIN: usize = 8;

/// All that a run measured, variant by variant.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    machine: Machine,
    options: String,
    variants: Vec<Variant>,
    /// What was not measured, and why.
    skipped: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Variant {
    name: String,
    rounds: Vec<Figures>,
    median: Figures,
    goal: Option<Goal>,
}

/// The first goal of a figure, from the table of targets.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Goal {
    figure: &'static str,
    bound: f64,
    is_lower_bound: bool,
}

impl Goal {
    pub(crate) fn at_least(figure: &'static str, bound: f64) -> Self {
        Self { figure, bound, is_lower_bound: true }
    }

    pub(crate) fn at_most(figure: &'static str, bound: f64) -> Self {
        Self { figure, bound, is_lower_bound: false }
    }

    fn is_met(self, value: f64) -> bool {
        if self.is_lower_bound { value >= self.bound } else { value <= self.bound }
    }

    fn verdict(self, median: &Figures) -> String {
        let value = median.get(self.figure).unwrap_or(f64::NAN);
        let relation = if self.is_lower_bound { "at least" } else { "at most" };
        let verdict = if self.is_met(value) { "met" } else { "MISSED" };
        format!(
            "first goal {verdict}: {} {} ({relation} {}, x{:.2})",
            self.figure,
            short(value),
            short(self.bound),
            value / self.bound
        )
    }
}

impl Report {
    pub(crate) fn new(scenario: &'static str, options: &Options) -> Self {
        let report = Self {
            scenario,
            machine: Machine::describe(),
            options: format!("{options:?}"),
            variants: Vec::new(),
            skipped: Vec::new(),
        };
        println!("{scenario} on {}", report.machine);
        report
    }

    pub(crate) fn skip(&mut self, what: &str, reason: &str) {
        println!("skipped: {what}: {reason}");
        self.skipped.push(format!("{what}: {reason}"));
    }

    /// Adds one round of a variant; variants keep the order of their first round.
    pub(crate) fn add(&mut self, variant: &str, goal: Option<Goal>, round: Figures) {
        let index = self.variants.iter().position(|known| known.name == variant).unwrap_or(self.variants.len());
        if index == self.variants.len() {
            let name = variant.to_owned();
            self.variants.push(Variant { name, rounds: Vec::new(), median: Figures::default(), goal });
        }
        if let Some(known) = self.variants.get_mut(index) {
            println!("  {variant}, round {}: {}", known.rounds.len() + 1, line(&round));
            known.rounds.push(round);
            known.median = Figures::median_of(&known.rounds);
        }
    }

    /// Prints the medians and, if asked for, writes everything as JSON.
    pub(crate) fn finish(&self, json: Option<&Path>) -> Result<()> {
        print!("{}", self.table());
        let Some(path) = json else { return Ok(()) };
        let text = serde_json::to_string_pretty(self).expect("figures and names are JSON");
        std::fs::write(path, text + "\n").map_err(BenchError::system(&format!("write {}", path.display())))
    }

    fn table(&self) -> String {
        let mut out = format!("\n{}: medians of {} rounds\n", self.scenario, self.rounds());
        let name_chars = self.variants.iter().map(|variant| variant.name.len()).max().unwrap_or(0);
        let mut header = Vec::new();
        for variant in &self.variants {
            let names: Vec<&str> = variant.median.iter().map(|(name, _)| name).collect();
            if names != header {
                let _ = write!(out, "{:name_chars$}", "");
                for name in &names {
                    let _ = write!(out, "  {name:>COLUMN_CHARS_MIN$}");
                }
                out.push('\n');
                header = names;
            }
            let _ = write!(out, "{:name_chars$}", variant.name);
            for (name, value) in variant.median.iter() {
                let width = name.len().max(COLUMN_CHARS_MIN);
                let _ = write!(out, "  {:>width$}", short(value));
            }
            out.push('\n');
        }
        for variant in &self.variants {
            if let Some(goal) = variant.goal {
                let _ = writeln!(out, "{}: {}", variant.name, goal.verdict(&variant.median));
            }
        }
        out
    }

    fn rounds(&self) -> usize {
        self.variants.first().map_or(0, |variant| variant.rounds.len())
    }
}

fn line(figures: &Figures) -> String {
    figures.iter().map(|(name, value)| format!("{name} {}", short(value))).collect::<Vec<_>>().join(", ")
}

/// Three or more digits, with k and M above ten thousand.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 10_000_000.0 => format!("{:.1}M", value / 1e6),
        size if size >= 1_000_000.0 => format!("{:.2}M", value / 1e6),
        size if size >= 10_000.0 => format!("{:.1}k", value / 1e3),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rate: f64) -> Figures {
        Figures::default().with("req/s", rate).with("p99 ms", 1.5)
    }

    fn report() -> Report {
        Report {
            scenario: "test",
            machine: Machine::describe(),
            options: String::new(),
            variants: Vec::new(),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn the_table_shows_medians_and_says_whether_the_goal_is_met() {
        let mut report = report();
        for rate in [100.0, 300.0, 200.0] {
            report.add("small", Some(Goal::at_least("req/s", 150.0)), figures(rate));
            report.add("large", Some(Goal::at_most("p99 ms", 1.0)), figures(rate * 100.0));
        }
        let table = report.table();
        assert!(table.contains("medians of 3 rounds"), "{table}");
        assert!(table.contains("small: first goal met: req/s 200 (at least 150, x1.33)"), "{table}");
        assert!(table.contains("large: first goal MISSED: p99 ms 1.500 (at most 1, x1.50)"), "{table}");
        assert_eq!(table.matches("req/s  ").count(), 1, "one header for equal columns: {table}");
    }

    #[test]
    fn the_json_holds_machine_rounds_medians_and_what_was_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("figures.json");
        let mut report = report();
        report.add("one", None, figures(10.0));
        report.skip("two", "no reason");
        report.finish(Some(&file)).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(json.pointer("/variants/0/median/req~1s").and_then(serde_json::Value::as_f64), Some(10.0));
        assert!(json.pointer("/machine/cores").is_some() && json.pointer("/variants/0/rounds/0").is_some());
        assert_eq!(json.pointer("/skipped/0").and_then(serde_json::Value::as_str), Some("two: no reason"));
    }

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> =
            [0.5, 12.34, 100.4, 9_999.0, 12_345.0, 1_234_567.0, 12_345_678.0, 3.0].into_iter().map(short).collect();
        assert_eq!(shown, ["0.500", "12.3", "100", "9999", "12.3k", "1.23M", "12.3M", "3"]);
    }
}
