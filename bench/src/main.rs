//! `bench SCENARIO`: measures a real server process from outside, over plain HTTP/1.1. See `bench/README.md`.

mod accounts;
mod answer;
mod args;
mod client;
mod drive;
mod error;
#[cfg(test)]
mod fake;
mod machine;
mod plot;
mod process;
mod report;
mod sample;
mod scenario;
mod server;
mod stats;

use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = args::parse(lexopt::Parser::from_env()).and_then(|asked| match asked {
        args::Asked::Help => {
            print!("{}", args::HELP);
            Ok(())
        }
        args::Asked::List => scenario::list(),
        args::Asked::Run(options) => scenario::run(&options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
