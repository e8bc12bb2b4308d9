//! `docs/conformance.md`: which case of the specification is shown by which test. Made from the case files, so that it
//! cannot say more than is tested; `cargo ci tidy` compares, and looks for the tests that the case files name.

use std::path::PathBuf;

use super::script::{Case, Script, Test};
use super::scripts;
use crate::error::{CiError, Result};
use crate::report::Report;
use crate::tools;

const INTRODUCTION: &str = "\
# Conformance

Which behaviour of the Pryv API is shown by which test. This file is made by `cargo ci conformance` from the case files in
`ci/cases`. \"Requests\" are played from there by `cargo ci blackbox` against a started server on both drivers; a test is
named by its file and its name, and `cargo ci tidy` fails when it is not there; \"differences\" are lines of
[differences.md](differences.md). The numbers are those of the \"cases worth testing\" of each chapter of the specification, in
their order; a letter after a number tells several tests of one case apart. The npm clients are tested in `tests/js`, durability
by `cargo ci crash` and `cargo ci power`.
";
const DIFFERENCES: &str = "docs/differences.md";
/// The functions here are not `#[test]`: `cargo ci` calls them.
const CHECKS_FOLDER: &str = "ci/src/";

/// `cargo ci conformance`.
pub(crate) fn write_document() -> Result<()> {
    let path = path();
    std::fs::write(&path, text(&scripts()?)).map_err(CiError::file(&path))
}

/// Rules of `cargo ci tidy`.
pub(crate) fn check_document(report: &mut Report) -> Result<()> {
    let stored = tools::read_text(&path()).unwrap_or_default();
    let scripts = scripts()?;
    let is_same = stored == text(&scripts);
    report.check("docs/conformance.md is what the case files say", is_same, "run `cargo ci conformance`");
    let dead: Vec<_> = scripts.iter().flat_map(dead_names).map(|line| format!("\n          {line}")).collect();
    report.check("the tests and differences that the case files name are there", dead.is_empty(), &dead.concat());
    Ok(())
}

fn path() -> PathBuf {
    tools::root().join("docs/conformance.md")
}

fn text(scripts: &[Script]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for script in scripts {
        text.push_str(&format!(
            "\n## {}\n\n`ci/cases/{}.txt`\n\n| case | what is shown | by |\n|---|---|---|\n",
            script.heading, script.name
        ));
        for case in &script.cases {
            text.push_str(&format!("| {} | {} | {} |\n", case.id, case.title.replace('|', "\\|"), shown_by(case)));
        }
    }
    text
}

fn shown_by(case: &Case) -> String {
    let requests = (!case.steps.is_empty()).then(|| "requests".to_owned());
    let tests = case.tests.iter().map(|test| format!("`{}`: {}", test.file, test.name.replace('_', " ")));
    let differences = case.differences.iter().map(|words| format!("differences: {words}"));
    requests.into_iter().chain(tests).chain(differences).collect::<Vec<_>>().join("; ")
}

/// What a script names and nobody finds.
fn dead_names(script: &Script) -> Vec<String> {
    let differences = tools::read_text(&tools::root().join(DIFFERENCES)).unwrap_or_default();
    let mut dead = Vec::new();
    for case in &script.cases {
        let mut note = |what: String| dead.push(format!("ci/cases/{}.txt, case {}: {what}", script.name, case.id));
        for test in case.tests.iter().filter(|test| !is_there(test)) {
            note(format!("there is no test {:?} in {}", test.name, test.file));
        }
        for words in case.differences.iter().filter(|words| !differences.contains(words.as_str())) {
            note(format!("{DIFFERENCES} does not say {words:?}"));
        }
    }
    dead
}

fn is_there(test: &Test) -> bool {
    let Ok(text) = tools::read_text(&tools::root().join(&test.file)) else { return false };
    match test.file.ends_with(".rs") {
        true => has_test(&text, &test.name, test.file.starts_with(CHECKS_FOLDER)),
        false => text.contains(&test.name),
    }
}

/// A function of this name with `#[test]` above it; read as text, since macros such as `proptest!` hide theirs from a parser.
fn has_test(text: &str, name: &str, is_check: bool) -> bool {
    let signature = format!("fn {name}(");
    let mut is_marked = false;
    for line in text.lines().map(str::trim) {
        if line.contains(&signature) && (is_marked || is_check) {
            return true;
        }
        is_marked = line == "#[test]" || (is_marked && (line.starts_with('#') || line.starts_with("//")));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_a_marked_function_of_that_name() {
        let text = "#[test]\n// why\n#[ignore]\nfn one() {}\nfn two() {}\n";
        assert!(has_test(text, "one", false));
        assert!(!has_test(text, "two", false) && has_test(text, "two", true));
        assert!(!has_test(text, "on", false));
    }

    #[test]
    fn a_name_without_a_test_and_a_difference_that_is_not_written_are_found() {
        let text = "# x\n## 1 t\nTEST ci/src/blackbox/document.rs no_such_test\nDIFFERENCE no such words at all\n";
        let script = Script::parse(std::path::Path::new("x.txt"), text).unwrap();
        assert_eq!(dead_names(&script).len(), 2);
        let text = "# x\n## 1 t\nTEST ci/src/blackbox/document.rs a_test_is_a_marked_function_of_that_name\n";
        assert!(dead_names(&Script::parse(std::path::Path::new("x.txt"), text).unwrap()).is_empty());
    }
}
