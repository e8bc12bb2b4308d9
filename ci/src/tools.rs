//! Running other programs, finding the project's folders, and asking for what is missing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{CiError, Result};

/// Where the workspace is: the parent of this crate.
pub(crate) fn root() -> PathBuf {
    let crate_folder =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    crate_folder.parent().map_or(crate_folder.clone(), Path::to_path_buf)
}

pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The server binary of a profile; `COREWARD_BINARY` names another one, such as an installed package's.
pub(crate) fn server_binary(profile: &str) -> PathBuf {
    std::env::var_os("COREWARD_BINARY").map_or_else(|| target_folder().join(profile).join("coreward"), PathBuf::from)
}

pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs with the output shown; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.stdin(Stdio::null()).status().map_err(spawn_error(command))?;
    match status.success() {
        true => Ok(()),
        false => Err(CiError::Command { command: shown(command), status: status.to_string() }),
    }
}

/// Runs with the standard output both shown and given line by line; tells whether it ended well.
pub(crate) fn run_reading(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<bool> {
    println!("$ {}", shown(command));
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(spawn_error(command))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(CiError::system("read the output of a program"))?;
            println!("{line}");
            on_line(&line);
        }
    }
    Ok(child.wait().map_err(spawn_error(command))?.success())
}

/// Runs silently and returns the standard output; the error output is shown only with the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(spawn_error(command))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let status = format!("{}: {}", output.status, complaint.trim());
        return Err(CiError::Command { command: shown(command), status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .any(|folder| folder.join(program).is_file())
}

/// Debian keeps the server's programs out of the path.
pub(crate) fn has_postgres_server() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    is_installed("initdb") || versions.into_iter().any(|version| version.path().join("bin/initdb").is_file())
}

/// Installs the Debian package of a program that is not there. Only root can; others are told the command.
pub(crate) fn need(program: &str, package: &str) -> Result<()> {
    if is_installed(program) {
        return Ok(());
    }
    let install = || -> Result<()> {
        run(Command::new("apt-get").args(["install", "-qq", "-y", package]).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // A fresh image has no package lists; they are fetched only when the first try fails.
    install().or_else(|_| {
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        install()
    })
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(CiError::file(path))
}

/// Every file below `folder` whose name ends with `suffix`, sorted; build results and hidden folders are left out.
pub(crate) fn files_below(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(CiError::file(&folder))? {
            let path = entry.map_err(CiError::file(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_skipped = name.starts_with('.') || ["target", "node_modules", "data"].contains(&name.as_str());
            if path.is_dir() && !is_skipped {
                folders.push(path);
            } else if path.is_file() && name.ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path as seen from the root of the workspace, for messages.
pub(crate) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn shown(command: &Command) -> String {
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    parts.map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn spawn_error(command: &Command) -> impl FnOnce(std::io::Error) -> CiError + use<> {
    let command = shown(command);
    move |source| CiError::Spawn { command, source }
}
