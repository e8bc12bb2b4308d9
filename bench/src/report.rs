//! Rounds, medians and samples: as a table on the terminal, and as Markdown, JSON and pictures in the results folder.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::args::Options;
use crate::error::{BenchError, Result};
use crate::machine::{Build, Machine};
use crate::plot;
use crate::scenario::{Common, Scenario};
use crate::stats::Figures;

/// All that a run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: String,
    command: String,
    machine: Machine,
    build: Build,
    settings: Common,
    variants: Vec<Variant>,
    /// What was seen over time, for kinds that look.
    samples: Vec<Figures>,
    verdicts: Vec<Verdict>,
    /// What was not measured, and why; what else a reader must know.
    notes: Vec<String>,
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Debug, Serialize)]
struct Variant {
    name: String,
    rounds: Vec<Figures>,
    median: Figures,
}

/// Something that must be so, and whether it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Verdict {
    text: String,
    is_met: bool,
}

/// A bound of a figure of some variants, from the table of targets.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Goal {
    /// Part of the variants' names.
    #[serde(default)]
    variants: String,
    figure: String,
    at_least: Option<f64>,
    at_most: Option<f64>,
    /// The bound to reach beyond the first goal.
    stretch: Option<f64>,
}

impl Goal {
    pub(crate) fn has_one_bound(&self) -> bool {
        self.at_least.is_some() != self.at_most.is_some()
    }

    fn verdict(&self, variant: &Variant) -> Option<Verdict> {
        let value = variant.median.get(&self.figure).filter(|_| variant.name.contains(&self.variants))?;
        let (relation, bound) = match (self.at_least, self.at_most) {
            (Some(bound), _) => ("at least", bound),
            (None, bound) => ("at most", bound?),
        };
        let reaches = |bound: f64| if self.at_least.is_some() { value >= bound } else { value <= bound };
        let is_met = reaches(bound);
        let said = |is_met: bool| if is_met { "met" } else { "MISSED" };
        let (found, wanted) = (short(value), short(bound));
        let mut text =
            format!("{}: {} {found}, first goal {relation} {wanted}: {}", variant.name, self.figure, said(is_met));
        if bound != 0.0 {
            let _ = write!(text, " (x{:.2})", value / bound);
        }
        if let Some(stretch) = self.stretch {
            let _ = write!(text, "; stretch {}: {}", short(stretch), if reaches(stretch) { "met" } else { "not yet" });
        }
        Some(Verdict { text, is_met })
    }
}

impl Report {
    pub(crate) fn new(scenario: &Scenario, options: &Options) -> Result<Self> {
        let folder = options.results_folder();
        std::fs::create_dir_all(&folder).map_err(BenchError::system(&format!("create {}", folder.display())))?;
        let report = Self {
            scenario: scenario.name.clone(),
            command: std::env::args().skip(1).fold("bench".to_owned(), |line, word| line + " " + &word),
            machine: Machine::describe(&options.data),
            build: Build::describe(&options.server),
            settings: scenario.common.clone(),
            variants: Vec::new(),
            samples: Vec::new(),
            verdicts: Vec::new(),
            notes: Vec::new(),
            folder,
        };
        println!("{}: {}\n{}\n{}", report.scenario, report.settings.about, report.machine, report.build);
        Ok(report)
    }

    /// Where a scenario's own files go: `NAME.ENDING` beside the others.
    pub(crate) fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.scenario))
    }

    /// Said once, however often it is seen.
    pub(crate) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            println!("note: {text}");
            self.notes.push(text);
        }
    }

    pub(crate) fn judge(&mut self, text: String, is_met: bool) {
        self.verdicts.push(Verdict { text: format!("{text}: {}", if is_met { "met" } else { "MISSED" }), is_met });
    }

    pub(crate) fn samples(&mut self, samples: Vec<Figures>) {
        self.samples = samples;
    }

    /// Adds one round of a variant; variants keep the order of their first round.
    pub(crate) fn add(&mut self, variant: &str, round: Figures) {
        let index = self.variants.iter().position(|known| known.name == variant).unwrap_or(self.variants.len());
        if index == self.variants.len() {
            let name = variant.to_owned();
            self.variants.push(Variant { name, rounds: Vec::new(), median: Figures::default() });
        }
        if let Some(known) = self.variants.get_mut(index) {
            println!("  {variant}, round {}: {}", known.rounds.len() + 1, line(&round));
            known.rounds.push(round);
            known.median = Figures::median_of(&known.rounds);
        }
    }

    /// Prints the medians and writes all files.
    pub(crate) fn finish(mut self) -> Result<()> {
        for goal in &self.settings.goals {
            self.verdicts.extend(self.variants.iter().filter_map(|variant| goal.verdict(variant)));
        }
        println!("\n{}", self.tables());
        let json = serde_json::to_string_pretty(&self).expect("figures and names are JSON");
        write(&self.file("json"), &(json + "\n"))?;
        let pictures = self.pictures();
        for (ending, svg) in &pictures {
            write(&self.file(ending), svg)?;
        }
        write(&self.file("md"), &self.markdown(&pictures))?;
        println!("written: {}", self.file("md").display());
        Ok(())
    }

    /// Pictures by the ending of their file.
    fn pictures(&self) -> Vec<(&'static str, String)> {
        let mut pictures = Vec::new();
        let bars: Vec<plot::BarPanel> = self.settings.bars.iter().map(|figure| self.bar_panel(figure)).collect();
        if bars.iter().any(|panel| !panel.bars.is_empty()) {
            pictures.push(("svg", plot::bars(&self.settings.about, &bars)));
        }
        if !self.samples.is_empty() && !self.settings.lines.is_empty() {
            let panels: Vec<plot::LinePanel> = self.settings.lines.iter().map(|names| self.line_panel(names)).collect();
            let ending = if pictures.is_empty() { "svg" } else { "time.svg" };
            pictures.push((ending, plot::lines(&self.settings.about, &panels)));
        }
        pictures
    }

    fn bar_panel(&self, figure: &str) -> plot::BarPanel {
        let value = |variant: &Variant| Some((variant.name.clone(), variant.median.get(figure)?));
        let bound = |goal: &Goal| goal.at_least.or(goal.at_most);
        let goals: Vec<&Goal> = self.settings.goals.iter().filter(|goal| goal.figure == figure).collect();
        let goal_of = |name: &str| goals.iter().find(|goal| name.contains(&goal.variants)).and_then(|goal| bound(goal));
        let bars = self.variants.iter().filter_map(value);
        let bars = bars.map(|(name, value)| plot::Bar { goal: goal_of(&name), label: name, value }).collect();
        plot::BarPanel { title: figure.to_owned(), bars }
    }

    fn line_panel(&self, names: &[String]) -> plot::LinePanel {
        let points = |name: &str| -> Vec<(f64, f64)> {
            self.samples.iter().filter_map(|sample| Some((sample.get("s")?, sample.get(name)?))).collect()
        };
        let curves = names.iter().map(|name| plot::Curve { label: name.clone(), points: points(name) }).collect();
        plot::LinePanel { curves }
    }

    fn markdown(&self, pictures: &[(&'static str, String)]) -> String {
        let Self { scenario, settings, machine, build, command, notes, .. } = self;
        let mut out = format!("# {scenario}\n\n{}\n\n", settings.about);
        let _ = writeln!(out, "- machine: {machine}\n- server: {build}\n- command: `{command}`");
        let _ = writeln!(out, "- medians of {} round(s); cpu-s is CPU time of the server process", self.rounds());
        for note in notes {
            let _ = writeln!(out, "- {note}");
        }
        let _ = write!(out, "\n{}", self.tables());
        for (ending, _) in pictures {
            let _ = write!(out, "\n![{scenario}]({scenario}.{ending})\n");
        }
        out
    }

    /// The medians, variants of the same figures together, and the verdicts.
    fn tables(&self) -> String {
        let mut out = String::new();
        for group in self.variants.chunk_by(|one, next| one.median.names().eq(next.median.names())) {
            let names = group.first().into_iter().flat_map(|variant| variant.median.names());
            let mut rows = vec![std::iter::once("variant").chain(names).map(str::to_owned).collect::<Vec<_>>()];
            rows.extend(group.iter().map(|variant| {
                let values = variant.median.iter().map(|(_, value)| short(value));
                std::iter::once(variant.name.clone()).chain(values).collect()
            }));
            out.push_str(&table(&rows));
            out.push('\n');
        }
        for verdict in &self.verdicts {
            let _ = writeln!(out, "- {}", verdict.text);
        }
        out
    }

    fn rounds(&self) -> usize {
        self.variants.iter().map(|variant| variant.rounds.len()).max().unwrap_or(0)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(BenchError::system(&format!("write {}", path.display())))
}

/// A Markdown table whose columns are aligned for the terminal too; the first row is the heading.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let chars =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(chars).collect();
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if column == 0 { write!(out, "| {cell:<width$} ") } else { write!(out, "| {cell:>width$} ") };
        }
        out.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(*width);
                let _ = if column == 0 { write!(out, "|-{dashes}-") } else { write!(out, "|-{dashes}:") };
            }
            out.push_str("|\n");
        }
    }
    out
}

fn line(figures: &Figures) -> String {
    figures.iter().map(|(name, value)| format!("{name} {}", short(value))).collect::<Vec<_>>().join(", ")
}

/// Three or more digits, with k and M above ten thousand.
pub(crate) fn short(value: f64) -> String {
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

    fn goal(variants: &str, figure: &str, bound: f64, stretch: Option<f64>) -> Goal {
        let (variants, figure) = (variants.to_owned(), figure.to_owned());
        Goal { variants, figure, at_least: Some(bound), at_most: None, stretch }
    }

    fn report(folder: &Path) -> Report {
        let most = Goal { at_least: None, at_most: Some(1.0), ..goal("large", "p99 ms", 0.0, None) };
        Report {
            scenario: "test".to_owned(),
            command: "bench test".to_owned(),
            machine: Machine::describe(folder),
            build: Build::describe(Path::new("/no/server")),
            settings: Common {
                about: "about".to_owned(),
                rounds: 3,
                seconds: 1.0,
                connections: 1,
                server: std::collections::BTreeMap::new(),
                goals: vec![goal("small", "req/s", 150.0, Some(1_000.0)), most],
                bars: vec!["req/s".to_owned()],
                lines: vec![vec!["req/s".to_owned()]],
            },
            variants: Vec::new(),
            samples: Vec::new(),
            verdicts: Vec::new(),
            notes: Vec::new(),
            folder: folder.to_path_buf(),
        }
    }

    #[test]
    fn the_results_show_medians_and_whether_the_goals_are_met() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = report(folder.path());
        for rate in [100.0, 300.0, 200.0] {
            report.add("small", figures(rate));
            report.add("large", figures(rate * 100.0));
        }
        report.note("two: no reason".to_owned());
        report.note("two: no reason".to_owned());
        report.samples((0..5).map(|at| Figures::default().with("s", f64::from(at)).with("req/s", 1.0)).collect());
        report.finish().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let text = read("test.md");
        assert!(text.contains("| small   |   200 |  1.500 |"), "{text}");
        assert!(
            text.contains("- small: req/s 200, first goal at least 150: met (x1.33); stretch 1000: not yet"),
            "{text}"
        );
        assert!(text.contains("- large: p99 ms 1.500, first goal at most 1: MISSED (x1.50)"), "{text}");
        assert_eq!(text.matches("req/s |").count(), 1, "one heading for equal columns: {text}");
        assert!(text.contains("(test.svg)") && text.contains("(test.time.svg)"), "{text}");
        assert!(read("test.svg").starts_with("<svg") && read("test.time.svg").starts_with("<svg"));
        let json: serde_json::Value = serde_json::from_str(&read("test.json")).unwrap();
        assert_eq!(json.pointer("/variants/0/median/req~1s").and_then(serde_json::Value::as_f64), Some(200.0));
        assert!(json.pointer("/machine/cores").is_some() && json.pointer("/variants/0/rounds/2").is_some());
        assert_eq!(json.pointer("/notes"), Some(&serde_json::json!(["two: no reason"])));
    }

    #[test]
    fn a_goal_has_one_bound() {
        assert!(goal("", "x", 1.0, None).has_one_bound());
        assert!(!Goal { at_most: Some(1.0), ..goal("", "x", 1.0, None) }.has_one_bound());
        assert!(!Goal { at_least: None, ..goal("", "x", 1.0, None) }.has_one_bound());
    }

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> =
            [0.5, 12.34, 100.4, 9_999.0, 12_345.0, 1_234_567.0, 12_345_678.0, 3.0].into_iter().map(short).collect();
        assert_eq!(shown, ["0.500", "12.3", "100", "9999", "12.3k", "1.23M", "12.3M", "3"]);
    }
}
