//! `coreward config show` and `coreward config check`.

use std::io::{self, Write};

use serde_json::Value;

use super::keys::{Key, Status};
use super::lookup::{Found, find};
use super::tree::{Tree, join};
use super::{Config, ConfigErrors, Origin};

const HIDDEN: &str = "(hidden)";
/// Names below which an operator keeps secrets, in parts of the configuration that have no table.
const SECRET_WORDS: [&str; 6] = ["password", "pass", "secret", "token", "apikey", "authorization"];

/// One line for each effective value: key, value (secrets hidden), origin.
pub(crate) fn show(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    for (path, value, origin) in config.tree.leaves() {
        let shown = if is_secret(&path) { HIDDEN.to_owned() } else { masked(value).to_string() };
        writeln!(out, "{} = {shown}    ({origin})", join(&path))?;
    }
    Ok(())
}

/// The problems of a configuration, or what of it is mapped and what does nothing. True when it can be started.
pub(crate) fn check(loaded: &Result<Config, ConfigErrors>, out: &mut dyn Write) -> io::Result<bool> {
    let config = match loaded {
        Ok(config) => config,
        Err(errors) => {
            writeln!(out, "{errors}")?;
            return Ok(false);
        }
    };
    list(out, "Mapped", &mapped(&config.tree))?;
    list(out, "Accepted without effect", &without_effect(&config.tree))?;
    for warning in config.warnings.iter().filter(|warning| !warning.starts_with('[')) {
        writeln!(out, "Warning: {warning}")?;
    }
    writeln!(out, "The configuration is valid.")?;
    Ok(true)
}

/// Keys that a source sets and that do nothing, with the reason.
pub(super) fn without_effect(tree: &Tree) -> Vec<(String, &'static str)> {
    set_keys(tree, |status| match status {
        Status::NoEffect(reason) => Some(reason),
        _ => None,
    })
}

fn mapped(tree: &Tree) -> Vec<(String, &'static str)> {
    set_keys(tree, |status| match status {
        Status::Mapped(target) => Some(target),
        _ => None,
    })
}

/// One line for each table key that a source sets, however many leaves lie below it.
fn set_keys(tree: &Tree, wanted: impl Fn(Status) -> Option<&'static str>) -> Vec<(String, &'static str)> {
    let mut found: Vec<(String, &'static str)> = Vec::new();
    for (path, _, origin) in tree.leaves() {
        let set_by_a_source = !matches!(origin, Origin::Default | Origin::Derived(_));
        let Some((key, text)) =
            key_of(&path).and_then(|key| Some((key, wanted(key.status)?))).filter(|_| set_by_a_source)
        else {
            continue;
        };
        let segments = key.pattern.split(':').count();
        let name = join(path.get(..segments).unwrap_or(&path));
        if !found.iter().any(|(known, _)| *known == name) {
            found.push((name, text));
        }
    }
    found
}

fn key_of(path: &[String]) -> Option<&'static Key> {
    match find(path) {
        Found::Key { key, .. } | Found::Inside(key) => Some(key),
        Found::Section | Found::Unknown => None,
    }
}

fn is_secret(path: &[String]) -> bool {
    key_of(path).is_some_and(|key| {
        key.secret || matches!(find(path), Found::Inside(_)) && path.last().is_some_and(|name| is_secret_name(name))
    })
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Hides secrets inside of lists and maps, and the credentials of URLs.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_credentials(text)),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), if is_secret_name(name) { HIDDEN.into() } else { masked(field) }))
            .collect(),
        other => other.clone(),
    }
}

fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?', '#', ',', ' ']).unwrap_or(rest.len());
    let host = rest.get(..authority_end).and_then(|authority| authority.rfind('@'));
    match host.and_then(|at| rest.get(at..)) {
        Some(host) => format!("{scheme}://{HIDDEN}{host}"),
        None => url.to_owned(),
    }
}

fn list(out: &mut dyn Write, title: &str, lines: &[(String, &'static str)]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    lines.iter().try_for_each(|(path, text)| writeln!(out, "  {path}: {text}"))
}
