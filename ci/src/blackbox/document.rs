//! `docs/conformance.md`: which case of the specification is shown by which test. Made from the case files, so that it
//! cannot say more than is tested; `cargo ci tidy` compares.

use std::path::PathBuf;

use super::script::Script;
use super::scripts;
use crate::error::{CiError, Result};
use crate::report::Report;
use crate::tools;

const INTRODUCTION: &str = "\
# Conformance

Which behaviour of the Pryv API is shown by which test. This file is made by `cargo ci conformance` from the case files in
`ci/cases`, which `cargo ci blackbox` plays against a started server on both drivers. The numbers are those of the \"cases
worth testing\" of each chapter of the specification; a letter after a number tells several tests of one case apart. The npm
clients are tested in `tests/js`, durability by `cargo ci crash` and `cargo ci power`.
";

/// `cargo ci conformance`.
pub(crate) fn write_document() -> Result<()> {
    let path = path();
    std::fs::write(&path, text(&scripts()?)).map_err(CiError::file(&path))
}

/// A rule of `cargo ci tidy`.
pub(crate) fn check_document(report: &mut Report) -> Result<()> {
    let stored = tools::read_text(&path()).unwrap_or_default();
    let is_same = stored == text(&scripts()?);
    report.check("docs/conformance.md is what the case files say", is_same, "run `cargo ci conformance`");
    Ok(())
}

fn path() -> PathBuf {
    tools::root().join("docs/conformance.md")
}

fn text(scripts: &[Script]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for script in scripts {
        text.push_str(&format!(
            "\n## {}\n\n`ci/cases/{}.txt`\n\n| case | what is shown |\n|---|---|\n",
            script.heading, script.name
        ));
        for case in &script.cases {
            text.push_str(&format!("| {} | {} |\n", case.id, case.title.replace('|', "\\|")));
        }
    }
    text
}
