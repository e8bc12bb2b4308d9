//! Black-box HTTP cases: what the specification of the API says, written as requests and expected answers in `ci/cases`,
//! played against a started server. `docs/conformance.md` is made from the same files.

mod batches;
mod document;
mod erasure;
mod expect;
mod fuzz;
mod mutate;
mod paging;
mod play;
mod races;
mod retention;
mod script;
mod series;
mod types;
mod uploads;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use self::document::{check_document, write_document};
pub(crate) use self::fuzz::run as fuzz;
use self::script::Script;
use crate::error::{CiError, Result};
use crate::report::Report;
use crate::server::{Server, Setup, Workspace};
use crate::tools;

/// Cases are independent; several at once find what only happens between users.
const PLAYERS: usize = 4;
/// With one shard nothing would cross a mailbox; with three, two of three calls do.
const SHARDS: &str = "3";

/// What needs settings and starts of its own.
type Check = fn(Setup, &mut Report) -> Result<Server>;
const CHECKS: &[Check] = &[erasure::run, erasure::after_a_kill, retention::run, uploads::run, usage::run, types::run];

pub(crate) fn run(binary: &Path, driver: Option<&str>, report: &mut Report) -> Result<()> {
    let (plain, own): (Vec<Script>, Vec<Script>) =
        scripts()?.into_iter().partition(|script| script.settings.is_empty() && script.files.is_empty());
    on_a_server(binary, driver, report, |setup, report| cases(&plain, setup, report))?;
    for script in &own {
        on_a_server(binary, driver, report, |setup, report| own_cases(script, setup, report))?;
    }
    for check in CHECKS {
        on_a_server(binary, driver, report, *check)?;
    }
    Ok(())
}

/// Runs a check with a server of its own, which must be sound at the end.
fn on_a_server(
    binary: &Path,
    driver: Option<&str>,
    report: &mut Report,
    check: impl FnOnce(Setup, &mut Report) -> Result<Server>,
) -> Result<()> {
    let mut workspace = Workspace::new("blackbox-")?;
    let mut setup = Setup::new(binary, &workspace.path().join("server"))?;
    if let Some(driver) = driver {
        setup = setup.driver(driver);
    }
    let failed_before = report.failed();
    let checked = check(setup, report).and_then(|server| check_end(server, report));
    if checked.is_err() || report.failed() > failed_before {
        workspace.keep();
    }
    checked
}

fn check_end(mut server: Server, report: &mut Report) -> Result<()> {
    let died = server.has_died()?.map(|status| server.died_error(Some(status)).to_string());
    report.check("the server is still there", died.is_none(), died.as_deref().unwrap_or_default());
    let panicked = server.output().contains("panicked at");
    report.check("nothing panicked", !panicked, "see the server's output");
    if died.is_none() {
        report.check("SIGTERM ends the server with 0", server.stop()?.success(), "another exit status");
    }
    Ok(())
}

/// The case files for a server without settings, and what they cannot say.
fn cases(scripts: &[Script], setup: Setup, report: &mut Report) -> Result<Server> {
    let server = Server::start(&setup.setting("cluster:shards", SHARDS))?;
    play_scripts(&server, scripts, report);
    paging::run(server.address(), report)?;
    races::run(server.address(), report)?;
    batches::run(server.address(), report)?;
    Ok(server)
}

/// A case file with a server of its own.
fn own_cases(script: &Script, mut setup: Setup, report: &mut Report) -> Result<Server> {
    std::fs::create_dir_all(&setup.folder).map_err(CiError::file(&setup.folder))?;
    for (name, content) in &script.files {
        let path = setup.folder.join(name);
        std::fs::write(&path, content).map_err(CiError::file(&path))?;
    }
    for (key, value) in &script.settings {
        setup = setup.setting(key, value);
    }
    let server = Server::start(&setup.setting("cluster:shards", SHARDS))?;
    play_scripts(&server, std::slice::from_ref(script), report);
    Ok(server)
}

fn play_scripts(server: &Server, scripts: &[Script], report: &mut Report) {
    let cases = scripts.iter().flat_map(|script| script.cases.iter().map(move |case| (script, case)));
    let cases: Vec<_> = cases.filter(|(_, case)| !case.steps.is_empty()).collect();
    for (title, outcome) in play_all(server, &cases) {
        match outcome {
            None => report.pass(&title),
            Some(why) => report.fail(&title, &why),
        }
    }
}

/// Title and, when the case failed, why; in the order of the files.
fn play_all(server: &Server, cases: &[(&Script, &script::Case)]) -> Vec<(String, Option<String>)> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                while let Some((index, (script, case))) = take(&next, cases) {
                    let why = play::play(server, script, case, index).err();
                    let title = format!("{} {}: {}", script.name, case.id, case.title);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push((index, title, why));
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_default();
    outcomes.sort_by_key(|(index, _, _)| *index);
    outcomes.into_iter().map(|(_, title, why)| (title, why)).collect()
}

fn take<'a, T>(next: &AtomicUsize, cases: &'a [T]) -> Option<(usize, &'a T)> {
    let index = next.fetch_add(1, Ordering::SeqCst);
    cases.get(index).map(|case| (index, case))
}

fn folder() -> PathBuf {
    tools::root().join("ci/cases")
}

fn scripts() -> Result<Vec<Script>> {
    let paths = tools::files_below(&folder(), ".txt")?;
    paths
        .iter()
        .map(|path| Script::parse(path, &tools::read_text(path)?).map_err(|what| CiError::format(path, what)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_case_is_understood_and_has_an_id_of_its_own() {
        for script in scripts().unwrap() {
            let mut ids: Vec<_> = script.cases.iter().map(|case| &case.id).collect();
            ids.sort();
            let count = ids.len();
            ids.dedup();
            assert_eq!(ids.len(), count, "{}", script.name);
            let is_shown =
                |case: &script::Case| !(case.steps.is_empty() && case.tests.is_empty() && case.differences.is_empty());
            assert!(script.cases.iter().all(is_shown), "{}", script.name);
        }
    }
}
