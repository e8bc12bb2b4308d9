//! Links and file names in documents: each must lead to a file, and an anchor to a heading of it.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::error::Result;
use crate::tools;

/// A word in back-ticks that begins so and names a file or folder must exist.
const TREE_PREFIXES: &[&str] = &["src/", "shards/", "storage/", "bench/", "ci/", "tests/", "docs/"];

pub(super) fn check() -> Result<Vec<Finding>> {
    let root = tools::root();
    let mut findings = Vec::new();
    for document in tools::files_below(&root, ".md")? {
        let text = tools::read_text(&document)?;
        for (number, line) in prose_lines(&text) {
            let place = format!("{}:{number}", tools::relative(&document));
            let dead = targets(line).into_iter().filter(|target| !leads_somewhere(&document, target));
            findings.extend(dead.map(|target| Finding::new(&place, format!("the link {target:?} leads nowhere"))));
            let gone = file_names(line).into_iter().filter(|name| !names_something(&root, name));
            findings.extend(gone.map(|name| Finding::new(&place, format!("there is no `{name}`"))));
        }
    }
    Ok(findings)
}

/// The lines outside fenced code.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return None;
        }
        (!is_code).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)` that lie in this tree.
fn targets(line: &str) -> Vec<&str> {
    let ends = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    ends.filter(|target| !target.contains("://") && !target.starts_with("mailto:") && !target.is_empty()).collect()
}

fn leads_somewhere(document: &Path, target: &str) -> bool {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => document.to_path_buf(),
        _ => document.parent().map_or_else(|| PathBuf::from(file), |folder| folder.join(file)),
    };
    if anchor.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return path.exists();
    }
    tools::read_text(&path).is_ok_and(|text| headings(&text).iter().any(|heading| heading == anchor))
}

/// The anchors that a reader's site makes of headings: lower case, spaces to dashes, punctuation dropped.
fn headings(text: &str) -> Vec<String> {
    let lines = prose_lines(text).filter(|(_, line)| line.starts_with('#'));
    lines.map(|(_, line)| anchor_of(line.trim_start_matches('#').trim())).collect()
}

fn anchor_of(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Back-ticked paths of this tree, with what follows a colon: `src/trunk.rs` or `src/trunk.rs:answer`.
fn file_names(line: &str) -> Vec<&str> {
    let is_path = |word: &&str| {
        TREE_PREFIXES.iter().any(|prefix| word.starts_with(prefix))
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:".contains(c))
    };
    line.split('`').skip(1).step_by(2).filter(is_path).collect()
}

fn names_something(root: &Path, name: &str) -> bool {
    let (file, symbol) = name.split_once(':').unwrap_or((name, ""));
    let path = root.join(file);
    match symbol {
        "" => path.exists(),
        _ if symbol.chars().all(|c| c.is_ascii_digit()) => path.is_file(),
        _ => tools::read_text(&path).is_ok_and(|text| text.contains(symbol)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_in_the_tree_are_taken() {
        let line = "see [a](docs/a.md#x) and [b](https://example.com/b) or ![c](c.png \"title\")";
        assert_eq!(targets(line), ["docs/a.md#x", "c.png"]);
    }

    #[test]
    fn fenced_code_is_no_prose() {
        let lines: Vec<_> = prose_lines("a\n```\n[x](y)\n```\nb").map(|(number, _)| number).collect();
        assert_eq!(lines, [1, 5]);
    }

    #[test]
    fn anchors_are_made_of_headings() {
        assert_eq!(headings("# One two\n## `http.port`, and more!"), ["one-two", "httpport-and-more"]);
    }

    #[test]
    fn dead_links_and_missing_files_are_told_from_living_ones() {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("a.md");
        std::fs::write(&document, "# Here\n").unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/trunk.rs"), "fn answer() {}").unwrap();
        assert!(leads_somewhere(&document, "#here") && leads_somewhere(&document, "a.md#here"));
        assert!(!leads_somewhere(&document, "#there") && !leads_somewhere(&document, "b.md"));
        assert_eq!(file_names("`src/trunk.rs:answer` and `src/{a,b}.rs` and `x/y`"), ["src/trunk.rs:answer"]);
        assert!(names_something(folder.path(), "src/trunk.rs:answer"));
        assert!(!names_something(folder.path(), "src/trunk.rs:reply") && !names_something(folder.path(), "src/no.rs"));
    }
}
