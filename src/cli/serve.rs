//! `coreward`: the server, from the first line it prints to its exit code.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::boot::{self, BootError, Server};
use crate::config::{Args, Config};

pub fn run(args: &Args) -> Result<(), BootError> {
    let config = super::load(args)?;
    start_logs(&config);
    let mut signals = shards::signals::Signals::install()?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    let server = boot::start(config).map_err(name_the_key)?;
    announce(&server);
    signals.wait();
    eprintln!("stopping: requests in flight have 10 s to finish");
    server.stop();
    eprintln!("stopped");
    Ok(())
}

/// The shards know addresses; whoever starts the server knows keys.
fn name_the_key(error: BootError) -> BootError {
    use shards::StartError::{Bind, PortTaken};
    match error.downcast_ref() {
        Some(PortTaken { .. } | Bind { .. }) => {
            format!("{error} (keys `http.ip`, `http.port`, `http.hfsPort`; e.g. --http:port=3100)").into()
        }
        _ => error,
    }
}

/// Logs go to stderr. Without `logs.console.active` only warnings do.
fn start_logs(config: &Config) {
    let logs = &config.logs;
    let level = if logs.active { logs.level.as_str() } else { "warn" };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(logs.color && std::io::stderr().is_terminal());
    match (logs.json, logs.time) {
        (true, _) => builder.json().init(),
        (false, true) => builder.init(),
        (false, false) => builder.without_time().init(),
    }
}

/// Where it listens, how, with what; and what to try next.
fn announce(server: &Server) {
    let config = &server.node().config;
    let addresses = server.addresses();
    let url = config
        .dns_less
        .public_url
        .clone()
        .unwrap_or_else(|| addresses.main.first().map(|address| format!("http://{address}")).unwrap_or_default());
    for address in &addresses.main {
        println!("listening   http://{address} (API)");
    }
    if let Some(address) = addresses.hfs {
        println!("            http://{address} (high-frequency series)");
    }
    println!("driver      {}", server.driver());
    println!("shards      {}", config.cluster.shards);
    println!("data        {}", config.storages.data_dir.display());
    if let Some(key) = &server.new_admin_key {
        println!(
            "admin key   {key}   (shown once; kept in {})",
            config.storages.data_dir.join("secrets.json").display()
        );
    }
    println!("\ntry next:\n  coreward user create alice\n  curl {url}/reg/service/info\n  curl {url}/health");
}
