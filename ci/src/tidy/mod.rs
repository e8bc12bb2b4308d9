//! `cargo ci tidy`: what the compiler does not check. The rules are those of docs/architecture.md and of the style that the
//! project keeps; each finding names its remedy.

mod arrows;
mod banned;
mod lengths;
mod links;
mod source;

use crate::blackbox;
use crate::error::Result;
use crate::report::Report;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `path` or `path:line`.
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let packages = arrows::packages()?;
    settle(report, "crates depend on each other only along the arrows of the architecture", arrows::check(&packages));
    settle(report, "every dependency has its line in docs/dependencies.md", arrows::undocumented(&packages));
    let sources = source::all()?;
    settle(report, "functions stay under 70 lines and files under 800", lengths::check(&sources));
    settle(report, "no banned call", banned::check(&sources));
    settle(report, "links and file names in documents lead somewhere", links::check()?);
    blackbox::check_document(report)?;
    for line in lengths::figures(&sources) {
        report.note(line);
    }
    Ok(())
}

fn settle(report: &mut Report, rule: &str, findings: Vec<Finding>) {
    if findings.is_empty() {
        return report.pass(rule);
    }
    let lines: Vec<_> =
        findings.iter().map(|finding| format!("\n          {}: {}", finding.place, finding.what)).collect();
    report.fail(rule, &lines.concat());
}
