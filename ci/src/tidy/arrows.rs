//! Who may depend on whom, and the document that names the role of each foreign package.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Finding;
use crate::error::{CiError, Result};
use crate::tools;

/// The arrows of the architecture: crate -> what it may use of the workspace.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("model", &[]),
    ("series", &["model"]),
    ("storage", &["model", "series"]),
    ("shards", &["wire", "series"]),
    ("coreward", &["model", "series", "shards", "storage", "wire"]),
    ("bench", &["model", "series", "shards", "storage", "wire"]),
    ("ci", &["model", "series", "shards", "storage", "wire"]),
];

const DEPENDENCIES_DOCUMENT: &str = "docs/dependencies.md";

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// Set for crates of the workspace.
    path: Option<String>,
    /// `None` for an ordinary one.
    kind: Option<String>,
}

pub(super) fn packages() -> Result<Vec<Package>> {
    let text = tools::output(tools::cargo().args(["metadata", "--no-deps", "--format-version", "1", "--offline"]))?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(|error| CiError::format("cargo metadata", error))?;
    Ok(metadata.packages)
}

pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            findings.push(Finding::new(&package.name, "not a crate of the architecture: add its arrows"));
            continue;
        };
        // A crate's tests may use what they like; the product may not.
        let uses = package.dependencies.iter().filter(|one| one.path.is_some() && one.kind.as_deref() != Some("dev"));
        for used in uses.filter(|used| !allowed.contains(&used.name.as_str())) {
            let what = format!("may not use `{}`; it may use {allowed:?}", used.name);
            findings.push(Finding::new(&package.name, what));
        }
    }
    findings
}

pub(super) fn undocumented(packages: &[Package]) -> Vec<Finding> {
    match tools::read_text(&tools::root().join(DEPENDENCIES_DOCUMENT)) {
        Ok(text) => not_named_in(&text, packages),
        Err(error) => vec![Finding::new(DEPENDENCIES_DOCUMENT, error.to_string())],
    }
}

fn not_named_in(text: &str, packages: &[Package]) -> Vec<Finding> {
    let foreign = packages.iter().flat_map(|package| &package.dependencies).filter(|one| one.path.is_none());
    let names: BTreeSet<_> = foreign.map(|one| one.name.as_str()).collect();
    let missing = names.into_iter().filter(|name| !text.contains(&format!("`{name}`")));
    missing.map(|name| Finding::new(DEPENDENCIES_DOCUMENT, format!("no line says what `{name}` is for"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &[(&str, bool, Option<&str>)]) -> Package {
        let dependency = |(name, is_ours, kind): &(&str, bool, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            path: is_ours.then(|| "/x".to_owned()),
            kind: kind.map(str::to_owned),
        };
        Package { name: name.to_owned(), dependencies: uses.iter().map(dependency).collect() }
    }

    #[test]
    fn an_arrow_against_the_architecture_is_found() {
        assert_eq!(check(&[package("storage", &[("series", true, None), ("serde", false, None)])]), []);
        assert_eq!(check(&[package("wire", &[("model", true, None)])]).len(), 1);
        assert_eq!(check(&[package("wire", &[("model", true, Some("dev"))])]), []);
        assert_eq!(check(&[package("surprise", &[])]).len(), 1);
    }

    #[test]
    fn a_package_without_a_line_is_found_once() {
        let packages = [package("wire", &[("httparse", false, None)]), package("ci", &[("httparse", false, None)])];
        assert_eq!(not_named_in("| `httparse` | heads |", &packages), []);
        assert_eq!(not_named_in("| httparse-like |", &packages).len(), 1);
    }
}
