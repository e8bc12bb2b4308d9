//! The command line: what was asked for, and the commands beside the server itself.

pub mod config;
mod health;
mod http;
mod import;
mod series;
mod serve;
mod user;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Args;

const HELP: &str = "\
coreward [--config FILE] [--key:sub=value ...]     start the server
coreward user create NAME [--email E] [--password P] [--app-id A] [--invitation TOKEN] [--field NAME=VALUE]...
                                                   create a user on the running server
coreward import csv FILE --endpoint URL --type TYPE [--stream ID] [--rate HZ]
                                                   send a recording as a series event
coreward config show|check|keys [--config FILE]    the effective configuration and its origins
coreward series check|salvage|retention [--config FILE]
                                                   for a stopped server: look through its points, keep what is
                                                   readable where a start refuses, or tell what series.retention
                                                   would do (a dry run)
coreward health                                    exit 0 when the server answers (for health checks)
coreward help | --version

Without --config everything has a working default: data in ./data, http://127.0.0.1:3000.
docs/configuration.md lists every key.";

/// What was asked for.
pub enum Command {
    Serve(Args),
    Config { words: Vec<String>, args: Args },
    User { words: Vec<String>, options: Options, args: Args },
    Import { words: Vec<String>, options: Options },
    Series { words: Vec<String>, args: Args },
    Health(Args),
    Help,
    Version,
}

/// `--name value` of the commands beside the server.
#[derive(Default)]
pub struct Options(Vec<(String, String)>);

impl Options {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Each `--field NAME=VALUE`.
    pub fn fields(&self) -> Result<Vec<(&str, &str)>, UsageError> {
        let given = self.0.iter().filter(|(known, _)| known == "field");
        given
            .map(|(_, pair)| pair.split_once('=').ok_or(UsageError::Usage("user create ... --field NAME=VALUE")))
            .collect()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("{0}")]
    Arguments(#[from] lexopt::Error),
    #[error("there is no command `{0}`")]
    UnknownCommand(String),
    #[error("`{0}` is not an option of `coreward {1}`")]
    UnknownOption(String, String),
    #[error("usage: coreward {0}")]
    Usage(&'static str),
}

/// The exit code of a command line that cannot be understood.
pub const EXIT_USAGE: u8 = 2;

const USER_OPTIONS: [&str; 6] = ["email", "password", "app-id", "invitation", "field", "url"];
const IMPORT_OPTIONS: [&str; 7] = ["endpoint", "type", "stream", "rate", "column", "name", "points"];

pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    use lexopt::{Arg, ValueExt};
    let mut parser = lexopt::Parser::from_iter(words);
    let (mut args, mut options, mut given) = (Args::default(), Options::default(), Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long("config") => args.config_file = Some(PathBuf::from(parser.value()?)),
            Arg::Long(name) => {
                let name = name.to_owned();
                let value = parser.value()?.string()?;
                let command = given.first().map(String::as_str).unwrap_or_default();
                let known: &[&str] = match command {
                    "user" => &USER_OPTIONS,
                    "import" => &IMPORT_OPTIONS,
                    _ => &[],
                };
                if known.contains(&name.as_str()) {
                    options.0.push((name, value));
                } else if name.contains(':') || given.is_empty() {
                    // A few keys have no colon; one that is not known is refused with the nearest that is.
                    args.overrides.push((name, value));
                } else {
                    return Err(UsageError::UnknownOption(format!("--{name}"), command.to_owned()));
                }
            }
            Arg::Value(word) => given.push(word.string()?),
            Arg::Short(_) => return Err(arg.unexpected().into()),
        }
    }
    let rest = given.get(1..).unwrap_or_default().to_vec();
    Ok(match given.first().map(String::as_str) {
        None => Command::Serve(args),
        Some("config") => Command::Config { words: rest, args },
        Some("user") => Command::User { words: rest, options, args },
        Some("import") => Command::Import { words: rest, options },
        Some("series") => Command::Series { words: rest, args },
        Some("health") => Command::Health(args),
        Some("help") => Command::Help,
        Some(other) => return Err(UsageError::UnknownCommand(other.to_owned())),
    })
}

pub fn run(command: Command) -> ExitCode {
    let outcome = match command {
        Command::Serve(args) => serve::run(&args),
        Command::Config { words, args } => return run_config(&words, &args),
        Command::User { words, options, args } => user::run(&words, &options, &args),
        Command::Import { words, options } => import::run(&words, &options),
        Command::Series { words, args } => series::run(&words, &args),
        Command::Health(args) => health::run(&args),
        Command::Help => {
            println!("{HELP}");
            Ok(())
        }
        Command::Version => {
            println!("coreward {} (API {})", env!("CARGO_PKG_VERSION"), crate::reply::API_VERSION);
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            match error.is::<UsageError>() {
                true => ExitCode::from(EXIT_USAGE),
                false => ExitCode::FAILURE,
            }
        }
    }
}

fn run_config(words: &[String], args: &Args) -> ExitCode {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    match config::run(words, args, std::env::vars(), &cwd, &mut std::io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration for a command beside the server.
fn load(args: &Args) -> Result<crate::config::Config, crate::boot::BootError> {
    let cwd = std::env::current_dir()?;
    crate::config::load(args, std::env::vars(), &cwd).map_err(|errors| errors.to_string().into())
}
