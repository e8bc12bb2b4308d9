//! Counts what passed, failed and was skipped, says so as it happens, and keeps the wall time of each step.

use std::time::{Duration, Instant};

use crate::error::Result;

#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failures: Vec<String>,
    skips: Vec<String>,
    notes: Vec<String>,
    steps: Vec<(String, Duration)>,
}

impl Report {
    /// Runs one step. An error ends the step, not the run: the other steps still say what they know.
    pub(crate) fn step(&mut self, title: &str, act: impl FnOnce(&mut Self) -> Result<()>) {
        println!("\n== {title}");
        let started = Instant::now();
        if let Err(error) = act(self) {
            self.fail(title, &error.to_string());
        }
        let took = started.elapsed();
        println!("== {title}: {:.1} s", took.as_secs_f64());
        self.steps.push((title.to_owned(), took));
    }

    pub(crate) fn pass(&mut self, name: &str) {
        println!("  ok    {name}");
        self.passed += 1;
    }

    pub(crate) fn fail(&mut self, name: &str, why: &str) {
        println!("  FAIL  {name}: {why}");
        self.failures.push(format!("{name}: {why}"));
    }

    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        println!("  skip  {name}: {why}");
        self.skips.push(format!("{name}: {why}"));
    }

    /// A line of the summary that is neither good nor bad: a figure, a driver, a seed.
    pub(crate) fn note(&mut self, line: String) {
        println!("  {line}");
        self.notes.push(line);
    }

    pub(crate) fn check(&mut self, name: &str, holds: bool, why: &str) {
        match holds {
            true => self.pass(name),
            false => self.fail(name, why),
        }
    }

    /// Takes over the result of a test run that printed its own cases.
    pub(crate) fn add(&mut self, what: &str, passed: usize, failed: usize) {
        self.passed += passed;
        self.failures.extend((0..failed).map(|_| format!("{what}: a case failed, see its output")));
    }

    pub(crate) fn failed(&self) -> usize {
        self.failures.len()
    }

    /// The end of the output; its last line is the one that scripts read.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::from("\n");
        for (title, took) in &self.steps {
            text.push_str(&format!("{:>8.1} s  {title}\n", took.as_secs_f64()));
        }
        for (label, lines) in [("note", &self.notes), ("skipped", &self.skips), ("FAILED", &self.failures)] {
            for line in lines {
                // The details were printed when it happened.
                text.push_str(&format!("{label}: {}\n", line.lines().next().unwrap_or_default()));
            }
        }
        text.push_str(&format!("{} passed, {} failed", self.passed, self.failures.len()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CiError;

    #[test]
    fn the_last_line_counts_and_an_error_of_a_step_is_a_failure() {
        let mut report = Report::default();
        report.step("one", |report| {
            report.pass("a");
            Err(CiError::Usage("x".to_owned()))
        });
        report.add("two", 3, 1);
        assert_eq!(report.failed(), 2);
        assert_eq!(report.summary().lines().last(), Some("4 passed, 2 failed"));
    }
}
