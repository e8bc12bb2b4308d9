//! Coreward: one binary that serves the Pryv API. `coreward` alone starts the server; see `coreward help`.

#![allow(unreachable_pub, reason = "in a binary, `pub` says: meant for other modules")]

mod audit;
mod boot;
mod cli;
mod config;
mod context;
mod data_folder;
mod edge;
mod error;
mod event_types;
mod files_sweep;
mod host_mapping;
mod methods;
mod metrics;
mod node;
mod passwords;
mod platform;
mod points;
mod reply;
mod router;
mod routes;
mod service;
mod space;
mod trunk;
mod upkeep;

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(command) => cli::run(command),
        Err(error) => {
            eprintln!("coreward: {error}\nTry `coreward help`.");
            ExitCode::from(cli::EXIT_USAGE)
        }
    }
}
